//! An object store in CNCF Distribution's layout: the tree that the
//! crate describes, with `<rootdirectory>/` before each key, `session`
//! instead of `hashstate.json`, and without a lock.
//!
//! # What the store must do
//!
//! Everything is in the store, so that any number of registries may serve one
//! bucket, and each request of a client may go to another of them. Nothing is
//! locked; this relies on the store instead:
//!
//! | the store | relied upon for | without it |
//! |---|---|---|
//! | shows what it has acknowledged, in lists too | everything | nothing is promised |
//! | creates an object only if it is absent, replaces it only if it is unchanged | conditional pushes, uploads over several registries | the last writer wins: only one registry may write |
//! | completes and copies atomically | a blob is seen whole or not at all | nothing is promised |
//!
//! S3, MinIO, Google Cloud Storage and Azure Blob Storage do all of it.
//!
//! # What a request costs
//!
//! | request | requests to the store |
//! |---|---|
//! | manifest by tag | 2, one after the other; 1 while its bytes are cached |
//! | manifest by digest, blob, `HEAD` of a blob | 2 at once; a `HEAD` 3 more, one after the other, if the blob's link is older than a quarter of an hour |
//! | page of tags | 1 for about 500, and 1 for each `x` if the last is `x-…` or `x.…` and there are more |
//! | page of repositories | 1 for each name on the way, 16 at a time |
//! | referrers | 3, and 1 for each manifest that Distribution has pushed since; 1 while that is remembered, for 5 s |
//! | push of a blob up to a part | 11 |
//! | push of a longer one | 1 more per part, and a copy within the store |
//! | mount of a blob | 6 |
//! | push of a manifest | 7, 2 more for each blob and manifest that it names, 16 at a time, 1 for its subject, 2 per tag |
//! | delete of a manifest | 2 for each tag of the repository, 16 at a time, and 5 for each tag at it |
//! | garbage collection | see [`collect`](ObjectStorage::collect) |
//!
//! # What is not promised
//!
//! * **A tag whose manifest's bytes are gone** is listed, though not served.
//! * **A tag that moves** in the moment in which a delete of the manifest that
//!   it stood at removes it, is lost: between two requests to the store.
//! * **What a garbage collection that was killed** was just removing, at most 16
//!   blobs or links, cannot be pushed for 20 minutes: such pushes get a 503.
//! * **The bytes of a manifest** are served from memory for up to 10 s after
//!   somebody has removed them from the store behind the registry's back.
//! * **Keys that are no paths**, as `a//b`, which a registry never writes, are
//!   passed over in lists of names, at some twenty requests each. Below
//!   `revisions/`, `index/` or `_uploads/` they make the lists of these fail.
//! * **Unfinished multipart uploads** of Distribution's, and those of sessions
//!   whose record is gone, are not seen by a purge: let the store expire them.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use object_store::memory::InMemory;
//! use registry_spec::{AllowAll, Registry};
//! use registry_storage::ObjectStorage;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let storage = ObjectStorage::new(Arc::new(InMemory::new()));
//! storage.reach().await?;
//! let registry = Registry::builder(Arc::new(storage), Arc::new(AllowAll)).build();
//! # let _ = registry;
//! # Ok(()) }
//! ```
//!
//! # Files
//!
//! | file | holds |
//! |---|---|
//! | `layout.rs` | every key |
//! | `bucket.rs`, `plain.rs` | what is needed of a store, and what stands in for it |
//! | `part_copy.rs` | copies within S3, by parts |
//! | `blob.rs` | blobs |
//! | `upload.rs`, `append.rs`, `finish.rs`, `purge.rs` | upload sessions |
//! | `session.rs`, `record.rs`, `busy.rs` | whose a session is, and what is known of it |
//! | `buffers.rs`, `input.rs` | what is received |
//! | `manifest.rs`, `manifest_cache.rs`, `tag.rs` | manifests and tags |
//! | `collect/` | garbage collection: the protocol, and the collector's side |
//! | `push.rs`, `tombstones.rs`, `renew.rs` | the side of those who push |
//! | `referrers.rs` | the referrers index |
//! | `repository.rs`, `names.rs` | the catalog, and lists of names |
//! | `objects.rs`, `error.rs` | what these share |
//! | `probe.rs` | the look at start |

mod append;
mod blob;
mod bucket;
mod buffers;
mod busy;
mod collect;
mod error;
mod finish;
mod input;
mod layout;
mod manifest;
mod manifest_cache;
mod names;
mod objects;
#[cfg(feature = "aws")]
mod part_copy;
mod plain;
mod probe;
mod purge;
mod push;
mod record;
mod referrers;
mod renew;
mod repository;
mod session;
mod tag;
mod tombstones;
mod upload;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::path::Path;
use registry_spec::storage::{
    Blob, BlobUrl, ByteStream, Page, PutManifest, Storage, StorageError, StoredManifest,
};
use registry_spec::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};
use tracing::Instrument;

use crate::PurgedUploads;
use error::ObjectError;
use objects::Objects;
use upload::Uploads;

pub use bucket::Bucket;
#[cfg(feature = "aws")]
pub use part_copy::PartCopy;
pub use probe::{ProbeError, ProbeStep, Probed};

/// A registry's content in an object store, as `registry:2` and `registry:3`
/// keep it. Cheap to clone.
///
/// Any number of values in any number of processes may use one store at once,
/// and each request of a client may go to another of them: what is known of an
/// upload session is in the store. See the [module](self) for what that costs
/// and for what a store must have.
///
/// Its methods must be called on a Tokio runtime with its timer enabled.
#[derive(Clone, Debug)]
pub struct ObjectStorage {
    objects: Arc<Objects>,
    uploads: Arc<Uploads>,
    redirect: Option<Duration>,
}

/// Makes an [`ObjectStorage`].
#[derive(Debug)]
#[must_use]
pub struct ObjectStorageBuilder {
    bucket: Bucket,
    root: Path,
    part_size: usize,
    memory: usize,
    redirect: Option<Duration>,
}

impl ObjectStorageBuilder {
    /// Distribution's `rootdirectory`: what all keys begin with. Default:
    /// nothing.
    pub fn root_directory(mut self, root: Path) -> Self {
        self.root = root;
        self
    }

    /// Distribution's `chunksize`: the length of a part of an upload, in
    /// bytes. Default: 10 MiB. S3 takes nothing below 5 MiB, and 10 000 parts:
    /// with the default, 97 GiB.
    pub fn part_size(mut self, bytes: usize) -> Self {
        self.part_size = bytes;
        self
    }

    /// How many bytes of uploads may be held in memory, by all requests
    /// together. Further requests wait. Default: 64 MiB; at least two parts
    /// are held in any case.
    pub fn upload_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Sends clients to the store for the content of blobs, with an address
    /// that is good for that long. Default: off, since clients must then reach
    /// the store and trust its certificate.
    ///
    /// Without effect where the store cannot sign addresses.
    pub fn redirect(mut self, valid_for: Duration) -> Self {
        self.redirect = Some(valid_for);
        self
    }

    /// The storage. Does not look at the store;
    /// [`reach`](ObjectStorage::reach) does.
    #[must_use]
    pub fn build(self) -> ObjectStorage {
        let objects = Arc::new(Objects::new(self.bucket, &self.root));
        ObjectStorage {
            uploads: Arc::new(Uploads::new(
                Arc::clone(&objects),
                self.part_size,
                self.memory,
            )),
            objects,
            redirect: self.redirect,
        }
    }
}

impl ObjectStorage {
    /// The content of any store, with the defaults. For those of the clouds
    /// see [`Bucket`].
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self::builder(Bucket::new(store)).build()
    }

    /// The content of a bucket.
    pub fn builder(bucket: Bucket) -> ObjectStorageBuilder {
        ObjectStorageBuilder {
            bucket,
            root: Path::default(),
            part_size: 10 * 1024 * 1024,
            memory: 64 * 1024 * 1024,
            redirect: None,
        }
    }

    /// Lists a little: whether the store answers, and lets us in. Meant for
    /// the start of a program, and for a regular look at its health.
    ///
    /// # Errors
    /// [`ProbeError`] with what the store said.
    pub async fn reach(&self) -> Result<(), ProbeError> {
        self.objects.reach().await
    }

    /// Writes, lists, reads and removes an object, and sees whether the store
    /// compares before it writes.
    ///
    /// # Errors
    /// [`ProbeError`]: the step that failed, and what the store said.
    pub async fn probe(&self) -> Result<Probed, ProbeError> {
        self.objects.probe().await
    }

    /// Removes the upload sessions of all repositories to which nothing has
    /// been written for `older_than`, by the store's clock against ours.
    /// Sessions that Distribution left are removed too, but for the parts of
    /// their unfinished multipart uploads: let the store expire those.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] and [`StorageError::Backend`].
    pub async fn purge_uploads(&self, older_than: Duration) -> Result<PurgedUploads, StorageError> {
        self.uploads.purge(older_than, false).await
    }

    /// What [`purge_uploads`](Self::purge_uploads) would remove; removes nothing.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] and [`StorageError::Backend`].
    pub async fn stale_uploads(&self, older_than: Duration) -> Result<PurgedUploads, StorageError> {
        self.uploads.purge(older_than, true).await
    }
}

impl fmt::Display for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.objects.bucket.objects)
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError> {
        self.objects.stat_blob(name, digest).await
    }

    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        self.objects.read_blob(name, digest, range).await
    }

    async fn redirect_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobUrl>, StorageError> {
        match self.redirect {
            Some(valid_for) => self.objects.blob_url(name, digest, valid_for).await,
            None => Ok(None),
        }
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        self.objects.read_manifest(name, reference).await
    }

    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        self.uploads.start(name, algorithm).await
    }

    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        self.uploads.append(name, id, at, body).await
    }

    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.uploads.finish(name, id, digest).await
    }

    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        self.objects.put_manifest(name, &manifest).await
    }

    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        self.objects.list_tags(name, after, limit).await
    }

    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        // A task of its own: half a delete would have lost tags only.
        let (objects, name, digest) = (Arc::clone(&self.objects), name.clone(), *digest);
        let work = async move { objects.delete_manifest(&name, &digest).await };
        tokio::spawn(work.in_current_span())
            .await
            .map_err(|source| ObjectError::Task { source })?
    }

    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        self.objects.delete_tag(name, tag).await
    }

    async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        self.objects.tag_pushed_at(name, tag).await
    }

    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        self.objects.expire_tag(name, tag, pushed_at).await
    }

    async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.objects.delete_blob(name, digest).await
    }

    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        self.objects.mount_blob(name, digest, from).await
    }

    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        self.objects
            .list_referrers(name, subject, after, limit)
            .await
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError> {
        self.uploads.offset(name, id).await
    }

    async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        self.uploads.cancel(name, id).await
    }

    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        self.objects.list_repositories(after, limit).await
    }
}
