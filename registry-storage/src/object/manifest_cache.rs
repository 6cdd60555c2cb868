//! Manifests that were read or written a moment ago.
//!
//! The bytes behind a digest never change; whether a repository has them is
//! asked of its link each time. Only their disappearance, which is the work of
//! a garbage collection, may be noticed as late as [`FRESH`].

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use registry_spec::types::Digest;

use crate::recent::Recent;

/// How long bytes are served without another look at the store.
const FRESH: Duration = Duration::from_secs(10);
/// How many bytes are kept at most.
const CAPACITY: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct ManifestCache(Mutex<Recent<Digest, (Instant, Bytes)>>);

impl Default for ManifestCache {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(CAPACITY)))
    }
}

impl ManifestCache {
    pub(super) fn get(&self, digest: &Digest) -> Option<Bytes> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, bytes) = entries.get(digest)?;
        (since.elapsed() < FRESH).then_some(bytes)
    }

    pub(super) fn insert(&self, digest: Digest, bytes: &Bytes) {
        // A slice would keep what it is a slice of.
        let bytes = Bytes::copy_from_slice(bytes);
        let len = bytes.len();
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(digest, (Instant::now(), bytes), len);
    }
}

#[cfg(test)]
mod tests {
    use registry_spec::types::Algorithm;

    use super::*;

    #[test]
    fn the_cache_keeps_what_fits() {
        let cache = ManifestCache::default();
        let digest = |n: usize| Digest::of(Algorithm::Sha256, &n.to_be_bytes());
        let bytes = Bytes::from(vec![0; CAPACITY / 8]);
        for n in 0..20 {
            cache.insert(digest(n), &bytes);
            cache.insert(digest(n), &bytes);
            assert!(cache.get(&digest(n)).is_some());
        }
        cache.insert(digest(99), &Bytes::from(vec![0; CAPACITY]));
        assert!(cache.get(&digest(99)).is_none());
    }
}
