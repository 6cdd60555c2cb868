//! One struct per query string. Parameters that are not of the protocol (`ns`,
//! `origin`, `account`, …) are ignored; of one that is repeated, the first counts.

use std::borrow::Cow;

use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::auth::{Access, Action};
use crate::error::{Error, ErrorCode};
use crate::types::{Algorithm, Digest, MediaType, RepositoryName, Tag};

/// Of `POST …/blobs/uploads/` (end-4, end-11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartUploadQuery {
    /// Mount this instead, if that can be done.
    pub mount: Option<Mount>,
    /// The body is the whole blob of this digest. Means nothing beside `mount`.
    pub digest: Option<Digest>,
    /// The algorithm of the digest that will come (`digest-algorithm`).
    pub algorithm: Algorithm,
}

/// The `mount` and `from` of a `POST` (end-11).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// The blob.
    pub digest: Digest,
    /// Where it is; `None` for anywhere.
    pub from: Option<RepositoryName>,
}

impl Mount {
    /// What it takes to be mounted: to pull from its source.
    #[must_use]
    pub fn source(&self) -> Access {
        match &self.from {
            Some(from) => Access::pull(from.clone()),
            None => Access::EveryRepository {
                actions: &[Action::Pull],
            },
        }
    }
}

impl StartUploadQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        let mount = match first(query, "mount") {
            None => None,
            Some(digest) => Some(Mount {
                digest: digest.parse()?,
                from: first(query, "from")
                    .filter(|from| !from.is_empty())
                    .map(|from| from.parse())
                    .transpose()?,
            }),
        };
        let digest = first(query, "digest").map(|digest| digest.parse());
        let algorithm = first(query, "digest-algorithm").map(|name| name.parse());
        Ok(Self {
            mount,
            digest: digest.transpose()?,
            algorithm: algorithm.transpose()?.unwrap_or_default(),
        })
    }
}

/// Of `PUT <upload location>` (end-6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FinishUploadQuery {
    /// The digest of the whole blob.
    pub digest: Digest,
}

impl FinishUploadQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        let digest = first(query, "digest").ok_or_else(|| {
            Error::new(
                ErrorCode::DigestInvalid,
                "the digest of the blob must be given as ?digest=",
            )
        })?;
        Ok(Self {
            digest: digest.parse()?,
        })
    }
}

/// Of `PUT` of a manifest (end-7b).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushManifestQuery {
    /// Tags to move along, each once, in the order given.
    pub tags: Vec<Tag>,
    /// The digest to store a manifest under that is pushed by tag. Not of the
    /// spec; regctl sends it for algorithms other than sha256.
    pub digest: Option<Digest>,
}

impl PushManifestQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        let mut tags = Vec::new();
        for (_, tag) in pairs(query).filter(|(key, _)| key == "tag") {
            let tag = tag.parse()?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
            // Also bounds the work of the lines above.
            if tags.len() > Self::MAX_TAGS {
                return Err(Error::new(
                    ErrorCode::Unsupported,
                    format!("at most {} tags in one request", Self::MAX_TAGS),
                )
                .with_status(StatusCode::URI_TOO_LONG));
            }
        }
        let digest = first(query, "digest").map(|digest| digest.parse());
        Ok(Self {
            tags,
            digest: digest.transpose()?,
        })
    }

    /// Most tags in one push; the spec asks for 10 at least.
    pub const MAX_TAGS: usize = 64;
}

/// Of `GET …/tags/list` (end-8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagsQuery {
    /// How many at most.
    pub n: Option<usize>,
    /// Only those after this one, which need not exist.
    pub last: Option<Tag>,
}

impl TagsQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        Ok(Self {
            n: count(query)?,
            last: last(query)?,
        })
    }
}

/// Of `GET /v2/_catalog`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogQuery {
    /// How many at most.
    pub n: Option<usize>,
    /// Only those after this one, which need not exist.
    pub last: Option<RepositoryName>,
}

impl CatalogQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        Ok(Self {
            n: count(query)?,
            last: last(query)?,
        })
    }
}

/// Of `GET …/referrers/<digest>` (end-12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReferrersQuery {
    /// Only those of this type (`artifactType`).
    pub artifact_type: Option<MediaType>,
    /// How many at most.
    pub n: Option<usize>,
    /// Only those after this one, which need not exist.
    pub last: Option<Digest>,
}

impl ReferrersQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        let artifact_type = match first(query, "artifactType") {
            Some(text) if !text.is_empty() => Some(text.parse().map_err(bad("artifactType"))?),
            _ => None,
        };
        Ok(Self {
            artifact_type,
            n: count(query)?,
            last: last(query)?,
        })
    }
}

/// Plain percent-decoding: a `+` stays one, since the values here hold media
/// types and never spaces.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let decode = |text| percent_decode_str(text).decode_utf8_lossy();
    query.split('&').map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

fn first<'a>(query: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    pairs(query).find_map(|(key, value)| (key == wanted).then_some(value))
}

/// A number that is too large for us is larger than any list: it is clamped
/// like every other, since updaters ask for as much as they can get.
fn count(query: &str) -> Result<Option<usize>, Error> {
    let Some(text) = first(query, "n").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if !text.bytes().all(|c| c.is_ascii_digit()) {
        return Err(bad("n")("expected a number of items"));
    }
    Ok(Some(text.parse().unwrap_or(usize::MAX)))
}

fn last<T>(query: &str) -> Result<Option<T>, Error>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    match first(query, "last") {
        Some(text) if !text.is_empty() => text.parse().map(Some).map_err(bad("last")),
        _ => Ok(None),
    }
}

/// The spec's table has no code for a bad query.
fn bad<E: std::fmt::Display>(parameter: &'static str) -> impl Fn(E) -> Error {
    move |reason| {
        Error::new(
            ErrorCode::Unsupported,
            format!("query parameter {parameter}: {reason}"),
        )
        .with_status(StatusCode::BAD_REQUEST)
    }
}
