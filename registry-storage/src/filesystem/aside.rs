//! What a garbage collection has set aside, see [`collect`](crate::collect).
//!
//! A file that is set aside is beside its place, under a name that only one
//! collection uses. Nothing here costs anything where a file is in its place.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use registry_spec::storage::StorageError;

use super::error::{At, FileError};
use super::{atomic, disk, layout};

/// How often a file is looked for that somebody moves meanwhile.
const LOOKS: usize = 16;

/// What a listing shows of a place.
enum Beside {
    /// Not even a directory.
    Nowhere,
    Nothing,
    /// It is in its place.
    Place,
    Aside(PathBuf),
}

/// Looks `at` a place and, where that finds nothing, at what is set aside.
pub(super) fn look<T>(
    place: &Path,
    mut at: impl FnMut(&Path) -> Result<Option<T>, StorageError>,
) -> Result<Option<T>, StorageError> {
    // What is moved while it is listed may not be shown at all.
    let mut absent = 0;
    for _ in 0..LOOKS {
        if let Some(found) = at(place)? {
            return Ok(Some(found));
        }
        match beside(place)? {
            Beside::Nowhere => return Ok(None),
            // Something else is there, or it was put back just now.
            Beside::Place if absent > 0 => return at(place),
            Beside::Nothing | Beside::Place => absent += 1,
            Beside::Aside(aside) => {
                if let Some(found) = at(&aside)? {
                    return Ok(Some(found));
                }
            }
        }
        if absent == 2 {
            return Ok(None);
        }
    }
    Err(FileError::fault(place, "is moved all the time"))
}

/// What is set aside of a place, if anything is.
pub(super) fn find(place: &Path) -> Result<Option<PathBuf>, StorageError> {
    match beside(place)? {
        Beside::Aside(aside) => Ok(Some(aside)),
        Beside::Nowhere | Beside::Nothing | Beside::Place => Ok(None),
    }
}

/// Of several that are set aside, the longest: one that was cut short by a
/// power cut is none.
fn beside(place: &Path) -> Result<Beside, StorageError> {
    let dir = layout::parent(place);
    let Some(entries) = fs::read_dir(dir).if_present("list", dir)? else {
        return Ok(Beside::Nowhere);
    };
    let (mut longest, mut is_in_place) = (None, false);
    for entry in entries {
        let entry = entry.at("list", dir)?;
        let name = entry.file_name();
        is_in_place |= place.file_name() == Some(&name);
        if layout::is_aside(place, &name) && is_file(&entry) {
            let len = entry.metadata().map_or(0, |metadata| metadata.len());
            longest = longest.max(Some((len, entry.path())));
        }
    }
    Ok(match (longest, is_in_place) {
        (Some((_, aside)), _) => Beside::Aside(aside),
        (None, true) => Beside::Place,
        (None, false) => Beside::Nothing,
    })
}

fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// Puts a file back durably; `false` when none is set aside.
///
/// Never over one that is there, unless that is shorter and so was cut short:
/// it may be newer. A link in the file system tells that by one step, a rename
/// does not; where there are no links, a newer one may be replaced.
pub(super) fn restore(place: &Path) -> Result<bool, StorageError> {
    let mut was_aside = false;
    for _ in 0..LOOKS {
        let Some(aside) = find(place)? else {
            return Ok(was_aside);
        };
        let moved = match disk::hard_link(&aside, place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let len = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.len());
                match (len(place), len(&aside)) {
                    (Ok(there), Ok(aside)) if there >= aside => Ok(()),
                    (Ok(_), Ok(_)) => disk::rename(&aside, place),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                }
            }
            Err(error) if has_no_links(&error) => disk::rename(&aside, place),
            result => result,
        };
        match moved {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            result => result.at("put back", place)?,
        }
        // Before the other name is gone.
        atomic::sync_entries(layout::parent(place))?;
        disk::remove_file(&aside).if_present("remove", &aside)?;
        was_aside = true;
    }
    Err(FileError::fault(place, "is moved all the time"))
}

fn has_no_links(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), PermissionDenied | TooManyLinks | Unsupported)
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
            Beside::Nothing | Beside::Place => {
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
