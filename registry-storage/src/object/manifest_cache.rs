//! Manifests that were read or written a moment ago.
//!
//! The bytes behind a digest never change; whether a repository has them is
//! asked of its link each time. Only their disappearance, which is the work of
//! a garbage collection, may be noticed as late as [`FRESH`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use registry_spec::types::Digest;

/// How long bytes are served without another look at the store.
const FRESH: Duration = Duration::from_secs(10);
/// How many bytes are kept at most.
const CAPACITY: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct ManifestCache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_digest: HashMap<Digest, (Instant, Bytes)>,
    len: usize,
}

impl ManifestCache {
    pub(super) fn get(&self, digest: &Digest) -> Option<Bytes> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, bytes) = entries.by_digest.get(digest)?;
        (since.elapsed() < FRESH).then(|| bytes.clone())
    }

    pub(super) fn insert(&self, digest: Digest, bytes: &Bytes) {
        if bytes.len() > CAPACITY / 4 {
            return;
        }
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Entries { by_digest, len } = &mut *entries;
        if *len + bytes.len() > CAPACITY {
            by_digest.retain(|_, (since, _)| since.elapsed() < FRESH);
            *len = by_digest.values().map(|(_, bytes)| bytes.len()).sum();
        }
        if *len + bytes.len() > CAPACITY {
            by_digest.clear();
            *len = 0;
        }
        // A slice would keep what it is a slice of.
        let bytes = Bytes::copy_from_slice(bytes);
        *len += bytes.len();
        if let Some((_, old)) = by_digest.insert(digest, (Instant::now(), bytes)) {
            *len -= old.len();
        }
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
            let entries = cache.0.lock().expect("no panic");
            let len: usize = entries.by_digest.values().map(|(_, b)| b.len()).sum();
            assert_eq!(entries.len, len);
            assert!(len <= CAPACITY);
        }
        cache.insert(digest(99), &Bytes::from(vec![0; CAPACITY]));
        assert!(cache.get(&digest(99)).is_none());
    }
}
