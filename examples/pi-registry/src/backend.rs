//! The storage of a configuration, and its upkeep.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use registry_spec::Storage;
use registry_spec::storage::StorageError;
use registry_storage::FileSystem;
use registry_storage::filesystem::Access;

use crate::config::{self, Purge};
use crate::logging::chain;

/// The root directory cannot be used. Prints as one line.
#[derive(Debug, thiserror::Error)]
#[error(
    "storage.filesystem.rootdirectory is {root:?}: {}: choose a directory that this user can use",
    chain(reason)
)]
#[non_exhaustive]
pub struct BackendError {
    /// The directory.
    pub root: PathBuf,
    // Not a `source`, since the line tells it already.
    reason: StorageError,
}

/// The storage of a running registry.
#[derive(Clone, Debug)]
pub struct Backend {
    files: FileSystem,
    purge: Option<Purge>,
}

impl Backend {
    /// Opens the storage, making its root directory where that is missing.
    ///
    /// A directory that cannot be written is only a warning: pulls work.
    ///
    /// # Errors
    /// When the root directory can neither be made nor read.
    pub async fn open(storage: &config::Storage) -> Result<Self, BackendError> {
        let files = FileSystem::new(&storage.root);
        match files.prepare().await {
            Ok(Access::ReadOnly { reason }) => {
                tracing::warn!("pulls only, nothing can be pushed: {}", chain(&reason));
            }
            Ok(_) => {}
            Err(reason) => {
                return Err(BackendError {
                    root: storage.root.clone(),
                    reason,
                });
            }
        }
        if let Some(Purge { dry_run: true, .. }) = storage.purge {
            tracing::info!(
                "unfinished uploads stay, as storage.maintenance.uploadpurging.dryrun says"
            );
        }
        Ok(Self {
            files,
            purge: storage
                .purge
                .filter(|purge| !purge.dry_run && !storage.read_only),
        })
    }

    /// What the registry keeps its content in.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.files.clone())
    }

    /// Removes uploads that nobody finished, again and again. Never returns,
    /// unless the configuration switches it off.
    pub async fn purge_uploads(self) {
        /// A start is when clients come back and the disk is busy. A board
        /// without a battery for its clock has the right time by then, too.
        const FIRST: Duration = Duration::from_secs(300);
        let Some(Purge { age, interval, .. }) = self.purge else {
            return;
        };
        tokio::time::sleep(FIRST).await;
        loop {
            match self.files.purge_uploads(age).await {
                Ok(purged) => tracing::info!(
                    uploads = purged.sessions,
                    bytes = purged.bytes,
                    "orphaned uploads removed"
                ),
                Err(error) => {
                    tracing::error!(error = chain(&error), "cannot remove orphaned uploads");
                }
            }
            tokio::time::sleep(interval).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn storage(root: PathBuf) -> config::Storage {
        config::Storage {
            root,
            deletes: true,
            purge: None,
            read_only: false,
        }
    }

    #[tokio::test]
    async fn a_missing_root_directory_is_made() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().join("a/b");
        Backend::open(&storage(root.clone())).await.expect("made");
        assert!(root.is_dir());
    }

    #[tokio::test]
    async fn uploads_stay_in_a_dry_run_and_where_nothing_may_be_written() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let minute = Duration::from_secs(60);
        for (dry_run, read_only) in [(true, false), (false, true), (true, true)] {
            let mut storage = storage(dir.path().to_owned());
            storage.read_only = read_only;
            storage.purge = Some(Purge {
                age: minute,
                interval: minute,
                dry_run,
            });
            let backend = Backend::open(&storage).await.expect("usable");
            // It would go on for ever, if there were anything to do.
            backend.purge_uploads().await;
        }
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_told_in_one_line() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().join("file");
        fs::write(&root, "").expect("written");
        let error = Backend::open(&storage(root.clone())).await;
        let line = error.expect_err("no directory").to_string();
        let start = format!("storage.filesystem.rootdirectory is {root:?}: ");
        assert!(line.starts_with(&start), "{line}");
        assert!(
            line.ends_with(": choose a directory that this user can use"),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");
    }
}
