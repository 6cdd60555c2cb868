//! Appending to an upload session: end-5.
//!
//! ```text
//! receive 1 │ receive 2            │ receive 3            │ …
//!           │ hash 1 and send it   │ hash 2 and send it   │ …
//! ```
//!
//! The tail of the session is where the first part begins. What is left at the
//! end is the new tail; a body that fits into it costs one conditional write.
//! A longer one claims the session before its first part is sent, and saves
//! what it has sent every few parts and every few seconds.
//!
//! The work is a task of its own, so that a request that is dropped ends as one
//! whose body fails: what has been received is kept.

use std::sync::Arc;

use bytes::Bytes;
use object_store::PutPayload;
use object_store::multipart::PartId;
use registry_spec::storage::{ByteStream, StorageError};
use registry_spec::types::Hasher;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tracing::Instrument;

use super::buffers::{Buffer, Buffers, Permit};
use super::error::{At, ObjectError};
use super::input::Input;
use super::record::Multipart;
use super::session::Session;
use super::upload::{Keys, Uploads};

/// How many parts may be lost with the process that has sent them.
const UNSAVED_PARTS: usize = 8;
/// As many as S3 and Google take. The last may be short, and is sent at the end.
const MAX_PARTS: usize = 9_999;
/// Less is hashed where it is, more elsewhere.
const HASHED_INLINE: usize = 64 * 1024;

impl Uploads {
    pub(super) async fn append_to(
        &self,
        keys: Keys,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        // Dropped with the request.
        let (_request, gone) = oneshot::channel();
        let uploads = self.clone();
        let work = async move {
            let mut append = Append::begin(uploads, keys, at, Input::new(body, gone)).await?;
            match append.run().await {
                Ok(offset) => Ok(offset),
                Err(error @ StorageError::Body { .. }) => Err(error),
                Err(error) => Err(append.session.abandon(error).await),
            }
        };
        tokio::spawn(work.in_current_span())
            .await
            .map_err(|source| ObjectError::Task { source })?
    }
}

struct Append {
    uploads: Uploads,
    session: Session,
    input: Input,
    /// `None` while it is put aside.
    buffer: Option<Buffer>,
    /// Of everything before what the buffer has not hashed; `None` when it is
    /// unknown, or with the part that is being sent.
    hasher: Option<Hasher>,
    /// At most one part.
    sending: JoinSet<Result<Sent, StorageError>>,
    unsaved_parts: usize,
}

/// A part that the store has.
struct Sent {
    part: PartId,
    len: usize,
    hasher: Option<Hasher>,
    permit: Option<Permit>,
}

impl Append {
    async fn begin(
        uploads: Uploads,
        keys: Keys,
        at: u64,
        input: Input,
    ) -> Result<Self, StorageError> {
        let (mut session, opened) = uploads.take(keys, Some(at)).await?;
        let offset = opened.header.offset;
        if at != offset {
            return Err(StorageError::OutOfOrder { at, offset });
        }
        let buffer = uploads.read_tail(&session, opened).await?;
        let mut hasher = session.header.hasher();
        if hasher.is_none() && session.header.multipart.is_none() {
            // All bytes are here.
            let bytes = Bytes::from(buffer.bytes);
            let (bytes, again) = hash(Some(Hasher::new(session.header.algorithm())), bytes).await?;
            session.header.set_hasher(again.as_ref());
            hasher = again;
            let buffer = Buffer {
                hashed: bytes.len(),
                bytes: bytes.into(),
                permit: buffer.permit,
            };
            return Ok(Self::new(uploads, session, input, buffer, hasher));
        }
        Ok(Self::new(uploads, session, input, buffer, hasher))
    }

    fn new(
        uploads: Uploads,
        session: Session,
        input: Input,
        buffer: Buffer,
        hasher: Option<Hasher>,
    ) -> Self {
        Self {
            uploads,
            session,
            input,
            buffer: Some(buffer),
            hasher,
            sending: JoinSet::new(),
            unsaved_parts: 0,
        }
    }

    async fn run(&mut self) -> Result<u64, StorageError> {
        while self.wait_for_more().await? {
            let len = self.buffered().bytes.len();
            if len >= self.uploads.buffers.part_size {
                self.send_part().await?;
            }
            self.make_room().await?;
            let part_size = self.uploads.buffers.part_size;
            let mut chunk = std::mem::take(&mut self.input.rest);
            self.buffered().fill(&mut chunk, part_size);
            self.input.rest = chunk;
        }
        self.put_down().await?;
        match self.input.failure.take() {
            Some(source) => Err(StorageError::Body { source }),
            None => Ok(self.session.header.offset),
        }
    }

    fn buffered(&mut self) -> &mut Buffer {
        self.buffer.get_or_insert_default()
    }

    /// Waits until there is more of the body; `false` at its end.
    async fn wait_for_more(&mut self) -> Result<bool, StorageError> {
        loop {
            let buffer = self.buffer.get_or_insert_default();
            tokio::select! {
                there = self.input.wait() => return Ok(there),
                () = self.session.beat_due() => self.session.beat().await?,
                () = self.uploads.buffers.wanted(buffer) => {
                    if !self.give_way().await? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Lets the next bytes have memory.
    async fn make_room(&mut self) -> Result<(), StorageError> {
        let part_size = self.uploads.buffers.part_size;
        let more = self.input.rest.len();
        let buffer = self.buffered();
        if buffer.permit.is_some() || Buffers::is_free((buffer.bytes.len() + more).min(part_size)) {
            return Ok(());
        }
        let permit = match self.uploads.buffers.try_acquire() {
            Some(permit) => Some(permit),
            // That of the part that is being sent, or that of somebody else.
            None => match self.settle().await? {
                Some(permit) => Some(permit.renewed()),
                None => self.wait_for_permit().await?,
            },
        };
        if let Some(permit) = permit {
            self.buffered().grow(permit, part_size);
        }
        Ok(())
    }

    /// `None` when the request has been dropped meanwhile.
    async fn wait_for_permit(&mut self) -> Result<Option<Permit>, StorageError> {
        let Self {
            uploads,
            session,
            input,
            ..
        } = self;
        session
            .alive(input.unless_gone(uploads.buffers.acquire()))
            .await
    }

    /// Sends the buffer as a part, while receiving goes on.
    async fn send_part(&mut self) -> Result<(), StorageError> {
        self.settle().await?;
        let Some(buffer) = self.buffer.take() else {
            return Ok(());
        };
        let bytes = Bytes::from(buffer.bytes);
        if !self.session.claimed() {
            self.claim(&bytes).await?;
        }
        let Some(multipart) = &self.session.header.multipart else {
            return Err(ObjectError::broken(
                &self.session.keys.session,
                "has no parts",
            ));
        };
        let (id, index) = (multipart.id.clone(), multipart.parts.len());
        if index >= MAX_PARTS {
            return Err(ObjectError::broken(
                &self.session.keys.session,
                "has as many parts as a store takes: longer parts (`chunksize`) hold more",
            ));
        }
        let path = self.session.keys.data.clone();
        let store = Arc::clone(&self.uploads.objects.bucket.multipart);
        let (hasher, permit) = (self.hasher.take(), buffer.permit);
        self.sending.spawn(async move {
            let unhashed = bytes.slice(buffer.hashed..);
            let payload = PutPayload::from_bytes(bytes.clone());
            let (hashed, put) = tokio::join!(
                hash(hasher, unhashed),
                store.put_part(&path, &id, index, payload)
            );
            Ok(Sent {
                part: put.at("write a part of", path.as_ref())?,
                len: bytes.len(),
                hasher: hashed?.1,
                permit,
            })
        });
        Ok(())
    }

    /// Makes the session ours. The tail that the store has is the beginning of
    /// `bytes`.
    async fn claim(&mut self, bytes: &Bytes) -> Result<(), StorageError> {
        let header = &self.session.header;
        let tail_len = header.offset - header.part_bytes();
        let tail =
            usize::try_from(tail_len).map_or_else(|_| bytes.clone(), |len| bytes.slice(..len));
        if header.multipart.is_some() {
            return self.session.claim(tail).await;
        }
        let id = self
            .uploads
            .create_multipart(&self.session.keys.data)
            .await?;
        self.session.header.multipart = Some(Multipart {
            id: id.clone(),
            parts: Vec::new(),
            bytes: 0,
        });
        let claimed = self.session.claim(tail).await;
        if let Err(StorageError::OutOfOrder { .. } | StorageError::UploadUnknown) = claimed {
            // Nobody knows of it but we.
            self.uploads
                .abort_multipart(&self.session.keys.data, &id)
                .await;
        }
        claimed
    }

    /// Waits for the part that is being sent, and returns its permit.
    async fn settle(&mut self) -> Result<Option<Permit>, StorageError> {
        let Some(sent) = self.session.alive(self.sending.join_next()).await? else {
            return Ok(None);
        };
        let sent = sent.map_err(|source| ObjectError::Task { source })??;
        let part = sent.part.content_id;
        self.session.add_part(part, sent.len, sent.hasher.as_ref());
        self.hasher = sent.hasher;
        self.unsaved_parts += 1;
        if self.unsaved_parts >= UNSAVED_PARTS {
            self.session.beat().await?;
            self.unsaved_parts = 0;
        }
        Ok(sent.permit)
    }

    /// Makes what has been received the session's tail, and lets go of it.
    async fn put_down(&mut self) -> Result<(), StorageError> {
        self.settle().await?;
        let Some(buffer) = self.buffer.take() else {
            return Ok(());
        };
        let bytes = Bytes::from(buffer.bytes);
        let offset = self.session.header.part_bytes() + bytes.len() as u64;
        if offset == self.session.header.offset && !self.session.claimed() {
            return Ok(());
        }
        let (_, hasher) = hash(self.hasher.take(), bytes.slice(buffer.hashed..)).await?;
        self.session.header.offset = offset;
        self.session.header.set_hasher(hasher.as_ref());
        self.hasher = hasher;
        self.session.release(bytes).await
    }

    /// Lets others have the memory, and waits for its turn to have it again;
    /// `false` when the request has been dropped meanwhile.
    async fn give_way(&mut self) -> Result<bool, StorageError> {
        self.put_down().await?;
        let Some(permit) = self.wait_for_permit().await? else {
            return Ok(false);
        };
        let opened = self.uploads.reopen(&self.session).await?;
        let part_size = self.uploads.buffers.part_size;
        let bytes = opened.tail(&self.session.keys.session, part_size).await?;
        self.buffer = Some(Buffer {
            hashed: bytes.len(),
            bytes,
            permit: Some(permit),
        });
        Ok(true)
    }
}

/// Feeds bytes to a hasher that is there, and hands both back.
pub(super) async fn hash(
    hasher: Option<Hasher>,
    bytes: Bytes,
) -> Result<(Bytes, Option<Hasher>), StorageError> {
    let Some(mut hasher) = hasher else {
        return Ok((bytes, None));
    };
    if bytes.len() <= HASHED_INLINE {
        hasher.update(&bytes);
        return Ok((bytes, Some(hasher)));
    }
    let hashing = spawn_blocking(move || {
        hasher.update(&bytes);
        (bytes, Some(hasher))
    });
    Ok(hashing
        .await
        .map_err(|source| ObjectError::Task { source })?)
}
