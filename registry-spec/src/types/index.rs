//! Image indexes ([image-index.md](https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md)).

use serde::Serialize;

use super::{Annotations, Descriptor, MediaType};

/// A list of manifests: an OCI image index or a Docker manifest list.
///
/// Serializes to the document's JSON; the answer of the referrers API is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Index {
    schema_version: u8,
    /// [`MediaType::OCI_INDEX`] or [`MediaType::DOCKER_MANIFEST_LIST`].
    pub media_type: MediaType,
    /// What kind of artifact the index describes, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The children: manifests, or blobs (build caches are written so).
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index says something about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

impl Index {
    /// An index with nothing but its children.
    #[must_use]
    pub fn new(media_type: MediaType, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type,
            artifact_type: None,
            manifests,
            subject: None,
            annotations: Annotations::default(),
        }
    }
}
