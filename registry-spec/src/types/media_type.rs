//! Media types and artifact types (RFC 6838).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::serde_as_text;

/// The type of some content: `type/subtype`.
///
/// Compared as text, since image-spec's types are always written in lower
/// case and clients compare them exactly. The types of layers and artifacts in
/// the field are not always of RFC 6838's form, so any text that is safe in a
/// header is taken; what a manifest itself may be is a short list of constants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    /// OCI image manifest.
    pub const OCI_MANIFEST: Self = Self::known("application/vnd.oci.image.manifest.v1+json");
    /// OCI image index.
    pub const OCI_INDEX: Self = Self::known("application/vnd.oci.image.index.v1+json");
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: Self =
        Self::known("application/vnd.docker.distribution.manifest.v2+json");
    /// Docker manifest list.
    pub const DOCKER_MANIFEST_LIST: Self =
        Self::known("application/vnd.docker.distribution.manifest.list.v2+json");
    /// Blobs, and whatever has no better type.
    pub const OCTET_STREAM: Self = Self::known("application/octet-stream");

    /// Longest media type in bytes: RFC 6838 allows 127 on each side of the slash.
    pub const MAX_LEN: usize = 255;

    /// Those of which a registry has many; each costs no allocation.
    const KNOWN: [Self; 5] = [
        Self::OCI_MANIFEST,
        Self::OCI_INDEX,
        Self::DOCKER_MANIFEST,
        Self::DOCKER_MANIFEST_LIST,
        Self::OCTET_STREAM,
    ];

    const fn known(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a registry need not hold a layer of this type: such layers
    /// come from elsewhere and clients do not push them.
    #[must_use]
    pub fn is_nondistributable(&self) -> bool {
        self.0
            .starts_with("application/vnd.oci.image.layer.nondistributable.")
            || self.0 == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    }

    /// Whether this is a manifest of Docker's schema 1, signed or not.
    #[must_use]
    pub fn is_docker_schema1(&self) -> bool {
        matches!(
            self.as_str(),
            "application/vnd.docker.distribution.manifest.v1+json"
                | "application/vnd.docker.distribution.manifest.v1+prettyjws"
        )
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        if let Some(known) = Self::KNOWN.into_iter().find(|known| known.0 == text) {
            return Ok(known);
        }
        let allowed = |c: u8| c == b' ' || c.is_ascii_graphic();
        if (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(MediaTypeError)
        }
    }
}

serde_as_text!(MediaType);

/// A text cannot be a media type (400 with code-6 `MANIFEST_INVALID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a media type has 1 to 255 printable ASCII characters")]
#[non_exhaustive]
pub struct MediaTypeError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_parse_and_print() {
        for text in [
            "application/vnd.oci.image.manifest.v1+json",
            "text/plain",
            "application/vnd.dev.sigstore.bundle.v0.3+json",
            "text/plain; charset=utf-8",
        ] {
            assert_eq!(text.parse::<MediaType>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn texts_outside_the_grammar_are_refused() {
        let long = "b".repeat(MediaType::MAX_LEN + 1);
        for text in ["", "a/b\r\n", "a\u{7f}", "é", long.as_str()] {
            assert_eq!(text.parse::<MediaType>(), Err(MediaTypeError), "{text:?}");
        }
    }
}
