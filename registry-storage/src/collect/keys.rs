//! Sets of very many digests in little memory.

use registry_spec::types::Digest;

/// The beginning of a hash; of a sha512 it is as unlikely to be another's as
/// of a sha256.
type Key = [u8; 32];

/// The fewest that are collected before they are put in order.
const FEW: usize = 1024;

/// Takes 40 bytes for each digest, however often it is inserted, and at most
/// twice that while it grows.
#[derive(Debug, Default)]
pub(super) struct Keys {
    sorted: Vec<Key>,
    fresh: Vec<Key>,
}

fn key(digest: &Digest) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&digest.hash()[..size_of::<Key>()]);
    key
}

impl Keys {
    pub(super) fn insert(&mut self, digest: &Digest) {
        if self.fresh.len() >= FEW.max(self.sorted.len() / 4) {
            self.settle();
        }
        self.fresh.push(key(digest));
    }

    pub(super) fn contains(&mut self, digest: &Digest) -> bool {
        self.settle();
        self.sorted.binary_search(&key(digest)).is_ok()
    }

    pub(super) fn append(&mut self, other: &mut Self) {
        other.settle();
        for key in other.sorted.drain(..) {
            if self.fresh.len() >= FEW.max(self.sorted.len() / 4) {
                self.settle();
            }
            self.fresh.push(key);
        }
    }

    fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        self.fresh.sort_unstable();
        self.fresh.dedup();
        self.fresh
            .retain(|key| self.sorted.binary_search(key).is_err());
        self.sorted.reserve_exact(self.fresh.len());
        self.sorted.append(&mut self.fresh);
        self.sorted.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use registry_spec::types::Algorithm;

    use super::*;

    #[test]
    fn what_was_inserted_is_contained_once() {
        let digest = |n: u32| {
            let algorithm = Algorithm::ALL[n as usize % 2];
            Digest::of(algorithm, &n.to_le_bytes())
        };
        let (mut keys, mut others) = (Keys::default(), Keys::default());
        for n in (0..5000).chain(0..5000) {
            keys.insert(&digest(n));
            others.insert(&digest(n + 2500));
        }
        keys.append(&mut others);
        assert!((0..7500).all(|n| keys.contains(&digest(n))));
        assert!(!keys.contains(&digest(7500)));
        assert_eq!(keys.sorted.len(), 7500);
    }
}
