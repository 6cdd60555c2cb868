//! Repository names ([spec, "Pulling manifests"](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests)).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::serde_as_text;

/// The `<name>` of a repository: components of lower-case letters, digits and
/// single separators, joined by slashes.
///
/// Names sort with `/` before every other character, so that a repository is
/// followed by those nested under it; it is the order of `_catalog` in CNCF
/// Distribution, and the one in which a directory tree is walked.
/// Where only bytes can be compared, as in a database, the names with a space
/// for each slash sort the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// Longest name in bytes. The spec asks clients to keep host and name
    /// within 255; Distribution refuses longer names.
    pub const MAX_LEN: usize = 255;

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between slashes, first to last.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::MAX_LEN {
            return Err(NameError::TooLong);
        }
        if !text.split('/').all(is_component) {
            return Err(NameError::Grammar);
        }
        Ok(Self(text.into()))
    }
}

impl Ord for RepositoryName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for RepositoryName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

serde_as_text!(RepositoryName);

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = component.as_bytes();
    loop {
        let words = rest.iter().take_while(|c| word(**c)).count();
        if words == 0 {
            return false;
        }
        rest = &rest[words..];
        rest = match rest {
            [] => return true,
            [b'_', b'_', rest @ ..] | [b'_' | b'.', rest @ ..] => rest,
            dashes => {
                let count = dashes.iter().take_while(|c| **c == b'-').count();
                if count == 0 {
                    return false;
                }
                &dashes[count..]
            }
        };
    }
}

/// Why a text is not a repository name (code-8 `NAME_INVALID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Longer than [`RepositoryName::MAX_LEN`] bytes.
    #[error("a repository name has at most {} characters", RepositoryName::MAX_LEN)]
    TooLong,
    /// A component breaks the grammar.
    #[error(
        "a repository name is lower-case letters and digits, separated by '.', '_', '__', dashes or '/'"
    )]
    Grammar,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_bytes_with_spaces_for_slashes() {
        let mut names = [
            "b", "a-b", "a/b/c", "a.b", "a/b", "a", "a/b-c", "0", "a__b", "a0",
        ]
        .map(|text| text.parse::<RepositoryName>().expect(text));
        names.sort();
        assert!(names.is_sorted_by_key(|name| name.as_str().replace('/', " ")));
    }

    #[test]
    fn names_of_the_grammar_parse_and_print() {
        for text in [
            "a",
            "0",
            "library/alpine",
            "a.b_c__d-e--f",
            "a/b/c/d",
            "x---y",
        ] {
            assert_eq!(text.parse::<RepositoryName>().expect(text).as_str(), text);
        }
        let longest = "a".repeat(RepositoryName::MAX_LEN);
        assert!(longest.parse::<RepositoryName>().is_ok());
        assert_eq!(
            format!("{longest}a").parse::<RepositoryName>(),
            Err(NameError::TooLong)
        );
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for text in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a.-b", "a___b", "-a", "a-", ".", "..",
            "a/../b", "_a", "a_", "a b", "é", "a%2fb", "a\0", "a:b", "a@b",
        ] {
            assert_eq!(
                text.parse::<RepositoryName>(),
                Err(NameError::Grammar),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_repository_sorts_before_those_nested_under_it() {
        let mut names: Vec<RepositoryName> = ["a-b", "a", "b", "a/b", "a.b", "a/b/c", "a/b-c"]
            .map(|text| text.parse().expect(text))
            .to_vec();
        names.sort();
        let texts: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
        assert_eq!(texts, ["a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b", "b"]);
    }
}
