//! Manifests: what a registry must understand of them, and no more.
//!
//! The bytes that a client pushed are the manifest; they are stored and
//! served untouched. [`Manifest`] is a reading of them.
//!
//! | pushed as | becomes |
//! |---|---|
//! | OCI image manifest, Docker schema 2 manifest | [`Manifest::Image`] |
//! | OCI image index, Docker manifest list | [`Manifest::Index`] |
//! | Docker schema 1, anything else | refused |
//!
//! `outline.rs` reads single fields of stored manifests, without holding the rest.

mod outline;

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};

use super::descriptor::empty_is_none;
use super::object::Object;
use super::{Annotations, Descriptor, Digest, Index, MediaType};
use crate::BoxError;

pub use outline::References;

/// A manifest as a registry sees it.
///
/// ```
/// use registry_spec::types::{Manifest, MediaType};
///
/// let pushed = br#"{
///     "schemaVersion": 2,
///     "mediaType": "application/vnd.oci.image.index.v1+json",
///     "manifests": []
/// }"#;
/// let manifest = Manifest::parse(Some(&MediaType::OCI_INDEX), pushed)?;
/// assert!(matches!(manifest, Manifest::Index(_)));
/// assert!(Manifest::parse(Some(&MediaType::OCI_MANIFEST), pushed).is_err());
/// # Ok::<(), registry_spec::types::ManifestError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manifest {
    /// One image or artifact: a config and layers.
    Image(ImageManifest),
    /// A list of manifests.
    Index(Index),
}

/// An OCI image manifest or a Docker schema 2 manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageManifest {
    /// [`MediaType::OCI_MANIFEST`] or [`MediaType::DOCKER_MANIFEST`].
    pub media_type: MediaType,
    /// What kind of artifact this is, if it says so.
    pub artifact_type: Option<MediaType>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers, first to last.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about (a signature's image).
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    pub annotations: Annotations,
}

/// What must be in the repository before a manifest that needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Requirement {
    /// A blob: config or layer.
    Blob(Digest),
    /// A child of an index: a manifest or, in build caches, a blob.
    Child(Digest),
}

impl Requirement {
    /// The digest of the content needed.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        match self {
            Self::Blob(digest) | Self::Child(digest) => digest,
        }
    }
}

impl Manifest {
    /// Reads a pushed manifest (end-7). `content_type` is the request's, if it
    /// had one.
    ///
    /// # Errors
    /// * [`ManifestError::Malformed`]: not JSON, or a field of the wrong form.
    /// * [`ManifestError::DockerSchema1`], [`ManifestError::UnsupportedMediaType`].
    /// * [`ManifestError::SchemaVersion`]: `schemaVersion` is not 2.
    /// * [`ManifestError::MediaTypeMismatch`]: `Content-Type`, `mediaType` and
    ///   the fields do not all say the same.
    /// * [`ManifestError::MediaTypeMissing`]: a Docker manifest without `mediaType`.
    /// * [`ManifestError::Ambiguous`]: both an image manifest and an index.
    /// * [`ManifestError::MissingField`]: `config` or `manifests` is not there.
    pub fn parse(content_type: Option<&MediaType>, bytes: &[u8]) -> Result<Self, ManifestError> {
        if content_type.is_some_and(MediaType::is_docker_schema1) {
            return Err(ManifestError::DockerSchema1);
        }
        let malformed = |source: BoxError| ManifestError::Malformed { source };
        // Fields that are skipped would not be checked for it otherwise.
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.into()))?;
        let Object(document): Object<Document> =
            serde_json::from_str(text).map_err(|error| malformed(error.into()))?;
        document.check_version()?;
        let media_type = document.agreed_media_type(content_type)?;
        if document.has_manifests() && (document.config.is_some() || document.layers.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        match &media_type {
            t if *t == MediaType::OCI_INDEX || *t == MediaType::DOCKER_MANIFEST_LIST => {
                document.into_index(media_type).map(Self::Index)
            }
            t if *t == MediaType::OCI_MANIFEST || *t == MediaType::DOCKER_MANIFEST => {
                document.into_image(media_type).map(Self::Image)
            }
            t if t.is_docker_schema1() => Err(ManifestError::DockerSchema1),
            _ => Err(ManifestError::UnsupportedMediaType { media_type }),
        }
    }

    /// The manifest's own media type.
    #[must_use]
    pub const fn media_type(&self) -> &MediaType {
        match self {
            Self::Image(image) => &image.media_type,
            Self::Index(index) => &index.media_type,
        }
    }

    /// The manifest that this one refers to, if any.
    #[must_use]
    pub const fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// What must be present before this manifest is accepted, each once.
    /// Neither the subject nor layers that live elsewhere are among it.
    #[must_use]
    pub fn requirements(&self) -> BTreeSet<Requirement> {
        match self {
            Self::Image(image) => image
                .layers
                .iter()
                .filter(|layer| !layer.has_urls && !layer.media_type.is_nondistributable())
                .chain([&image.config])
                .map(|blob| Requirement::Blob(blob.digest))
                .collect(),
            Self::Index(index) => index
                .manifests
                .iter()
                .filter(|child| !child.has_urls)
                .map(|child| Requirement::Child(child.digest))
                .collect(),
        }
    }
}

/// Every field of either kind; which may be there is decided afterwards, so
/// that a document of both kinds can be told apart from a wrong one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    #[serde(default, deserialize_with = "empty_is_none")]
    media_type: Option<MediaType>,
    #[serde(default, deserialize_with = "empty_is_none")]
    artifact_type: Option<MediaType>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "present_or_null")]
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Annotations,
}

/// A key that is there with `null` is an empty list, not an absent key.
fn present_or_null<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<Descriptor>>, D::Error> {
    let manifests = Option::deserialize(from)?;
    Ok(Some(manifests.unwrap_or_default()))
}

impl Document {
    const fn has_manifests(&self) -> bool {
        self.manifests.is_some()
    }

    const fn check_version(&self) -> Result<(), ManifestError> {
        match self.schema_version {
            Some(2) => Ok(()),
            Some(1) => Err(ManifestError::DockerSchema1),
            _ => Err(ManifestError::SchemaVersion),
        }
    }

    fn agreed_media_type(
        &self,
        content_type: Option<&MediaType>,
    ) -> Result<MediaType, ManifestError> {
        let shown = if self.has_manifests() {
            MediaType::OCI_INDEX
        } else {
            MediaType::OCI_MANIFEST
        };
        match (content_type, &self.media_type) {
            (Some(header), Some(field)) if header != field => {
                Err(ManifestError::MediaTypeMismatch {
                    header: header.clone(),
                    document: field.clone(),
                })
            }
            (_, Some(field)) => Ok(field.clone()),
            (None, None) => Ok(shown),
            (Some(header), None) if *header == shown => Ok(shown),
            // Without the field, a later reader of the bytes alone could not
            // tell that this is not an OCI document.
            (Some(header), None)
                if *header == MediaType::DOCKER_MANIFEST
                    || *header == MediaType::DOCKER_MANIFEST_LIST =>
            {
                Err(ManifestError::MediaTypeMissing)
            }
            (Some(header), None) if *header == MediaType::OCI_INDEX => {
                Err(ManifestError::MissingField { field: "manifests" })
            }
            (Some(header), None) if *header == MediaType::OCI_MANIFEST => {
                Err(ManifestError::MediaTypeMismatch {
                    header: header.clone(),
                    document: shown,
                })
            }
            (Some(header), None) => Err(ManifestError::UnsupportedMediaType {
                media_type: header.clone(),
            }),
        }
    }

    fn into_index(self, media_type: MediaType) -> Result<Index, ManifestError> {
        if self.config.is_some() || self.layers.is_some() {
            return Err(ManifestError::MediaTypeMismatch {
                header: media_type,
                document: MediaType::OCI_MANIFEST,
            });
        }
        let manifests = self
            .manifests
            .ok_or(ManifestError::MissingField { field: "manifests" })?;
        let mut index = Index::new(media_type, manifests);
        index.artifact_type = self.artifact_type;
        index.subject = self.subject;
        index.annotations = self.annotations;
        Ok(index)
    }

    fn into_image(self, media_type: MediaType) -> Result<ImageManifest, ManifestError> {
        if self.has_manifests() {
            return Err(ManifestError::MediaTypeMismatch {
                header: media_type,
                document: MediaType::OCI_INDEX,
            });
        }
        Ok(ImageManifest {
            media_type,
            artifact_type: self.artifact_type,
            config: self
                .config
                .ok_or(ManifestError::MissingField { field: "config" })?,
            layers: self.layers.unwrap_or_default(),
            subject: self.subject,
            annotations: self.annotations,
        })
    }
}

/// Why pushed bytes are not a manifest (400 with code-6 `MANIFEST_INVALID`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON in UTF-8, or a field has the wrong form.
    #[error("malformed manifest")]
    Malformed {
        /// Where and why, by line and column.
        #[source]
        source: BoxError,
    },
    /// A manifest of Docker's first schema, which no current client writes.
    #[error(
        "docker schema 1 manifests are not supported, push the image again with Docker 1.10 or later"
    )]
    DockerSchema1,
    /// `schemaVersion` is absent or neither 1 nor 2.
    #[error("schemaVersion must be 2")]
    SchemaVersion,
    /// Not one of the four types of manifest.
    #[error("unsupported manifest type {media_type}")]
    UnsupportedMediaType {
        /// The type that was stated.
        media_type: MediaType,
    },
    /// The `Content-Type` and the document disagree.
    #[error("declared as {header}, but the document is {document}")]
    MediaTypeMismatch {
        /// What the manifest was said to be.
        header: MediaType,
        /// What the document shows.
        document: MediaType,
    },
    /// A Docker manifest must state its type.
    #[error("a docker manifest must have a mediaType field")]
    MediaTypeMissing,
    /// The document has the fields of both an image manifest and an index.
    #[error("has the fields of both an image manifest and an index")]
    Ambiguous,
    /// A required field is absent.
    #[error("the field {field} is missing")]
    MissingField {
        /// Its name in the JSON.
        field: &'static str,
    },
}

#[cfg(test)]
mod tests;
