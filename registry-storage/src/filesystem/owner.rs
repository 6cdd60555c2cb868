//! What a repair or a collection makes belongs to whom the tree belongs, whoever
//! runs it: a registry that runs as another user must be able to write there
//! afterwards.

use std::error::Error;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

use registry_spec::storage::StorageError;

/// Makes `path`, and what is missing above it, as if the owner of the directory
/// that was there before had done it.
///
/// # Errors
/// In words; also when it is made, and its owner would be another.
pub(super) fn as_owner<T>(
    path: &Path,
    make: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let mut made = vec![path];
    let owner = loop {
        let Some(parent) = made.last().and_then(|path| path.parent()) else {
            break None;
        };
        match fs::symlink_metadata(parent) {
            Ok(metadata) => break Some(metadata),
            Err(_) => made.push(parent),
        }
    };
    let before = fs::symlink_metadata(path).ok();
    let done = make()?;
    let Some(owner) = owner else { return Ok(done) };
    if owner.uid() == rustix::process::geteuid().as_raw() {
        return Ok(done);
    }
    for path in made {
        // What was there and was not written anew is as it was.
        let is_new = match (&before, fs::symlink_metadata(path)) {
            (Some(before), Ok(now)) => before.ino() != now.ino(),
            (None, Ok(_)) => true,
            (_, Err(_)) => false,
        };
        if is_new {
            give(path, &owner).map_err(|error| {
                format!(
                    "{} is written, but cannot be given to uid {}, so that the registry may be \
                     unable to change it: {error}",
                    path.display(),
                    owner.uid()
                )
            })?;
        }
    }
    Ok(done)
}

fn give(path: &Path, owner: &fs::Metadata) -> io::Result<()> {
    let is_dir = fs::symlink_metadata(path)?.is_dir();
    let mode = match is_dir {
        true => owner.mode() & 0o7777,
        false => owner.mode() & 0o666,
    };
    // In this order, since a change of owner may clear bits of the mode, and
    // only the owner may change the mode.
    if rustix::process::geteuid().is_root() {
        lchown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// An error with its causes, in one line.
pub(super) fn chain(error: StorageError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
