//! Removing upload sessions that nobody goes on with.

use std::error::Error;
use std::fs::{self, Metadata};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use registry_spec::storage::StorageError;

use super::entries::entries;
use super::error::At;
use super::tree::Tree;
use super::upload::{open_session, remove_session};
use super::{disk, layout};

/// What [`FileSystem::purge_uploads`](super::FileSystem::purge_uploads) removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgedUploads {
    /// How many sessions.
    pub sessions: u64,
    /// How many bytes they held.
    pub bytes: u64,
}

impl Tree {
    pub(super) fn purge_uploads(
        &self,
        older_than: Duration,
    ) -> Result<PurgedUploads, StorageError> {
        let mut purged = PurgedUploads::default();
        self.walk_repositories(None, |name| {
            let uploads = self.layout.uploads(name);
            warn_of(&uploads, purge_all(&uploads, older_than, &mut purged));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(purged)
    }
}

/// What cannot be purged must not keep the rest from it.
fn warn_of(path: &Path, result: Result<(), StorageError>) {
    if let Err(error) = result {
        let error: &dyn Error = &error;
        tracing::warn!(path = %path.display(), error, "upload sessions not purged");
    }
}

fn purge_all(
    uploads: &Path,
    older_than: Duration,
    purged: &mut PurgedUploads,
) -> Result<(), StorageError> {
    for entry in entries(uploads)? {
        let (name, entry) = entry?;
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => warn_of(&path, purge_session(&path, older_than, purged)),
            Ok(kind) if kind.is_file() && layout::is_temporary(name.as_ref()) => {
                warn_of(&path, purge_file(&path, older_than));
            }
            // Somebody else's.
            _ => {}
        }
    }
    Ok(())
}

fn purge_session(
    dir: &Path,
    older_than: Duration,
    purged: &mut PurgedUploads,
) -> Result<(), StorageError> {
    let Some(session) = open_session(dir)? else {
        // Never begun, or finished up to the clearing away.
        let Some(metadata) = fs::metadata(dir).if_present("read", dir)? else {
            return Ok(());
        };
        if is_older(&metadata, older_than) && remove_session(dir) {
            purged.sessions += 1;
        }
        return Ok(());
    };
    // Who holds the lock is at work, however long the last byte was ago.
    if !session.try_lock()? || !session.is_current()? {
        return Ok(());
    }
    let metadata = session.data.metadata().at("read", &session.data_path())?;
    if is_older(&metadata, older_than) {
        if remove_session(dir) {
            purged.sessions += 1;
            purged.bytes += metadata.len();
        }
        return Ok(());
    }
    for entry in entries(dir)? {
        let (name, entry) = entry?;
        if layout::is_temporary(name.as_ref()) {
            purge_file(&entry.path(), older_than)?;
        }
    }
    Ok(())
}

fn purge_file(path: &Path, older_than: Duration) -> Result<(), StorageError> {
    let Some(metadata) = fs::symlink_metadata(path).if_present("read", path)? else {
        return Ok(());
    };
    if metadata.is_file() && is_older(&metadata, older_than) {
        disk::remove_file(path).if_present("remove", path)?;
    }
    Ok(())
}

/// What seems to come from the future, since the clock was set back, is young.
fn is_older(metadata: &Metadata, age: Duration) -> bool {
    metadata
        .modified()
        .ok()
        .and_then(|modified| modified.elapsed().ok())
        .is_some_and(|elapsed| elapsed > age)
}
