//! What is asked for: access, and how a token's scope spells it.

use std::fmt;

use crate::types::RepositoryName;

/// Something done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Read blobs, manifests, tags and referrers.
    Pull,
    /// Upload blobs, put manifests, move tags.
    Push,
    /// Delete blobs, manifests and tags.
    Delete,
}

impl Action {
    /// The action's name in a scope.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// `GET /v2/`: to be let in at all.
    Base,
    /// `GET /v2/_catalog`. The list then holds only what the caller may pull.
    Catalog,
    /// All of `actions` on one repository.
    Repository {
        /// The repository.
        name: RepositoryName,
        /// What is to be done to it.
        actions: &'static [Action],
    },
    /// All of `actions` on every repository there is: a mount from anywhere.
    EveryRepository {
        /// What is to be done to them.
        actions: &'static [Action],
    },
}

impl Access {
    /// To read from a repository.
    #[must_use]
    pub const fn pull(name: RepositoryName) -> Self {
        Self::Repository {
            name,
            actions: &[Action::Pull],
        }
    }

    /// To write to a repository; clients ask for both rights at once.
    #[must_use]
    pub const fn push(name: RepositoryName) -> Self {
        Self::Repository {
            name,
            actions: &[Action::Pull, Action::Push],
        }
    }

    /// To end an upload session: podman holds no right to delete then.
    #[must_use]
    pub const fn cancel(name: RepositoryName) -> Self {
        Self::Repository {
            name,
            actions: &[Action::Push],
        }
    }

    /// To delete from a repository.
    #[must_use]
    pub const fn delete(name: RepositoryName) -> Self {
        Self::Repository {
            name,
            actions: &[Action::Delete],
        }
    }

    /// How a challenge and a token spell it; `None` where no scope exists for
    /// it: [`Access::Base`] and [`Access::EveryRepository`].
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Base | Self::EveryRepository { .. } => None,
            Self::Catalog => Some(Scope("registry:catalog:*".to_owned())),
            Self::Repository { name, actions } => {
                let actions: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
                Some(Scope(format!("repository:{name}:{}", actions.join(","))))
            }
        }
    }
}

/// A scope of token authentication: `repository:<name>:pull,push`
/// ([Distribution, "Token scope"](https://distribution.github.io/distribution/spec/auth/scope/)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_spelled_as_clients_spell_them() {
        let name: RepositoryName = "team/app".parse().expect("valid");
        for (access, scope) in [
            (Access::Base, None),
            (Access::Catalog, Some("registry:catalog:*")),
            (Access::pull(name.clone()), Some("repository:team/app:pull")),
            (
                Access::push(name.clone()),
                Some("repository:team/app:pull,push"),
            ),
            (Access::delete(name), Some("repository:team/app:delete")),
        ] {
            assert_eq!(access.scope().map(|s| s.to_string()).as_deref(), scope);
        }
    }
}
