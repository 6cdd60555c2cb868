//! Changes that a reader sees whole or not at all, and that survive a power cut.
//!
//! | function | steps |
//! |---|---|
//! | [`write()`] | create the directories that are missing, write `<name>.<uuid>.tmp`, fsync it, rename it, fsync the directory, and what holds each new one |
//! | [`write_unless_same`] | as `write`; when the bytes are there already, only the two fsyncs |
//! | [`write_derived`] | as `write`, without any fsync |
//! | [`move_into`] | create the directories that are missing, rename a synced file, fsync the new directory, and what holds each new one |
//! | [`create_dirs`] | create each directory that is missing, fsync what holds it |
//! | [`remove`] | remove a file, then its directory if that is empty; fsync what held it |
//!
//! With [`Durability::Fast`] the first three do the same without any fsync.
//!
//! The fsyncs of directories come last, since a file system with a journal then
//! has most of them in it already: a link in four new directories makes it write
//! its journal twice, not six times.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use registry_spec::storage::StorageError;

use super::durability::Durability;
use super::error::{At, is_absent};
use super::open::open;
use super::{disk, layout};

/// How often a directory is created anew that a delete removed meanwhile.
const ATTEMPTS: usize = 16;

/// Writes a small file durably, with the directories that it needs.
pub(super) fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), StorageError> {
    put_in(layout::parent(path), durability, || {
        replace(path, bytes, durability)
    })
    .at("write", path)
}

/// Writes a small file durably, unless it holds exactly these bytes; what there
/// was then.
///
/// It is synced even then: whoever wrote it may have died, or may not have got
/// so far yet, and our caller is about to promise that it lasts. For a file
/// that is clean already, that writes nothing.
pub(super) fn write_unless_same(
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> Result<Option<Metadata>, StorageError> {
    let Some((file, metadata)) = open_if_same(path, bytes).at("read", path)? else {
        return write(path, bytes, durability).map(|()| None);
    };
    durability.sync_file(&file, path).at("sync", path)?;
    let dir = layout::parent(path);
    durability.sync_entries(dir).at("sync", dir)?;
    Ok(Some(metadata))
}

/// Writes a small file atomically but not durably: for what can be computed
/// again after a power cut. The directory must exist.
pub(super) fn write_derived(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Durability::Fast)
}

/// Moves a file that has been synced to its place, over what may be there.
///
/// `None` when there is nothing to move.
pub(super) fn move_into(
    from: &Path,
    to: &Path,
    durability: Durability,
) -> Result<Option<()>, StorageError> {
    match put_in(layout::parent(to), durability, || disk::rename(from, to)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.at("move a file to", to).map(Some),
    }
}

/// Puts something into a directory, which is created when it is missing.
fn put_in(
    dir: &Path,
    durability: Durability,
    mut put: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let mut holders = Vec::new();
    let done = retry(|| {
        make_dirs(dir, &mut holders)?;
        put()
    })
    .and_then(|()| durability.sync_entries(dir));
    // When it failed as well: who finds the directories now does not sync them.
    for holder in &holders {
        durability.sync_entries(holder)?;
    }
    done
}

/// Creates the directories that are missing, each durable in its parent.
pub(super) fn create_dirs(dir: &Path) -> io::Result<()> {
    let mut holders = Vec::new();
    let created = make_dirs(dir, &mut holders);
    for holder in &holders {
        Durability::Safe.sync_entries(holder)?;
    }
    created
}

/// Creates the directories that are missing, and adds what holds each of them.
fn make_dirs(dir: &Path, holders: &mut Vec<PathBuf>) -> io::Result<()> {
    match make_dir(dir, holders) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dirs(dir.parent().ok_or(error)?, holders)?;
            make_dir(dir, holders)
        }
        result => result,
    }
}

fn make_dir(dir: &Path, holders: &mut Vec<PathBuf>) -> io::Result<()> {
    match disk::create_dir(dir) {
        Ok(()) => {
            holders.extend(dir.parent().map(holder));
            Ok(())
        }
        // It is there, which a read-only file system says in another way.
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A relative path of one component is in the current directory.
fn holder(parent: &Path) -> PathBuf {
    match parent.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => parent.to_path_buf(),
    }
}

/// Removes `path`, and its directory when nothing else is in it; `false` when
/// there is no such file.
pub(super) fn remove(path: &Path) -> Result<bool, StorageError> {
    let dir = layout::parent(path);
    if disk::remove_file(path)
        .if_present("remove", path)?
        .is_none()
    {
        return Ok(false);
    }
    // Something else in it (old signatures, say) keeps the directory.
    let changed = match disk::remove_dir(dir) {
        Ok(()) => layout::parent(dir),
        Err(_) => dir,
    };
    sync_entries(changed).map(|()| true)
}

/// Makes durable what a caller did in a directory.
pub(super) fn sync_entries(dir: &Path) -> Result<(), StorageError> {
    Durability::Safe.sync_entries(dir).at("sync", dir)
}

fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let draft = Draft::begin(path)?;
    disk::write(&draft.file, &draft.temporary, bytes)?;
    durability.sync_file(&draft.file, &draft.temporary)?;
    draft.put_in_place()
}

/// The new content of a file, beside it until it is complete; removed when it
/// does not come to that, which on a full disk makes room.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    path: &'a Path,
    temporary: PathBuf,
    file: File,
}

impl<'a> Draft<'a> {
    pub(super) fn begin(path: &'a Path) -> io::Result<Self> {
        let temporary = layout::temporary(path);
        let file = disk::create_file(&temporary)?;
        Ok(Self {
            path,
            temporary,
            file,
        })
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Fills it and puts it in place, without any fsync.
    pub(super) fn publish(self, bytes: &[u8]) -> io::Result<()> {
        disk::write(&self.file, &self.temporary, bytes)?;
        self.put_in_place()
    }

    fn put_in_place(mut self) -> io::Result<()> {
        disk::rename(&self.temporary, self.path)?;
        // Nothing is left to remove.
        self.temporary.clear();
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            let _ = disk::remove_file(&self.temporary);
        }
    }
}

/// Creating a file in a directory and removing empty directories race; who
/// creates tries again.
pub(super) fn retry(mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    attempt()
}

fn open_if_same(path: &Path, bytes: &[u8]) -> io::Result<Option<(File, Metadata)>> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != bytes.len() as u64 {
        return Ok(None);
    }
    let mut held = Vec::with_capacity(bytes.len());
    (&file).take(metadata.len()).read_to_end(&mut held)?;
    Ok((held == bytes).then_some((file, metadata)))
}

/// Whether `file` is what stands at `path` now.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;

    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((held.dev(), held.ino()) == (found.dev(), found.ino())),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
