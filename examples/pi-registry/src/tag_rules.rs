//! Which tags stay where they are, and which are removed, while the server runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use registry_spec::Storage;
use registry_storage::immutable::{CurrentImmutable, Immutable};
use registry_storage::retention::{Event, Retention, Verdict};

use crate::config::{Config, TagRules};
use crate::logging::chain;

/// The rules in force. Clones share them.
#[derive(Clone, Debug)]
pub struct CurrentTagRules {
    immutable: CurrentImmutable,
    retention: Arc<Mutex<Retention>>,
    interval: Option<Duration>,
    /// Whether there may be rules some day, from a file.
    may_change: bool,
    read_only: bool,
}

impl CurrentTagRules {
    /// Those of a configuration, to begin with.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let TagRules {
            immutable,
            retention,
            ..
        } = config.tags.clone();
        Self {
            immutable: immutable.into(),
            retention: Arc::new(Mutex::new(retention)),
            interval: config.retention_interval,
            may_change: config.auth.policy_file.is_some(),
            read_only: config.storage.read_only,
        }
    }

    /// Puts others in force; `false` when they are the same.
    pub(crate) fn replace(&self, rules: TagRules) -> bool {
        let mut retention = self
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let changed = *self.immutable.get() != rules.immutable || *retention != rules.retention;
        self.immutable.replace(rules.immutable);
        *retention = rules.retention;
        changed
    }

    /// A storage in which the immutable tags stay where they are.
    #[must_use]
    pub fn guard(&self, storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
        match self.may_change || !self.immutable.get().is_empty() {
            true => Arc::new(Immutable::new(storage, self.immutable.clone())),
            false => storage,
        }
    }

    /// Removes the tags that no rule keeps, again and again. Never returns,
    /// unless the configuration does not ask for it.
    pub(crate) async fn retain(self, storage: Arc<dyn Storage>) {
        /// As with orphaned uploads.
        const FIRST: Duration = Duration::from_secs(300);
        let Some(interval) = self.interval.filter(|_| !self.read_only) else {
            return;
        };
        tokio::time::sleep(FIRST.min(interval)).await;
        loop {
            self.retain_once(&*storage).await;
            tokio::time::sleep(interval).await;
        }
    }

    async fn retain_once(&self, storage: &dyn Storage) {
        // Both of one moment: a tag may have gone from one to the other.
        let (retention, immutable) = {
            let retention = self.retention.lock();
            let retention = retention.unwrap_or_else(PoisonError::into_inner);
            (retention.clone(), self.immutable.get())
        };
        if retention.is_empty() {
            return;
        }
        let tell = |event: Event<'_>| match event {
            Event::Decided(decision) if decision.verdict == Verdict::Removed => {
                tracing::info!(
                    repository = %decision.repository,
                    tag = %decision.tag,
                    "tag removed, no rule keeps it"
                );
            }
            Event::Failed {
                repository, error, ..
            } => tracing::error!(
                %repository,
                error = chain(error),
                "what is left of its tags is kept"
            ),
            _ => {}
        };
        let run = retention.run(storage, &immutable, SystemTime::now(), false, tell);
        match run.await {
            Ok(summary) => {
                tracing::info!(
                    kept = summary.kept,
                    removed = summary.removed,
                    "tags were looked at"
                );
            }
            Err(error) => tracing::error!(error = chain(&error), "cannot look at tags"),
        }
    }
}
