//! What a client asks the token endpoint for.

use std::fmt;

use registry_spec::auth::{Access, Action};
use registry_spec::types::RepositoryName;

use super::access::{AccessEntry, EVERY_REPOSITORY};

/// Most scopes that are looked at. containerd asks for what it asked of other
/// registries as well, so that more is no mistake: the rest is not granted.
const MOST_SCOPES: usize = 100;

/// Longest scope that is looked at: a name of 255 and all actions fit.
const LONGEST_SCOPE: usize = 512;

/// Most bytes of granted access in one token, which has to fit into a header.
const MOST_ACCESS: usize = 6 * 1024;

/// One scope, as clients ask for it
/// ([Distribution, "Token scope"](https://distribution.github.io/distribution/spec/auth/scope/)).
///
/// ```text
/// type[(class)]:name:action,action
/// ```
///
/// The name may hold colons: it ends at the last one.
///
/// ```
/// use registry_auth::token::Scope;
///
/// let scope = Scope::parse("repository:team/app:push,pull,push").expect("a scope");
/// assert_eq!(scope.to_string(), "repository:team/app:pull,push");
/// assert!(Scope::parse("repository:team/app").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    kind: String,
    class: Option<String>,
    name: String,
    /// Sorted, each once.
    actions: Vec<String>,
}

impl Scope {
    /// Reads one scope; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST_SCOPE || text.contains(|c: char| c.is_whitespace()) {
            return None;
        }
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let (kind, class) = match kind.split_once('(') {
            Some((kind, class)) => (kind, Some(class.strip_suffix(')')?)),
            None => (kind, None),
        };
        let is_word = |word: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !word.is_empty() && word.bytes().all(is_part)
        };
        if !is_word(kind) || name.is_empty() || class.is_some_and(|class| !is_word(class)) {
            return None;
        }
        let actions = actions.split(',').filter(|action| !action.is_empty());
        let mut actions: Vec<String> = actions.map(str::to_owned).collect();
        actions.sort_unstable();
        actions.dedup();
        Some(Self {
            kind: kind.to_owned(),
            class: class.map(str::to_owned),
            name: name.to_owned(),
            actions,
        })
    }

    /// Reads the values of `scope` parameters, each of which may hold several
    /// scopes between spaces. What is no scope is left out, as is everything
    /// past the hundredth; scopes of the same thing become one.
    #[must_use]
    pub fn parse_all<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let mut scopes: Vec<Self> = Vec::new();
        let texts = values.into_iter().flat_map(|value| value.split(' '));
        let asked = texts.filter(|text| !text.is_empty()).take(MOST_SCOPES);
        for scope in asked.filter_map(Self::parse) {
            let known = scopes.iter_mut().find(|known| known.is_of_same(&scope));
            match known {
                Some(known) => {
                    known.actions.extend(scope.actions);
                    known.actions.sort_unstable();
                    known.actions.dedup();
                }
                None => scopes.push(scope),
            }
        }
        scopes
    }

    fn is_of_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.class == other.class && self.name == other.name
    }

    /// What of this is allowed, as a token says it; `None` for nothing.
    fn grant(&self, allows: impl Fn(&Access) -> bool) -> Option<AccessEntry> {
        let asked = |action: &str| self.actions.iter().any(|a| a == action || a == "*");
        let actions: Vec<&str> = match (self.kind.as_str(), self.name.as_str()) {
            ("registry", "catalog") => {
                let all = asked("*") && allows(&Access::Catalog);
                all.then_some("*").into_iter().collect()
            }
            ("repository", EVERY_REPOSITORY) => {
                let every = Access::EveryRepository {
                    actions: &[Action::Pull],
                };
                let pull = asked(Action::Pull.as_str()) && allows(&every);
                pull.then_some(Action::Pull.as_str()).into_iter().collect()
            }
            ("repository", name) => {
                let name: RepositoryName = name.parse().ok()?;
                ONE_ACTION
                    .into_iter()
                    .filter(|[action]| asked(action.as_str()))
                    .filter(|actions| {
                        let name = name.clone();
                        allows(&Access::Repository {
                            name,
                            actions: *actions,
                        })
                    })
                    .map(|[action]| action.as_str())
                    .collect()
            }
            _ => return None,
        };
        if actions.is_empty() {
            return None;
        }
        Some(AccessEntry {
            kind: self.kind.clone(),
            class: self.class.clone(),
            name: self.name.clone(),
            actions: Some(actions.into_iter().map(str::to_owned).collect()),
        })
    }
}

/// Each action by itself: rights are asked one by one.
const ONE_ACTION: [&[Action; 1]; 3] = [&[Action::Delete], &[Action::Pull], &[Action::Push]];

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(class) = &self.class {
            write!(f, "({class})")?;
        }
        write!(f, ":{}:{}", self.name, self.actions.join(","))
    }
}

/// What of the scopes is allowed, as far as it fits into a token.
pub(super) fn grant(scopes: &[Scope], allows: impl Fn(&Access) -> bool) -> Vec<AccessEntry> {
    let mut size = 0;
    let granted = scopes.iter().filter_map(|scope| scope.grant(&allows));
    granted
        .take_while(|entry| {
            // Of the JSON around it.
            const FRAME: usize = 80;
            let class = entry.class.as_ref().map_or(0, String::len);
            size += FRAME + entry.name.len() + class;
            size <= MOST_ACCESS
        })
        .collect()
}

/// How a reply names what was granted.
pub(super) fn text(entries: &[AccessEntry]) -> String {
    let scopes: Vec<String> = entries
        .iter()
        .map(|entry| {
            let scope = Scope {
                kind: entry.kind.clone(),
                class: entry.class.clone(),
                name: entry.name.clone(),
                actions: entry.actions.clone().unwrap_or_default(),
            };
            scope.to_string()
        })
        .collect();
    scopes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_clients_write_them() {
        for (text, read) in [
            ("repository:app:pull", Some("repository:app:pull")),
            ("repository:a/b:push,pull", Some("repository:a/b:pull,push")),
            ("repository:a:pull,,pull,", Some("repository:a:pull")),
            ("repository:a:", Some("repository:a:")),
            (
                "repository(plugin):a:pull",
                Some("repository(plugin):a:pull"),
            ),
            (
                "repository:host:5000/a:pull",
                Some("repository:host:5000/a:pull"),
            ),
            ("repository:h:1:2/a:*", Some("repository:h:1:2/a:*")),
            ("registry:catalog:*", Some("registry:catalog:*")),
            ("anything:what ever:x", None),
            ("repository:a", None),
            ("repository", None),
            ("", None),
            (":a:pull", None),
            ("repository::pull", None),
            ("repository():a:pull", None),
            ("repository(x:a:pull", None),
            ("(x):a:pull", None),
            ("repository:a\n:pull", None),
        ] {
            let scope = Scope::parse(text).map(|scope| scope.to_string());
            assert_eq!(scope.as_deref(), read, "{text}");
            if let Some(scope) = scope {
                assert_eq!(Scope::parse(&scope).map(|s| s.to_string()), Some(scope));
            }
        }
        assert!(Scope::parse(&format!("repository:{}:pull", "a".repeat(512))).is_none());
    }

    #[test]
    fn scopes_of_the_same_repository_become_one() {
        let scopes = Scope::parse_all([
            "repository:b:pull repository:a:push",
            "  junk repository:a:pull  ",
            "repository(plugin):a:pull",
        ]);
        let texts: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "repository:b:pull",
                "repository:a:pull,push",
                "repository(plugin):a:pull"
            ]
        );
    }

    #[test]
    fn what_is_allowed_of_what_was_asked_is_granted() {
        let allows = |access: &Access| match access {
            Access::Repository { name, actions } => {
                name.as_str() == "a" && !actions.contains(&Action::Delete)
            }
            _ => true,
        };
        for (asked, granted) in [
            ("repository:a:pull", "repository:a:pull"),
            ("repository:a:pull,push,delete", "repository:a:pull,push"),
            ("repository:a:*", "repository:a:pull,push"),
            ("repository:a:delete", ""),
            ("repository:a:fly", ""),
            ("repository:a:", ""),
            ("repository:b:pull repository:a:pull", "repository:a:pull"),
            ("repository:A:pull", ""),
            ("repository:host:5000/a:pull", ""),
            ("repository(plugin):a:pull", "repository(plugin):a:pull"),
            ("registry:catalog:*", "registry:catalog:*"),
            ("registry:catalog:pull", ""),
            ("registry:other:*", ""),
            ("other:a:pull", ""),
        ] {
            assert_eq!(
                text(&grant(&Scope::parse_all([asked]), allows)),
                granted,
                "{asked}"
            );
        }
    }

    #[test]
    fn a_token_holds_no_more_than_fits() {
        let many: Vec<String> = (0..200)
            .map(|at| format!("repository:r{at}:pull"))
            .collect();
        assert_eq!(Scope::parse_all([many.join(" ").as_str()]).len(), 100);
        let long: Vec<String> = (100..200)
            .map(|at| format!("repository:{}{at}:pull,push,delete", "a".repeat(250)))
            .collect();
        let granted = grant(&Scope::parse_all(long.iter().map(String::as_str)), |_| true);
        let size = serde_json::to_string(&granted).expect("serializable").len();
        assert!(
            granted.len() > 10 && size <= MOST_ACCESS,
            "{} {size}",
            granted.len()
        );
    }
}
