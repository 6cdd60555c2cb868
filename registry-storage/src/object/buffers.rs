//! The memory that parts of uploads are received into.
//!
//! Short bodies are free; a longer one takes a permit for a whole part before
//! it goes on, and waits while there is none. So that a client that sends
//! little cannot keep others waiting, who has had a permit for long is asked
//! to give it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

/// What may be received without a permit.
const FREE: usize = 128 * 1024;
/// How long a permit may be kept while others wait.
const TURN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) part_size: usize,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Leave to hold a part in memory.
#[derive(Debug)]
pub(super) struct Permit {
    permit: OwnedSemaphorePermit,
    since: Instant,
}

/// What has been received of a part.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    /// How many of the bytes have been hashed.
    pub(super) hashed: usize,
    pub(super) permit: Option<Permit>,
}

impl Buffers {
    pub(super) fn new(part_size: usize, memory: usize) -> Self {
        let part_size = part_size.max(1);
        let permits = (memory / part_size).clamp(2, Semaphore::MAX_PERMITS);
        Self {
            part_size,
            permits: Arc::new(Semaphore::new(permits)),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(super) async fn acquire(&self) -> Permit {
        let _waiting = Waiting::new(&self.waiting);
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        Permit::new(permit.expect("the semaphore is never closed"))
    }

    pub(super) fn try_acquire(&self) -> Option<Permit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.ok().map(Permit::new)
    }

    /// Whether that many bytes may be held without a permit.
    pub(super) const fn is_free(len: usize) -> bool {
        len <= FREE
    }

    /// Ends when others have waited long enough for the buffer's permit.
    pub(super) async fn wanted(&self, buffer: &Buffer) {
        let Some(permit) = &buffer.permit else {
            return std::future::pending().await;
        };
        sleep_until(permit.since + TURN).await;
        while self.waiting.load(Ordering::Relaxed) == 0 {
            sleep(LOOK).await;
        }
    }
}

impl Permit {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit,
            since: Instant::now(),
        }
    }

    /// For another part.
    pub(super) fn renewed(self) -> Self {
        Self::new(self.permit)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Buffer {
    /// Takes from `chunk` until `part_size` bytes are there.
    pub(super) fn fill(&mut self, chunk: &mut Bytes, part_size: usize) {
        let room = part_size.saturating_sub(self.bytes.len());
        let taken = chunk.split_to(chunk.len().min(room));
        self.bytes.extend_from_slice(&taken);
    }

    /// Makes it one that holds a part.
    pub(super) fn grow(&mut self, permit: Permit, part_size: usize) {
        self.permit = Some(permit);
        self.bytes
            .reserve_exact(part_size.saturating_sub(self.bytes.len()));
    }
}
