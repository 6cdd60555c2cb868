//! Descriptors ([descriptor.md](https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md)).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Digest, MediaType};

/// Points at some content: what it is, how large it is, and its digest.
///
/// Holds the fields that a registry reads or writes; others are skipped when
/// parsing, and stay in the pushed bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// The content's type.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
    /// What kind of artifact a manifest describes, if it says so.
    #[serde(
        default,
        deserialize_with = "empty_is_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub artifact_type: Option<MediaType>,
    /// Where else the content can be had. A layer with such places need not
    /// be in the registry.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
    /// Free-form notes.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor with neither artifact type, URLs nor annotations. `size`
    /// is in bytes.
    #[must_use]
    pub const fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            artifact_type: None,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }
}

/// Go programs write an empty slice or map as `null`.
pub(super) fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The specs treat an empty `mediaType` or `artifactType` as a missing one.
pub(super) fn empty_is_none<'de, D>(from: D) -> Result<Option<MediaType>, D::Error>
where
    D: Deserializer<'de>,
{
    Option::<String>::deserialize(from)?
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}
