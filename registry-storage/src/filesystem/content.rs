//! A blob's bytes as a stream.
//!
//! Most pulls find their blob in the page cache. Those bytes are copied out at
//! once, on the async worker, which is cheaper than handing each chunk to
//! another thread; only what would wait for the disk goes to a blocking one.
//!
//! | `preadv2` with `RWF_NOWAIT` says | next |
//! |---|---|
//! | all or some of the chunk | it is passed on |
//! | nothing, it would wait, or any error | the chunk is read on a blocking thread |
//! | not supported here | so is every later chunk |
//!
//! Nothing may mean the end of the file, or, on Linux 5.9 and 5.10, that it
//! would wait. The blocking read tells: at an end of the file before the end
//! of the range the stream fails, never with a clean short end.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use registry_spec::storage::StorageError;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::error::{At, FileError};

/// How many bytes are read at a time. Larger chunks were no faster from the
/// page cache, and each stalled pull holds a few.
const CHUNK: usize = 64 * 1024;

/// How many chunks to remember for reuse; an HTTP server queues about three.
const REMEMBERED: usize = 4;

/// The bytes of a range of an open file. Works on the runtime on which it was
/// made, wherever it is polled.
pub(super) struct Content {
    file: Arc<File>,
    path: PathBuf,
    rest: Range<u64>,
    try_cache: bool,
    buffers: Buffers,
    runtime: Handle,
    waiting: Option<JoinHandle<io::Result<(BytesMut, usize)>>>,
}

impl Content {
    /// `path` is for messages only.
    pub(super) fn new(file: File, path: PathBuf, range: Range<u64>) -> Self {
        Self {
            file: Arc::new(file),
            path,
            rest: range,
            try_cache: cfg!(target_os = "linux"),
            buffers: Buffers::default(),
            runtime: Handle::current(),
            waiting: None,
        }
    }

    fn next_len(&self) -> usize {
        let rest = self.rest.end.saturating_sub(self.rest.start);
        usize::try_from(rest).unwrap_or(usize::MAX).min(CHUNK)
    }

    /// The next bytes, if they can be had without waiting.
    fn read_cached(&mut self, len: usize) -> Option<Bytes> {
        let mut buffer = self.buffers.get(len);
        match read_without_waiting(&self.file, &mut buffer[..len], self.rest.start) {
            Ok(read @ 1..) => return Some(self.buffers.lend(buffer, read)),
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.try_cache = false,
            Err(_) => {}
        }
        self.buffers.lend(buffer, 0);
        None
    }

    fn read_waiting(&mut self, len: usize) -> JoinHandle<io::Result<(BytesMut, usize)>> {
        let file = Arc::clone(&self.file);
        let offset = self.rest.start;
        let mut buffer = self.buffers.get(len);
        self.runtime.spawn_blocking(move || {
            file.read_exact_at(&mut buffer[..len], offset)?;
            Ok((buffer, len))
        })
    }

    fn pass_on(&mut self, read: io::Result<Bytes>) -> Option<Result<Bytes, StorageError>> {
        match &read {
            Ok(chunk) => self.rest.start += chunk.len() as u64,
            // The error is the last item.
            Err(_) => self.rest.end = self.rest.start,
        }
        Some(read.at("read", &self.path))
    }
}

impl Stream for Content {
    type Item = Result<Bytes, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(task) = &mut this.waiting {
                let read = ready!(Pin::new(task).poll(cx));
                this.waiting = None;
                return Poll::Ready(match read {
                    Ok(read) => {
                        let read = read.map(|(buffer, len)| this.buffers.lend(buffer, len));
                        this.pass_on(read)
                    }
                    Err(source) => {
                        this.rest.end = this.rest.start;
                        Some(Err(FileError::Task { source }.into()))
                    }
                });
            }
            let len = this.next_len();
            if len == 0 {
                return Poll::Ready(None);
            }
            if this.try_cache
                && let Some(read) = this.read_cached(len)
            {
                return Poll::Ready(this.pass_on(Ok(read)));
            }
            this.waiting = Some(this.read_waiting(len));
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

/// Chunks whose readers have dropped them are read into again: it saves the
/// allocation and, more so, filling each new buffer with zeros.
#[derive(Default)]
struct Buffers(VecDeque<Bytes>);

impl Buffers {
    /// A buffer of at least `len` bytes.
    fn get(&mut self, len: usize) -> BytesMut {
        let oldest_is_free = self.0.front().is_some_and(Bytes::is_unique);
        if oldest_is_free || self.0.len() >= REMEMBERED {
            let oldest = self.0.pop_front().map(Bytes::try_into_mut);
            if let Some(Ok(buffer)) = oldest
                && buffer.len() >= len
            {
                return buffer;
            }
        }
        BytesMut::zeroed(len)
    }

    /// The first `len` bytes of a buffer; it comes back when they are dropped.
    fn lend(&mut self, buffer: BytesMut, len: usize) -> Bytes {
        let buffer = buffer.freeze();
        let lent = buffer.slice(..len);
        if len == 0 {
            self.0.push_front(buffer);
        } else {
            self.0.push_back(buffer);
        }
        lent
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io::Write as _;

    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn only_a_blocking_read_can_find_the_end_of_the_file() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"hello").expect("written");
        let mut content = Content::new(file, PathBuf::from("data"), 5..10);
        assert!(content.read_cached(5).is_none());
        let error = content.next().await.expect("an item").expect_err("short");
        let io = error
            .source()
            .and_then(std::error::Error::source)
            .and_then(|source| source.downcast_ref::<io::Error>())
            .expect("an I/O error below");
        assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
        assert!(content.next().await.is_none());
    }

    #[test]
    fn buffers_come_back_when_their_readers_are_done() {
        let mut buffers = Buffers::default();
        let mut lend = |len: usize| {
            let buffer = buffers.get(len);
            buffers.lend(buffer, len)
        };
        // A reader that keeps some chunks, as a server's queue does.
        let kept: Vec<Bytes> = (0..3).map(|_| lend(CHUNK)).collect();
        let first = kept[0].as_ptr();
        drop(kept);
        let again = lend(CHUNK);
        assert_eq!(again.as_ptr(), first);
        // Shorter chunks fit into it too.
        drop(again);
        assert_eq!(lend(10).len(), 10);
        // One that keeps everything never sees its bytes change.
        let kept: Vec<Bytes> = (0..20).map(|_| lend(CHUNK)).collect();
        let mut places: Vec<*const u8> = kept.iter().map(|chunk| chunk.as_ptr()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), kept.len());
        assert!(buffers.0.len() <= REMEMBERED);
    }
}
