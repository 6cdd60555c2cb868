//! Single fields of stored manifests. What is not asked for is skipped, so that
//! reading any number of manifests takes the room of one.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::super::descriptor::empty_is_none;
use super::super::object::Object;
use super::super::{Annotations, Descriptor, Digest, MediaType};
use super::Manifest;

/// What a stored manifest names by digest, whatever kind of manifest it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct References {
    /// The children of an index: manifests or, in build caches, blobs.
    pub children: Vec<Digest>,
    /// Config and layers, those that live elsewhere too.
    pub blobs: Vec<Digest>,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
}

impl Manifest {
    /// What a stored manifest names, in the order of the document: for a
    /// garbage collection, which must rather see too much than too little.
    /// Kinds that can no longer be pushed, such as Docker schema 1, are read
    /// too. `None` when the bytes are not a manifest, or name a digest that
    /// cannot be read.
    #[must_use]
    pub fn references_of(bytes: &[u8]) -> Option<References> {
        let outline: ReferencesOutline = read(bytes)?;
        let is_manifest = outline.config.is_some()
            || outline.layers.is_some()
            || outline.manifests.is_some()
            || outline.blobs.is_some()
            || outline.fs_layers.is_some();
        if !is_manifest {
            return None;
        }
        let digests = |list: Option<Listed>| list.flatten().unwrap_or_default();
        let fs_layers = outline.fs_layers.flatten().unwrap_or_default();
        let blobs = outline
            .config
            .into_iter()
            .chain(digests(outline.layers))
            .chain(digests(outline.blobs))
            .map(|named| named.digest)
            .chain(fs_layers.into_iter().map(|layer| layer.blob_sum));
        let children = digests(outline.manifests).into_iter();
        Some(References {
            blobs: blobs.collect(),
            children: children.map(|child| child.digest).collect(),
            subject: outline.subject.map(|subject| subject.digest),
        })
    }

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
fn present<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(from).map(Some)
}

/// A list that may be `null`.
type Listed = Option<Vec<Named>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferencesOutline {
    config: Option<Named>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<Listed>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Listed>,
    /// Of artifact manifests, which came before `subject` was in all kinds.
    #[serde(default, deserialize_with = "present")]
    blobs: Option<Listed>,
    /// Of Docker schema 1.
    #[serde(default, deserialize_with = "present")]
    fs_layers: Option<Option<Vec<FsLayer>>>,
    subject: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: Digest,
}

#[derive(Deserialize)]
struct SubjectOutline {
    subject: Option<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerOutline {
    #[serde(default, deserialize_with = "empty_is_none")]
    artifact_type: Option<MediaType>,
    config: Option<Config>,
    subject: Option<Named>,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default, deserialize_with = "empty_is_none")]
    media_type: Option<MediaType>,
}
