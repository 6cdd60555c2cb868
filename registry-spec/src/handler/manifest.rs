//! Manifests: end-3, end-7, end-9.
//!
//! | request | answer |
//! |---|---|
//! | `GET`, `HEAD` by tag or digest | 200, with the type and bytes as pushed |
//! | with `If-None-Match` of the same digest | 304 |
//! | `PUT` by tag, by digest, by digest with `?tag=` | 201, `Location` by digest |
//! | `PUT` of what references missing content | 404 `MANIFEST_BLOB_UNKNOWN` |
//! | `PUT` with `If-Match` or `If-None-Match` that does not hold | 412 |
//! | `PUT` of more than the limit | 413 |
//! | `DELETE` by digest: the manifest and its tags; by tag: the tag | 202 |

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Response, StatusCode, header};

use super::conditional::{etag, not_modified, precondition};
use super::{Call, empty, switched_off, value};
use crate::body::{Body, Payload};
use crate::builder::Validation;
use crate::error::{Error, ErrorCode};
use crate::header as names;
use crate::observer::EventKind;
use crate::route::PushManifestQuery;
use crate::storage::{PutManifest, StorageError};
use crate::types::{
    Algorithm, Digest, Hasher, Manifest, MediaType, Reference, RepositoryName, Requirement, Tag,
};

/// `GET` and `HEAD` of a manifest. `Accept` is advice: the stored bytes and
/// type are the answer, since no other would match the digest.
pub(crate) async fn pull(
    call: &Call<'_>,
    name: RepositoryName,
    reference: Reference,
) -> Result<Response<Body>, Error> {
    let stored = call.storage().read_manifest(&name, &reference).await?;
    let digest = stored.digest;
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(names::DOCKER_CONTENT_DIGEST, value(digest.to_string()));
    headers.insert(header::ETAG, etag(&digest));
    match reference {
        Reference::Digest(_) => call.immutable(headers),
        Reference::Tag(_) => {
            headers.insert(header::CACHE_CONTROL, names::NO_CACHE);
        }
    }
    if not_modified(call.headers(), &digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        call.observe(&name, EventKind::ManifestProbed { digest, reference });
        return Ok(response);
    }
    headers.insert(header::CONTENT_TYPE, value(stored.media_type.as_str()));
    *response.body_mut() = Body::from(stored.bytes);
    let kind = match call.is_head() {
        true => EventKind::ManifestProbed { digest, reference },
        false => EventKind::ManifestPulled {
            digest,
            media_type: stored.media_type,
            reference,
        },
    };
    call.observe(&name, kind);
    Ok(response)
}

/// `PUT` of a manifest.
pub(crate) async fn push(
    call: &Call<'_>,
    name: RepositoryName,
    reference: Reference,
    query: PushManifestQuery,
    payload: Payload,
) -> Result<Response<Body>, Error> {
    // The digest it was pushed by, or the one given besides a tag.
    let expected = match &reference {
        Reference::Digest(digest) => Some(*digest),
        Reference::Tag(_) => query.digest,
    };
    let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
    let limit = call.shared.limits.manifest_bytes;
    let (bytes, digest) = payload.collect(limit, algorithm).await?;
    if expected.is_some_and(|expected| expected != digest) {
        return Err(StorageError::DigestMismatch { actual: digest }.into());
    }
    let manifest = Manifest::parse(content_type(call)?.as_ref(), &bytes)?;
    let mut requirements = BTreeSet::new();
    if call.shared.validation == Validation::Full {
        requirements = manifest.requirements();
        require(call, &name, &requirements).await?;
    }
    let subject = manifest.subject().map(|subject| subject.digest);
    let size = bytes.len() as u64;
    let media_type = manifest.media_type().clone();
    let tags = all_tags(&reference, &query.tags);
    let mut put = PutManifest::new(digest, media_type.clone(), bytes);
    put.subject = subject;
    put.tags.clone_from(&tags);
    put.precondition = precondition(call.headers(), &reference);
    put.requirements = requirements;
    call.storage().put_manifest(&name, put).await?;

    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(
        header::LOCATION,
        value(call.url(format_args!("{name}/manifests/{digest}"))),
    );
    headers.insert(names::DOCKER_CONTENT_DIGEST, value(digest.to_string()));
    if let Some(subject) = subject {
        headers.insert(names::OCI_SUBJECT, value(subject.to_string()));
    }
    for tag in &query.tags {
        headers.append(names::OCI_TAG, value(tag.as_str()));
    }
    call.observe(
        &name,
        EventKind::ManifestPushed {
            digest,
            media_type,
            size,
            tags,
        },
    );
    Ok(response)
}

/// `DELETE` of a manifest by digest, or of a tag.
pub(crate) async fn delete(
    call: &Call<'_>,
    name: RepositoryName,
    reference: Reference,
) -> Result<Response<Body>, Error> {
    const ALLOWED: &str = "GET, HEAD, PUT";
    let kind = match reference {
        Reference::Tag(_) if !call.shared.deletes.tags => {
            return Err(switched_off("tags", ALLOWED));
        }
        Reference::Digest(_) if !call.shared.deletes.manifests => {
            return Err(switched_off("manifests", ALLOWED));
        }
        Reference::Tag(tag) => {
            call.storage().delete_tag(&name, &tag).await?;
            EventKind::TagDeleted { tag }
        }
        Reference::Digest(digest) => {
            call.storage().delete_manifest(&name, &digest).await?;
            EventKind::ManifestDeleted { digest }
        }
    };
    call.observe(&name, kind);
    Ok(empty(StatusCode::ACCEPTED))
}

/// The request's `Content-Type`, whose parameters mean nothing (end-7).
fn content_type(call: &Call<'_>) -> Result<Option<MediaType>, Error> {
    let Some(header) = call.headers().get(header::CONTENT_TYPE) else {
        return Ok(None);
    };
    let text = header.to_str().unwrap_or_default();
    let bare = text.split(';').next().unwrap_or_default().trim();
    let media_type = bare.parse().map_err(|error| {
        Error::new(ErrorCode::ManifestInvalid, format!("Content-Type: {error}"))
    })?;
    Ok(Some(media_type))
}

fn all_tags(reference: &Reference, more: &[Tag]) -> Vec<Tag> {
    let mut tags = match reference {
        Reference::Tag(tag) => vec![tag.clone()],
        Reference::Digest(_) => vec![],
    };
    for tag in more {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

/// Checks that the repository holds what the manifest needs.
async fn require(
    call: &Call<'_>,
    name: &RepositoryName,
    requirements: &BTreeSet<Requirement>,
) -> Result<(), Error> {
    /// How many look-ups run at once: a manifest may name some 30 000 blobs.
    const AT_ONCE: usize = 8;
    /// As many as help somebody; the answer must stay small.
    const NAMED: usize = 16;
    let missing: Vec<Digest> = stream::iter(requirements.iter().copied())
        .map(|requirement| async move {
            let present = is_present(call, name, &requirement).await?;
            Ok::<_, Error>((!present).then_some(*requirement.digest()))
        })
        .buffered(AT_ONCE)
        .try_filter_map(|missing| async move { Ok(missing) })
        .take(NAMED)
        .try_collect()
        .await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(StorageError::ContentUnknown { missing }.into())
}

async fn is_present(
    call: &Call<'_>,
    name: &RepositoryName,
    requirement: &Requirement,
) -> Result<bool, Error> {
    let storage = call.storage();
    if let Requirement::Child(digest) = requirement {
        match storage.read_manifest(name, &(*digest).into()).await {
            Ok(_) => return Ok(true),
            // The children of a build cache are blobs.
            Err(StorageError::ManifestUnknown) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match storage.stat_blob(name, requirement.digest()).await {
        Ok(_) => Ok(true),
        Err(StorageError::BlobUnknown) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Payload {
    /// The whole body and its digest, if it is at most `limit` bytes; else 413.
    async fn collect(
        mut self,
        limit: usize,
        algorithm: Algorithm,
    ) -> Result<(Bytes, Digest), Error> {
        let too_large = || {
            Error::new(
                ErrorCode::SizeInvalid,
                format!("a manifest has at most {limit} bytes"),
            )
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
        };
        if self.length.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut collected = Vec::new();
        let mut hasher = Hasher::new(algorithm);
        while let Some(chunk) = self.content.next().await {
            let chunk = chunk.map_err(|source| StorageError::Body { source })?;
            if collected.len() + chunk.len() > limit {
                return Err(too_large());
            }
            hasher.update(&chunk);
            collected.extend_from_slice(&chunk);
        }
        Ok((collected.into(), hasher.finish()))
    }
}
