//! What small files held when they were read, for as long as they are the same.
//!
//! An answer is validated by a look at its file, so that a change is seen by
//! the next request, whoever made it: this process, another one, a person. The
//! look is taken on the async worker, and so must not wait for the disk:
//!
//! | the last look | this look | one at what another answer vouches for |
//! |---|---|---|
//! | within [`WARM`] | `stat`: the kernel still has what it needs in memory | none |
//! | longer ago | `openat2` with `RESOLVE_CACHED`, which fails rather than wait, and `fstat` | the same |
//!
//! A tag vouches for its manifest's link, since whoever deletes a manifest
//! removes its tags first; and a digest for its bytes, which cannot become
//! others. That they were removed all the same, or the link was, by other means
//! than a registry's, is seen within [`WARM`]. Each look at a path so deep takes
//! a tenth of the time of a request for a manifest.
//!
//! Where an answer is not there, nothing is said about the file: somebody who
//! may wait has to read it. Only what was read is kept, never an absence.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use registry_spec::types::{Digest, MediaType};

use super::version::{Version, open_without_waiting};
use crate::recent::Recent;

/// For how long after a look the kernel is taken to have a path in memory.
const WARM: Duration = Duration::from_secs(1);
/// How many bytes are kept at most.
const CAPACITY: usize = 4 * 1024 * 1024;
/// What an entry takes besides its path and the bytes of a manifest.
const OVERHEAD: usize = 384;

/// What a file held.
#[derive(Clone, Debug)]
pub(super) enum Held {
    Link(Digest),
    Manifest(MediaType, Bytes),
    /// Bytes that are a blob's, as far as we know.
    Blob,
}

#[derive(Clone, Debug)]
struct Entry {
    version: Version,
    looked_at: Instant,
    held: Held,
}

impl Entry {
    fn is_warm(&self) -> bool {
        self.looked_at.elapsed() < WARM
    }
}

#[derive(Debug)]
pub(super) struct FileCache(Mutex<Recent<OsString, Entry>>);

impl FileCache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Recent::new(CAPACITY)))
    }

    /// Remembers what was read after `version` was seen.
    pub(super) fn insert(&self, path: PathBuf, version: Version, held: Held) {
        let mut path = path.into_os_string();
        path.shrink_to_fit();
        let bytes = match &held {
            Held::Manifest(_, bytes) => bytes.len(),
            Held::Link(_) | Held::Blob => 0,
        };
        let len = OVERHEAD + path.len() + bytes;
        let entry = Entry {
            version,
            looked_at: Instant::now(),
            held,
        };
        self.entries().insert(path, entry, len);
    }

    pub(super) fn link(&self, path: &Path) -> Option<Digest> {
        Some(self.dated_link(path)?.0)
    }

    /// As `link`, with the time of its modification in seconds.
    pub(super) fn dated_link(&self, path: &Path) -> Option<(Digest, i64)> {
        let entry = self.current(path)?;
        match entry.held {
            Held::Link(digest) => Some((digest, entry.version.modified())),
            Held::Manifest(..) | Held::Blob => None,
        }
    }

    /// As `link`, where something else vouches for it.
    pub(super) fn vouched_link(&self, path: &Path) -> Option<Digest> {
        match self.vouched(path)?.held {
            Held::Link(digest) => Some(digest),
            Held::Manifest(..) | Held::Blob => None,
        }
    }

    /// A manifest's bytes, for which their digest vouches.
    pub(super) fn manifest(&self, path: &Path) -> Option<(MediaType, Bytes)> {
        match self.vouched(path)?.held {
            Held::Manifest(media_type, bytes) => Some((media_type, bytes)),
            Held::Link(_) | Held::Blob => None,
        }
    }

    /// The length of some content, which is there.
    pub(super) fn content_len(&self, path: &Path) -> Option<u64> {
        Some(self.current(path)?.version.len())
    }

    /// Opens some content, which is there; with its length.
    pub(super) fn open(&self, path: &Path) -> Option<(File, u64)> {
        // First, since what is not in here may be behind a network.
        let known = self.entry(path)?.version;
        let file = open_without_waiting(path)?;
        (Version::of(&file)? == known).then(|| (file, known.len()))
    }

    /// An entry whose file was still the same a moment ago.
    fn vouched(&self, path: &Path) -> Option<Entry> {
        let entry = self.entry(path)?;
        match entry.is_warm() {
            true => Some(entry),
            false => self.current(path),
        }
    }

    /// An entry whose file is still the same.
    fn current(&self, path: &Path) -> Option<Entry> {
        let entry = self.entry(path)?;
        let is_warm = entry.is_warm();
        let version = match is_warm {
            true => Version::at(path)?,
            false => Version::at_without_waiting(path)?,
        };
        if version != entry.version {
            return None;
        }
        if !is_warm {
            let mut entries = self.entries();
            entries.change(path.as_os_str(), |entry| entry.looked_at = Instant::now());
        }
        Some(entry)
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        self.entries().get(path.as_os_str())
    }

    /// Nobody looks at a file with it in hand.
    fn entries(&self) -> MutexGuard<'_, Recent<OsString, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use registry_spec::types::Algorithm;

    use super::*;

    /// As if the file had been left alone for long.
    fn remember(cache: &FileCache, path: &Path, held: Held) {
        let file = File::open(path).expect("a file");
        let version = Version::of(&file).expect("a version");
        cache.insert(path.to_path_buf(), version, held);
    }

    #[test]
    fn an_answer_stands_while_its_file_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("link");
        let cache = FileCache::new();
        let digest = Digest::of(Algorithm::Sha256, b"");
        fs::write(&path, "one").expect("written");
        assert_eq!(cache.link(&path), None);
        remember(&cache, &path, Held::Link(digest));
        assert_eq!(cache.link(&path), Some(digest));
        assert_eq!(cache.content_len(&path), Some(3));
        assert!(cache.manifest(&path).is_none());

        let other = dir.path().join("other");
        fs::write(&other, "two").expect("written");
        fs::rename(&other, &path).expect("moved");
        assert_eq!(cache.link(&path), None);
        assert!(cache.open(&path).is_none());
        remember(&cache, &path, Held::Blob);
        assert_eq!(cache.content_len(&path), Some(3));
        fs::remove_file(&path).expect("removed");
        assert_eq!(cache.content_len(&path), None);
    }

    #[test]
    fn a_path_not_looked_at_for_long_is_looked_at_without_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("link");
        let cache = FileCache::new();
        fs::write(&path, "one").expect("written");
        remember(&cache, &path, Held::Blob);
        let looked_at = || cache.entry(&path).expect("an entry").looked_at;
        let Some(long_ago) = looked_at().checked_sub(2 * WARM) else {
            return;
        };
        cache
            .entries()
            .change(path.as_os_str(), |entry| entry.looked_at = long_ago);
        // Not every kernel can.
        let can = Version::at_without_waiting(&path).is_some();
        assert_eq!(cache.content_len(&path), can.then_some(3));
        assert_eq!(looked_at() > long_ago, can);
    }
}
