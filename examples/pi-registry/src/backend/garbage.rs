//! Garbage collection in the server.

use std::time::Instant;

use registry_spec::storage::StorageError;
use registry_storage::FileSystem;
use registry_storage::collect::{CollectOptions, Event, Report};

#[cfg(feature = "object-store")]
use super::ObjectBackend;
use super::{Backend, FIRST, Kind};
use crate::config::{Driver, Gc};
use crate::logging::chain;
use crate::metrics::GcMetrics;

impl Backend {
    /// Removes what no image needs, again and again. Never returns, unless the
    /// configuration does not ask for it.
    pub async fn collect_garbage(self, metrics: Option<GcMetrics>) {
        let Some(gc) = self.gc else {
            return;
        };
        tokio::time::sleep(FIRST).await;
        loop {
            let began = Instant::now();
            let report = self.kind.collect_as_asked(&gc).await;
            if let Some(metrics) = &metrics {
                metrics.ran(report.as_ref(), began.elapsed());
            }
            tokio::time::sleep(gc.interval).await;
        }
    }
}

/// Removes what no image needs, once, without a registry. A directory that is
/// missing is not made.
pub(crate) async fn collect(
    driver: &Driver,
    options: CollectOptions,
    listener: impl FnMut(Event<'_>) + Send + 'static,
) -> Result<Report, String> {
    match driver {
        Driver::FileSystem(root) => {
            let collected = FileSystem::new(root).collect(options, listener).await;
            collected.map_err(|error| chain(&error))
        }
        #[cfg(feature = "object-store")]
        Driver::ObjectStore(store) => {
            let objects = ObjectBackend::new(store, false).await;
            let objects = objects.map_err(|error| error.to_string())?;
            objects.look().await?;
            let collected = objects.storage().collect(options, listener).await;
            collected.map_err(|error| chain(&error))
        }
    }
}

impl Kind {
    async fn collect(
        &self,
        options: CollectOptions,
        listener: impl FnMut(Event<'_>) + Send + 'static,
    ) -> Result<Report, StorageError> {
        match self {
            Self::Files(files) => files.collect(options, listener).await,
            #[cfg(feature = "object-store")]
            Self::Objects(objects) => objects.storage().collect(options, listener).await,
        }
    }

    /// `None` when it failed, which the log tells.
    async fn collect_as_asked(&self, gc: &Gc) -> Option<Report> {
        let mut options = CollectOptions::default();
        options.grace = gc.grace;
        options.delete_untagged = gc.delete_untagged;
        // They have a time of their own.
        options.stale_uploads = None;
        // Of files the start has made the folder: where it is missing, a volume is away.
        options.may_be_absent = !matches!(self, Self::Files(_));
        let listener = |event: Event<'_>| {
            if let Event::Problem(problem) = event {
                tracing::warn!(
                    repository = problem.repository.as_ref().map(|name| name.as_str()),
                    kept = ?problem.consequence,
                    error = chain(&problem.error),
                    "not collected as garbage: it cannot be read, or not be removed"
                );
            }
        };
        match self.collect(options, listener).await {
            Ok(report) => {
                tracing::info!(
                    manifests = report.manifests_removed,
                    blobs = report.blobs_removed.count,
                    bytes = report.blobs_removed.bytes,
                    repositories = report.repositories_removed,
                    problems = report.problem_count,
                    "garbage collected"
                );
                Some(report)
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "cannot collect garbage");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::config;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn what_nobody_needs_is_gone_after_a_while_where_it_is_asked_for() {
        for enabled in [true, false] {
            let dir = tempfile::tempdir().expect("temporary directory");
            let storage = config::Storage {
                driver: Driver::FileSystem(dir.path().to_owned()),
                redirect: false,
                deletes: true,
                purge: None,
                reserve: registry_storage::filesystem::Reserve::default(),
                durability: registry_storage::filesystem::Durability::default(),
                gc: Gc {
                    enabled,
                    grace: HOUR,
                    ..Gc::default()
                },
                read_only: false,
                scrub: config::Scrub::default(),
            };
            let backend = Backend::open(&storage).await.expect("usable");
            let tree = dir.path().join("docker/registry/v2");
            fs::create_dir_all(tree.join("repositories/app/_layers")).expect("made");
            let blob = tree.join(format!("blobs/sha256/aa/{}", "a".repeat(64)));
            fs::create_dir_all(&blob).expect("made");
            let data = fs::File::create(blob.join("data")).expect("made");
            let old = SystemTime::now() - 2 * HOUR;
            data.set_modified(old).expect("aged");
            let metrics = crate::metrics::Metrics::new();
            tokio::time::pause();
            let collecting = tokio::spawn(backend.collect_garbage(Some(metrics.gc().clone())));
            tokio::time::sleep(2 * FIRST).await;
            tokio::time::resume();
            for _ in 0..100 {
                if !blob.exists() || !enabled {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(blob.exists(), !enabled);
            collecting.abort();
        }
    }
}
