//! `auth.policy.path`: the policy in force follows its file.
//!
//! A file may be looked at while it is being written, when the beginning of it
//! is a good file, too: one in which fewer tags are immutable, say, or a rule of
//! retention has lost its last words. So a change counts once two looks have
//! found it.

use registry_auth::policy::{CurrentPolicy, Policy};

use crate::config::{PolicyFile, TagRules};
use crate::tag_rules::CurrentTagRules;

/// The file, and the policy that was read from it.
#[derive(Debug)]
pub(super) struct WatchedPolicy {
    file: PolicyFile,
    current: CurrentPolicy,
    tags: Option<CurrentTagRules>,
    /// What the last look has found, if that is not in force yet.
    found: Option<(Policy, TagRules)>,
    /// What is wrong with the file, as it was told last.
    failure: Option<String>,
}

impl WatchedPolicy {
    pub(super) const fn new(file: PolicyFile, current: CurrentPolicy) -> Self {
        Self {
            file,
            current,
            tags: None,
            found: None,
            failure: None,
        }
    }

    /// Whose rules about tags follow the file, too.
    pub(super) fn also(&mut self, tags: CurrentTagRules) {
        self.tags = Some(tags);
    }

    /// Takes over what is in the file for the second time. What was read before stays in
    /// force while the file is bad, which is told once.
    pub(super) fn look(&mut self) {
        let path = self.file.path().display();
        match self.file.read() {
            Ok(read) if self.is_in_force(&read) => {
                self.found = None;
                if self.failure.take().is_some() {
                    tracing::info!("{path}: usable again, unchanged");
                }
            }
            Ok(read) if self.found.as_ref() == Some(&read) => {
                (self.found, self.failure) = (None, None);
                let (policy, rules) = read;
                if let Some(tags) = &self.tags {
                    tags.replace(rules);
                }
                self.current.replace(policy);
                tracing::info!("{path}: the new rules are in force");
            }
            Ok(read) => self.found = Some(read),
            Err(error) => {
                self.found = None;
                let told = error.to_string();
                if self.failure.as_ref() != Some(&told) {
                    tracing::error!("the rules read before stay in force, because of {told}");
                    self.failure = Some(told);
                }
            }
        }
    }

    fn is_in_force(&self, (policy, rules): &(Policy, TagRules)) -> bool {
        let tags = self.tags.as_ref();
        *self.current.get() == *policy && tags.is_none_or(|tags| tags.are(rules))
    }
}
