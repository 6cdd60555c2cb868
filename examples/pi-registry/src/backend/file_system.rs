//! A directory.

use std::path::Path;

use registry_storage::FileSystem;
use registry_storage::filesystem::{Access, Durability};

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
            tracing::warn!("pulls only, nothing can be pushed: {}", chain(&reason));
            Ok(files)
        }
        Ok(_) => Ok(files),
        Err(reason) => Err(BackendError::new(format_args!(
            "storage.filesystem.rootdirectory is {root:?}: {}: choose a directory that this user \
             can use",
            chain(&reason)
        ))),
    }
}
