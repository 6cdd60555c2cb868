//! Tags ([spec, "Pulling manifests"](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests)).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Algorithm, Digest, serde_as_text};

/// A movable name for a manifest within its repository:
/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. Tags sort by bytes, as `tags/list` does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Longest tag in bytes.
    pub const MAX_LEN: usize = 128;

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag under which clients without the referrers API keep an index of
    /// what refers to `subject` ([referrers tag schema](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema)).
    #[must_use]
    pub fn referrers_fallback(subject: &Digest) -> Self {
        // The schema cuts the encoded part at 64 characters, which a sha512 exceeds.
        const ENCODED_LEN: usize = 64;
        let mut hex = subject.hex();
        hex.truncate(ENCODED_LEN);
        let algorithm: Algorithm = subject.algorithm();
        Self(format!("{algorithm}-{hex}").into())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        match text.as_bytes() {
            [first, rest @ ..]
                if word(*first)
                    && rest.len() < Self::MAX_LEN
                    && rest.iter().all(|&c| word(c) || c == b'.' || c == b'-') =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(TagError),
        }
    }
}

serde_as_text!(Tag);

/// A text is not a tag. The spec has no code of its own for it; the answer is
/// 400 with code-6 `MANIFEST_INVALID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tag is up to 128 letters, digits, '_', '.' and '-', and starts with none of the last two"
)]
#[non_exhaustive]
pub struct TagError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_the_grammar_parse_and_print() {
        let longest = "x".repeat(Tag::MAX_LEN);
        for text in ["latest", "_", "1.2.3_meta", "A-b.C", longest.as_str()] {
            assert_eq!(text.parse::<Tag>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn texts_outside_the_grammar_are_refused() {
        let too_long = "x".repeat(Tag::MAX_LEN + 1);
        for text in [
            "",
            ".a",
            "-a",
            "a b",
            "a/b",
            "a:b",
            "a+b",
            "é",
            "a\n",
            too_long.as_str(),
        ] {
            assert_eq!(text.parse::<Tag>(), Err(TagError), "{text:?}");
        }
    }

    #[test]
    fn the_fallback_tag_of_a_sha512_is_cut() {
        let short = Digest::of(Algorithm::Sha256, b"");
        let long = Digest::of(Algorithm::Sha512, b"");
        assert_eq!(
            Tag::referrers_fallback(&short).as_str(),
            format!("sha256-{}", short.hex())
        );
        let tag = Tag::referrers_fallback(&long);
        assert_eq!(tag.as_str(), format!("sha512-{}", &long.hex()[..64]));
        assert_eq!(tag.as_str().parse(), Ok(tag.clone()));
    }
}
