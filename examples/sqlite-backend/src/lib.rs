//! A storage backend of one's own: metadata in SQLite, blobs in files.
//!
//! ```text
//! registry.db              repositories, manifests, tags, who has which blob, sessions
//! blobs/<algorithm>/<hex>  the bytes of a blob, once for all repositories
//! uploads/<id>             the bytes of a session
//! ```
//!
//! | file | what it is about |
//! |---|---|
//! | `lib.rs` | the trait [`Storage`], each method a blocking task |
//! | `schema.sql`, `database.rs` | tables; transactions that write, connections that read |
//! | `store.rs` | paths, and what a crash may leave |
//! | `blob.rs`, `upload.rs`, `manifest.rs`, `list.rs` | the acts themselves |
//!
//! What was acknowledged survives a power cut: files are synced before the row
//! that makes them visible is committed, and commits are synced. Several
//! processes may share one directory of a local file system. Of an append that
//! is interrupted, up to 16 MiB are lost. A deleted blob's file goes with the
//! last repository that had it.

mod blob;
mod database;
mod error;
mod list;
mod manifest;
mod store;
mod upload;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use registry_spec::storage::{
    Blob, ByteStream, Page, PutManifest, Storage, StorageError, StoredManifest,
};
use registry_spec::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use error::Error;
use store::Store;
use upload::Session;

/// How many chunks of a body are written at once, if they are there.
const BATCH: usize = 16;
/// How long to wait for a session that another writer holds. One whose request
/// was dropped lets go within a batch.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// A [`Storage`] with its metadata in SQLite.
#[derive(Clone, Debug)]
pub struct SqliteStorage {
    store: Arc<Store>,
}

impl SqliteStorage {
    /// Opens the storage in a directory, which is created when it is missing,
    /// and removes what a crash has left there. Blocks.
    ///
    /// # Errors
    /// [`StorageError::Backend`] when the directory cannot be read and written,
    /// or has a database of another schema.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StorageError> {
        let store = Arc::new(Store::open(root.as_ref())?);
        Ok(Self { store })
    }

    /// Does what blocks where it may. It goes on to its end when the caller no
    /// longer waits for it, so that no act is left half done.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> error::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let store = Arc::clone(&self.store);
        Ok(spawn_blocking(move || work(&store))
            .await
            .map_err(Error::Task)??)
    }

    /// Takes a session for writing. `at` is where the caller means to go on, to
    /// be named when another writer keeps the session.
    async fn session(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: Option<u64>,
    ) -> Result<Session, StorageError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (repository, upload) = (name.clone(), id.clone());
            let take = move |store: &Store| store.take(&repository, &upload);
            if let Some(session) = self.blocking(take).await? {
                return Ok(session);
            }
            if Instant::now() >= deadline {
                let offset = self.stat_upload(name, id).await?;
                let at = at.unwrap_or(offset);
                return Err(StorageError::OutOfOrder { at, offset });
            }
            sleep(PAUSE).await;
        }
    }
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError> {
        let (name, digest) = (name.clone(), *digest);
        self.blocking(move |store| store.stat_blob(&name, &digest))
            .await
    }

    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        let (name, digest) = (name.clone(), *digest);
        self.blocking(move |store| store.read_blob(&name, &digest, range))
            .await
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        let (name, reference) = (name.clone(), reference.clone());
        self.blocking(move |store| store.read_manifest(&name, &reference))
            .await
    }

    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        let name = name.clone();
        self.blocking(move |store| store.start_upload(&name, algorithm))
            .await
    }

    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        let mut session = self.session(name, id, Some(at)).await?;
        let offset = session.offset;
        if at != offset {
            return Err(StorageError::OutOfOrder { at, offset });
        }
        let mut failure = None;
        let mut batches = body.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let received = |chunk: Result<_, _>| chunk.map_err(|error| failure = Some(error)).ok();
            let chunks: Vec<Bytes> = batch.into_iter().map_while(received).collect();
            // The session goes there and back: a silent client holds no thread.
            let write = move |store: &Store| store.write(&mut session, &chunks).map(|()| session);
            session = self.blocking(write).await?;
        }
        let record = move |store: &Store| store.record(&mut session).map(|()| session.offset);
        let reached = self.blocking(record).await?;
        match failure {
            Some(source) => Err(StorageError::Body { source }),
            None => Ok(reached),
        }
    }

    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let session = self.session(name, id, None).await?;
        let (name, digest) = (name.clone(), *digest);
        self.blocking(move |store| store.finish(&name, session, &digest))
            .await
    }

    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        let name = name.clone();
        self.blocking(move |store| store.put_manifest(&name, &manifest))
            .await
    }

    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        let (name, after) = (name.clone(), after.cloned());
        self.blocking(move |store| store.list_tags(&name, after.as_ref(), limit))
            .await
    }

    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let (name, digest) = (name.clone(), *digest);
        self.blocking(move |store| store.delete_manifest(&name, &digest))
            .await
    }

    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.blocking(move |store| store.delete_tag(&name, &tag))
            .await
    }

    async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let (name, digest) = (name.clone(), *digest);
        self.blocking(move |store| store.delete_blob(&name, &digest))
            .await
    }

    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        let (name, digest, from) = (name.clone(), *digest, from.cloned());
        self.blocking(move |store| store.mount_blob(&name, &digest, from.as_ref()))
            .await
    }

    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let (name, subject, after) = (name.clone(), *subject, after.copied());
        self.blocking(move |store| store.list_referrers(&name, &subject, after.as_ref(), limit))
            .await
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError> {
        let (name, id) = (name.clone(), id.clone());
        self.blocking(move |store| store.stat_upload(&name, &id))
            .await
    }

    async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        let (name, id) = (name.clone(), id.clone());
        self.blocking(move |store| store.cancel_upload(&name, &id))
            .await
    }

    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        let after = after.cloned();
        self.blocking(move |store| store.list_repositories(after.as_ref(), limit))
            .await
    }
}
