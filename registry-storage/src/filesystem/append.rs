//! Appending to an upload session: end-5.
//!
//! ```text
//! body ──pieces──> bounded channel ──> one blocking task: write, then hash
//! (async)          at most 1 MiB       (holds the session's lock)
//! ```
//!
//! So receiving goes on while the last pieces are hashed and written, and what
//! an upload holds in memory is the channel, however long the body is.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, StorageError};
use registry_spec::types::{RepositoryName, UploadId};
use tokio::sync::{mpsc, oneshot};

use super::FileSystem;
use super::error::At;
use super::tree::Tree;

/// The most that is written between two looks at whether anybody still waits.
const PIECE: usize = 64 * 1024;
/// Times [`PIECE`]: 1 MiB in flight.
const PIECES_IN_FLIGHT: usize = 16;

/// Tells the writer that the request has been dropped. Without it, a closed
/// channel would look like the end of the body.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl FileSystem {
    pub(super) async fn append(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        mut body: ByteStream,
    ) -> Result<u64, StorageError> {
        let stop = StopOnDrop(Arc::default());
        let (opened, session_is_open) = oneshot::channel();
        let (pieces, received) = mpsc::channel(PIECES_IN_FLIGHT);
        let permit = Self::turn(&self.appends).await;
        let writer = self.spawn({
            let (name, id, stop) = (name.clone(), id.clone(), Arc::clone(&stop.0));
            move |tree| {
                let _permit = permit;
                let input = Input {
                    opened,
                    received,
                    stop,
                };
                tree.append_upload(&name, &id, at, input)
            }
        });
        // A body is not asked for before it has a place: the client may still
        // wait for `100 Continue`.
        let fed = match session_is_open.await {
            Ok(()) => feed(&mut body, &pieces).await,
            // The writer's result says why not.
            Err(_) => Ok(()),
        };
        drop(pieces);
        let offset = Self::join(writer).await?;
        fed.map_err(|source| StorageError::Body { source })?;
        Ok(offset)
    }
}

/// Fails only as the body does. When the writer fails it stops, since there is
/// nobody left to take the pieces.
async fn feed(body: &mut ByteStream, pieces: &mpsc::Sender<Bytes>) -> Result<(), BoxError> {
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk?;
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(PIECE));
            if pieces.send(piece).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Where the writer's bytes come from.
struct Input {
    opened: oneshot::Sender<()>,
    received: mpsc::Receiver<Bytes>,
    stop: Arc<AtomicBool>,
}

impl Tree {
    fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        mut input: Input,
    ) -> Result<u64, StorageError> {
        let session = self.lock_session(name, id, Some(at))?;
        let mut offset = session.offset;
        if at != offset {
            return Err(StorageError::OutOfOrder { at, offset });
        }
        let mut hasher = session.hasher()?;
        if input.opened.send(()).is_err() {
            return Ok(offset);
        }
        let mut written = Ok(());
        while written.is_ok()
            && let Some(piece) = input.received.blocking_recv()
            && !input.stop.load(Ordering::Relaxed)
        {
            written = session.data.write_all_at(&piece, offset);
            if written.is_ok() {
                hasher.update(&piece);
                offset += piece.len() as u64;
            }
        }
        // After a failed write the state ends before the data does; whoever
        // goes on hashes the difference.
        if offset != session.offset {
            session.save(&hasher, offset);
        }
        written.at("write", &session.data_path())?;
        // Cancelled while we wrote?
        if !session.is_current()? {
            return Err(StorageError::UploadUnknown);
        }
        Ok(offset)
    }
}
