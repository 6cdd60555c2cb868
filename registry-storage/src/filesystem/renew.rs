//! Keeping links young that somebody is about to rely on, see
//! [`collect`](crate::collect#the-grace-period).

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use registry_spec::storage::StorageError;

use super::disk;
use super::error::{At, is_absent};
use crate::collect::YOUNG;

/// Whether links can be renewed here at all.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    refused: AtomicBool,
}

impl Renewals {
    /// Whether a link of that time of modification stays as it is. One of the
    /// future does not: some clock was wrong.
    pub(super) fn are_needless(&self, modified: i64) -> bool {
        if self.refused.load(Ordering::Relaxed) {
            return true;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let age = now.checked_sub(modified);
        age.is_some_and(|age| u64::try_from(age).is_ok_and(|age| age < YOUNG.as_secs()))
    }

    /// Renews a link's time if need be; `false` when it is not there any more.
    ///
    /// By path, since an open file may have been set aside.
    pub(super) fn renew(&self, link: &Path, metadata: &Metadata) -> Result<bool, StorageError> {
        if self.are_needless(metadata.mtime()) {
            return Ok(true);
        }
        match disk::touch(link) {
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                // Nobody can push here, or collect; it need not be tried each time.
                self.refused.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
            result => result.at("touch", link).map(|()| true),
        }
    }
}
