//! Descriptors ([descriptor.md](https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md)).

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::object::Object;
use super::{Annotations, Digest, MediaType};

/// Points at some content: what it is, how large it is, and its digest.
///
/// Holds the fields that a registry reads or writes. Others are skipped when
/// parsing, and stay in the pushed bytes: a manifest may have ten thousands of
/// descriptors, and each must take little room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Object<Read>")]
#[non_exhaustive]
pub struct Descriptor {
    /// The content's type.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
    /// Whether the content can be had elsewhere, by `urls`. Such a layer need
    /// not be in the registry. Read, never written.
    #[serde(skip)]
    pub has_urls: bool,
    /// What kind of artifact the content is. Written, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// Free-form notes. Written, never read.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

impl Descriptor {
    /// A descriptor of nothing but the three required fields. `size` is in bytes.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            has_urls: false,
            artifact_type: None,
            annotations: Annotations::default(),
        }
    }
}

/// What is read of a descriptor.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    #[serde(deserialize_with = "empty_is_untyped")]
    media_type: MediaType,
    digest: Digest,
    size: u64,
    #[serde(rename = "urls", default, deserialize_with = "has_items")]
    has_urls: bool,
}

impl From<Object<Read>> for Descriptor {
    fn from(Object(read): Object<Read>) -> Self {
        Self {
            has_urls: read.has_urls,
            ..Self::new(read.media_type, read.digest, read.size)
        }
    }
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

fn empty_is_untyped<'de, D: Deserializer<'de>>(from: D) -> Result<MediaType, D::Error> {
    Ok(empty_is_none(from)?.unwrap_or(MediaType::OCTET_STREAM))
}

/// Whether a list that may be `null` has anything in it.
fn has_items<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    struct Items;

    impl<'de> Visitor<'de> for Items {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
            let mut any = false;
            while seq.next_element::<IgnoredAny>()?.is_some() {
                any = true;
            }
            Ok(any)
        }
    }

    from.deserialize_any(Items)
}
