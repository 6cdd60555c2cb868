//! A directory.

use std::path::Path;

use registry_storage::FileSystem;
use registry_storage::filesystem::{Access, Durability, Reserve};

use super::BackendError;
use crate::config;
use crate::logging::chain;

/// Opens the root directory, making it where it is missing.
pub(super) async fn open(
    root: &Path,
    storage: &config::Storage,
) -> Result<FileSystem, BackendError> {
    if storage.durability == Durability::Fast {
        tracing::warn!(
            "storage.filesystem.durability is fast: a power cut may lose or damage what was pushed \
             in the last seconds; `pi-registry verify --repair` finds it"
        );
    }
    let files = FileSystem::new(root)
        .reserve(storage.reserve)
        .durability(storage.durability);
    match files.prepare().await {
        Ok(Access::ReadOnly { reason }) => {
            tracing::warn!(
                "pulls only, nothing can be pushed: {}: give this user the directory and all that \
                 is in it (chown -R), and mount it writable",
                chain(&reason)
            );
            Ok(files)
        }
        Ok(_) => look_at_room(root, storage.reserve).map(|()| files),
        Err(reason) => Err(BackendError::new(format_args!(
            "storage.filesystem.rootdirectory is {root:?}: {}: choose a directory that this user \
             can use",
            chain(&reason)
        ))),
    }
}

/// Refuses a reserve with which nothing could ever be pushed, and tells of one
/// that is touched.
fn look_at_room(root: &Path, reserve: Reserve) -> Result<(), BackendError> {
    let Ok(disk) = rustix::fs::statvfs(root) else {
        return Ok(());
    };
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let (kept, mib) = (reserve.of(total), |bytes: u64| bytes >> 20);
    // Of a part, hundredths are counted.
    if total > 0 && kept >= total / 100 * 100 {
        return Err(BackendError::new(format_args!(
            "storage.filesystem.reserve is {} MiB or more, and the file system of {root:?} has {} \
             MiB: nothing could be pushed: give less, or a part of it such as 2%",
            mib(kept),
            mib(total)
        )));
    }
    if free < kept {
        tracing::warn!(
            "pushes are refused: {} MiB are free at {root:?}, of which storage.filesystem.reserve \
             keeps {} MiB: make room, or collect garbage",
            mib(free),
            mib(kept)
        );
    }
    Ok(())
}
