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
        Ok(Self {
            files,
            purge: storage.purge.filter(|_| !storage.read_only),
        })
    }

    /// What the registry keeps its content in.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.files.clone())
    }

    /// Removes uploads that nobody finished, again and again, or only tells of
    /// them. Never returns, unless the configuration switches it off.
    pub async fn purge_uploads(self) {
        /// A start is when clients come back and the disk is busy. A board
        /// without a battery for its clock has the right time by then, too.
        const FIRST: Duration = Duration::from_secs(300);
        let Some(purge) = self.purge else {
            return;
        };
        tokio::time::sleep(FIRST).await;
        loop {
            let (purged, done) = if purge.dry_run {
                (
                    self.files.stale_uploads(purge.age).await,
                    "orphaned uploads would be removed, but for dryrun",
                )
            } else {
                (
                    self.files.purge_uploads(purge.age).await,
                    "orphaned uploads removed",
                )
            };
            match purged {
                Ok(purged) => {
                    tracing::info!(uploads = purged.sessions, bytes = purged.bytes, "{done}")
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "cannot look for orphaned uploads");
                }
            }
            tokio::time::sleep(purge.interval).await;
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
    async fn uploads_stay_where_nothing_may_be_written() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let minute = Duration::from_secs(60);
        let mut storage = storage(dir.path().to_owned());
        storage.read_only = true;
        storage.purge = Some(Purge {
            age: minute,
            interval: minute,
            dry_run: false,
        });
        let backend = Backend::open(&storage).await.expect("usable");
        // It would go on for ever, if there were anything to do.
        backend.purge_uploads().await;
    }

    #[tokio::test]
    async fn a_dry_run_removes_no_upload() {
        const OLD: Duration = Duration::from_secs(3600);
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut storage = storage(dir.path().to_owned());
        storage.purge = Some(Purge {
            age: OLD / 2,
            interval: OLD,
            dry_run: true,
        });
        let backend = Backend::open(&storage).await.expect("usable");
        let uploads = dir
            .path()
            .join("docker/registry/v2/repositories/a/_uploads/x");
        fs::create_dir_all(&uploads).expect("made");
        let data = fs::File::create(uploads.join("data")).expect("made");
        data.set_modified(std::time::SystemTime::now() - OLD)
            .expect("aged");
        let stale = backend.files.stale_uploads(OLD / 2).await.expect("counted");
        assert_eq!(stale.sessions, 1);
        // Past the first run, in a time that is made to pass.
        tokio::time::pause();
        let purging = tokio::spawn(backend.clone().purge_uploads());
        tokio::time::sleep(OLD / 4).await;
        tokio::time::resume();
        purging.abort();
        assert!(uploads.join("data").exists());
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
