//! Reading directories without holding them in memory.

use std::collections::BinaryHeap;
use std::fs::{self, DirEntry};
use std::path::Path;

use registry_spec::storage::{Page, StorageError};

use super::error::At;

/// The fewest candidates that one pass over a directory collects, so that a
/// few hidden entries do not cost a pass each.
const MIN_CANDIDATES: usize = 64;
/// Each further pass collects twice as many, up to this: so that many hidden
/// entries cost few passes, and bounded memory.
const MAX_CANDIDATES: usize = 16 * 1024;

/// The entries of a directory, in no order; none when there is no directory.
/// Names that are not UTF-8 are none of ours, and passed over.
pub(super) fn entries(
    dir: &Path,
) -> Result<impl Iterator<Item = Result<(String, DirEntry), StorageError>>, StorageError> {
    let entries = fs::read_dir(dir).if_present("list", dir)?;
    Ok(entries
        .into_iter()
        .flatten()
        .filter_map(move |entry| match entry.at("list", dir) {
            Ok(entry) => {
                let name = entry.file_name().into_string().ok()?;
                Some(Ok((name, entry)))
            }
            Err(error) => Some(Err(error)),
        }))
}

/// Keeps the smallest of the items offered that come after a given one.
#[derive(Debug)]
pub(super) struct Smallest<'a, T> {
    heap: BinaryHeap<T>,
    after: Option<&'a T>,
    count: usize,
}

impl<'a, T: Ord> Smallest<'a, T> {
    pub(super) const fn new(after: Option<&'a T>, count: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            after,
            count,
        }
    }

    pub(super) fn offer(&mut self, item: T) {
        if self.after.is_some_and(|after| item <= *after) {
            return;
        }
        if self.heap.len() < self.count {
            self.heap.push(item);
        } else if let Some(mut largest) = self.heap.peek_mut()
            && item < *largest
        {
            *largest = item;
        }
    }

    /// Ascending.
    pub(super) fn into_sorted(self) -> Vec<T> {
        self.heap.into_sorted_vec()
    }
}

/// A page of those items for which `holds`, which is asked only about
/// candidates. `collect` offers everything there is; it is called again when
/// too many candidates fell through.
pub(super) fn page<T: Ord + Clone>(
    after: Option<&T>,
    limit: usize,
    mut collect: impl FnMut(&mut Smallest<'_, T>) -> Result<(), StorageError>,
    mut holds: impl FnMut(&T) -> Result<bool, StorageError>,
) -> Result<Page<T>, StorageError> {
    let mut items = Vec::new();
    let mut last = after.cloned();
    let mut candidates = MIN_CANDIDATES;
    // One more than fits shows whether there is more.
    while limit > 0 && items.len() <= limit {
        let wanted = (limit - items.len()).saturating_add(1).max(candidates);
        candidates = (candidates * 2).min(MAX_CANDIDATES);
        let mut smallest = Smallest::new(last.as_ref(), wanted);
        collect(&mut smallest)?;
        let smallest = smallest.into_sorted();
        let exhausted = smallest.len() < wanted;
        last = smallest.last().cloned().or(last);
        for candidate in smallest {
            if items.len() > limit {
                break;
            }
            if holds(&candidate)? {
                items.push(candidate);
            }
        }
        if exhausted {
            break;
        }
    }
    Ok(Page::take(items, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of the even numbers among `numbers`.
    fn evens(numbers: &[u32], after: Option<u32>, limit: usize) -> (Vec<u32>, bool) {
        let page = page(
            after.as_ref(),
            limit,
            |smallest| {
                numbers.iter().for_each(|&number| smallest.offer(number));
                Ok(())
            },
            |number| Ok(number % 2 == 0),
        )
        .expect("no errors here");
        (page.items, page.more)
    }

    #[test]
    fn pages_are_ascending_and_end_where_the_items_end() {
        assert_eq!(evens(&[8, 2, 1, 6, 4, 3], None, 3), (vec![2, 4, 6], true));
        assert_eq!(evens(&[8, 2, 1, 6, 4, 3], Some(4), 2), (vec![6, 8], false));
        assert_eq!(evens(&[8, 2], Some(8), 2), (vec![], false));
        assert_eq!(evens(&[8, 2], None, 0), (vec![], false));
        assert_eq!(evens(&[8, 2], None, usize::MAX), (vec![2, 8], false));
    }

    #[test]
    fn a_long_run_of_hidden_items_does_not_end_a_page() {
        let mut numbers: Vec<u32> = (0..1000).map(|number| number * 2 + 1).collect();
        numbers.extend([4000, 4002]);
        assert_eq!(evens(&numbers, None, 1), (vec![4000], true));
        assert_eq!(evens(&numbers, Some(4000), 1), (vec![4002], false));
    }
    #[test]
    fn many_hidden_items_cost_few_passes() {
        let mut passes = 0;
        let page = page(
            None,
            1,
            |smallest| {
                passes += 1;
                (0..10_000).for_each(|number| smallest.offer(number));
                Ok(())
            },
            |number| Ok(*number == 9_999),
        )
        .expect("no errors here");
        assert_eq!((page.items, page.more), (vec![9_999], false));
        assert!(passes <= 8, "{passes}");
    }
}
