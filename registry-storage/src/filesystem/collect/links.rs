//! Reading files and directories that may be anything.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest};
use rustix::fs::OFlags;

use super::super::entries::entries;
use super::super::error::{At, FileError};
use crate::limits::MAX_LINK_LEN;

/// Opens a file, if that is one, and nothing else.
pub(super) fn open(path: &Path) -> Result<Option<File>, StorageError> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let Some(file) = opened.if_present("open", path)? else {
        return Ok(None);
    };
    match file.metadata().at("read", path)?.is_file() {
        true => Ok(Some(file)),
        false => Err(FileError::fault(path, "not a file")),
    }
}

/// Reads a link as it is; one that is broken is a fault.
pub(super) fn read_link(path: &Path) -> Result<Option<(Digest, fs::Metadata)>, StorageError> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let metadata = file.metadata().at("read", path)?;
    let mut text = String::with_capacity(MAX_LINK_LEN);
    let read = file.take(MAX_LINK_LEN as u64).read_to_string(&mut text);
    let digest = match read {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => {
            return Err(error).at("read", path);
        }
        _ => text.trim().parse().ok(),
    };
    match digest {
        Some(digest) => Ok(Some((digest, metadata))),
        None => Err(FileError::fault(path, "not a link")),
    }
}

/// The entries of a directory some levels below `base`, none of which may be
/// a symbolic link.
pub(super) fn real_entries(
    base: &Path,
    below: &[&str],
) -> Result<Vec<(String, DirEntry)>, StorageError> {
    let mut dir = base.to_path_buf();
    for component in below {
        dir.push(component);
        match fs::symlink_metadata(&dir).if_present("read", &dir)? {
            Some(metadata) if metadata.is_symlink() => {
                return Err(FileError::fault(&dir, "a symbolic link, not followed"));
            }
            Some(metadata) if metadata.is_dir() => {}
            _ => return Ok(Vec::new()),
        }
    }
    entries(&dir)?.collect()
}

pub(super) fn is_real_dir(entry: &DirEntry) -> Result<bool, StorageError> {
    let path = entry.path();
    let kind = entry.file_type().at("read", &path)?;
    match kind.is_symlink() {
        true => Err(FileError::fault(&path, "a symbolic link, not followed")),
        false => Ok(kind.is_dir()),
    }
}

pub(super) fn digests_in(
    base: &Path,
    below: &[&str],
    algorithm: Algorithm,
    digests: &mut Vec<Digest>,
) -> Result<(), StorageError> {
    for (hex, entry) in real_entries(base, below)? {
        if let Ok(digest) = format!("{algorithm}:{hex}").parse()
            && is_real_dir(&entry)?
        {
            digests.push(digest);
        }
    }
    Ok(())
}

/// Whether a link may lead to a directory that is not below `within`. One that
/// cannot be followed may do so once a volume is mounted.
pub(super) fn leads_elsewhere(link: &Path, within: &Path) -> bool {
    let target: Option<PathBuf> = fs::canonicalize(link).ok();
    let within = fs::canonicalize(within).ok();
    match (target, within) {
        (Some(target), Some(within)) => target.is_dir() && !target.starts_with(within),
        (None, _) | (_, None) => true,
    }
}
