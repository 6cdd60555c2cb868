//! What a garbage collection has set aside, see [`collect`](crate::collect).
//!
//! A file that is set aside is beside its place, under a name that only one
//! collection uses. Nothing here costs anything where a file is in its place.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use registry_spec::storage::StorageError;

use super::error::{At, is_absent};
use super::{atomic, disk, layout};

/// How often a file is looked for that somebody moves meanwhile.
const LOOKS: usize = 16;

/// What is beside a place.
enum Beside {
    /// Not even a directory.
    Nowhere,
    Nothing,
    Aside(PathBuf),
}

/// Looks `at` a place and, where that finds nothing, at what is set aside.
pub(super) fn look<T>(
    place: &Path,
    mut at: impl FnMut(&Path) -> Result<Option<T>, StorageError>,
) -> Result<Option<T>, StorageError> {
    for _ in 0..LOOKS {
        if let Some(found) = at(place)? {
            return Ok(Some(found));
        }
        match beside(place)? {
            Beside::Nowhere => return Ok(None),
            // It may have been put back between the two looks.
            Beside::Nothing => return at(place),
            Beside::Aside(aside) => {
                if let Some(found) = at(&aside)? {
                    return Ok(Some(found));
                }
            }
        }
    }
    Ok(None)
}

/// What is set aside of a place, if anything is.
pub(super) fn find(place: &Path) -> Result<Option<PathBuf>, StorageError> {
    match beside(place)? {
        Beside::Aside(aside) => Ok(Some(aside)),
        Beside::Nowhere | Beside::Nothing => Ok(None),
    }
}

fn beside(place: &Path) -> Result<Beside, StorageError> {
    let dir = layout::parent(place);
    let Some(entries) = fs::read_dir(dir).if_present("list", dir)? else {
        return Ok(Beside::Nowhere);
    };
    for entry in entries {
        let entry = entry.at("list", dir)?;
        if layout::is_aside(place, &entry.file_name()) && is_file(&entry) {
            return Ok(Beside::Aside(entry.path()));
        }
    }
    Ok(Beside::Nothing)
}

fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// Puts a file back durably; `false` when none is set aside.
pub(super) fn restore(place: &Path) -> Result<bool, StorageError> {
    let was_aside = put_back(place)?;
    if was_aside {
        atomic::sync_entries(layout::parent(place))?;
    }
    Ok(was_aside)
}

/// Puts a file back; `false` when none is set aside.
///
/// Never over one that is there: it may be newer. A link in the file system
/// tells that by one step, a rename does not.
pub(super) fn put_back(place: &Path) -> Result<bool, StorageError> {
    let mut was_aside = false;
    while let Some(aside) = find(place)? {
        let moved = match disk::hard_link(&aside, place) {
            Ok(()) => Ok(()),
            // One that was cut short by a power cut is no reason to lose this.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let len = |path: &Path| fs::metadata(path).map(|metadata| metadata.len());
                match (len(place), len(&aside)) {
                    (Ok(there), Ok(aside)) if there == aside => Ok(()),
                    (Ok(0), Ok(_)) => disk::rename(&aside, place),
                    (Ok(_), Ok(_)) => return Ok(true),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                }
            }
            Err(error) if is_absent(&error) => Err(error),
            // There are no links on this file system.
            Err(_) => disk::rename(&aside, place),
        };
        match moved {
            Err(error) if is_absent(&error) => continue,
            result => result.at("put back", place)?,
        }
        disk::remove_file(&aside).if_present("remove", &aside)?;
        was_aside = true;
    }
    Ok(was_aside)
}

/// Removes a file durably, wherever it is, so that nobody puts it back;
/// `false` when it is nowhere.
pub(super) fn remove(place: &Path) -> Result<bool, StorageError> {
    let mut removed = false;
    for _ in 0..LOOKS {
        removed |= atomic::remove(place)?;
        match beside(place)? {
            Beside::Nowhere => break,
            Beside::Aside(aside) => removed |= atomic::remove(&aside)?,
            Beside::Nothing => {
                if fs::symlink_metadata(place)
                    .if_present("read", place)?
                    .is_none()
                {
                    break;
                }
            }
        }
    }
    Ok(removed)
}
