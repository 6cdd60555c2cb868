//! Upload sessions: end-4, end-13, end-14, and what all acts on them share.
//!
//! | object in `_uploads/<id>/` | holds |
//! |---|---|
//! | `session` | all that is known, and the bytes that are in no part; see [`record`](super::record) |
//! | `startedat` | when it began, by which Distribution purges |
//! | `data` | nothing before the end; the parts are of its multipart upload |
//!
//! | two at once in | are kept apart by |
//! |---|---|
//! | one process | a set of the sessions that are at work: the second waits a little, and is out of order |
//! | several processes | conditional writes of `session`, and while there are parts to send, a claim in it, which ends with its writer's beats |
//!
//! A session of Distribution's has no `session`, and is unknown.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::PutMultipartOptions;
use object_store::path::Path;
use registry_spec::storage::{ByteStream, StorageError};
use registry_spec::types::{Algorithm, Digest, RepositoryName, UploadId};

use super::buffers::{Buffer, Buffers};
use super::busy::Busy;
use super::error::At;
use super::objects::{Condition, Objects};
use super::record::{Header, Opened};
use super::session::Session;
use crate::PurgedUploads;

/// Cheap to clone, for the tasks that do the work.
#[derive(Clone, Debug)]
pub(super) struct Uploads {
    pub(super) objects: Arc<Objects>,
    pub(super) buffers: Arc<Buffers>,
    pub(super) busy: Arc<Busy>,
    /// Names this process in the claims of sessions.
    pub(super) us: Arc<str>,
}

/// Where a session is.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) session: Path,
    pub(super) started_at: Path,
    pub(super) data: Path,
    /// All of it.
    pub(super) prefix: String,
}

impl Uploads {
    pub(super) fn new(objects: Arc<Objects>, part_size: usize, memory: usize) -> Self {
        Self {
            objects,
            buffers: Arc::new(Buffers::new(part_size, memory)),
            busy: Arc::default(),
            us: UploadId::random().as_str().into(),
        }
    }

    pub(super) fn keys(&self, name: &RepositoryName, id: &UploadId) -> Keys {
        let layout = &self.objects.layout;
        Keys {
            session: layout.upload_session(name, id),
            started_at: layout.upload_started_at(name, id),
            data: layout.upload_data(name, id),
            prefix: layout.upload(name, id.as_str()),
        }
    }

    pub(super) async fn start(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        let id = UploadId::random();
        let keys = self.keys(name, &id);
        let started_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let session = Header::new(algorithm).stamped(bytes::Bytes::new());
        let (started, begun) = tokio::join!(
            self.objects.put(&keys.started_at, started_at.into()),
            self.objects
                .put_if(&keys.session, session, &Condition::Absent),
        );
        started?;
        // The id is ours alone: what is there comes from an attempt whose
        // answer was lost.
        begun?;
        Ok(id)
    }

    pub(super) async fn append(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        self.append_to(self.keys(name, id), at, body).await
    }

    pub(super) async fn finish(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.finish_as(name.clone(), self.keys(name, id), *digest)
            .await
    }

    pub(super) async fn offset(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<u64, StorageError> {
        Ok(self.header(&self.keys(name, id)).await?.offset)
    }

    /// Does not wait for a writer: its next save finds the session gone.
    pub(super) async fn cancel(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        let keys = self.keys(name, id);
        let header = self.header(&keys).await?;
        self.remove(&keys, Some(&header)).await
    }

    async fn header(&self, keys: &Keys) -> Result<Header, StorageError> {
        let header = self.objects.read_header(&keys.session).await?;
        header.ok_or(StorageError::UploadUnknown)
    }

    pub(super) async fn purge(
        &self,
        older_than: Duration,
        dry_run: bool,
    ) -> Result<PurgedUploads, StorageError> {
        self.purge_all(SystemTime::now(), older_than, dry_run).await
    }

    /// Removes a session with all that it has, itself first, so that nobody
    /// goes on with it.
    pub(super) async fn remove(
        &self,
        keys: &Keys,
        header: Option<&Header>,
    ) -> Result<(), StorageError> {
        self.objects.delete(vec![keys.session.clone()]).await?;
        if let Some(multipart) = header.and_then(|header| header.multipart.as_ref()) {
            self.abort_multipart(&keys.data, &multipart.id).await;
        }
        self.objects.delete_all(&keys.prefix).await
    }

    pub(super) async fn create_multipart(&self, data: &Path) -> Result<String, StorageError> {
        let (store, attributes) = (
            &self.objects.bucket.multipart,
            &self.objects.bucket.attributes,
        );
        let created = if attributes.is_empty() {
            store.create_multipart(data).await
        } else {
            let options = PutMultipartOptions::from(attributes.clone());
            store.create_multipart_opts(data, options).await
        };
        created.at("begin to write", data.as_ref())
    }

    /// As good as it goes: the store's own rules remove what is left.
    pub(super) async fn abort_multipart(&self, data: &Path, id: &String) {
        match self
            .objects
            .bucket
            .multipart
            .abort_multipart(data, id)
            .await
        {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(key = %data, %error, "parts of an upload are left over"),
        }
    }

    /// The tail of a session, with a permit if it is long.
    pub(super) async fn read_tail(
        &self,
        session: &Session,
        opened: Opened,
    ) -> Result<Buffer, StorageError> {
        let key = &session.keys.session;
        if Buffers::is_free(opened.tail_len()) {
            let bytes = opened.tail(key, 0).await?;
            return Ok(Buffer {
                hashed: bytes.len(),
                bytes,
                permit: None,
            });
        }
        let (opened, permit) = match self.buffers.try_acquire() {
            Some(permit) => (opened, permit),
            None => {
                // The store would not wait so long with its answer.
                drop(opened);
                let permit = self.buffers.acquire().await;
                (self.reopen(session).await?, permit)
            }
        };
        let bytes = opened.tail(key, self.buffers.part_size).await?;
        Ok(Buffer {
            hashed: bytes.len(),
            bytes,
            permit: Some(permit),
        })
    }

    /// Opens a session again that nobody should have changed.
    pub(super) async fn reopen(&self, session: &Session) -> Result<Opened, StorageError> {
        let opened = self.open(&session.keys).await?;
        if opened.header.stamp != session.header.stamp {
            return Err(StorageError::OutOfOrder {
                at: session.header.offset,
                offset: opened.header.offset,
            });
        }
        Ok(opened)
    }
}
