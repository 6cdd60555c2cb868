//! Tokens that were found good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::verifier::Verified;

/// Most tokens that are remembered; each takes about as much memory as its
/// access list.
const MOST_TOKENS: usize = 256;

/// What was found of tokens, by their SHA-256. A pull is dozens of requests
/// with one token, and small boards take a millisecond for a signature.
///
/// Only good tokens are in it, so that nobody without one can fill it.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<[u8; 32], Verified>>);

impl Cache {
    pub(super) fn get(&self, fingerprint: &[u8; 32], now: u64) -> Option<Verified> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(fingerprint).filter(|v| holds(v, now)).cloned()
    }

    pub(super) fn put(&self, fingerprint: [u8; 32], verified: &Verified, now: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_TOKENS {
            known.retain(|_, verified| holds(verified, now));
        }
        // Whose tokens are that many has time to check them again.
        if known.len() >= MOST_TOKENS {
            known.clear();
        }
        known.insert(fingerprint, verified.clone());
    }
}

fn holds(verified: &Verified, now: u64) -> bool {
    i64::try_from(now).is_ok_and(|now| verified.until > now)
}
