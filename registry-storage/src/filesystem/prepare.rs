//! Looking at the tree before anything is served from it.

use std::fs;

use registry_spec::storage::StorageError;

use super::error::At;
use super::tree::Tree;
use super::{atomic, disk, layout};

/// What a tree allows, as [`FileSystem::prepare`](super::FileSystem::prepare) found it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Access {
    /// Pulls and pushes.
    ReadWrite,
    /// Pulls only.
    ReadOnly {
        /// What could not be written where, and why.
        reason: StorageError,
    },
}

impl Tree {
    pub(super) fn prepare(&self) -> Result<Access, StorageError> {
        match self.try_to_write() {
            Ok(()) => Ok(Access::ReadWrite),
            Err(reason) => {
                // An empty volume that is read-only has no tree yet.
                let root = self.layout.root();
                if fs::read_dir(self.layout.tree()).is_err() && fs::read_dir(root).is_err() {
                    return Err(reason);
                }
                Ok(Access::ReadOnly { reason })
            }
        }
    }

    fn try_to_write(&self) -> Result<(), StorageError> {
        let tree = self.layout.tree();
        atomic::create_dirs(tree).at("create", tree)?;
        let probe = layout::temporary(&tree.join("probe"));
        disk::create_file(&probe).at("create", &probe)?;
        disk::remove_file(&probe).at("remove", &probe)
    }
}
