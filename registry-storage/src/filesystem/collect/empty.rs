//! Repositories that hold nothing.

use std::fs;
use std::io;
use std::path::Path;

use registry_spec::storage::StorageError;

use super::super::disk;
use super::super::entries::entries;
use super::super::error::{At, is_absent};
use super::super::layout;
use super::Collection;
use super::links::is_real_dir;

impl Collection<'_> {
    /// Whether there is no file of anybody's in a repository, and nothing came
    /// or went for long.
    pub(super) fn is_empty(&self, base: &Path) -> Result<bool, StorageError> {
        for entry in entries(base)? {
            let (component, entry) = entry?;
            let path = entry.path();
            let is_dir = entry.file_type().at("read", &path)?.is_dir();
            let is_empty = match component.as_str() {
                // Ours, and derived.
                layout::REFERRERS => true,
                layout::LAYERS | layout::MANIFESTS => is_dir && self.holds_no_file(&path)?,
                layout::UPLOADS => {
                    is_dir && entries(&path)?.next().is_none() && self.is_old_at(&path)?
                }
                _ => !component.starts_with('_'),
            };
            if !is_empty {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds_no_file(&self, dir: &Path) -> Result<bool, StorageError> {
        for entry in entries(dir)? {
            let path = entry?.1.path();
            // Another collection may have removed it.
            let metadata = fs::symlink_metadata(&path).if_present("read", &path)?;
            let is_dir = metadata.is_none_or(|metadata| metadata.is_dir());
            if !is_dir || !self.holds_no_file(&path)? {
                return Ok(false);
            }
        }
        self.is_old_at(dir)
    }

    fn is_old_at(&self, path: &Path) -> Result<bool, StorageError> {
        let metadata = fs::symlink_metadata(path).if_present("read", path)?;
        Ok(metadata.is_some_and(|metadata| self.is_old(&metadata)))
    }
}

/// Removes directories that have nothing but such in them; `false` when there
/// is something else.
pub(super) fn remove_empty(dir: &Path) -> Result<bool, StorageError> {
    // Whatever is in there may be a session that begins just now.
    if dir.file_name().is_some_and(|name| name != layout::UPLOADS) {
        for entry in entries(dir)? {
            let (_, entry) = entry?;
            if !is_real_dir(&entry)? || !remove_empty(&entry.path())? {
                return Ok(false);
            }
        }
    }
    match disk::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(error).at("remove", dir),
    }
}
