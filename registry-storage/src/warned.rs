//! What has been complained about, so that a log has each fault once.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// The places of faults that have been told.
#[derive(Debug)]
pub(crate) struct Warned<T>(Mutex<HashSet<T>>);

/// A tree with more faults than this has them logged more than once.
const CAPACITY: usize = 1024;

impl<T> Default for Warned<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Warned<T> {
    /// Whether this is the first fault there.
    pub(crate) fn is_first<Q>(&self, place: &Q) -> bool
    where
        T: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = T> + ?Sized,
    {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.contains(place) {
            return false;
        }
        if places.len() >= CAPACITY {
            places.clear();
        }
        places.insert(place.to_owned())
    }
}
