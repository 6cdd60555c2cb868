//! What a push waits for.

use std::fs::File;
use std::io;
use std::path::Path;

use super::disk;
use super::error::is_absent;

/// Whether a push is on the disk before it is acknowledged.
///
/// ```
/// use registry_storage::FileSystem;
/// use registry_storage::filesystem::Durability;
///
/// // For a registry whose content can be pushed again, on a slow card.
/// let storage = FileSystem::new("/var/lib/registry").durability(Durability::Fast);
/// # let _ = storage;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// What was acknowledged survives a power cut: the content, each link, and
    /// the directories that hold them are synced one after the other.
    #[default]
    Safe,
    /// Pushes do not wait for the disk. Nothing else changes, and a process that
    /// dies loses nothing; but after a power cut or a crash of the system, what
    /// was pushed in the last seconds (on Linux 30, as a rule) may be missing,
    /// empty or cut short. What is missing or empty is there again after the next
    /// push of it; a layer that was cut short is found by
    /// [`verify`](super::verify), which can put it aside so that a push heals it.
    Fast,
}

impl Durability {
    pub(super) fn sync_file(self, file: &File, path: &Path) -> io::Result<()> {
        match self {
            Self::Safe => disk::sync_file(file, path),
            Self::Fast => Ok(()),
        }
    }

    /// Syncs a directory. One that is gone was removed after what the caller did
    /// in it, so that there is nothing left to make durable.
    pub(super) fn sync_entries(self, dir: &Path) -> io::Result<()> {
        match self {
            Self::Safe => match disk::sync_dir(dir) {
                Err(error) if is_absent(&error) => Ok(()),
                result => result,
            },
            Self::Fast => Ok(()),
        }
    }
}
