//! The storage of a configuration, and its upkeep.
//!
//! | file | holds |
//! |---|---|
//! | `file_system.rs` | a directory |
//! | `object.rs`, `s3.rs`, `azure.rs`, `gcs.rs` | object stores |
//! | `garbage.rs`, `scrub.rs` | garbage collection and verification, from time to time |
//! | `client.rs`, `trust.rs` | how their servers are spoken to, and which are believed |
//! | `explain.rs` | what they say when they fail, in words for people |

#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "object-store")]
mod client;
#[cfg(feature = "object-store")]
mod explain;
mod file_system;
mod garbage;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "object-store")]
mod object;
#[cfg(feature = "s3")]
mod s3;
mod scrub;
#[cfg(feature = "object-store")]
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use registry_spec::Storage;
use registry_spec::storage::StorageError;
use registry_storage::{FileSystem, PurgedUploads};

use crate::config::{self, Driver, Gc, Purge, Scrub};
use crate::logging::chain;

pub(crate) use garbage::collect;
#[cfg(feature = "object-store")]
pub(crate) use object::ObjectBackend;
#[cfg(feature = "object-store")]
pub use object::Place;

/// The time before the first upkeep. A start is when clients come back and the
/// disk is busy. A board without a battery for its clock has the right time by
/// then, too.
const FIRST: Duration = Duration::from_secs(300);

/// The storage cannot be used. Prints as one line: the key, what is wrong, and
/// what to do.
#[derive(Debug, thiserror::Error)]
#[error("{line}")]
#[non_exhaustive]
pub struct BackendError {
    // Not a `source`: the line tells it all.
    line: String,
}

impl BackendError {
    pub(crate) fn new(line: impl fmt::Display) -> Self {
        let line = line.to_string().replace(char::is_control, " ");
        Self { line }
    }
}

/// The storage of a running registry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    kind: Kind,
    driver: &'static str,
    purge: Option<Purge>,
    gc: Option<Gc>,
    scrub: Option<Scrub>,
}

#[derive(Clone, Debug)]
enum Kind {
    Files(FileSystem),
    #[cfg(feature = "object-store")]
    Objects(ObjectBackend),
}

impl Backend {
    /// Opens the storage: makes a root directory that is missing, or looks
    /// whether the object store answers and lets us in.
    ///
    /// A directory that cannot be written is only a warning: pulls work.
    ///
    /// # Errors
    /// When the root directory can neither be made nor read, or the store
    /// cannot be listed.
    pub async fn open(storage: &config::Storage) -> Result<Self, BackendError> {
        let kind = match &storage.driver {
            Driver::FileSystem(root) => Kind::Files(file_system::open(root, storage).await?),
            #[cfg(feature = "object-store")]
            Driver::ObjectStore(store) => {
                let objects = ObjectBackend::new(store, storage.redirect).await?;
                objects.look().await.map_err(BackendError::new)?;
                Kind::Objects(objects)
            }
        };
        Ok(Self {
            kind,
            driver: storage.driver.name(),
            purge: storage.purge.filter(|_| !storage.read_only),
            gc: Some(storage.gc).filter(|gc| gc.enabled && !storage.read_only),
            scrub: Some(storage.scrub).filter(|scrub| scrub.enabled),
        })
    }

    /// What the registry keeps its content in.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Storage> {
        match &self.kind {
            Kind::Files(files) => Arc::new(files.clone()),
            #[cfg(feature = "object-store")]
            Kind::Objects(objects) => Arc::new(objects.storage().clone()),
        }
    }

    /// The directory, if it is in one: it has notes of pulls.
    #[must_use]
    pub fn directory(&self) -> Option<FileSystem> {
        match &self.kind {
            Kind::Files(files) => Some(files.clone()),
            #[cfg(feature = "object-store")]
            Kind::Objects(_) => None,
        }
    }

    /// Distribution's name of the driver.
    #[must_use]
    pub const fn driver(&self) -> &'static str {
        self.driver
    }

    /// Looks whether the content can be listed.
    ///
    /// # Errors
    /// What is wrong, in one line.
    pub async fn look(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Files(files) => match files.list_repositories(None, 1).await {
                Ok(_) => Ok(()),
                Err(error) => Err(chain(&error)),
            },
            #[cfg(feature = "object-store")]
            Kind::Objects(objects) => objects.look().await,
        }
    }

    /// Whether a look that is given up leaves a thread behind in the file
    /// system, which no second one should join.
    #[must_use]
    pub const fn look_blocks(&self) -> bool {
        matches!(self.kind, Kind::Files(_))
    }

    /// Removes uploads that nobody finished, again and again, or only tells of
    /// them. Never returns, unless the configuration switches it off.
    pub async fn purge_uploads(self) {
        let Some(purge) = self.purge else {
            return;
        };
        tokio::time::sleep(FIRST).await;
        loop {
            let done = match purge.dry_run {
                true => "orphaned uploads would be removed, but for dryrun",
                false => "orphaned uploads removed",
            };
            match self.purge_once(&purge).await {
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

    async fn purge_once(&self, purge: &Purge) -> Result<PurgedUploads, StorageError> {
        match &self.kind {
            Kind::Files(files) if purge.dry_run => files.stale_uploads(purge.age).await,
            Kind::Files(files) => files.purge_uploads(purge.age).await,
            #[cfg(feature = "object-store")]
            Kind::Objects(objects) if purge.dry_run => {
                objects.storage().stale_uploads(purge.age).await
            }
            #[cfg(feature = "object-store")]
            Kind::Objects(objects) => objects.storage().purge_uploads(purge.age).await,
        }
    }
}

/// Where the content is, for people: a directory, or a bucket and its server.
pub(crate) fn shown(driver: &Driver) -> String {
    match driver {
        Driver::FileSystem(root) => root.display().to_string(),
        #[cfg(feature = "object-store")]
        Driver::ObjectStore(store) => Place::of(store).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use registry_storage::filesystem::{Durability, Reserve};

    use super::*;

    fn storage(root: PathBuf) -> config::Storage {
        config::Storage {
            driver: Driver::FileSystem(root),
            reserve: Reserve::default(),
            durability: Durability::default(),
            redirect: false,
            deletes: true,
            purge: None,
            gc: Gc::default(),
            scrub: Scrub::default(),
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
        let purge = backend.purge.expect("configured");
        let stale = backend.purge_once(&purge).await.expect("counted");
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
