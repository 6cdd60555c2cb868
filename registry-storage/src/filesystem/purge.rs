//! Removing upload sessions that nobody goes on with.

use std::error::Error;
use std::fs::{self, Metadata};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use registry_spec::storage::StorageError;

use super::entries::entries;
use super::error::At;
use super::tree::Tree;
use super::upload::{open_session, remove_session};
use super::{disk, layout};
use crate::PurgedUploads;

impl Tree {
    /// `dry_run` only counts.
    pub(super) fn purge_uploads(
        &self,
        older_than: Duration,
        dry_run: bool,
    ) -> Result<PurgedUploads, StorageError> {
        self.purge_uploads_at(SystemTime::now(), older_than, dry_run)
    }

    /// As `purge_uploads`, by another clock.
    pub(super) fn purge_uploads_at(
        &self,
        now: SystemTime,
        older_than: Duration,
        dry_run: bool,
    ) -> Result<PurgedUploads, StorageError> {
        let mut purge = Purge {
            now,
            older_than,
            dry_run,
            purged: PurgedUploads::default(),
        };
        self.walk_repositories(None, |name| {
            let uploads = self.layout.uploads(name);
            warn_of(&uploads, purge.all(&uploads));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(purge.purged)
    }
}

/// What cannot be purged must not keep the rest from it.
fn warn_of(path: &Path, result: Result<(), StorageError>) {
    if let Err(error) = result {
        let error: &dyn Error = &error;
        tracing::warn!(path = %path.display(), error, "upload sessions not purged");
    }
}

struct Purge {
    now: SystemTime,
    older_than: Duration,
    dry_run: bool,
    purged: PurgedUploads,
}

impl Purge {
    fn all(&mut self, uploads: &Path) -> Result<(), StorageError> {
        for entry in entries(uploads)? {
            let (name, entry) = entry?;
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => warn_of(&path, self.session(&path)),
                Ok(kind) if kind.is_file() && layout::is_temporary(name.as_ref()) => {
                    warn_of(&path, self.file(&path));
                }
                // Somebody else's.
                _ => {}
            }
        }
        Ok(())
    }

    fn session(&mut self, dir: &Path) -> Result<(), StorageError> {
        let Some(session) = open_session(dir)? else {
            // Never begun, or finished up to the clearing away.
            let metadata = fs::metadata(dir).if_present("read", dir)?;
            if metadata.is_some_and(|metadata| self.is_older(&metadata)) {
                self.remove(dir, 0);
            }
            return Ok(());
        };
        // Who holds the lock is at work, however long the last byte was ago.
        if !session.try_lock()? || !session.is_current()? {
            return Ok(());
        }
        let metadata = session.data.metadata().at("read", &session.data_path())?;
        if self.is_older(&metadata) {
            self.remove(dir, metadata.len());
            return Ok(());
        }
        for entry in entries(dir)? {
            let (name, entry) = entry?;
            if layout::is_temporary(name.as_ref()) {
                self.file(&entry.path())?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, dir: &Path, bytes: u64) {
        if self.dry_run || remove_session(dir) {
            self.purged.sessions += 1;
            self.purged.bytes += bytes;
        }
    }

    fn file(&self, path: &Path) -> Result<(), StorageError> {
        let Some(metadata) = fs::symlink_metadata(path).if_present("read", path)? else {
            return Ok(());
        };
        if metadata.is_file() && self.is_older(&metadata) && !self.dry_run {
            disk::remove_file(path).if_present("remove", path)?;
        }
        Ok(())
    }

    /// What seems to come from the future, since the clock was set back, is
    /// young.
    fn is_older(&self, metadata: &Metadata) -> bool {
        metadata
            .modified()
            .ok()
            .and_then(|modified| self.now.duration_since(modified).ok())
            .is_some_and(|age| age > self.older_than)
    }
}
