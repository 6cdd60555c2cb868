//! Ending an upload session: end-6.
//!
//! | step | after a crash behind it there is |
//! |---|---|
//! | the digest, from the saved hash | the session |
//! | without parts: the tail is put as the blob's content | content without a link, and the session |
//! | with parts: the session is claimed, the tail becomes the last part, the parts become `data` | the session, whose `data` is there |
//! | `data` is copied to the blob's place, by the store | content without a link, and the session |
//! | the `_layers` link | the blob, and a rest of the session |
//! | a look whether a garbage collection has left both, else once more | the same |
//! | the session is removed | the blob |
//!
//! Without a hash that can be used, all bytes are read back once: the tail from
//! memory, else `data`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, Hasher, RepositoryName};
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use super::append::hash;
use super::buffers::Buffer;
use super::error::{At, ObjectError};
use super::objects::Objects;
use super::record::Multipart;
use super::session::Session;
use super::upload::{Keys, Uploads};

/// How often a blob is put where collections remove it before it has its link.
const ATTEMPTS: usize = 8;
/// How long a copy that the store has begun may take, and how often, more and
/// more seldom, to look whether it has ended.
const COPY_TIMEOUT: Duration = Duration::from_secs(60 * 60);
const COPY_LOOK: Duration = Duration::from_millis(50);
const COPY_LOOK_MAX: Duration = Duration::from_secs(5);

impl Uploads {
    /// The work is a task of its own: it is not worth beginning anew when a
    /// request is dropped.
    pub(super) async fn finish_as(
        &self,
        name: RepositoryName,
        keys: Keys,
        digest: Digest,
    ) -> Result<(), StorageError> {
        let uploads = self.clone();
        let work = async move {
            let (mut session, opened) = uploads.take(keys, None).await?;
            let tail = uploads.read_tail(&session, opened).await?;
            let finish = uploads.finish_session(&name, &mut session, tail, digest);
            match finish.await {
                Ok(()) => Ok(()),
                Err(error @ StorageError::DigestMismatch { .. }) => {
                    uploads.remove(&session.keys, Some(&session.header)).await?;
                    Err(error)
                }
                Err(error) => Err(session.abandon(error).await),
            }
        };
        tokio::spawn(work.in_current_span())
            .await
            .map_err(|source| ObjectError::Task { source })?
    }

    async fn finish_session(
        &self,
        name: &RepositoryName,
        session: &mut Session,
        buffer: Buffer,
        digest: Digest,
    ) -> Result<(), StorageError> {
        let (tail, mut permit) = (Bytes::from(buffer.bytes), buffer.permit);
        let known = session.header.hasher().map(Hasher::finish);
        let known = known.filter(|known| known.algorithm() == digest.algorithm());
        if let Some(actual) = known {
            check(actual, digest)?;
        }
        let content = match session.header.multipart.clone() {
            None => {
                if known.is_none() {
                    let hasher = Some(Hasher::new(digest.algorithm()));
                    let hashed = hash(hasher, tail.clone()).await?.1;
                    hashed.map_or(Ok(()), |hasher| check(hasher.finish(), digest))?;
                }
                Some(tail)
            }
            Some(multipart) => {
                session.claim(tail.clone()).await?;
                let completed = self.complete(session, multipart, tail).await?;
                // What follows may take long, and needs no memory.
                drop(permit.take());
                if known.is_none() || matches!(completed, Completed::Before) {
                    let (data, algorithm) = (session.keys.data.clone(), digest.algorithm());
                    let read = self.objects.digest_of(&data, algorithm);
                    check(session.alive(read).await??, digest)?;
                }
                None
            }
        };
        let path = self.objects.layout.blob_data(&digest);
        for _ in 0..ATTEMPTS {
            match &content {
                Some(tail) => self.objects.put(&path, tail.clone()).await?,
                None => self.move_data(session, digest).await?,
            }
            if self.objects.link_blob(name, &digest, &digest).await? {
                self.remove_finished(session).await;
                return Ok(());
            }
        }
        let fault = "is removed all the time";
        Err(ObjectError::inconsistent(&path, fault))
    }

    /// Makes one object of the parts and the tail.
    async fn complete(
        &self,
        session: &mut Session,
        multipart: Multipart,
        tail: Bytes,
    ) -> Result<Completed, StorageError> {
        let (objects, data) = (Arc::clone(&self.objects), session.keys.data.clone());
        let (len, tail_len) = (session.header.offset, tail.len());
        let work = async move {
            match put_together(&objects, &data, multipart, tail).await {
                Ok(last) => Ok(Completed::Now(last)),
                // An earlier attempt may have come to its end without an answer.
                Err(error) => match objects.head(&data).await? {
                    Some(meta) if meta.size == len => Ok(Completed::Before),
                    _ => Err(error),
                },
            }
        };
        let completed = session.alive(work).await??;
        if let Completed::Now(Some(last)) = &completed {
            let hasher = session.header.hasher();
            session.add_part(last.clone(), tail_len, hasher.as_ref());
        }
        Ok(completed)
    }

    /// Has the store copy `data` to where blobs are.
    async fn move_data(&self, session: &mut Session, digest: Digest) -> Result<(), StorageError> {
        let (from, to) = (
            session.keys.data.clone(),
            self.objects.layout.blob_data(&digest),
        );
        let len = session.header.offset;
        let there = self.objects.head(&to).await?;
        if there.is_some_and(|meta| meta.size == len) {
            return Ok(());
        }
        session.alive(self.objects.copy(&from, &to, len)).await?
    }

    /// What is left can be finished or purged: the blob is there.
    async fn remove_finished(&self, session: &Session) {
        let keys = &session.keys;
        let paths = vec![
            keys.session.clone(),
            keys.started_at.clone(),
            keys.data.clone(),
        ];
        if let Err(error) = self.objects.delete(paths).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(key = keys.prefix, error, "left over from an upload session");
        }
    }
}

/// When the parts became one object.
enum Completed {
    /// With what the tail became.
    Now(Option<String>),
    Before,
}

fn check(actual: Digest, digest: Digest) -> Result<(), StorageError> {
    if actual == digest {
        return Ok(());
    }
    Err(StorageError::DigestMismatch { actual })
}

/// Returns the last part, if there was a tail to make it of.
async fn put_together(
    objects: &Objects,
    data: &Path,
    multipart: Multipart,
    tail: Bytes,
) -> Result<Option<String>, StorageError> {
    let store = &objects.bucket.multipart;
    let Multipart { id, mut parts, .. } = multipart;
    let mut last = None;
    if !tail.is_empty() {
        let payload = PutPayload::from_bytes(tail);
        let part = store.put_part(data, &id, parts.len(), payload).await;
        let part = part.at("write a part of", data.as_ref())?.content_id;
        parts.push(part.clone());
        last = Some(part);
    }
    let parts = parts
        .into_iter()
        .map(|content_id| PartId { content_id })
        .collect();
    let completed = store.complete_multipart(data, &id, parts).await;
    completed.at("put together", data.as_ref())?;
    Ok(last)
}

impl Objects {
    async fn copy(&self, from: &Path, to: &Path, len: u64) -> Result<(), StorageError> {
        #[cfg(feature = "aws")]
        if let Some(copier) = &self.bucket.part_copy
            && copier.is_for(len, &self.bucket.attributes)
        {
            let copied = copier.copy(from, to, len, &self.bucket.attributes).await;
            return copied.at("copy", from.as_ref());
        }
        let copied = self.bucket.objects.copy(from, to).await;
        copied.at("copy", from.as_ref())?;
        // Azure may only have begun with it, and must keep the source.
        let deadline = Instant::now() + COPY_TIMEOUT;
        let mut pause = COPY_LOOK;
        while self.head(to).await?.is_none_or(|meta| meta.size != len) {
            if Instant::now() >= deadline {
                return Err(ObjectError::CopyTimeout {
                    key: to.to_string(),
                }
                .into());
            }
            sleep(pause).await;
            pause = (2 * pause).min(COPY_LOOK_MAX);
        }
        Ok(())
    }

    /// The digest of an object's bytes.
    async fn digest_of(&self, path: &Path, algorithm: Algorithm) -> Result<Digest, StorageError> {
        let got = self.bucket.objects.get(path).await;
        let mut stream = got.at("read", path.as_ref())?.into_stream();
        let mut hasher = Some(Hasher::new(algorithm));
        while let Some(chunk) = stream.try_next().await.at("read", path.as_ref())? {
            hasher = hash(hasher, chunk).await?.1;
        }
        Ok(hasher.unwrap_or_else(|| Hasher::new(algorithm)).finish())
    }
}
