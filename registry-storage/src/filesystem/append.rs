//! Appending to an upload session: end-5.
//!
//! ```text
//! async:     receive 1 │ receive 2          │ receive 3          │ …
//! blocking:            │ write and hash 1   │ write and hash 2   │ …
//! ```
//!
//! What has arrived, at most [`BATCH`], is moved together with the session to a
//! blocking task, which hands the session back; meanwhile the next batch is
//! received. So a client that is silent occupies neither a thread nor a place,
//! and an upload holds two batches in memory, however long its body is.
//!
//! | the request is dropped while | then |
//! |---|---|
//! | a batch is being written | the task finishes the batch, saves the hash, lets go of the session |
//! | the client is silent | a task is started that saves the hash and lets go |
//!
//! When the disk is full, or would be, the session is removed.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, StorageError};
use registry_spec::types::{Hasher, RepositoryName, UploadId};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::FileSystem;
use super::error::At;
use super::places::turn;
use super::space::Use;
use super::upload::{Session, remove_session};

/// The most that is written at once. Two of these are in memory, and beside
/// them the chunk that did not fit, which a server makes less than 512 KiB. With
/// half of it an upload changes threads twice as often; twice as much gains
/// little beside the memory that it takes.
const BATCH: usize = 1024 * 1024;
/// The most chunks in a batch, since tiny ones take more memory than they hold,
/// and Linux takes no more in one call.
const CHUNKS: usize = 1024;
/// How long a batch that is not full waits for more. Handing each small chunk
/// to another thread and back costs more than hashing it. Receiving goes on, and
/// the end of a body is not waited for, so that this delays no client.
const LINGER: Duration = Duration::from_millis(10);

impl FileSystem {
    pub(super) async fn append(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        let request = Arc::new(());
        let announced = body.announced_length().unwrap_or_default();
        let mut writer = self.open_writer(name, id, at, announced, &request).await?;
        // A body is not asked for before it has a place: the client may still
        // wait for `100 Continue`.
        let mut input = Input::new(body);
        let mut batch = Batch::default();
        input.fill(&mut batch, 1).await;
        while batch.len > 0 {
            (writer, batch) = input.receive_during(self.write(writer, batch)).await?;
        }
        let offset = self.close(writer).await?;
        match input.failure {
            Some(source) => Err(StorageError::Body { source }),
            None => Ok(offset),
        }
    }

    async fn open_writer(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        announced: u64,
        request: &Arc<()>,
    ) -> Result<Writer, StorageError> {
        let (request, runtime) = (Arc::downgrade(request), Handle::current());
        self.with_session(
            &self.places.appends,
            name,
            id,
            Some(at),
            move |tree, session| {
                let offset = session.offset;
                if at != offset {
                    return Err(StorageError::OutOfOrder { at, offset });
                }
                // The end of an upload may come with an empty body, on a disk
                // that has no room any more.
                if announced > 0
                    && let Err(full) = tree.space.check(announced, Use::Blob)
                {
                    remove_session(&session.dir);
                    return Err(full);
                }
                let hasher = session.hasher()?;
                Ok(Writer {
                    state: Some(State {
                        session,
                        hasher,
                        saved: offset,
                    }),
                    request: Weak::clone(&request),
                    runtime: runtime.clone(),
                })
            },
        )
        .await
    }

    async fn write(&self, mut writer: Writer, batch: Batch) -> Result<Writer, StorageError> {
        let permit = turn(&self.places.appends).await;
        self.blocking(move |tree| {
            let _permit = permit;
            let room = tree.space.take(batch.len as u64, Use::Blob);
            let written = room.and_then(|_taken| writer.state().write(&batch));
            match &written {
                // What there is of it would keep everybody else out, until it
                // is purged some day.
                Err(StorageError::Full { .. }) => writer.give_up(),
                Ok(()) if writer.request.strong_count() > 0 => {}
                _ => writer.state().save(),
            }
            written.map(|()| writer)
        })
        .await
    }

    async fn close(&self, mut writer: Writer) -> Result<u64, StorageError> {
        let permit = turn(&self.places.appends).await;
        self.blocking(move |_| {
            let _permit = permit;
            let state = writer.state();
            state.save();
            // Cancelled while we wrote?
            state.check_is_current()?;
            Ok(state.session.offset)
        })
        .await
    }
}

/// A session on its way between the request and its tasks.
struct Writer {
    /// Taken only when this is dropped or given up.
    state: Option<State>,
    /// Gone when the request has been dropped.
    request: Weak<()>,
    runtime: Handle,
}

impl Writer {
    fn state(&mut self) -> &mut State {
        self.state.as_mut().expect("neither dropped nor given up")
    }

    /// Removes the session; nothing can be done with it any more.
    fn give_up(&mut self) {
        if let Some(state) = self.state.take() {
            remove_session(&state.session.dir);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(mut state) = self.state.take()
            && state.saved != state.session.offset
        {
            // Perhaps on an async thread, where saving must not block.
            self.runtime.spawn_blocking(move || state.save());
        }
    }
}

struct State {
    session: Session,
    /// The hash of all that is stored.
    hasher: Hasher,
    /// The offset of the hash that was last put aside.
    saved: u64,
}

impl State {
    fn write(&mut self, batch: &Batch) -> Result<(), StorageError> {
        self.check_is_current()?;
        let Session { data, offset, .. } = &self.session;
        // After a failed write the hash ends before the data does; whoever
        // goes on hashes the difference.
        write_all_at(*offset, &batch.chunks, |slices, at| {
            Ok(rustix::io::pwritev(data, slices, at)?)
        })
        .at("write", &self.session.data_path())?;
        for chunk in &batch.chunks {
            self.hasher.update(chunk);
        }
        self.session.offset += batch.len as u64;
        Ok(())
    }

    fn check_is_current(&self) -> Result<(), StorageError> {
        match self.session.is_current()? {
            true => Ok(()),
            false => Err(StorageError::UploadUnknown),
        }
    }

    fn save(&mut self) {
        if self.saved != self.session.offset {
            self.session.save(&self.hasher);
            self.saved = self.session.offset;
        }
    }
}

/// Writes chunks one after the other, with as few calls as the kernel takes:
/// each has its price, and one that ends within a page looks for that page again.
fn write_all_at(
    mut offset: u64,
    chunks: &[Bytes],
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match write(rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Some of the body.
#[derive(Default)]
struct Batch {
    chunks: Vec<Bytes>,
    len: usize,
}

struct Input {
    body: ByteStream,
    ended: bool,
    failure: Option<BoxError>,
    /// What did not fit into the last batch.
    rest: Bytes,
}

impl Input {
    fn new(body: ByteStream) -> Self {
        Self {
            body,
            ended: false,
            failure: None,
            rest: Bytes::new(),
        }
    }

    /// Receives while `work` goes on and a little longer, and then until there
    /// is something; the batch is empty at the end of the body. When the work fails, what has
    /// been received is of no use.
    async fn receive_during<T>(
        &mut self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<(T, Batch), StorageError> {
        let mut batch = Batch::default();
        let work = pin!(work);
        let done = match select(work, pin!(self.fill(&mut batch, BATCH))).await {
            Either::Left((done, _)) => done?,
            Either::Right(((), work)) => work.await?,
        };
        let _ = timeout(LINGER, self.fill(&mut batch, BATCH)).await;
        self.fill(&mut batch, 1).await;
        Ok((done, batch))
    }

    /// Receives until the batch holds `enough` bytes or has no room, or until
    /// the body ends or fails. May be dropped at any time without a loss.
    async fn fill(&mut self, batch: &mut Batch, enough: usize) {
        while batch.len < enough && batch.chunks.len() < CHUNKS {
            while self.rest.is_empty() {
                if self.ended {
                    return;
                }
                match self.body.next().await {
                    Some(Ok(chunk)) => self.rest = chunk,
                    Some(Err(error)) => {
                        self.ended = true;
                        self.failure = Some(error);
                    }
                    None => self.ended = true,
                }
            }
            let room = BATCH - batch.len;
            let chunk = self.rest.split_to(self.rest.len().min(room));
            batch.len += chunk.len();
            batch.chunks.push(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt as _, future, stream};

    use super::*;

    /// An endless body of chunks of `len` bytes, and how many were taken.
    fn endless(len: usize) -> (Input, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let body = stream::repeat_with(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, BoxError>(Bytes::from(vec![0; len]))
        });
        (Input::new(ByteStream::new(body)), taken)
    }

    /// A file that takes at most `most` at once and `room` in all, and that is
    /// interrupted before each call.
    fn write_all(chunks: &[Bytes], most: usize, room: usize) -> (io::Result<()>, Vec<u8>) {
        const START: u64 = 7;
        let (mut file, mut interrupt) = (Vec::new(), false);
        let result = write_all_at(START, chunks, |slices, at| {
            interrupt = !interrupt;
            if interrupt {
                return Err(io::ErrorKind::Interrupted.into());
            }
            assert_eq!(at, START + file.len() as u64);
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let written = bytes.len().min(most).min(room - file.len());
            file.extend_from_slice(&bytes[..written]);
            match written {
                0 if file.len() == room => Err(io::ErrorKind::StorageFull.into()),
                written => Ok(written),
            }
        });
        (result, file)
    }

    #[test]
    fn what_a_write_leaves_is_written_by_the_next() {
        let chunks = ["hello", "", " ", "world"].map(Bytes::from);
        for most in 1..=12 {
            let (result, file) = write_all(&chunks, most, 100);
            result.expect("written");
            assert_eq!(file, b"hello world", "{most}");
            for room in 0..11 {
                let (result, file) = write_all(&chunks, most, room);
                let error = result.expect_err("no room");
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                assert_eq!(file, &b"hello world"[..room]);
            }
        }
        let (result, _) = write_all(&chunks, 0, 1);
        assert_eq!(
            result.expect_err("no progress").kind(),
            io::ErrorKind::WriteZero
        );
        write_all(&[], 1, 0).0.expect("nothing to write");
    }

    #[test]
    fn no_more_is_received_than_a_batch_while_another_is_written() {
        for (len, most) in [(100_000, 11), (BATCH, 1), (10 * BATCH, 1), (1, CHUNKS)] {
            let (mut input, taken) = endless(len);
            let work = future::pending::<Result<(), StorageError>>();
            assert!(input.receive_during(work).now_or_never().is_none());
            assert_eq!(taken.load(Ordering::Relaxed), most, "{len}");
        }
    }

    #[tokio::test]
    async fn batches_are_the_body_in_order() {
        let bytes: Bytes = (0..=250).cycle().take(3 * BATCH + 1).collect();
        for len in [70_000, 2 * BATCH, bytes.len()] {
            let chunks: Vec<_> = bytes.chunks(len).map(Bytes::copy_from_slice).collect();
            let body = stream::iter(chunks.into_iter().map(Ok::<_, BoxError>));
            let mut input = Input::new(ByteStream::new(body));
            let mut received = Vec::new();
            loop {
                let work = future::ready(Ok(()));
                let ((), batch) = input.receive_during(work).await.expect("no error here");
                if batch.len == 0 {
                    break;
                }
                assert!(batch.len <= BATCH);
                received.extend(batch.chunks);
            }
            assert!(received.concat() == bytes);
        }
    }
}
