//! A directory.

use std::path::Path;

use registry_storage::FileSystem;
use registry_storage::filesystem::{Access, Reserve};

use super::BackendError;
use crate::logging::chain;

/// Opens the root directory, making it where it is missing.
pub(super) async fn open(root: &Path, reserve: Reserve) -> Result<FileSystem, BackendError> {
    let files = FileSystem::new(root).reserve(reserve);
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
