//! The buffers that streams read into, again and again: it saves the
//! allocations and, more so, filling each new buffer with zeros.
//!
//! | buffer | for | lent at once |
//! |---|---|---|
//! | [`CHUNK`] | the first [`LONG`] bytes of a stream, and whoever gets no large one | as many as readers hold |
//! | [`LARGE`] | the bytes after them, for a tenth to a fifth less CPU time each | [`LARGE_LENT`] |
//!
//! All streams share them, so that a stream holds none that has no bytes for
//! its reader, and stalled pulls together never hold more than the large ones
//! beside their small ones. None is kept when there is no stream: a registry at
//! rest has only what its readers still hold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// How many bytes are read at a time into a small buffer.
pub(super) const CHUNK: usize = 64 * 1024;

/// How many bytes are read at a time into a large buffer. With half of it a pull
/// takes a twentieth more CPU time.
pub(super) const LARGE: usize = 8 * CHUNK;

/// After how many bytes a pull counts as long; most blobs are shorter.
const LONG: usize = 4 * CHUNK;

/// 16 MiB together.
const LARGE_LENT: usize = 32;

/// How many small ones wait for their next use while streams go on. Of large
/// ones all do: to be given such memory anew costs more than what is read into it.
const SMALL_KEPT: usize = 16;

/// Where each stream finds the buffers of all.
#[derive(Debug)]
pub(super) struct Shared(Arc<Shelves>);

impl Default for Shared {
    fn default() -> Self {
        Self(Arc::new(Shelves {
            small: Shelf::new(CHUNK, usize::MAX, SMALL_KEPT),
            large: Shelf::new(LARGE, LARGE_LENT, LARGE_LENT),
        }))
    }
}

impl Shared {
    pub(super) fn buffers(&self) -> Buffers {
        for shelf in self.0.all() {
            locked(&shelf.stock).streams += 1;
        }
        Buffers {
            shelves: Arc::clone(&self.0),
            lent: 0,
        }
    }
}

#[derive(Debug)]
struct Shelves {
    small: Arc<Shelf>,
    large: Arc<Shelf>,
}

impl Shelves {
    fn all(&self) -> [&Arc<Shelf>; 2] {
        [&self.small, &self.large]
    }
}

/// The buffers of one size.
#[derive(Debug)]
struct Shelf {
    size: usize,
    /// How many are lent at most.
    most: usize,
    /// How many wait for their next use at most.
    keeps: usize,
    stock: Mutex<Stock>,
}

#[derive(Debug, Default)]
struct Stock {
    kept: Vec<Vec<u8>>,
    lent: usize,
    /// How many streams there are that may want one.
    streams: usize,
}

impl Shelf {
    fn new(size: usize, most: usize, keeps: usize) -> Arc<Self> {
        Arc::new(Self {
            size,
            most,
            keeps,
            stock: Mutex::default(),
        })
    }

    fn take(self: &Arc<Self>) -> Option<Buffer> {
        let mut stock = locked(&self.stock);
        if stock.lent == self.most {
            return None;
        }
        stock.lent += 1;
        let kept = stock.kept.pop();
        drop(stock);
        Some(Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; self.size]),
            len: self.size,
            shelf: Some(Arc::clone(self)),
        })
    }
}

/// A buffer on its way. It goes back where it is from when it is dropped, or
/// the last of the [`Bytes`] that were made of it.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// How many of the bytes there are for others.
    len: usize,
    shelf: Option<Arc<Shelf>>,
}

impl Buffer {
    /// The same, of at most `len` bytes.
    pub(super) fn of(mut self, len: usize) -> Self {
        self.len = self.len.min(len);
        self
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(shelf) = &self.shelf {
            let mut stock = locked(&shelf.stock);
            stock.lent -= 1;
            if stock.streams > 0 && stock.kept.len() < shelf.keeps {
                stock.kept.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

/// The buffers of one stream.
pub(super) struct Buffers {
    shelves: Arc<Shelves>,
    /// How many bytes were lent.
    lent: usize,
}

impl Buffers {
    /// For some of the next `left` bytes, and for no more.
    pub(super) fn next(&self, left: usize) -> Wish {
        self.wish(left, self.lent >= LONG)
    }

    /// As `next`, a large one also at the beginning of the stream.
    pub(super) fn next_large(&self, left: usize) -> Wish {
        self.wish(left, true)
    }

    fn wish(&self, left: usize, large: bool) -> Wish {
        Wish {
            left,
            large: (large && left > CHUNK).then(|| Arc::clone(&self.shelves.large)),
            // Most blobs are smaller than what is worth keeping.
            small: (left >= CHUNK || self.lent > 0).then(|| Arc::clone(&self.shelves.small)),
        }
    }

    pub(super) fn lend(&mut self, buffer: Buffer) -> Bytes {
        self.lent = self.lent.saturating_add(buffer.len);
        Bytes::from_owner(buffer)
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        for shelf in self.shelves.all() {
            let mut stock = locked(&shelf.stock);
            stock.streams -= 1;
            if stock.streams == 0 {
                stock.kept = Vec::new();
            }
        }
    }
}

/// What a stream wants to read into next: no buffer yet, since it may have to
/// wait for its turn.
pub(super) struct Wish {
    left: usize,
    large: Option<Arc<Shelf>>,
    small: Option<Arc<Shelf>>,
}

impl Wish {
    /// A large buffer if one is wanted and not all are lent.
    pub(super) fn take(&self) -> Buffer {
        let mut shelves = self.large.iter().chain(&self.small);
        match shelves.find_map(Shelf::take) {
            Some(buffer) => buffer.of(self.left),
            None => Buffer {
                bytes: vec![0; self.left.min(CHUNK)],
                len: self.left.min(CHUNK),
                shelf: None,
            },
        }
    }
}

/// What is changed under these locks is whole at any time.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream lends that has much left to read.
    fn next(buffers: &mut Buffers) -> Bytes {
        let buffer = buffers.next(usize::MAX).take();
        buffers.lend(buffer)
    }

    /// A stream that has lent so much that it counts as long.
    fn long(shared: &Shared) -> Buffers {
        let mut buffers = shared.buffers();
        while buffers.lent < LONG {
            assert_eq!(next(&mut buffers).len(), CHUNK);
        }
        buffers
    }

    #[test]
    fn a_buffer_goes_to_the_next_stream_that_reads() {
        let shared = Shared::default();
        let [mut first, mut second] = [shared.buffers(), shared.buffers()];
        let held = next(&mut first);
        let other = next(&mut second);
        assert_ne!(held.as_ptr(), other.as_ptr(), "both are in use");
        let place = held.as_ptr();
        let end = held.slice(1..);
        drop(held);
        assert_ne!(next(&mut second).as_ptr(), place, "its end is in use");
        drop(end);
        assert_eq!(next(&mut second).as_ptr(), place);
        // Shorter ones fit into it too.
        let short = second.next(10).take();
        assert_eq!(short.as_ref().len(), 10);
        let short = second.lend(short);
        assert_eq!((short.len(), short.as_ptr()), (10, place));
    }

    #[test]
    fn nobody_sees_bytes_change() {
        let shared = Shared::default();
        let mut streams = [shared.buffers(), long(&shared)];
        let held: Vec<Bytes> = (0..20).map(|turn| next(&mut streams[turn % 2])).collect();
        let mut places: Vec<*const u8> = held.iter().map(|bytes| bytes.as_ptr()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), held.len());
    }

    #[test]
    fn a_long_stream_reads_into_large_buffers_until_all_are_lent() {
        let shared = Shared::default();
        let [mut first, mut second] = [long(&shared), long(&shared)];
        let mut held: Vec<Bytes> = (0..LARGE_LENT).map(|_| next(&mut first)).collect();
        assert!(held.iter().all(|bytes| bytes.len() == LARGE));
        assert_eq!(next(&mut second).len(), CHUNK);
        assert_eq!(second.next_large(LARGE).take().as_ref().len(), CHUNK);
        held.pop();
        assert_eq!(next(&mut second).len(), LARGE);
        // Never more than there is to read, and none for what fits into a small one.
        assert_eq!(second.next(CHUNK + 1).take().as_ref().len(), CHUNK + 1);
        let small = second.next(CHUNK).take();
        assert_eq!(small.bytes.len(), CHUNK);
    }

    fn kept(shelf: &Shelf) -> usize {
        locked(&shelf.stock).kept.len()
    }

    #[test]
    fn no_more_are_kept_than_are_soon_read_into() {
        let shared = Shared::default();
        let mut buffers = long(&shared);
        let held: Vec<Bytes> = (0..20).map(|_| next(&mut buffers)).collect();
        drop(held);
        assert_eq!(kept(&shared.0.large), 20);
        let held: Vec<Buffer> = (0..20).map(|_| buffers.next(CHUNK).take()).collect();
        drop(held);
        assert_eq!(kept(&shared.0.small), SMALL_KEPT);
        // A blob that is smaller than any of them takes none.
        let small = shared.buffers().next(100).take();
        assert!(small.shelf.is_none());
    }

    #[test]
    fn none_is_kept_without_a_stream_and_those_of_earlier_streams_count() {
        let shared = Shared::default();
        let mut buffers = long(&shared);
        let mut held: Vec<Bytes> = (0..LARGE_LENT).map(|_| next(&mut buffers)).collect();
        held.pop();
        assert_eq!(kept(&shared.0.large), 1);
        drop(buffers);
        assert_eq!(shared.0.all().map(|shelf| kept(shelf)), [0, 0]);
        let mut buffers = long(&shared);
        let last = next(&mut buffers);
        assert_eq!((last.len(), next(&mut buffers).len()), (LARGE, CHUNK));
        drop(buffers);
        drop((held, last));
        assert_eq!(shared.0.all().map(|shelf| kept(shelf)), [0, 0]);
    }
}
