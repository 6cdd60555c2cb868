//! Garbage collection on files: the atomic steps of [`collect`](crate::collect).
//!
//! | step | call |
//! |---|---|
//! | set aside | `rename` beside itself, to a name of this run |
//! | take over | the same, from another run's name |
//! | put back | `link` to its place, then `unlink` |
//! | delete | `unlink` of this run's name |
//!
//! Symbolic links are not followed: behind one there may be another registry.
//! A FIFO does not hold it up.

mod empty;
mod links;
mod lists;
mod steps;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use registry_spec::storage::StorageError;
use registry_spec::types::UploadId;
use tokio::sync::oneshot;

use super::entries::entries;
use super::error::{At, FileError};
use super::layout::{self, Layout};
use super::nice::be_nice;
use super::shelf::done;
use super::tree::Tree;
use super::{FileSystem, disk};
use crate::collect::{CollectOptions, Event, Report, Repositories, Run};

impl FileSystem {
    /// Removes what nothing leads to: garbage collection, beside pushes and
    /// pulls of any process. See [`collect`](crate::collect) for what lives and
    /// why that is safe. `listener` is told what happens.
    ///
    /// It works on a thread of its own, on Linux with low priority. When the
    /// future is dropped it ends soon, and leaves the rest to the next one.
    ///
    /// ```
    /// use registry_storage::FileSystem;
    /// use registry_storage::collect::{CollectOptions, Event};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let root = tempfile::tempdir()?;
    /// let storage = FileSystem::new(root.path());
    /// # storage.prepare().await?;
    /// let report = storage
    ///     .collect(CollectOptions::default(), |event| {
    ///         if let Event::Removed { item, reason, bytes } = event {
    ///             println!("{item:?} {reason:?} {bytes}");
    ///         }
    ///     })
    ///     .await?;
    /// println!("{} bytes freed", report.blobs_removed.bytes);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`StorageError::Backend`] when the root is not a registry's, cannot be
    /// written to, or has repositories that cannot be listed: nothing was
    /// removed then. What goes wrong later is a problem in the report.
    pub async fn collect(
        &self,
        options: CollectOptions,
        listener: impl FnMut(Event<'_>) + Send + 'static,
    ) -> Result<Report, StorageError> {
        let stop = StopWhenDropped::default();
        let (tree, flag) = (Arc::clone(&self.tree), Arc::clone(&stop.0));
        let (sender, receiver) = oneshot::channel();
        let work = move || {
            be_nice();
            let mut listener = listener;
            // Nobody waits for it when the future was dropped.
            let _ = sender.send(tree.collect(&options, &mut listener, &flag));
        };
        thread::Builder::new()
            .name("garbage-collect".into())
            .spawn(work)
            .map_err(|source| FileError::Thread { source })?;
        receiver
            .await
            .map_err(|source| FileError::Collector { source })?
    }
}

#[derive(Default)]
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tree {
    pub(super) fn collect(
        &self,
        options: &CollectOptions,
        listener: &mut (dyn FnMut(Event<'_>) + Send),
        stop: &AtomicBool,
    ) -> Result<Report, StorageError> {
        if options.may_be_absent && nothing_was_pushed(&self.layout)? {
            return Ok(Report::default());
        }
        let collection = Collection::begin(self, options.grace)?;
        done(Run::new(&collection, options, listener, stop).finish())
    }
}

/// What one collection works with.
pub(super) struct Collection<'a> {
    tree: &'a Tree,
    /// What it sets aside has this in its name.
    run: UploadId,
    /// When it began, by the clock of the file system.
    now: SystemTime,
    grace: Duration,
}

impl<'a> Collection<'a> {
    pub(super) fn begin(tree: &'a Tree, grace: Duration) -> Result<Self, StorageError> {
        let root = tree.layout.tree();
        if !is_directory(root) {
            return Err(FileError::fault(root, "no registry's tree is here"));
        }
        let collection = Self {
            tree,
            run: UploadId::random(),
            now: clock(root)?,
            grace,
        };
        // A volume that is not mounted, say: every blob would be garbage.
        if collection.has_blobs_only()? {
            let repositories = tree.layout.repositories();
            let fault = "no repositories are here, but there are blobs";
            return Err(FileError::fault(&repositories, fault));
        }
        Ok(collection)
    }

    fn has_blobs_only(&self) -> Result<bool, StorageError> {
        let mut found = Repositories::default();
        self.walk(&self.tree.layout.repositories(), "", &mut found)?;
        let blobs = self.tree.layout.tree().join(layout::BLOBS);
        let is_empty = found.names.is_empty() && found.hidden.is_empty();
        Ok(is_empty && entries(&blobs)?.next().is_some())
    }

    fn is_old(&self, metadata: &fs::Metadata) -> bool {
        let modified = metadata.modified().ok();
        let age = modified.and_then(|modified| self.now.duration_since(modified).ok());
        age.is_some_and(|age| age >= self.grace)
    }
}

/// Not where even the root directory is missing, nor what it may be in.
fn nothing_was_pushed(layout: &Layout) -> Result<bool, StorageError> {
    match fs::symlink_metadata(layout.tree()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(is_directory(layout.root())),
        found => found.map(|_| false).at("look at", layout.tree()),
    }
}

fn is_directory(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Now, by the clock that gives files their times.
fn clock(root: &Path) -> Result<SystemTime, StorageError> {
    let probe = layout::temporary(&root.join("clock"));
    let file = disk::create_file(&probe).at("create", &probe)?;
    let created = file.metadata().and_then(|metadata| metadata.modified());
    disk::remove_file(&probe).at("remove", &probe)?;
    created.at("read", &probe)
}
