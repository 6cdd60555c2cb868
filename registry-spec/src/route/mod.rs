//! From method and URI to a [`Route`]: after this, nothing handles raw text.
//!
//! ```
//! use http::{Method, Uri};
//! use registry_spec::route::Route;
//!
//! let uri = Uri::from_static("/v2/library/alpine/manifests/latest");
//! let route = Route::parse(&Method::GET, &uri)?;
//! assert!(matches!(route, Route::PullManifest { .. }));
//! let access = route.access();
//! assert_eq!(access.scope().map(|s| s.to_string()).as_deref(), Some("repository:library/alpine:pull"));
//! # Ok::<(), registry_spec::Error>(())
//! ```

mod query;

use std::borrow::Cow;

use http::{HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;

use crate::auth::Access;
use crate::error::{Error, ErrorCode};
use crate::storage::StorageError;
use crate::types::{Digest, Reference, RepositoryName, UploadId};

pub use query::{
    CatalogQuery, FinishUploadQuery, Mount, PushManifestQuery, ReferrersQuery, StartUploadQuery,
    TagsQuery,
};

/// One request of the protocol, every part of it valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// end-1: `GET /v2/`.
    Base,
    /// end-2: `GET` or `HEAD` of a blob.
    PullBlob {
        /// The repository.
        name: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// end-3: `GET` or `HEAD` of a manifest.
    PullManifest {
        /// The repository.
        name: RepositoryName,
        /// The manifest.
        reference: Reference,
    },
    /// end-4, end-11: `POST` to begin an upload, or to mount instead.
    StartUpload {
        /// The repository.
        name: RepositoryName,
        /// What kind of upload.
        query: StartUploadQuery,
    },
    /// end-5: `PATCH` of an upload.
    AppendUpload {
        /// The repository.
        name: RepositoryName,
        /// The session.
        id: UploadId,
    },
    /// end-6: `PUT` of an upload.
    FinishUpload {
        /// The repository.
        name: RepositoryName,
        /// The session.
        id: UploadId,
        /// The digest of the whole.
        query: FinishUploadQuery,
    },
    /// end-7: `PUT` of a manifest.
    PushManifest {
        /// The repository.
        name: RepositoryName,
        /// The tag or digest it is pushed as.
        reference: Reference,
        /// More tags.
        query: PushManifestQuery,
    },
    /// end-8: `GET` of the tags.
    ListTags {
        /// The repository.
        name: RepositoryName,
        /// Which part of the list.
        query: TagsQuery,
    },
    /// end-9: `DELETE` of a manifest or tag.
    DeleteManifest {
        /// The repository.
        name: RepositoryName,
        /// A digest for the manifest, a tag for just the tag.
        reference: Reference,
    },
    /// end-10: `DELETE` of a blob.
    DeleteBlob {
        /// The repository.
        name: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// end-12: `GET` of the referrers.
    ListReferrers {
        /// The repository.
        name: RepositoryName,
        /// The subject.
        digest: Digest,
        /// Which of them.
        query: ReferrersQuery,
    },
    /// end-13: `GET` of an upload.
    StatUpload {
        /// The repository.
        name: RepositoryName,
        /// The session.
        id: UploadId,
    },
    /// end-14: `DELETE` of an upload.
    CancelUpload {
        /// The repository.
        name: RepositoryName,
        /// The session.
        id: UploadId,
    },
    /// Docker's `GET /v2/_catalog`.
    Catalog {
        /// Which part of the list.
        query: CatalogQuery,
    },
}

impl Route {
    /// Reads a request line.
    ///
    /// Each segment of the path is percent-decoded once, since some clients
    /// encode the colon of a digest. Unknown query parameters are ignored.
    ///
    /// # Errors
    /// * 404 `UNSUPPORTED`: no such path.
    /// * 405 `UNSUPPORTED`, with `Allow`: a path that knows other methods.
    /// * 400 `NAME_INVALID`, `DIGEST_INVALID`, `MANIFEST_INVALID` (a tag),
    ///   `UNSUPPORTED` (a query): a part breaks its grammar.
    /// * 404 `BLOB_UPLOAD_UNKNOWN`: no upload session can have that id.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Self, Error> {
        let rest = match uri.path() {
            "/v2" | "/v2/" => "",
            path => path.strip_prefix("/v2/").ok_or_else(no_such_path)?,
        };
        let rest = decode(rest);
        let query = uri.query().unwrap_or_default();
        let pull = *method == Method::GET || *method == Method::HEAD;
        // From the end, since a name may hold any of these words.
        let (before, last) = split_last(&rest);
        let (name, kind) = split_last(before);
        match (kind, last) {
            _ if rest.is_empty() => match pull {
                true => Ok(Self::Base),
                false => Err(wrong_method("GET, HEAD")),
            },
            _ if rest == "_catalog" => match pull {
                true => Ok(Self::Catalog {
                    query: CatalogQuery::parse(query)?,
                }),
                false => Err(wrong_method("GET, HEAD")),
            },
            ("tags", "list") => {
                let name = repository(name)?;
                match pull {
                    true => Ok(Self::ListTags {
                        name,
                        query: TagsQuery::parse(query)?,
                    }),
                    false => Err(wrong_method("GET, HEAD")),
                }
            }
            ("manifests", reference) => {
                let name = repository(name)?;
                let reference = reference.parse()?;
                match *method {
                    _ if pull => Ok(Self::PullManifest { name, reference }),
                    Method::PUT => Ok(Self::PushManifest {
                        name,
                        reference,
                        query: PushManifestQuery::parse(query)?,
                    }),
                    Method::DELETE => Ok(Self::DeleteManifest { name, reference }),
                    _ => Err(wrong_method("GET, HEAD, PUT, DELETE")),
                }
            }
            ("blobs", "uploads") => start_upload(method, name, query),
            ("uploads", id) => {
                let (name, "blobs") = split_last(name) else {
                    return Err(no_such_path());
                };
                if id.is_empty() {
                    return start_upload(method, name, query);
                }
                let name = repository(name)?;
                let id: UploadId = id.parse().map_err(|_| StorageError::UploadUnknown)?;
                match *method {
                    _ if pull => Ok(Self::StatUpload { name, id }),
                    Method::PATCH => Ok(Self::AppendUpload { name, id }),
                    Method::PUT => Ok(Self::FinishUpload {
                        name,
                        id,
                        query: FinishUploadQuery::parse(query)?,
                    }),
                    Method::DELETE => Ok(Self::CancelUpload { name, id }),
                    _ => Err(wrong_method("GET, HEAD, PATCH, PUT, DELETE")),
                }
            }
            ("blobs", digest) => {
                let name = repository(name)?;
                let digest = digest.parse()?;
                match *method {
                    _ if pull => Ok(Self::PullBlob { name, digest }),
                    Method::DELETE => Ok(Self::DeleteBlob { name, digest }),
                    _ => Err(wrong_method("GET, HEAD, DELETE")),
                }
            }
            ("referrers", digest) => {
                let name = repository(name)?;
                let digest = digest.parse()?;
                match pull {
                    true => Ok(Self::ListReferrers {
                        name,
                        digest,
                        query: ReferrersQuery::parse(query)?,
                    }),
                    false => Err(wrong_method("GET, HEAD")),
                }
            }
            _ => Err(no_such_path()),
        }
    }

    /// What the request needs to be allowed.
    #[must_use]
    pub fn access(&self) -> Access {
        match self {
            Self::Base => Access::Base,
            Self::Catalog { .. } => Access::Catalog,
            Self::PullBlob { name, .. }
            | Self::PullManifest { name, .. }
            | Self::ListTags { name, .. }
            | Self::ListReferrers { name, .. } => Access::pull(name.clone()),
            Self::StartUpload { name, .. }
            | Self::AppendUpload { name, .. }
            | Self::FinishUpload { name, .. }
            | Self::StatUpload { name, .. }
            | Self::PushManifest { name, .. } => Access::push(name.clone()),
            Self::CancelUpload { name, .. } => Access::cancel(name.clone()),
            Self::DeleteManifest { name, .. } | Self::DeleteBlob { name, .. } => {
                Access::delete(name.clone())
            }
        }
    }

    /// Whether the request only reads what was pushed.
    #[must_use]
    pub fn is_pull(&self) -> bool {
        match self {
            Self::Base
            | Self::Catalog { .. }
            | Self::PullBlob { .. }
            | Self::PullManifest { .. }
            | Self::ListTags { .. }
            | Self::ListReferrers { .. } => true,
            Self::StartUpload { .. }
            | Self::AppendUpload { .. }
            | Self::FinishUpload { .. }
            | Self::StatUpload { .. }
            | Self::CancelUpload { .. }
            | Self::PushManifest { .. }
            | Self::DeleteManifest { .. }
            | Self::DeleteBlob { .. } => false,
        }
    }

    /// What the request could use besides: the source of a mount.
    #[must_use]
    pub fn wanted_access(&self) -> Option<Access> {
        let Self::StartUpload { query, .. } = self else {
            return None;
        };
        Some(query.mount.as_ref()?.source())
    }
}

fn start_upload(method: &Method, name: &str, query: &str) -> Result<Route, Error> {
    let name = repository(name)?;
    match *method {
        Method::POST => Ok(Route::StartUpload {
            name,
            query: StartUploadQuery::parse(query)?,
        }),
        _ => Err(wrong_method("POST")),
    }
}

/// What a slash within a segment is left as: decoded, it would make one name
/// of two paths. No grammar here allows it.
const ENCODED_SLASH: &str = "%2F";

/// The segments of a path, each decoded. Text that is not UTF-8 becomes a
/// character that no grammar here allows.
fn decode(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let segment = |text| percent_decode_str(text).decode_utf8_lossy();
    let segments = path.split('/').map(segment);
    let segments: Vec<String> = segments
        .map(|text| text.replace('/', ENCODED_SLASH))
        .collect();
    segments.join("/").into()
}

/// The last segment and what is before it; nothing is before the only one.
fn split_last(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn repository(name: &str) -> Result<RepositoryName, Error> {
    if name.contains(ENCODED_SLASH) {
        return Err(Error::new(
            ErrorCode::NameInvalid,
            "a repository name must not hold an encoded slash",
        ));
    }
    Ok(name.parse::<RepositoryName>()?)
}

fn no_such_path() -> Error {
    Error::new(ErrorCode::Unsupported, "no such endpoint").with_status(StatusCode::NOT_FOUND)
}

fn wrong_method(allowed: &'static str) -> Error {
    Error::new(ErrorCode::Unsupported, "the endpoint has no such method")
        .with_header(header::ALLOW, HeaderValue::from_static(allowed))
}

#[cfg(test)]
mod tests;
