//! A directory tree in CNCF Distribution's layout.
//!
//! | file | holds |
//! |---|---|
//! | `layout.rs` | every path |
//! | `blob.rs`, `content.rs` | blobs, and their bytes as a stream |
//! | `upload.rs`, `append.rs`, `finish.rs`, `hash_state.rs`, `purge.rs` | upload sessions |
//! | `manifest.rs`, `tag.rs` | manifests and tags |
//! | `referrers.rs`, `coverage.rs` | the referrers index |
//! | `repository.rs` | the catalog |
//! | `notes.rs` | when tags were pulled, and when all was verified |
//! | `space.rs` | room that pushes leave alone |
//! | `atomic.rs`, `disk.rs` | writes that survive |
//! | `cache.rs`, `version.rs` | what was read, while it is still true |
//! | `collect.rs`, `aside.rs`, `shelf.rs`, `renew.rs` | garbage collection, and what writers do for it |
//! | `tree.rs`, `entries.rs`, `open.rs`, `owner.rs`, `error.rs`, `places.rs`, `nice.rs` | what these share |
//! | `prepare.rs` | the look at start |
//! | [`verify`] | the look at everything, and what it repairs |

mod append;
mod aside;
mod atomic;
mod blob;
mod buffers;
mod cache;
mod collect;
mod content;
mod coverage;
mod disk;
mod durability;
mod entries;
mod error;
mod finish;
mod hash_state;
#[cfg(target_os = "linux")]
mod kind;
mod layout;
mod manifest;
mod nice;
mod notes;
mod open;
mod owner;
mod places;
mod prepare;
mod purge;
mod referrers;
mod renew;
mod repository;
mod shelf;
mod space;
mod tag;
mod tree;
mod upload;
pub mod verify;
mod version;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use registry_spec::storage::{
    Blob, ByteStream, Page, PutManifest, Storage, StorageError, StoredManifest,
};
use registry_spec::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};
use tokio::task;

use crate::PurgedUploads;
use content::Content;
use error::FileError;
use places::{Places, turn};
use tree::Tree;

pub use durability::Durability;
pub use prepare::Access;
pub use space::Reserve;

/// A registry's content in a directory tree, as `registry:2` and `registry:3`
/// keep it.
///
/// Cheap to clone. Several values, and several processes, may use one tree at
/// once. Its methods must be called on a Tokio runtime with its timer enabled;
/// the blocking work is done on that runtime's blocking threads, of which it
/// should have well more than the 384 that pushes and reads of a slow disk may
/// occupy (Tokio's default is 512). A client that is silent in the middle of a
/// push or a pull occupies none.
///
/// See the [crate's documentation](crate) for the layout and for what survives
/// a power cut.
///
/// ```
/// use registry_spec::storage::{ByteStream, Storage};
/// use registry_spec::types::{Algorithm, Digest, RepositoryName};
/// use registry_storage::FileSystem;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = tempfile::tempdir()?;
/// let storage = FileSystem::new(root.path());
/// let name: RepositoryName = "demo".parse()?;
/// let id = storage.start_upload(&name, Algorithm::Sha256).await?;
/// storage.append_upload(&name, &id, 0, ByteStream::from("hello")).await?;
/// let digest = Digest::of(Algorithm::Sha256, b"hello");
/// storage.finish_upload(&name, &id, &digest).await?;
/// let data = format!("docker/registry/v2/blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex());
/// assert_eq!(std::fs::read(root.path().join(data))?, b"hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FileSystem {
    tree: Arc<Tree>,
    places: Arc<Places>,
}

impl FileSystem {
    /// The tree under `root`, Distribution's `rootdirectory`. Does not look at
    /// the disk; [`prepare`](Self::prepare) does.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            tree: Arc::new(Tree::with_defaults(root.into())),
            places: Arc::new(Places::new()),
        }
    }

    /// How much of the disk pushes leave free. Default: 256 MiB or 2 % of it,
    /// whichever is less. To be said before the value is used or cloned.
    #[must_use]
    pub fn reserve(self, reserve: Reserve) -> Self {
        let durability = self.tree.durability;
        self.with(reserve, durability)
    }

    /// Whether pushes wait for the disk. Default: [`Durability::Safe`]. To be
    /// said before the value is used or cloned.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        let reserve = self.tree.space.reserve();
        self.with(reserve, durability)
    }

    fn with(self, reserve: Reserve, durability: Durability) -> Self {
        let root = self.tree.layout.root().to_path_buf();
        Self {
            tree: Arc::new(Tree::new(root, reserve, durability)),
            ..self
        }
    }

    /// Creates the root when it is missing, and finds out whether the tree can
    /// be written and has locks. Calling it is optional, and meant for the start of a
    /// program, where a message still reaches somebody.
    ///
    /// # Errors
    /// [`StorageError::Backend`] when the root can neither be created nor
    /// read, or the tree in it cannot be read; its source names the path and
    /// the uid.
    pub async fn prepare(&self) -> Result<Access, StorageError> {
        self.blocking(Tree::prepare).await
    }

    /// Removes the upload sessions of all repositories to which nothing has
    /// been written for `older_than`, and other left-overs of that age beside
    /// them. Sessions that are being written to at the moment stay.
    ///
    /// Ages are by the clock: on a board that sets its clock late, wait for
    /// that first.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    pub async fn purge_uploads(&self, older_than: Duration) -> Result<PurgedUploads, StorageError> {
        self.blocking(move |tree| tree.purge_uploads(older_than, false))
            .await
    }

    /// What [`purge_uploads`](Self::purge_uploads) would remove; removes nothing.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    pub async fn stale_uploads(&self, older_than: Duration) -> Result<PurgedUploads, StorageError> {
        self.blocking(move |tree| tree.purge_uploads(older_than, true))
            .await
    }

    /// Runs file work where it may block. It runs to its end even when the
    /// future is dropped.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let tree = Arc::clone(&self.tree);
        task::spawn_blocking(move || work(&tree))
            .await
            .map_err(|source| FileError::Task { source })?
    }

    /// As `blocking`, for what takes the lock of a repository.
    async fn changing<T: Send + 'static>(
        &self,
        name: &RepositoryName,
        work: impl FnOnce(&Tree, &RepositoryName) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let permit = turn(self.places.changes(name)).await;
        let name = name.clone();
        self.blocking(move |tree| {
            let _permit = permit;
            work(tree, &name)
        })
        .await
    }
}

#[async_trait]
impl Storage for FileSystem {
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError> {
        if let Some(len) = self.tree.stat_blob_at_once(name, digest) {
            return Ok(len);
        }
        let (name, digest) = (name.clone(), *digest);
        self.blocking(move |tree| tree.stat_blob(&name, &digest))
            .await
    }

    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        let (file, path, size) = match self.tree.open_blob_at_once(name, digest) {
            Some(opened) => opened,
            None => {
                let (name, digest) = (name.clone(), *digest);
                self.blocking(move |tree| tree.open_blob(&name, &digest))
                    .await?
            }
        };
        let content = Content::new(file, path, range.unwrap_or(0..size), &self.places);
        Ok(Blob::new(size, ByteStream::new(content)))
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        if let Some(manifest) = self.tree.read_manifest_at_once(name, reference) {
            return Ok(manifest);
        }
        let (name, reference) = (name.clone(), reference.clone());
        self.blocking(move |tree| tree.read_manifest(&name, &reference))
            .await
    }

    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        let name = name.clone();
        self.blocking(move |tree| tree.start_upload(&name, algorithm))
            .await
    }

    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        self.append(name, id, at, body).await
    }

    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.finish(name, id, digest).await
    }

    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        self.changing(name, move |tree, name| tree.put_manifest(name, &manifest))
            .await
    }

    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        let (name, after) = (name.clone(), after.cloned());
        self.blocking(move |tree| tree.list_tags(&name, after.as_ref(), limit))
            .await
    }

    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let digest = *digest;
        self.changing(name, move |tree, name| tree.delete_manifest(name, &digest))
            .await
    }

    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        let tag = tag.clone();
        self.changing(name, move |tree, name| tree.delete_tag(name, &tag))
            .await
    }

    async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.blocking(move |tree| tree.tag_pushed_at(&name, &tag))
            .await
    }

    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        let tag = tag.clone();
        self.changing(name, move |tree, name| {
            tree.expire_tag(name, &tag, pushed_at)
        })
        .await
    }

    async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let (name, digest) = (name.clone(), *digest);
        self.blocking(move |tree| tree.delete_blob(&name, &digest))
            .await
    }

    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        let (name, digest, from) = (name.clone(), *digest, from.cloned());
        self.blocking(move |tree| tree.mount_blob(&name, &digest, from.as_ref()))
            .await
    }

    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        self.referrers(name, subject, after, limit).await
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError> {
        self.stat_session(name, id).await
    }

    async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        let (name, id) = (name.clone(), id.clone());
        self.blocking(move |tree| tree.cancel_upload(&name, &id))
            .await
    }

    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        let after = after.cloned();
        self.blocking(move |tree| tree.list_repositories(after.as_ref(), limit))
            .await
    }
}
