//! The buffers that a stream reads into, again and again: it saves the
//! allocations and, more so, filling each new buffer with zeros.
//!
//! | buffer | of a stream | why |
//! |---|---|---|
//! | [`CHUNK`] | [`REMEMBERED`], or more while readers keep them | a stalled pull holds a few |
//! | [`LARGE`] | one, after [`LONG`] bytes, and for as many streams at once as there are places | a tenth to a fifth less CPU time for each byte |
//!
//! A stream that finds its large buffer in use or all places taken goes on with
//! small ones: stalled pulls together never hold more than the large buffers of
//! all places beside their small ones.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes are read at a time into a small buffer.
pub(super) const CHUNK: usize = 64 * 1024;

/// How many bytes are read at a time into a large buffer.
pub(super) const LARGE: usize = 8 * CHUNK;

/// After how many bytes a pull counts as long; most blobs are shorter.
const LONG: usize = 4 * CHUNK;

/// How many small buffers to remember for reuse; an HTTP server queues about
/// three chunks.
const REMEMBERED: usize = 4;

/// The buffers of one stream.
pub(super) struct Buffers {
    small: VecDeque<Bytes>,
    large: Option<Large>,
    large_places: Arc<Semaphore>,
    /// How many bytes were lent, until they are [`LONG`].
    lent: usize,
}

/// A place for a large buffer.
struct Large {
    /// Empty before the first use, and while it is read into.
    buffer: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Buffers {
    pub(super) const fn new(large_places: Arc<Semaphore>) -> Self {
        Self {
            small: VecDeque::new(),
            large: None,
            large_places,
            lent: 0,
        }
    }

    /// How many bytes to read next where so many are left.
    pub(super) fn next_len(&mut self, left: usize) -> usize {
        if self.large.is_none() && self.lent >= LONG && left >= LARGE {
            let place = Arc::clone(&self.large_places).try_acquire_owned();
            self.large = place.ok().map(|place| Large {
                buffer: Bytes::new(),
                _place: place,
            });
        }
        let large_is_free = self
            .large
            .as_ref()
            .is_some_and(|large| large.buffer.is_empty() || large.buffer.is_unique());
        left.min(if large_is_free { LARGE } else { CHUNK })
    }

    /// A buffer of at least `len` bytes.
    pub(super) fn get(&mut self, len: usize) -> BytesMut {
        if len > CHUNK
            && let Some(large) = &mut self.large
        {
            let buffer = mem::take(&mut large.buffer).try_into_mut();
            return match buffer {
                Ok(buffer) if buffer.len() == LARGE => buffer,
                _ => BytesMut::zeroed(LARGE),
            };
        }
        let oldest_is_free = self.small.front().is_some_and(Bytes::is_unique);
        if oldest_is_free || self.small.len() >= REMEMBERED {
            let oldest = self.small.pop_front().map(Bytes::try_into_mut);
            if let Some(Ok(buffer)) = oldest
                && buffer.len() >= len
            {
                return buffer;
            }
        }
        BytesMut::zeroed(len)
    }

    /// The first `len` bytes of a buffer; it comes back when they are dropped.
    pub(super) fn lend(&mut self, buffer: BytesMut, len: usize) -> Bytes {
        self.lent = self.lent.saturating_add(len);
        let buffer = buffer.freeze();
        let lent = buffer.slice(..len);
        match &mut self.large {
            Some(large) if buffer.len() == LARGE => large.buffer = buffer,
            _ if len == 0 => self.small.push_front(buffer),
            _ => self.small.push_back(buffer),
        }
        lent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers(large_places: &Arc<Semaphore>) -> Buffers {
        Buffers::new(Arc::clone(large_places))
    }

    /// What a stream lends that has much left to read.
    fn next(buffers: &mut Buffers) -> Bytes {
        let len = buffers.next_len(usize::MAX);
        let buffer = buffers.get(len);
        buffers.lend(buffer, len)
    }

    #[test]
    fn buffers_come_back_when_their_readers_are_done() {
        let mut buffers = buffers(&Arc::new(Semaphore::new(0)));
        // A reader that keeps some chunks, as a server's queue does.
        let kept: Vec<Bytes> = (0..3).map(|_| next(&mut buffers)).collect();
        let first = kept[0].as_ptr();
        drop(kept);
        let again = next(&mut buffers);
        assert_eq!(again.as_ptr(), first);
        // Shorter chunks fit into it too.
        drop(again);
        let buffer = buffers.get(10);
        assert!(buffer.len() > 10);
        assert_eq!(buffers.lend(buffer, 10).len(), 10);
        // One that keeps everything never sees its bytes change.
        let kept: Vec<Bytes> = (0..20).map(|_| next(&mut buffers)).collect();
        let mut places: Vec<*const u8> = kept.iter().map(|chunk| chunk.as_ptr()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), kept.len());
        assert!(kept.iter().all(|chunk| chunk.len() == CHUNK));
        assert!(buffers.small.len() <= REMEMBERED);
    }

    #[test]
    fn a_long_pull_has_one_large_buffer() {
        let places = Arc::new(Semaphore::new(1));
        let mut long = buffers(&places);
        for _ in 0..LONG / CHUNK {
            assert_eq!(next(&mut long).len(), CHUNK);
        }
        // It takes no place for less than would fill it.
        assert_eq!(long.next_len(LARGE - 1), CHUNK);
        assert_eq!(places.available_permits(), 1);
        let large = next(&mut long);
        assert_eq!((large.len(), places.available_permits()), (LARGE, 0));
        let place = large.as_ptr();
        // A client that takes nothing holds small ones beside it.
        let small = [next(&mut long), next(&mut long)];
        assert!(small.iter().all(|chunk| chunk.len() == CHUNK));
        drop(large);
        let large = next(&mut long);
        assert_eq!((large.len(), large.as_ptr()), (LARGE, place));
        drop(large);
        // The last bytes fit into it too.
        assert_eq!(long.next_len(CHUNK + 1), CHUNK + 1);
        let buffer = long.get(CHUNK + 1);
        assert_eq!(buffer.as_ptr(), place);
        // Nothing could be read into it.
        assert!(long.lend(buffer, 0).is_empty());
        assert_eq!(next(&mut long).as_ptr(), place);
        drop(long);
        assert_eq!(places.available_permits(), 1);
    }

    #[test]
    fn who_finds_no_place_goes_on_with_small_buffers_until_there_is_one() {
        let places = Arc::new(Semaphore::new(1));
        let [mut first, mut second] = [buffers(&places), buffers(&places)];
        for _ in 0..LONG / CHUNK {
            next(&mut first);
            next(&mut second);
        }
        assert_eq!(next(&mut first).len(), LARGE);
        assert_eq!(next(&mut second).len(), CHUNK);
        drop(first);
        assert_eq!(next(&mut second).len(), LARGE);
    }
}
