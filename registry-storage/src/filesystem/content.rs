//! A blob's bytes as a stream.
//!
//! Most pulls find their blob in the page cache. Those bytes are copied out at
//! once, on the async worker, which is cheaper than handing each chunk to
//! another thread; only what would wait for the disk goes to a blocking one, of
//! which streams have a limited number together: they take turns.
//!
//! | `preadv2` with `RWF_NOWAIT` says | next |
//! |---|---|
//! | all or some of the chunk | it is passed on |
//! | nothing, it would wait, or any error | the chunk is read on a blocking thread |
//! | not supported, and the file is in memory (tmpfs) | every chunk is read at once, without the flag |
//! | not supported elsewhere (overlayfs, NFS, FUSE) | [`AHEAD`] at a time is read on a blocking thread; a chunk, while all large buffers are lent |
//!
//! Each stream finds that out for itself, by two calls: a tree may reach over
//! several file systems, and to ask which one this is would cost as much.
//!
//! Nothing may mean the end of the file, or, on Linux 5.9 and 5.10, that it
//! would wait. The blocking read tells: at an end of the file before the end
//! of the range the stream fails, never with a clean short end.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use registry_spec::storage::StorageError;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::buffers::{Buffer, Buffers, CHUNK, Wish};
use super::error::{At, FileError};
use super::places::{Places, turn};

/// How many bytes are read at a time where each read goes to another thread,
/// which costs more than copying a chunk. They are passed on by chunks.
const AHEAD: usize = 4 * CHUNK;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// At once what is in the page cache, by a blocking thread the rest.
    Cached,
    /// At once: there is no disk below.
    Memory,
    /// By a blocking thread.
    Waiting,
}

/// The bytes of a range of an open file. Works on the runtime on which it was
/// made, wherever it is polled.
pub(super) struct Content {
    file: Arc<File>,
    path: PathBuf,
    /// What has not been read yet.
    rest: Range<u64>,
    way: Way,
    /// What has been read and not been passed on.
    ready: Bytes,
    buffers: Buffers,
    runtime: Handle,
    /// The places on blocking threads.
    reads: Arc<Semaphore>,
    /// The one read that goes on elsewhere.
    waiting: Option<JoinSet<io::Result<Buffer>>>,
}

impl Content {
    /// `path` is for messages only.
    pub(super) fn new(file: File, path: PathBuf, range: Range<u64>, places: &Places) -> Self {
        Self {
            file: Arc::new(file),
            path,
            rest: range,
            way: Way::Cached,
            ready: Bytes::new(),
            buffers: places.buffers.buffers(),
            runtime: Handle::current(),
            reads: Arc::clone(&places.reads),
            waiting: None,
        }
    }

    /// None at the end.
    fn next_wish(&self) -> Option<Wish> {
        let rest = self.rest.end.saturating_sub(self.rest.start);
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        (rest > 0).then(|| match self.way {
            Way::Cached | Way::Memory => self.buffers.next(rest),
            Way::Waiting => self.buffers.next_large(rest.min(AHEAD)),
        })
    }

    /// The next bytes, if they can be had without waiting.
    fn read_now(&mut self, wish: &Wish) -> Option<Bytes> {
        let read: fn(&File, &mut [u8], u64) -> io::Result<usize> = match self.way {
            Way::Cached => read_without_waiting,
            Way::Memory => File::read_at,
            Way::Waiting => return None,
        };
        let mut buffer = wish.take();
        match read(&self.file, buffer.as_mut(), self.rest.start) {
            Ok(read @ 1..) => return Some(self.buffers.lend(buffer.of(read))),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.way = match is_in_memory(&self.file) {
                    true => Way::Memory,
                    false => Way::Waiting,
                };
            }
            Ok(0) | Err(_) => {}
        }
        None
    }

    /// Nobody needs to poll for it to go on: who takes no bytes must not keep
    /// a place from others. It waits no longer for one when it is dropped, and
    /// holds no buffer before it has one.
    fn read_waiting(&self, wish: Wish) -> JoinSet<io::Result<Buffer>> {
        let (file, offset) = (Arc::clone(&self.file), self.rest.start);
        let read = move |permit| {
            let _permit: OwnedSemaphorePermit = permit;
            let mut buffer = wish.take();
            file.read_exact_at(buffer.as_mut(), offset)?;
            Ok(buffer)
        };
        let mut task = JoinSet::new();
        match Arc::clone(&self.reads).try_acquire_owned() {
            Ok(permit) => task.spawn_blocking_on(move || read(permit), &self.runtime),
            Err(_) => {
                let (reads, runtime) = (Arc::clone(&self.reads), self.runtime.clone());
                let in_turn = async move {
                    let permit = turn(&reads).await;
                    let read = runtime.spawn_blocking(move || read(permit)).await;
                    read.unwrap_or_else(|error| Err(io::Error::other(error)))
                };
                task.spawn_on(in_turn, &self.runtime)
            }
        };
        task
    }

    fn pass_on(&mut self, read: io::Result<Bytes>) -> Option<Result<Bytes, StorageError>> {
        match &read {
            Ok(bytes) => self.rest.start += bytes.len() as u64,
            // The error is the last item.
            Err(_) => self.rest.end = self.rest.start,
        }
        let chunk = read.map(|mut bytes| {
            let most = match self.way {
                Way::Cached | Way::Memory => bytes.len(),
                Way::Waiting => CHUNK,
            };
            let chunk = bytes.split_to(bytes.len().min(most));
            self.ready = bytes;
            chunk
        });
        Some(chunk.at("read", &self.path))
    }
}

impl Stream for Content {
    type Item = Result<Bytes, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if !this.ready.is_empty() {
            let len = this.ready.len().min(CHUNK);
            return Poll::Ready(Some(Ok(this.ready.split_to(len))));
        }
        loop {
            if let Some(task) = &mut this.waiting {
                let read = ready!(task.poll_join_next(cx)).expect("one task");
                this.waiting = None;
                return Poll::Ready(match read {
                    Ok(read) => {
                        let read = read.map(|buffer| this.buffers.lend(buffer));
                        this.pass_on(read)
                    }
                    Err(source) => {
                        this.rest.end = this.rest.start;
                        Some(Err(FileError::Task { source }.into()))
                    }
                });
            }
            let Some(wish) = this.next_wish() else {
                return Poll::Ready(None);
            };
            let way = this.way;
            match this.read_now(&wish) {
                Some(read) => return Poll::Ready(this.pass_on(Ok(read))),
                None if this.way != way => {}
                None => this.waiting = Some(this.read_waiting(wish)),
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn read_without_waiting(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut buffers = [io::IoSliceMut::new(buffer)];
    match preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        result => Ok(result?),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_without_waiting(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the file's bytes are nowhere but in memory, or swapped out of it.
#[cfg(target_os = "linux")]
fn is_in_memory(file: &File) -> bool {
    use super::kind::{RAMFS, TMPFS, kind};

    rustix::fs::fstatfs(file).is_ok_and(|found| matches!(kind(&found), TMPFS | RAMFS))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io::Write as _;
    use std::time::Duration;

    use futures_util::{FutureExt as _, StreamExt as _};
    use tokio::time::timeout;

    use super::super::buffers::LARGE;
    use super::*;

    fn content(file: File, range: Range<u64>) -> Content {
        let mut content = Content::new(file, PathBuf::from("data"), range, &Places::new());
        content.reads = Arc::new(Semaphore::new(1));
        content
    }

    #[tokio::test]
    async fn only_a_blocking_read_can_find_the_end_of_the_file() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"hello").expect("written");
        let mut content = content(file, 5..10);
        let wish = content.next_wish().expect("five bytes");
        assert!(content.read_now(&wish).is_none());
        let error = content.next().await.expect("an item").expect_err("short");
        let io = error
            .source()
            .and_then(std::error::Error::source)
            .and_then(|source| source.downcast_ref::<io::Error>())
            .expect("an I/O error below");
        assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
        assert!(content.next().await.is_none());
    }

    #[tokio::test]
    async fn each_way_gives_the_range_in_chunks() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * LARGE + 1).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        for (way, longest) in [
            (Way::Cached, LARGE),
            (Way::Memory, LARGE),
            (Way::Waiting, CHUNK),
        ] {
            let file = file.try_clone().expect("another");
            let range = 1..bytes.len() as u64 - 1;
            let mut content = content(file, range);
            content.way = way;
            let mut read = Vec::new();
            let mut lengths = Vec::new();
            while let Some(chunk) = content.next().await {
                let chunk = chunk.expect("read");
                lengths.push(chunk.len());
                read.extend_from_slice(&chunk);
            }
            assert!(read == bytes[1..bytes.len() - 1], "{way:?}");
            // A file system without `RWF_NOWAIT` makes the first way another.
            if content.way == way {
                assert_eq!(lengths.iter().max(), Some(&longest), "{way:?}");
            }
            assert!(!lengths.contains(&0), "{way:?}");
        }
    }

    #[tokio::test]
    async fn where_each_read_changes_threads_several_chunks_are_read_at_once() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(2 * AHEAD as u64).expect("longer");
        let mut content = content(file, 0..2 * AHEAD as u64);
        content.way = Way::Waiting;
        for ready in [3, 2, 1, 0, 3] {
            content.next().await.expect("a chunk").expect("read");
            assert_eq!(content.ready.len(), ready * CHUNK);
        }
    }

    /// Five bytes that only a blocking thread can read, the one place for that,
    /// and who has it.
    async fn in_the_queue() -> (Content, Arc<Semaphore>, OwnedSemaphorePermit) {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(5).expect("longer");
        let mut content = content(file, 0..5);
        content.way = Way::Waiting;
        let reads = Arc::clone(&content.reads);
        let permit = turn(&reads).await;
        (content, reads, permit)
    }

    #[tokio::test]
    async fn reads_that_wait_for_the_disk_take_turns() {
        let (mut content, reads, permit) = in_the_queue().await;
        let early = timeout(Duration::from_millis(100), content.next()).await;
        assert!(early.is_err(), "{early:?}");
        drop(permit);
        // The read has its turn and gives it back, though nobody asks for its bytes.
        let next = timeout(Duration::from_secs(10), turn(&reads)).await;
        drop(next.expect("in time"));
        let read = content.next().await.expect("an item").expect("read");
        assert_eq!(read.len(), 5);
    }

    #[tokio::test]
    async fn who_is_gone_waits_for_no_turn() {
        let (mut content, reads, permit) = in_the_queue().await;
        assert!(content.next().now_or_never().is_none());
        let file = Arc::downgrade(&content.file);
        drop(content);
        tokio::task::yield_now().await;
        assert!(file.upgrade().is_none(), "still waiting to read it");
        drop(permit);
        assert_eq!(reads.available_permits(), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_in_memory_is_read_at_once() {
        use rustix::fs::{MemfdFlags, memfd_create};

        let file = File::from(memfd_create("data", MemfdFlags::CLOEXEC).expect("a file"));
        assert!(is_in_memory(&file));
        file.set_len(3 * CHUNK as u64).expect("longer");
        let mut content = content(file, 0..3 * CHUNK as u64);
        for _ in 0..3 {
            let chunk = content.next().now_or_never().expect("no waiting");
            assert_eq!(chunk.expect("a chunk").expect("read").len(), CHUNK);
            assert!(content.waiting.is_none());
        }
        assert!(content.next().now_or_never().expect("the end").is_none());
        let generated = File::open("/proc/uptime").expect("a file");
        assert!(!is_in_memory(&generated));
    }
}
