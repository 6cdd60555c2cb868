//! The decision over the tags of one repository.

use std::cmp::Reverse;
use std::fmt;
use std::time::{Duration, SystemTime};

use registry_spec::types::{RepositoryName, Tag};

use super::{PULLS_NOTED_EVERY, Retention, RetentionRule};
use crate::immutable::ImmutableTags;

/// What becomes of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
    /// When it was last pushed, as far as the storage knows.
    pub pushed_at: Option<SystemTime>,
    /// When it was last pulled, as far as that is noted and a rule asks for it.
    pub pulled_at: Option<SystemTime>,
    /// Kept, or not.
    pub verdict: Verdict,
}

/// Whether a tag is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It stays.
    #[non_exhaustive]
    Kept {
        /// By what.
        why: Why,
        /// Where the rule was written, as far as was said.
        place: Option<String>,
    },
    /// No rule keeps it. In a dry run it stays all the same.
    Removed,
}

/// What keeps a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// No rule is about its repository.
    NoRule,
    /// It is immutable.
    Immutable,
    /// Its name matches a rule.
    Pattern,
    /// It is among the newest of a rule.
    Newest,
    /// It was pushed within the time of a rule.
    PushedWithin,
    /// It was pulled within the time of a rule.
    PulledWithin,
    /// It may have been pulled within the time of a rule: that is not noted, or
    /// not for long enough.
    PullsUnknown,
    /// The storage cannot tell when it was pushed.
    AgeUnknown,
    /// It belongs to a manifest that is there, in whose name it is.
    Companion,
    /// It was pushed after it had been looked at.
    PushedMeanwhile,
}

impl Why {
    /// A word for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "no-rule",
            Self::Immutable => "immutable",
            Self::Pattern => "pattern",
            Self::Newest => "newest",
            Self::PushedWithin => "pushed-within",
            Self::PulledWithin => "pulled-within",
            Self::PullsUnknown => "pulls-unknown",
            Self::AgeUnknown => "age-unknown",
            Self::Companion => "companion",
            Self::PushedMeanwhile => "pushed-meanwhile",
        }
    }
}

/// For people.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRule => "no rule is about this repository",
            Self::Immutable => "immutable",
            Self::Pattern => "matches a pattern",
            Self::Newest => "among the newest",
            Self::PushedWithin => "pushed recently",
            Self::PulledWithin => "pulled recently",
            Self::PullsUnknown => "pulls are not noted for long enough",
            Self::AgeUnknown => "not known when it was pushed",
            Self::Companion => "belongs to a manifest that is there",
            Self::PushedMeanwhile => "pushed meanwhile",
        })
    }
}

/// A tag as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) tag: Tag,
    pub(super) pushed_at: Option<SystemTime>,
    pub(super) pulled_at: Option<SystemTime>,
    /// Whether it is in the name of a manifest that is there.
    pub(super) is_companion: bool,
}

/// What ages are told by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) now: SystemTime,
    /// Since when pulls are noted, if they are.
    pub(super) pulls_since: Option<SystemTime>,
}

impl Times {
    /// What comes from the future, since the clock was set back, is young.
    fn is_within(self, at: SystemTime, time: Duration) -> bool {
        !self.now.duration_since(at).is_ok_and(|age| age > time)
    }

    /// Why a tag that is kept for so long after a pull is kept.
    fn pulled(self, found: &Found, time: Duration) -> Option<Why> {
        let is_young = |at: SystemTime| self.is_within(at, time.saturating_add(PULLS_NOTED_EVERY));
        if found.pulled_at.is_some_and(is_young) {
            Some(Why::PulledWithin)
        } else if found.pushed_at.is_some_and(is_young) {
            Some(Why::PushedWithin)
        } else {
            self.pulls_since
                .is_none_or(is_young)
                .then_some(Why::PullsUnknown)
        }
    }
}

impl Retention {
    /// Whether any rule is about a repository.
    pub(super) fn is_about(&self, name: &RepositoryName) -> bool {
        self.rules.iter().any(|rule| rule.is_about(name))
    }

    /// Whether any rule about a repository asks when its tags were pulled.
    pub(super) fn needs_pulls_of(&self, name: &RepositoryName) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.pulled_within.is_some() && rule.is_about(name))
    }

    /// Decides over all tags of a repository, the newest first.
    pub(super) fn decide(
        &self,
        name: &RepositoryName,
        mut tags: Vec<Found>,
        immutable: &ImmutableTags,
        times: Times,
    ) -> Vec<Decision> {
        // By name where the times are the same, so that it is always decided alike.
        tags.sort_by(|a, b| {
            let key = |found: &Found| Reverse(found.pushed_at);
            key(a).cmp(&key(b)).then_with(|| a.tag.cmp(&b.tag))
        });
        let rules: Vec<_> = self
            .rules
            .iter()
            .filter(|rule| rule.is_about(name))
            .collect();
        let mut newer = 0;
        let mut decide = |found: Found| {
            let verdict = verdict(name, &found, &rules, immutable, newer, times);
            newer += usize::from(!found.is_companion);
            Decision {
                repository: name.clone(),
                tag: found.tag,
                pushed_at: found.pushed_at,
                pulled_at: found.pulled_at,
                verdict,
            }
        };
        tags.into_iter().map(&mut decide).collect()
    }
}

/// `newer` is how many tags were pushed after it.
fn verdict(
    name: &RepositoryName,
    found: &Found,
    rules: &[&RetentionRule],
    immutable: &ImmutableTags,
    newer: usize,
    times: Times,
) -> Verdict {
    let kept = |why, place: Option<&str>| Verdict::Kept {
        why,
        place: place.map(str::to_owned),
    };
    if rules.is_empty() {
        return kept(Why::NoRule, None);
    }
    if let Some(rule) = immutable.rule_for(name, &found.tag) {
        return kept(Why::Immutable, rule.place());
    }
    if found.is_companion {
        return kept(Why::Companion, None);
    }
    let Some(pushed_at) = found.pushed_at else {
        return kept(Why::AgeUnknown, None);
    };
    for rule in rules {
        let why = if rule.tags.iter().any(|pattern| pattern.matches(&found.tag)) {
            Why::Pattern
        } else if rule.newest.is_some_and(|count| newer < count) {
            Why::Newest
        } else if rule
            .pushed_within
            .is_some_and(|time| times.is_within(pushed_at, time))
        {
            Why::PushedWithin
        } else if let Some(why) = rule
            .pulled_within
            .and_then(|time| times.pulled(found, time))
        {
            why
        } else {
            continue;
        };
        return kept(why, rule.place());
    }
    Verdict::Removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::immutable::ImmutableRule;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 1000 * DAY
    }

    /// A tag that was pushed so many days ago.
    fn found(tag: &str, days: u32) -> Found {
        Found {
            tag: tag.parse().expect("a tag"),
            pushed_at: Some(now() - days * DAY),
            pulled_at: None,
            is_companion: false,
        }
    }

    fn rule() -> RetentionRule {
        RetentionRule::new(["ci/**".parse().expect("a pattern")])
    }

    /// `tag why` of each, the newest first; `-` for what is removed.
    fn told(rules: Vec<RetentionRule>, name: &str, tags: Vec<Found>) -> Vec<String> {
        let immutable = ImmutableRule::new(
            ["**".parse().expect("a pattern")],
            ["v*".parse().expect("a pattern")],
        );
        Retention::new(rules)
            .decide(
                &name.parse().expect("a name"),
                tags,
                &ImmutableTags::new([immutable]),
                Times {
                    now: now(),
                    pulls_since: Some(now() - 100 * DAY),
                },
            )
            .iter()
            .map(|decision| match &decision.verdict {
                Verdict::Kept { why, .. } => format!("{} {}", decision.tag, why.as_str()),
                Verdict::Removed => format!("{} -", decision.tag),
            })
            .collect()
    }

    #[test]
    fn a_tag_stays_if_any_rule_keeps_it() {
        let rules = vec![
            rule().newest(1),
            rule().tags(["release-*".parse().expect("a pattern")]),
            rule().pushed_within(3 * DAY),
        ];
        let tags = vec![
            found("release-1", 400),
            found("v1", 500),
            found("c", 4),
            found("b", 3),
            found("a", 1),
        ];
        assert_eq!(
            told(rules, "ci/app", tags),
            [
                "a newest",
                "b pushed-within",
                "c -",
                "release-1 pattern",
                "v1 immutable"
            ]
        );
    }

    #[test]
    fn a_repository_without_a_rule_keeps_everything() {
        let tags = vec![found("a", 1000), found("v1", 1000)];
        assert_eq!(
            told(vec![rule().newest(1)], "ci", tags),
            ["a no-rule", "v1 no-rule"]
        );
    }

    #[test]
    fn what_is_not_known_is_kept() {
        let mut unknown = found("unknown", 0);
        unknown.pushed_at = None;
        let mut signature = found("sha256-0000", 100);
        signature.is_companion = true;
        let future = Found {
            pushed_at: Some(now() + DAY),
            ..found("future", 0)
        };
        let tags = vec![found("old", 90), unknown, signature, future];
        assert_eq!(
            told(vec![rule().pushed_within(DAY)], "ci/a", tags),
            [
                "future pushed-within",
                "old -",
                "sha256-0000 companion",
                "unknown age-unknown"
            ]
        );
    }

    #[test]
    fn a_pull_keeps_a_tag_and_so_does_what_may_have_been_one() {
        let pulled = |tag: &str, days: u32| Found {
            pulled_at: Some(now() - days * DAY),
            ..found(tag, 400)
        };
        let tags = || {
            vec![
                pulled("used", 30),
                // It may have been pulled for another day, which is not noted.
                pulled("just", 31),
                pulled("once", 32),
                found("new", 31),
                found("old", 101),
            ]
        };
        let rules = |days| vec![rule().pulled_within(days * DAY)];
        assert_eq!(
            told(rules(30), "ci/a", tags()),
            [
                "new pushed-within",
                "old -",
                "just pulled-within",
                "once -",
                "used pulled-within",
            ]
        );
        // Longer than pulls are noted.
        assert_eq!(told(rules(99), "ci/a", tags())[1], "old pulls-unknown",);
        let times = |pulls_since| Times {
            now: now(),
            pulls_since,
        };
        let unknown = times(None).pulled(&found("old", 400), DAY);
        assert_eq!(unknown, Some(Why::PullsUnknown));
        let known = times(Some(now() - 90 * DAY)).pulled(&found("old", 400), DAY);
        assert_eq!(known, None);
    }

    #[test]
    fn companions_do_not_count_among_the_newest() {
        let mut signature = found("sha256-0000", 0);
        signature.is_companion = true;
        let tags = vec![signature, found("a", 1), found("b", 1), found("c", 1)];
        assert_eq!(
            told(vec![rule().newest(2)], "ci/a", tags),
            ["sha256-0000 companion", "a newest", "b newest", "c -"]
        );
    }
}
