//! Which tags stay where they are, and which are removed, while the server runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use registry_spec::Storage;
use registry_storage::FileSystem;
use registry_storage::immutable::{CurrentImmutable, Immutable};
use registry_storage::retention::{Event, Pulls, Retention, Verdict};

use crate::config::{Config, TagRules};
use crate::logging::chain;

/// The rules in force. Clones share them.
#[derive(Clone, Debug)]
pub struct CurrentTagRules {
    immutable: CurrentImmutable,
    retention: Arc<Mutex<Retention>>,
    /// For each pull, which should not wait.
    need_pulls: Arc<AtomicBool>,
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
            need_pulls: Arc::new(AtomicBool::new(retention.needs_pulls())),
            retention: Arc::new(Mutex::new(retention)),
            interval: config.retention_interval,
            may_change: config.auth.policy_file.is_some(),
            read_only: config.storage.read_only,
        }
    }

    /// Whether these are in force.
    pub(crate) fn are(&self, rules: &TagRules) -> bool {
        *self.immutable.get() == rules.immutable && *self.retention() == rules.retention
    }

    /// Puts others in force.
    pub(crate) fn replace(&self, rules: TagRules) {
        // Whoever holds this sees both of one moment.
        let mut retention = self.retention();
        self.immutable.replace(rules.immutable);
        let need_pulls = rules.retention.needs_pulls();
        self.need_pulls.store(need_pulls, Ordering::Relaxed);
        *retention = rules.retention;
    }

    fn retention(&self) -> MutexGuard<'_, Retention> {
        let retention = self.retention.lock();
        retention.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a rule asks when tags were pulled.
    pub(crate) fn need_pulls(&self) -> bool {
        self.need_pulls.load(Ordering::Relaxed)
    }

    /// A storage in which the immutable tags stay where they are.
    #[must_use]
    pub fn guard(&self, storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
        match self.may_change || !self.immutable.get().is_empty() {
            true => Arc::new(Immutable::new(storage, self.immutable.clone())),
            false => storage,
        }
    }

    /// Removes the tags that no rule keeps, again and again; `pulls` has notes of
    /// pulls. Never returns, unless the configuration does not ask for it.
    pub(crate) async fn retain(self, storage: Arc<dyn Storage>, pulls: Option<FileSystem>) {
        /// As with orphaned uploads.
        const FIRST: Duration = Duration::from_secs(300);
        let Some(interval) = self.interval.filter(|_| !self.read_only) else {
            return;
        };
        let pulls = pulls.as_ref().map(|pulls| pulls as &dyn Pulls);
        tokio::time::sleep(FIRST.min(interval)).await;
        loop {
            self.retain_once(&*storage, pulls).await;
            tokio::time::sleep(interval).await;
        }
    }

    async fn retain_once(&self, storage: &dyn Storage, pulls: Option<&dyn Pulls>) {
        // Both of one moment: a tag may have gone from one to the other.
        let (retention, immutable) = {
            let retention = self.retention();
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
        let run = retention.run(storage, pulls, &immutable, SystemTime::now(), false, tell);
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
