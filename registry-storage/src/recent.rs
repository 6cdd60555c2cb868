//! A map that keeps, of what was put into it, what was asked for last.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Two generations, each at most half of what may be kept. What is asked for
/// moves into the young one; when that is full, it becomes the old one, whose
/// rest is forgotten.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// The bytes that the young generation stands for.
    len: usize,
    capacity: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Keeps values of at most `capacity` bytes together.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            len: 0,
            capacity,
        }
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        V: Clone,
    {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, len)) = self.old.remove_entry(key)?;
        self.insert(key, value.clone(), len);
        Some(value)
    }

    /// Changes a value that was got a moment ago, if it is still there.
    #[cfg(unix)]
    pub(crate) fn change<Q: Eq + Hash + ?Sized>(&mut self, key: &Q, change: impl FnOnce(&mut V))
    where
        K: Borrow<Q>,
    {
        if let Some((value, _)) = self.young.get_mut(key) {
            change(value);
        }
    }

    /// A value that occupies `len` bytes. One that would leave little room for
    /// others is not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, len: usize) {
        self.old.remove(&key);
        if let Some((_, len)) = self.young.remove(&key) {
            self.len -= len;
        }
        if len > self.capacity / 4 {
            return;
        }
        if self.len + len > self.capacity / 2 {
            self.old = mem::take(&mut self.young);
            self.len = 0;
        }
        self.young.insert(key, (value, len));
        self.len += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(recent: &Recent<usize, usize>) -> usize {
        let young: usize = recent.young.values().map(|(_, len)| len).sum();
        assert_eq!(recent.len, young);
        young + recent.old.values().map(|(_, len)| len).sum::<usize>()
    }

    #[test]
    fn what_is_kept_stays_within_the_bound() {
        let mut recent = Recent::new(1000);
        for n in 0..100 {
            for len in [n, 250 - n] {
                recent.insert(n, len, len);
                assert_eq!(recent.get(&n), Some(len));
                assert!(kept(&recent) <= 1000);
            }
            recent.get(&(n / 2));
            assert!(kept(&recent) <= 1000);
        }
        recent.insert(7, 7, 251);
        assert_eq!(recent.get(&7), None);
    }

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let mut recent = Recent::new(1000);
        for n in 0..100 {
            recent.insert(n, n, 100);
            assert!(recent.get(&0).is_some());
        }
        assert!(recent.get(&1).is_none());
    }
}
