//! What is kept.

use std::time::Duration;

use registry_spec::types::{RepositoryName, RepositoryPattern, TagPattern};

/// What is kept of some repositories: everything that one of its parts keeps.
/// With none of them, nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    repositories: Vec<RepositoryPattern>,
    pub(super) newest: Option<usize>,
    pub(super) tags: Vec<TagPattern>,
    pub(super) pushed_within: Option<Duration>,
    pub(super) pulled_within: Option<Duration>,
    place: Option<String>,
}

impl RetentionRule {
    /// A rule about all of the repositories, each by itself.
    pub fn new(repositories: impl IntoIterator<Item = RepositoryPattern>) -> Self {
        Self {
            repositories: repositories.into_iter().collect(),
            newest: None,
            tags: Vec::new(),
            pushed_within: None,
            pulled_within: None,
            place: None,
        }
    }

    /// Keeps the `count` tags that were pushed last.
    #[must_use]
    pub const fn newest(mut self, count: usize) -> Self {
        self.newest = Some(count);
        self
    }

    /// Keeps the tags that match one of the patterns.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = TagPattern>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// Keeps the tags that were pushed within that time.
    #[must_use]
    pub const fn pushed_within(mut self, time: Duration) -> Self {
        self.pushed_within = Some(time);
        self
    }

    /// Keeps the tags that were pulled within that time, or pushed.
    #[must_use]
    pub const fn pulled_within(mut self, time: Duration) -> Self {
        self.pulled_within = Some(time);
        self
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

    pub(super) fn is_about(&self, name: &RepositoryName) -> bool {
        self.repositories
            .iter()
            .any(|pattern| pattern.matches(name))
    }
}

/// A set of rules. The default keeps everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub(super) rules: Vec<RetentionRule>,
}

impl Retention {
    /// What any of the rules keeps.
    pub fn new(rules: impl IntoIterator<Item = RetentionRule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
        }
    }

    /// What either keeps.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// Whether any rule asks when tags were pulled.
    #[must_use]
    pub fn needs_pulls(&self) -> bool {
        self.rules.iter().any(|rule| rule.pulled_within.is_some())
    }

    /// Whether there is no rule, so that everything is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}
