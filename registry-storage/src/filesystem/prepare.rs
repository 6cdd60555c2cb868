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
        /// What could not be written or locked where, and why.
        reason: StorageError,
    },
}

impl Tree {
    pub(super) fn prepare(&self) -> Result<Access, StorageError> {
        let Err(reason) = self.try_to_write() else {
            return Ok(Access::ReadWrite);
        };
        let (root, tree) = (self.layout.root(), self.layout.tree());
        // An empty volume that is read-only has no tree yet.
        let is_readable =
            fs::read_dir(tree).if_present("list", tree)?.is_some() || fs::read_dir(root).is_ok();
        match is_readable {
            true => Ok(Access::ReadOnly { reason }),
            false => Err(reason),
        }
    }

    fn try_to_write(&self) -> Result<(), StorageError> {
        let tree = self.layout.tree();
        atomic::create_dirs(tree).at("create", tree)?;
        let probe = layout::temporary(&tree.join("probe"));
        let file = disk::create_file(&probe).at("create", &probe)?;
        // Every push takes a lock.
        let locked = disk::lock_own(&file, &probe).at("lock", &probe);
        disk::remove_file(&probe).at("remove", &probe)?;
        locked
    }
}
