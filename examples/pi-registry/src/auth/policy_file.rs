//! `auth.policy.path`: the policy in force follows its file.

use registry_auth::policy::CurrentPolicy;

use crate::config::PolicyFile;
use crate::tag_rules::CurrentTagRules;

/// The file, and the policy that was read from it.
#[derive(Debug)]
pub(super) struct WatchedPolicy {
    file: PolicyFile,
    current: CurrentPolicy,
    tags: Option<CurrentTagRules>,
    /// What is wrong with the file, as it was told last.
    failure: Option<String>,
}

impl WatchedPolicy {
    pub(super) const fn new(file: PolicyFile, current: CurrentPolicy) -> Self {
        Self {
            file,
            current,
            tags: None,
            failure: None,
        }
    }

    /// Whose rules about tags follow the file, too.
    pub(super) fn also(&mut self, tags: CurrentTagRules) {
        self.tags = Some(tags);
    }

    /// Takes over what is in the file now. What was read before stays in
    /// force while the file is bad, which is told once.
    pub(super) fn look(&mut self) {
        let path = self.file.path().display();
        match self.file.read() {
            Ok((policy, tags)) => {
                let failed = self.failure.take().is_some();
                let changed = self.tags.as_ref().is_some_and(|there| there.replace(tags));
                if changed || *self.current.get() != policy {
                    self.current.replace(policy);
                    tracing::info!("{path}: the new rules are in force");
                } else if failed {
                    tracing::info!("{path}: usable again, unchanged");
                }
            }
            Err(error) => {
                let told = error.to_string();
                if self.failure.as_ref() != Some(&told) {
                    tracing::error!("the rules read before stay in force, because of {told}");
                    self.failure = Some(told);
                }
            }
        }
    }
}
