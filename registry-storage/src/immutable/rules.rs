//! Which tags.

use std::sync::{Arc, PoisonError, RwLock};

use registry_spec::types::{RepositoryName, RepositoryPattern, Tag, TagPattern};

/// Some tags of some repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImmutableRule {
    repositories: Vec<RepositoryPattern>,
    tags: Vec<TagPattern>,
    except: Vec<TagPattern>,
    place: Option<String>,
}

impl ImmutableRule {
    /// All of the tags of all of the repositories.
    pub fn new(
        repositories: impl IntoIterator<Item = RepositoryPattern>,
        tags: impl IntoIterator<Item = TagPattern>,
    ) -> Self {
        Self {
            repositories: repositories.into_iter().collect(),
            tags: tags.into_iter().collect(),
            except: Vec::new(),
            place: None,
        }
    }

    /// The same rule, which says nothing of these tags.
    #[must_use]
    pub fn except(mut self, tags: impl IntoIterator<Item = TagPattern>) -> Self {
        self.except.extend(tags);
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

    fn is_about(&self, name: &RepositoryName) -> bool {
        self.repositories
            .iter()
            .any(|pattern| pattern.matches(name))
    }

    fn covers(&self, tag: &Tag) -> bool {
        let any = |patterns: &[TagPattern]| patterns.iter().any(|pattern| pattern.matches(tag));
        any(&self.tags) && !any(&self.except)
    }
}

/// Rules, of which each adds to what is immutable. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImmutableTags {
    rules: Vec<ImmutableRule>,
}

impl ImmutableTags {
    /// What any of the rules has.
    pub fn new(rules: impl IntoIterator<Item = ImmutableRule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
        }
    }

    /// What either has.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// The first rule by which a tag is immutable.
    #[must_use]
    pub fn rule_for(&self, name: &RepositoryName, tag: &Tag) -> Option<&ImmutableRule> {
        self.rules
            .iter()
            .find(|rule| rule.is_about(name) && rule.covers(tag))
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a repository may have such tags.
    #[must_use]
    pub fn is_about(&self, name: &RepositoryName) -> bool {
        self.rules.iter().any(|rule| rule.is_about(name))
    }
}

/// The rules in force. Clones share them, so that one can replace them for all.
#[derive(Clone, Debug, Default)]
pub struct CurrentImmutable(Arc<RwLock<Arc<ImmutableTags>>>);

impl CurrentImmutable {
    /// To begin with.
    #[must_use]
    pub fn new(tags: ImmutableTags) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(tags))))
    }

    /// The rules as they are now.
    #[must_use]
    pub fn get(&self) -> Arc<ImmutableTags> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force, for calls that begin from now on.
    pub fn replace(&self, tags: ImmutableTags) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tags);
    }
}

impl From<ImmutableTags> for CurrentImmutable {
    fn from(tags: ImmutableTags) -> Self {
        Self::new(tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(repositories: &[&str], tags: &[&str]) -> ImmutableRule {
        ImmutableRule::new(
            repositories
                .iter()
                .map(|text| text.parse().expect("a pattern")),
            tags.iter().map(|text| text.parse().expect("a pattern")),
        )
    }

    #[test]
    fn a_tag_is_immutable_by_the_first_rule_that_has_it() {
        let rules = ImmutableTags::new([
            rule(&["team/**"], &["v*", "stable"]).at("first"),
            rule(&["team/app", "lib"], &["*"])
                .except(["latest".parse().expect("a pattern")])
                .at("second"),
        ]);
        let place = |name: &str, tag: &str| {
            let rule = rules.rule_for(&name.parse().expect("a name"), &tag.parse().expect("a tag"));
            rule.and_then(ImmutableRule::place)
        };
        for (name, tag, expected) in [
            ("team/app", "v1", Some("first")),
            ("team/x/y", "stable", Some("first")),
            ("team/x", "dev", None),
            ("team/app", "dev", Some("second")),
            ("team/app", "latest", None),
            ("lib", "1", Some("second")),
            ("other", "v1", None),
        ] {
            assert_eq!(place(name, tag), expected, "{name}:{tag}");
        }
        assert!(rules.is_about(&"lib".parse().expect("a name")));
        assert!(!rules.is_about(&"team".parse().expect("a name")));
    }
}
