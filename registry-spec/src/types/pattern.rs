//! Which repositories a rule is about.

use std::fmt;
use std::str::FromStr;

use super::RepositoryName;

/// Repositories by their names, with `*` and `**`.
///
/// | pattern | matches | does not match |
/// |---|---|---|
/// | `team/app` | `team/app` | `team/app/web` |
/// | `team/*` | `team/app` | `team`, `team/app/web` |
/// | `team/app-*` | `team/app-web` | `team/app`, `team/app-web/x` |
/// | `team/**` | `team/app`, `team/app/web` | `team`, `teams/app` |
/// | `**/app` | `app`, `team/app`, `a/b/app` | `team/app/web` |
/// | `team/**/app` | `team/app`, `team/a/b/app` | `app` |
/// | `*` | `app` | `team/app` |
/// | `**` | every repository | |
///
/// `*` stands for any characters, or none, but never for a slash. `**` is
/// always a whole component, and stands for any components; at the start and
/// in the middle also for none, at the end for at least one: what is below
/// `team` is not `team` itself. This is how `.gitignore` reads them. Nothing
/// else has a meaning of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// `**`: any components, or none.
    Any,
    /// One component; its `*` are any characters.
    One(String),
}

impl RepositoryPattern {
    /// `**`: every repository.
    #[must_use]
    pub fn every() -> Self {
        Self {
            text: "**".to_owned(),
            parts: vec![Part::Any, Part::One("*".to_owned())],
        }
    }

    /// Whether every repository there can be is matched.
    #[must_use]
    pub fn is_every(&self) -> bool {
        self.parts == Self::every().parts
    }

    /// Whether a repository is matched.
    #[must_use]
    pub fn matches(&self, name: &RepositoryName) -> bool {
        let components: Vec<&str> = name.components().collect();
        wildcard(
            &self.parts,
            &components,
            |part| *part == Part::Any,
            |part, component| match part {
                Part::Any => false,
                Part::One(pattern) => wildcard(
                    pattern.as_bytes(),
                    component.as_bytes(),
                    |byte| *byte == b'*',
                    |expected, byte| expected == byte,
                ),
            },
        )
    }
}

/// Whether `items` fit `pattern`, in which what `is_wild` stands for any
/// number of items. Goes back to the last wild one alone, so that no pattern
/// takes more than the product of both lengths.
pub(super) fn wildcard<P, T>(
    pattern: &[P],
    items: &[T],
    is_wild: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut next) = (0, 0);
    // After the last wild one, and the first item that it has not taken yet.
    let mut back = None;
    while let Some(item) = items.get(next) {
        match pattern.get(at) {
            Some(part) if is_wild(part) => {
                at += 1;
                back = Some((at, next));
            }
            Some(part) if fits(part, item) => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((after, taken)) = back else {
                    return false;
                };
                (at, next) = (after, taken + 1);
                back = Some((after, next));
            }
        }
    }
    pattern.iter().skip(at).all(is_wild)
}

impl FromStr for RepositoryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > RepositoryName::MAX_LEN {
            return Err(PatternError::TooLong);
        }
        let mut parts = text.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        if parts.last() == Some(&Part::Any) {
            parts.push(Part::One("*".to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

fn part(text: &str) -> Result<Part, PatternError> {
    if text == "**" {
        return Ok(Part::Any);
    }
    if text.is_empty() {
        return Err(PatternError::EmptyComponent);
    }
    if text.contains("**") {
        return Err(PatternError::PartOfComponent);
    }
    // What stands beside a `*` may be half a component, such as `app-`.
    let possible = if text.contains('*') {
        text.bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-*".contains(&c))
    } else {
        text.parse::<RepositoryName>().is_ok()
    };
    if possible {
        Ok(Part::One(text.to_owned()))
    } else {
        Err(PatternError::NoName)
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a [`RepositoryPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Longer than any name.
    #[error("a repository name has at most {} characters", RepositoryName::MAX_LEN)]
    TooLong,
    /// A slash at the start or the end, or two in a row.
    #[error("a part between slashes is empty")]
    EmptyComponent,
    /// `**` beside something else: `a**`.
    #[error("'**' must stand alone between slashes, as in team/**")]
    PartOfComponent,
    /// No repository has such a name.
    #[error(
        "no repository has such a name: names are lower-case letters and digits, separated by \
         '.', '_', '__', dashes or '/', and '*' and '**' are all that has a meaning of its own"
    )]
    NoName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_crossed_by_two_stars_alone() {
        for (pattern, matched, others) in [
            ("app", &["app"][..], &["apps", "a", "team/app", "app/x"][..]),
            (
                "team/app",
                &["team/app"],
                &["team/app/web", "team", "x/team/app"],
            ),
            ("*", &["app", "a-b.c"], &["team/app"]),
            (
                "team/*",
                &["team/app"],
                &["team", "team/app/web", "teams/app"],
            ),
            ("*/app", &["team/app"], &["app", "a/b/app"]),
            (
                "team/app-*",
                &["team/app-web"],
                &["team/app", "team/app-web/x"],
            ),
            ("a*", &["a", "ab"], &["ba", "a/b"]),
            ("*b*", &["b", "abc", "bb"], &["ac", "a/b"]),
            ("a*b*c", &["abc", "axbxbxc"], &["ab", "acb", "abcd"]),
            (
                "team/**",
                &["team/a", "team/a/b"],
                &["team", "teams/a", "x/team/a"],
            ),
            (
                "**/app",
                &["app", "a/app", "a/b/app", "app/app"],
                &["apps", "app/x"],
            ),
            (
                "a/**/z",
                &["a/z", "a/b/z", "a/b/c/z", "a/z/z"],
                &["a", "z", "a/b", "x/a/z"],
            ),
            (
                "**/a/**",
                &["a/b", "x/a/b", "a/a", "x/a/a/b"],
                &["a", "x/a", "b/c"],
            ),
            ("**/**", &["a", "a/b"], &[]),
            ("*/**", &["a/b", "a/b/c"], &["a"]),
            ("**/*/x*", &["a/x", "a/b/xy"], &["x", "a/b/y"]),
            ("**", &["a", "a/b", "a/b/c"], &[]),
        ] {
            let parsed: RepositoryPattern = pattern.parse().expect(pattern);
            assert_eq!(parsed.to_string(), pattern);
            for (names, expected) in [(matched, true), (others, false)] {
                for name in names {
                    let repository = name.parse().expect(name);
                    assert_eq!(parsed.matches(&repository), expected, "{pattern} {name}");
                }
            }
        }
    }

    #[test]
    fn what_can_match_nothing_is_refused() {
        for (pattern, expected) in [
            ("", PatternError::EmptyComponent),
            ("/team", PatternError::EmptyComponent),
            ("team/", PatternError::EmptyComponent),
            ("team//app", PatternError::EmptyComponent),
            ("team**", PatternError::PartOfComponent),
            ("***", PatternError::PartOfComponent),
            ("team/**app/x", PatternError::PartOfComponent),
            ("Team/*", PatternError::NoName),
            ("team/ap?", PatternError::NoName),
            ("team/[ab]", PatternError::NoName),
            ("{a,b}", PatternError::NoName),
            ("!team", PatternError::NoName),
            ("-team", PatternError::NoName),
            ("../x", PatternError::NoName),
            ("team/* ", PatternError::NoName),
            ("registry.example:5000/*", PatternError::NoName),
            ("^team.*$", PatternError::NoName),
            (&"a/".repeat(200), PatternError::TooLong),
        ] {
            let parsed = pattern.parse::<RepositoryPattern>();
            assert_eq!(parsed, Err(expected), "{pattern}");
        }
    }

    #[test]
    fn only_two_stars_alone_are_every_repository() {
        for (pattern, every) in [("**", true), ("*", false), ("*/**", false), ("**/a", false)] {
            let parsed: RepositoryPattern = pattern.parse().expect(pattern);
            assert_eq!(parsed.is_every(), every, "{pattern}");
        }
        assert_eq!("**".parse(), Ok(RepositoryPattern::every()));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern: RepositoryPattern = "**/a*a/"
            .repeat(36)
            .trim_end_matches('/')
            .parse()
            .expect("valid");
        let name: RepositoryName = format!("{}b", "a/".repeat(127)).parse().expect("valid");
        let start = std::time::Instant::now();
        for _ in 0..1000 {
            assert!(!pattern.matches(&name));
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}
