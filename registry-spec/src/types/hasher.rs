//! Incremental hashing whose state can be put aside and taken up again.

use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256, Sha512};

use super::{Algorithm, Digest};

/// Hashes content as it arrives.
///
/// An upload session may span requests, restarts and replicas, so the state
/// can be [saved](Self::save) and [resumed](Self::resume). This is the only
/// place that names a hash implementation.
///
/// ```
/// use registry_spec::types::{Algorithm, Digest, Hasher};
///
/// let mut first = Hasher::new(Algorithm::Sha256);
/// first.update(b"hello ");
/// let saved = first.save();
///
/// let mut second = Hasher::resume(Algorithm::Sha256, &saved).expect("saved by us");
/// second.update(b"world");
/// assert_eq!(second.finish(), Digest::of(Algorithm::Sha256, b"hello world"));
/// ```
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// The algorithm that this hasher computes.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything taken so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_hash(Algorithm::Sha256, &state.finalize()),
            State::Sha512(state) => Digest::from_hash(Algorithm::Sha512, &state.finalize()),
        }
        .expect("a hash function's output has its algorithm's length")
    }

    /// The state so far, for [`Self::resume`]. Opaque, and readable only by
    /// the same major version of this crate.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        match &self.0 {
            State::Sha256(state) => state.serialize().to_vec(),
            State::Sha512(state) => state.serialize().to_vec(),
        }
    }

    /// Takes up a [saved](Self::save) state; `None` when it is not one of
    /// `algorithm`'s, in which case the caller hashes the content again.
    #[must_use]
    pub fn resume(algorithm: Algorithm, saved: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::deserialize(saved.try_into().ok()?).ok()?),
            Algorithm::Sha512 => State::Sha512(Sha512::deserialize(saved.try_into().ok()?).ok()?),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_hasher_continues_at_any_offset() {
        let content: Vec<u8> = (0..=255).cycle().take(700).collect();
        for algorithm in Algorithm::ALL {
            for cut in [0, 1, 63, 64, 127, 128, 129, 699] {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(&content[..cut]);
                let mut hasher = Hasher::resume(algorithm, &hasher.save()).expect("own state");
                hasher.update(&content[cut..]);
                assert_eq!(hasher.finish(), Digest::of(algorithm, &content));
            }
        }
    }

    #[test]
    fn a_state_that_is_not_ours_is_refused() {
        assert!(Hasher::resume(Algorithm::Sha256, b"").is_none());
        let other = Hasher::new(Algorithm::Sha512).save();
        assert!(Hasher::resume(Algorithm::Sha256, &other).is_none());
        let mut broken = Hasher::new(Algorithm::Sha256).save();
        let block = broken.len() - 64;
        broken[block - 1..].fill(0xff);
        assert!(Hasher::resume(Algorithm::Sha256, &broken).is_none());
    }
}
