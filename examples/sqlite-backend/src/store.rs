//! The database and the files together, and the order in which they change.
//!
//! A file is created and moved into place within a write transaction, of which
//! there is one at a time in all processes, and removed only when no row knows
//! it. So a file without a row was left by a crash, and whoever opens the
//! storage next removes it: see [`Store::sweep`].

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use registry_spec::types::{Algorithm, Digest, UploadId};
use rusqlite::Transaction;

use crate::database::Database;
use crate::error::{At, Result};

/// After which time a session that nobody goes on with is dropped.
const SESSION_DAYS: u32 = 7;

#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    pub(crate) database: Database,
}

impl Store {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).at(root)?;
        for dir in ["uploads", "blobs/sha256", "blobs/sha512"] {
            let dir = root.join(dir);
            create_dir(&dir).at(&dir)?;
        }
        let store = Self {
            database: Database::open(root.join("registry.db"))?,
            root,
        };
        // The new database's own entry.
        sync_dir(&store.root)?;
        store.database.write(|tx| store.sweep(tx))?;
        Ok(store)
    }

    /// Where a blob's bytes are, whichever repositories have it. One directory
    /// for all: file systems of today find a name among millions quickly.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_dir(digest.algorithm()).join(digest.hex())
    }

    pub(crate) fn blob_dir(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }

    pub(crate) fn upload_dir(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn upload_path(&self, id: &UploadId) -> PathBuf {
        self.upload_dir().join(id.as_str())
    }

    /// Removes old sessions, and the files that no row knows.
    fn sweep(&self, tx: &Transaction<'_>) -> Result<()> {
        tx.execute(
            "DELETE FROM uploads WHERE changed_at < unixepoch() - ?1 * 86400",
            [SESSION_DAYS],
        )?;
        let mut known = tx.prepare("SELECT 1 FROM blobs WHERE digest = ?1")?;
        for algorithm in Algorithm::ALL {
            remove_files(&self.blob_dir(algorithm), |hex| {
                Ok(known.exists([format!("{algorithm}:{hex}")])?)
            })?;
        }
        let mut known = tx.prepare("SELECT 1 FROM uploads WHERE id = ?1")?;
        remove_files(&self.upload_dir(), |id| Ok(known.exists([id])?))
    }
}

fn remove_files(dir: &Path, mut is_known: impl FnMut(&str) -> Result<bool>) -> Result<()> {
    for entry in fs::read_dir(dir).at(dir)? {
        let path = entry.at(dir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !is_known(&name)? {
            if_present(fs::remove_file(&path)).at(&path)?;
        }
    }
    Ok(())
}

/// `None` when there is no such file.
pub(crate) fn if_present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).at(dir)
}

/// Creates a directory and those above it, each durable in its parent.
fn create_dir(dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if !dir.is_dir() => parent,
        _ => return Ok(()),
    };
    create_dir(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}
