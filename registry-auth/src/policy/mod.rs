//! Who may do what: rules over users, groups and repositories.
//!
//! ```text
//! Credentials -> the inner Authorizer: who is it? -> Identity -> Policy: may they? -> Grant
//! ```
//!
//! Rules only allow. What no rule allows is denied, and the order of rules
//! means nothing: whoever reads one rule knows that what it gives, it gives.
//!
//! | right | lets |
//! |---|---|
//! | `pull` | read blobs, manifests, tags and referrers, and mount from the repository |
//! | `push` | upload, tag, mount into the repository; and pull, without which nobody can push |
//! | `delete` | delete blobs, manifests and tags |
//! | `catalog` | list the repositories; only those that may be pulled are listed |
//!
//! See [`Who`] and [`RepositoryPattern`] for what rules say of users and
//! repositories. Signing in (`GET /v2/`, which `docker login` asks) needs no
//! rule.
//!
//! ```
//! use registry_auth::policy::{Policy, Right, Rule};
//! use registry_spec::auth::{Access, Identity};
//!
//! let policy = Policy::builder()
//!     .group("dev", ["alice", "bob"])
//!     .rule(Rule::new(["group:dev".parse()?], ["team/**".parse()?], [Right::Push]))
//!     .rule(Rule::new(["anonymous".parse()?], ["public/**".parse()?], [Right::Pull]))
//!     .build()?;
//! let alice = Identity::user("alice");
//! assert!(policy.allows(&alice, &Access::push("team/app".parse()?)));
//! assert!(policy.allows(&alice, &Access::pull("public/app".parse()?)));
//! assert!(!policy.allows(&alice, &Access::delete("team/app".parse()?)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Policed`] puts a policy over an authorizer that knows who signs in.

mod policed;
#[cfg(test)]
mod tests;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use registry_spec::auth::{Access, Action, Identity};
use registry_spec::types::RepositoryName;

pub use policed::{CurrentPolicy, Policed};
pub use registry_spec::types::{PatternError, RepositoryPattern};
pub use who::{Who, WhoError};

/// What a rule can give. See the [module](self) for what each of them lets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Right {
    /// To read from a repository.
    Pull,
    /// To write to a repository, and to read from it.
    Push,
    /// To delete from a repository.
    Delete,
    /// To list the repositories.
    Catalog,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Delete, Self::Catalog];

    /// Its name in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Catalog => "catalog",
        }
    }

    /// What an action on a repository needs; `None` for one that this version
    /// knows no right for.
    fn of(action: Action) -> Option<Self> {
        match action {
            Action::Pull => Some(Self::Pull),
            Action::Push => Some(Self::Push),
            Action::Delete => Some(Self::Delete),
            _ => None,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Right {
    type Err = RightError;

    fn from_str(text: &str) -> Result<Self, RightError> {
        let right = Self::ALL.into_iter().find(|right| right.as_str() == text);
        right.ok_or(RightError)
    }
}

/// A text that is not the name of a [`Right`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a right is pull, push, delete or catalog")]
#[non_exhaustive]
pub struct RightError;

/// Gives all of some rights, on all of some repositories, to all of some users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    who: Vec<Who>,
    repositories: Vec<RepositoryPattern>,
    rights: Vec<Right>,
    place: Option<String>,
}

impl Rule {
    /// A rule. The repositories mean nothing to [`Right::Catalog`].
    pub fn new(
        who: impl IntoIterator<Item = Who>,
        repositories: impl IntoIterator<Item = RepositoryPattern>,
        rights: impl IntoIterator<Item = Right>,
    ) -> Self {
        Self {
            who: who.into_iter().collect(),
            repositories: repositories.into_iter().collect(),
            rights: rights.into_iter().collect(),
            place: None,
        }
    }

    /// Every right on everything: what there is without a policy.
    #[must_use]
    pub fn everything(who: Who) -> Self {
        Self::new([who], [RepositoryPattern::every()], Right::ALL)
    }

    /// The same rule, with where it was written, for whoever asks why.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Where it was written, as far as was said.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    fn gives(&self, right: Right) -> bool {
        self.rights.contains(&right) || right == Right::Pull && self.rights.contains(&Right::Push)
    }
}

/// What a right is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On<'a> {
    Repository(&'a RepositoryName),
    EveryRepository,
    /// The catalog, which is no repository's.
    Registry,
}

/// A set of rules. The default allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    groups: BTreeMap<String, BTreeSet<String>>,
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy to be made.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }

    /// Whether somebody may do all that `access` has. [`Access::Base`] is
    /// allowed to everybody who has signed in, and to `anonymous` where it may
    /// do anything else.
    #[must_use]
    pub fn allows(&self, identity: &Identity, access: &Access) -> bool {
        let all = |actions: &[Action], on| {
            actions.iter().all(|&action| {
                Right::of(action)
                    .is_some_and(|right| self.reasons(identity, right, on).next().is_some())
            })
        };
        match access {
            Access::Base => identity.name().is_some() || self.has_anonymous(),
            Access::Catalog => {
                let mut reasons = self.reasons(identity, Right::Catalog, On::Registry);
                reasons.next().is_some()
            }
            Access::Repository { name, actions } => all(actions, On::Repository(name)),
            Access::EveryRepository { actions } => all(actions, On::EveryRepository),
            // What this version does not know, no rule can have meant.
            _ => false,
        }
    }

    /// Why somebody has a right on a repository: every rule that gives it, in
    /// the order of the policy. Nothing when they do not have it. It is by
    /// the same that [`Self::allows`] decides.
    pub fn explain<'a>(
        &'a self,
        identity: &'a Identity,
        right: Right,
        name: &'a RepositoryName,
    ) -> impl Iterator<Item = Reason<'a>> {
        let on = match right {
            Right::Catalog => On::Registry,
            _ => On::Repository(name),
        };
        self.reasons(identity, right, on)
    }

    fn has_anonymous(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.who.contains(&Who::Anonymous))
    }

    fn reasons<'a>(
        &'a self,
        identity: &'a Identity,
        right: Right,
        on: On<'a>,
    ) -> impl Iterator<Item = Reason<'a>> {
        let rules = self.rules.iter().filter(move |rule| rule.gives(right));
        rules.filter_map(move |rule| {
            let who = rule.who.iter().find(|who| self.includes(who, identity))?;
            let mut patterns = rule.repositories.iter();
            let repositories = match on {
                On::Repository(name) => Some(patterns.find(|pattern| pattern.matches(name))?),
                On::EveryRepository => Some(patterns.find(|pattern| pattern.is_every())?),
                On::Registry => None,
            };
            Some(Reason {
                rule,
                who,
                repositories,
            })
        })
    }

    fn includes(&self, who: &Who, identity: &Identity) -> bool {
        match (who, identity.name()) {
            (Who::Anonymous, _) | (Who::SignedIn, Some(_)) => true,
            (Who::User(user), Some(name)) => user == name,
            (Who::Group(group), Some(name)) => self
                .groups
                .get(group)
                .is_some_and(|group| group.contains(name)),
            (_, None) => false,
        }
    }
}

/// Why somebody has a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reason<'a> {
    /// The rule that gives it.
    pub rule: &'a Rule,
    /// As whom they have it.
    pub who: &'a Who,
    /// By which of the rule's patterns; `None` for [`Right::Catalog`].
    pub repositories: Option<&'a RepositoryPattern>,
}

/// `group:dev, team/**`.
impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.who.fmt(f)?;
        match self.repositories {
            Some(repositories) => write!(f, ", {repositories}"),
            None => Ok(()),
        }
    }
}

/// Makes a [`Policy`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PolicyBuilder {
    policy: Policy,
}

impl PolicyBuilder {
    /// A group of users, by their names. Of two groups of one name, the users
    /// of both are in it.
    pub fn group<N: Into<String>>(
        mut self,
        name: impl Into<String>,
        users: impl IntoIterator<Item = N>,
    ) -> Self {
        let group = self.policy.groups.entry(name.into()).or_default();
        group.extend(users.into_iter().map(Into::into));
        self
    }

    /// One more rule.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.policy.rules.push(rule);
        self
    }

    /// The policy.
    ///
    /// # Errors
    /// [`PolicyError::UnknownGroup`] when a rule names a group that there is
    /// not: it would give nothing to anybody, which is hardly what was meant.
    pub fn build(self) -> Result<Policy, PolicyError> {
        for rule in &self.policy.rules {
            for who in &rule.who {
                if let Who::Group(group) = who
                    && !self.policy.groups.contains_key(group)
                {
                    return Err(PolicyError::UnknownGroup {
                        group: group.clone(),
                        place: rule.place.clone(),
                    });
                }
            }
        }
        Ok(self.policy)
    }
}

/// Why there is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A rule names a group that there is not.
    #[error("there is no group {group:?}")]
    UnknownGroup {
        /// The group.
        group: String,
        /// Where the rule was written.
        place: Option<String>,
    },
}
