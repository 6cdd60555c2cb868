//! Single fields of stored manifests. What is not asked for is skipped, so that
//! reading any number of manifests takes the room of one.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::super::descriptor::empty_is_none;
use super::super::object::Object;
use super::super::{Annotations, Descriptor, Digest, MediaType};
use super::Manifest;

impl Manifest {
    /// The media type of a manifest whose type was not stored beside it, as in
    /// CNCF Distribution's layout: its `mediaType`, else what its fields show.
    /// `None` for Docker schema 1 and for what is not a manifest at all.
    #[must_use]
    pub fn media_type_of(bytes: &[u8]) -> Option<MediaType> {
        let outline: TypeOutline = read(bytes)?;
        if outline.schema_version == Some(1) {
            return None;
        }
        Some(match outline.media_type {
            Some(media_type) if media_type.is_docker_schema1() => return None,
            Some(media_type) => media_type,
            None if outline.manifests.is_some() => MediaType::OCI_INDEX,
            None => MediaType::OCI_MANIFEST,
        })
    }

    /// The digest of a stored manifest's `subject`, if it has one.
    #[must_use]
    pub fn subject_of(bytes: &[u8]) -> Option<Digest> {
        let outline: SubjectOutline = read(bytes)?;
        Some(outline.subject?.digest)
    }

    /// The descriptor under which a stored manifest is listed among the
    /// referrers of `subject` ([end-12](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers)):
    /// with its annotations, and the artifact type that it or its config states.
    /// `None` when it does not refer to that subject.
    #[must_use]
    pub fn referrer_of(
        subject: &Digest,
        media_type: MediaType,
        digest: Digest,
        bytes: &[u8],
    ) -> Option<Descriptor> {
        let outline: ReferrerOutline = read(bytes)?;
        if outline.subject?.digest != *subject {
            return None;
        }
        let of_config = outline.config.and_then(|config| config.media_type);
        let mut referrer = Descriptor::new(media_type, digest, bytes.len() as u64);
        referrer.artifact_type = outline.artifact_type.or(of_config);
        referrer.annotations = outline.annotations;
        Some(referrer)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let Object(outline) = serde_json::from_slice(bytes).ok()?;
    Some(outline)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeOutline {
    schema_version: Option<u64>,
    #[serde(default, deserialize_with = "empty_is_none")]
    media_type: Option<MediaType>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<IgnoredAny>,
}

/// `null` counts as present: Go writes an empty list so.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(from).map(Some)
}

#[derive(Deserialize)]
struct SubjectOutline {
    subject: Option<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerOutline {
    #[serde(default, deserialize_with = "empty_is_none")]
    artifact_type: Option<MediaType>,
    config: Option<Config>,
    subject: Option<Subject>,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default, deserialize_with = "empty_is_none")]
    media_type: Option<MediaType>,
}
