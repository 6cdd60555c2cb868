//! The nouns of the protocol, valid by construction.
//!
//! | the spec's word | type |
//! |---|---|
//! | repository, `<name>` | [`RepositoryName`] |
//! | `<digest>`, algorithm | [`Digest`], [`Algorithm`], [`Hasher`] |
//! | tag, `<tag-or-digest>` | [`Tag`], [`Reference`] |
//! | media type, artifact type | [`MediaType`] |
//! | descriptor, annotations | [`Descriptor`], [`Annotations`] |
//! | image manifest, image index | [`Manifest`], [`ImageManifest`], [`Index`] |
//! | upload session's id | [`UploadId`] |
//!
//! Each text type has a private field, parses with `FromStr` and prints what
//! it parsed, so a value in hand never needs another check.
//!
//! ```
//! use registry_spec::types::{Digest, Reference, RepositoryName};
//!
//! let name: RepositoryName = "library/alpine".parse()?;
//! let reference: Reference = "3.22".parse()?;
//! assert_eq!(format!("{name}:{reference}"), "library/alpine:3.22");
//! assert!("sha256:tooshort".parse::<Digest>().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod annotations;
mod descriptor;
mod digest;
mod hasher;
mod index;
mod manifest;
mod media_type;
mod name;
mod object;
mod pattern;
mod reference;
mod tag;
mod tag_pattern;
mod upload_id;

pub use annotations::Annotations;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError};
pub use hasher::Hasher;
pub use index::Index;
pub use manifest::{ImageManifest, Manifest, ManifestError, References, Requirement};
pub use media_type::{MediaType, MediaTypeError};
pub use name::{NameError, RepositoryName};
pub use pattern::{PatternError, RepositoryPattern};
pub use reference::{Reference, ReferenceError};
pub use tag::{Tag, TagError};
pub use tag_pattern::{TagPattern, TagPatternError};
pub use upload_id::{UploadId, UploadIdError};

/// Serde for a text type, through its `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use serde_as_text;
