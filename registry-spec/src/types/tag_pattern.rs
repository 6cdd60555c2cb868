//! Which tags a rule is about.

use std::fmt;
use std::str::FromStr;

use super::Tag;
use super::pattern::wildcard;

/// Tags by their names, with `*`, which stands for any characters, or none.
/// Nothing else has a meaning of its own.
///
/// | pattern | matches | does not match |
/// |---|---|---|
/// | `latest` | `latest` | `latest-arm64` |
/// | `v*` | `v`, `v1.2` | `dev` |
/// | `*-rc*` | `1.0-rc1` | `1.0` |
/// | `*` | every tag | |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagPattern(String);

impl TagPattern {
    /// Whether a tag is matched.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        wildcard(
            self.0.as_bytes(),
            tag.as_str().as_bytes(),
            |byte| *byte == b'*',
            |expected, byte| expected == byte,
        )
    }
}

impl FromStr for TagPattern {
    type Err = TagPatternError;

    fn from_str(text: &str) -> Result<Self, TagPatternError> {
        // What stands beside a `*` may be the end of a tag, such as `-arm64`.
        let possible = if text.contains('*') {
            text.len() <= Tag::MAX_LEN
                && text
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || b"_.-*".contains(&c))
        } else {
            text.parse::<Tag>().is_ok()
        };
        if possible {
            Ok(Self(text.to_owned()))
        } else {
            Err(TagPatternError)
        }
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not a [`TagPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no tag has such a name: tags are letters, digits, '_', '.' and '-', and '*' is all that has \
     a meaning of its own"
)]
#[non_exhaustive]
pub struct TagPatternError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_characters() {
        for (pattern, matched, others) in [
            ("latest", &["latest"][..], &["latest-arm64", "Latest"][..]),
            ("v*", &["v", "v1", "v1.2-rc"], &["dev", "V1"]),
            ("*-rc*", &["1.0-rc1", "1-rc"], &["1.0", "rc1"]),
            ("*", &["a", "_", "1.0"], &[]),
            ("v*.*", &["v1.2", "v1.2.3"], &["v1"]),
        ] {
            let parsed: TagPattern = pattern.parse().expect(pattern);
            assert_eq!(parsed.to_string(), pattern);
            for (tags, expected) in [(matched, true), (others, false)] {
                for tag in tags {
                    let tag = tag.parse().expect(tag);
                    assert_eq!(parsed.matches(&tag), expected, "{pattern} {tag}");
                }
            }
        }
    }

    #[test]
    fn what_can_match_nothing_is_refused() {
        let too_long = "x".repeat(Tag::MAX_LEN + 1);
        let too_long_with_star = format!("{too_long}*");
        for pattern in [
            "",
            "-a",
            "v?",
            "v[0-9]",
            "^v.*$",
            "a/b",
            "app:v1",
            "v1 ",
            "!latest",
            too_long.as_str(),
            too_long_with_star.as_str(),
        ] {
            assert_eq!(
                pattern.parse::<TagPattern>(),
                Err(TagPatternError),
                "{pattern}"
            );
        }
    }
}
