//! What a token grants.

use std::collections::HashMap;

use registry_spec::auth::{Access, Action};
use serde::{Deserialize, Serialize};

/// One entry of a token's claim `access`
/// ([Distribution, "Token specification"](https://distribution.github.io/distribution/spec/auth/jwt/)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccessEntry {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<String>,
    pub(super) name: String,
    pub(super) actions: Option<Vec<String>>,
}

/// The name of every repository, in the scopes of our own issuer; no repository
/// can have it.
pub(super) const EVERY_REPOSITORY: &str = "*";

/// What a token grants, made for being asked. Names are compared byte by byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Granted {
    catalog: bool,
    repositories: HashMap<String, Actions>,
}

/// Which actions; `*` is all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Actions {
    pull: bool,
    push: bool,
    delete: bool,
}

impl Actions {
    fn add(&mut self, action: &str) {
        let all = action == "*";
        self.pull |= all || action == Action::Pull.as_str();
        self.push |= all || action == Action::Push.as_str();
        self.delete |= all || action == Action::Delete.as_str();
    }

    const fn include(self, action: Action) -> bool {
        match action {
            Action::Pull => self.pull,
            Action::Push => self.push,
            Action::Delete => self.delete,
            _ => false,
        }
    }
}

impl Granted {
    pub(super) fn new(entries: &[AccessEntry]) -> Self {
        let mut granted = Self::default();
        for entry in entries {
            let actions = entry.actions.as_deref().unwrap_or_default();
            match (entry.kind.as_str(), entry.name.as_str()) {
                ("registry", "catalog") => {
                    granted.catalog |= actions.iter().any(|action| action == "*");
                }
                ("repository", name) => {
                    let known = granted.repositories.entry(name.to_owned()).or_default();
                    for action in actions {
                        known.add(action);
                    }
                }
                _ => {}
            }
        }
        granted
    }

    pub(super) fn allows(&self, access: &Access) -> bool {
        match access {
            Access::Base => true,
            Access::Catalog => self.catalog,
            Access::Repository { name, actions } => {
                let granted = self.repositories.get(name.as_str());
                let granted = granted.copied().unwrap_or_default();
                actions.iter().all(|&action| granted.include(action))
            }
            // No token of others can say so.
            _ => false,
        }
    }

    /// Whether this is pulling from every repository, and granted as our own
    /// issuer does.
    pub(super) fn allows_every(&self, access: &Access) -> bool {
        let every = || self.repositories.get(EVERY_REPOSITORY);
        matches!(
            access,
            Access::EveryRepository {
                actions: [Action::Pull]
            }
        ) && every().is_some_and(|granted| granted.pull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(json: &str) -> Granted {
        Granted::new(&serde_json::from_str::<Vec<AccessEntry>>(json).expect("entries"))
    }

    #[test]
    fn a_token_grants_what_it_says_and_nothing_like_it() {
        let name = |name: &str| name.parse().expect("a name");
        let granted = granted(
            r#"[{"type":"repository","name":"a/b","actions":["pull"]},
                {"type":"repository","name":"a/b","actions":["push"]},
                {"type":"repository","class":"image","name":"all","actions":["*"]},
                {"type":"repository","name":"null","actions":null},
                {"type":"repository","name":"c*","actions":["pull"]},
                {"type":"Repository","name":"d","actions":["pull"]},
                {"type":"repository","name":"e","actions":["PULL"," pull","pull,push"]},
                {"type":"registry","name":"catalog","actions":["pull"]}]"#,
        );
        for (access, allowed) in [
            (Access::Base, true),
            (Access::push(name("a/b")), true),
            (Access::delete(name("a/b")), false),
            (Access::pull(name("a")), false),
            (Access::pull(name("a/b/c")), false),
            (Access::delete(name("all")), true),
            (Access::pull(name("null")), false),
            (Access::pull(name("c")), false),
            (Access::pull(name("d")), false),
            (Access::pull(name("e")), false),
            (Access::Catalog, false),
            (
                Access::EveryRepository {
                    actions: &[Action::Pull],
                },
                false,
            ),
        ] {
            assert_eq!(granted.allows(&access), allowed, "{access:?}");
        }
    }

    #[test]
    fn the_catalog_needs_every_action() {
        let granted = granted(r#"[{"type":"registry","name":"catalog","actions":["*"]}]"#);
        assert!(granted.allows(&Access::Catalog));
        assert!(!granted.allows(&Access::pull("catalog".parse().expect("a name"))));
    }
}
