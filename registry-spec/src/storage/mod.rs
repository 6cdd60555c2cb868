//! Where a registry keeps its content: the trait that a backend implements.
//!
//! | act | method | endpoint |
//! |---|---|---|
//! | blobs | [`stat_blob`](Storage::stat_blob), [`read_blob`](Storage::read_blob), [`redirect_blob`](Storage::redirect_blob), [`delete_blob`](Storage::delete_blob), [`mount_blob`](Storage::mount_blob) | end-2, end-10, end-11 |
//! | uploads | [`start_upload`](Storage::start_upload), [`append_upload`](Storage::append_upload), [`finish_upload`](Storage::finish_upload), [`stat_upload`](Storage::stat_upload), [`cancel_upload`](Storage::cancel_upload) | end-4 to end-6, end-13, end-14 |
//! | manifests | [`read_manifest`](Storage::read_manifest), [`put_manifest`](Storage::put_manifest), [`delete_manifest`](Storage::delete_manifest), [`list_referrers`](Storage::list_referrers) | end-3, end-7, end-9, end-12 |
//! | tags | [`list_tags`](Storage::list_tags), [`delete_tag`](Storage::delete_tag) | end-8, end-9 |
//! | tags by age | [`tag_pushed_at`](Storage::tag_pushed_at), [`expire_tag`](Storage::expire_tag) | |
//! | repositories | [`list_repositories`](Storage::list_repositories) | `_catalog` |
//!
//! [`MemoryStorage`] is the reference; the `conformance` feature has the suite
//! that tests any backend.
//!
//! ```
//! use registry_spec::storage::{ByteStream, MemoryStorage, Storage};
//! use registry_spec::types::{Algorithm, Digest, RepositoryName};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let storage = MemoryStorage::new();
//! let name: RepositoryName = "demo".parse()?;
//! let id = storage.start_upload(&name, Algorithm::Sha256).await?;
//! storage.append_upload(&name, &id, 0, ByteStream::from("hello")).await?;
//! let digest = Digest::of(Algorithm::Sha256, b"hello");
//! storage.finish_upload(&name, &id, &digest).await?;
//! assert_eq!(storage.stat_blob(&name, &digest).await?, 5);
//! # Ok(()) }
//! ```

mod content;
mod error;
mod memory;
mod shared;
mod stream;

use std::fmt::Debug;
use std::ops::Range;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};

pub use content::{Blob, BlobUrl, Expected, Page, Precondition, PutManifest, StoredManifest};
pub use error::StorageError;
pub use memory::MemoryStorage;
pub use stream::{ByteStream, LengthMismatch};

/// Where a registry keeps its content.
///
/// # Contract
///
/// * **Atomic**: a reader sees a blob or manifest whole or not at all, also
///   after a crash.
/// * **Verified**: content becomes visible under a digest only once it hashes
///   to that digest. (Manifests arrive verified.)
/// * **Durable**: what a method acknowledged survives a crash, as far as the
///   backend promises that at all; it says so in its own documentation.
/// * **Read-your-writes**: what a method acknowledged is seen by every later
///   call, a delete too.
/// * **Cancel-safe**: a dropped future leaves nothing partial visible; an
///   upload session goes on from the offset that it then reports.
/// * **Concurrent**: any method may run beside any other. Pushing one digest
///   twice at once succeeds twice. Of two appends to one session at most one
///   takes effect at an offset.
/// * **Isolated**: content pushed to one repository is not seen in another
///   before it is mounted or pushed there. Nor is a manifest seen as a blob, or
///   a blob as a manifest.
/// * **Existence is presence**: a blob whose bytes are gone is unknown,
///   whatever else points at it.
/// * **Paged**: a list returns at most `limit` items, in ascending order,
///   strictly after `after`. Deletes and pushes between two pages neither
///   repeat nor skip what was there all along.
/// * **Bounded**: memory does not grow with the length of what is moved.
///
/// A repository comes into being with its first push, and `repository unknown`
/// is told only by [`list_tags`](Self::list_tags); elsewhere the content asked
/// for is what is unknown.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// The length in bytes of a blob of the repository (end-2).
    ///
    /// # Errors
    /// [`StorageError::BlobUnknown`] when the repository does not hold it.
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError>;

    /// Opens a blob of the repository for reading (end-2): all of it, or the
    /// bytes of `range`, whose end is exclusive and at most the blob's length.
    ///
    /// A stream that cannot go on ends with an error, never early.
    ///
    /// # Errors
    /// [`StorageError::BlobUnknown`] when the repository does not hold it.
    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError>;

    /// Where else a blob of the repository can be had (end-2), for a backend
    /// that would rather have clients fetch it there: a URL that lets its
    /// bearer in for a short while. A `GET` of the whole blob or of a range of
    /// it is then answered with that address, once it has been authorized;
    /// `HEAD` is not. `None`, the default, is for [`read_blob`](Self::read_blob).
    ///
    /// # Errors
    /// [`StorageError::BlobUnknown`] when the repository does not hold it.
    async fn redirect_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobUrl>, StorageError> {
        let _ = (name, digest);
        Ok(None)
    }

    /// Reads a manifest by tag or digest (end-3). The digest in the answer is
    /// the one asked for, or the one under which the tag was pushed.
    ///
    /// # Errors
    /// [`StorageError::ManifestUnknown`] when there is none.
    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError>;

    /// Opens an upload session at offset 0 (end-4). `algorithm` is what the
    /// final digest will probably use; another one may come.
    ///
    /// # Errors
    /// [`StorageError::Full`]: nothing that would be appended has room.
    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError>;

    /// Appends to an upload session, `at` being the offset in bytes at which
    /// `body` begins, and returns the offset reached (end-5).
    ///
    /// # Errors
    /// * [`StorageError::UploadUnknown`]: the repository has no such session.
    /// * [`StorageError::OutOfOrder`]: `at` is not where the session stands,
    ///   or another append is under way. The session stays as it was.
    /// * [`StorageError::Body`]: `body` failed. The session stands at an
    ///   offset within what arrived.
    /// * [`StorageError::Full`]: there is no room for `body`. The session is
    ///   gone, since what it held would stand in the way of others.
    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError>;

    /// Ends a session: its content becomes a blob of the repository, and the
    /// session is gone (end-6).
    ///
    /// # Errors
    /// * [`StorageError::UploadUnknown`]: the repository has no such session.
    /// * [`StorageError::DigestMismatch`]: the content has another digest. The
    ///   session is gone, since no further byte could mend it.
    /// * [`StorageError::OutOfOrder`]: an append or another finish is under way,
    ///   which this one does not disturb. Nobody looks at its `at`.
    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError>;

    /// Stores a manifest and moves its tags to it, the tags last (end-7).
    ///
    /// The caller has seen what the manifest requires. A backend whose content
    /// may be removed beside pushes, by a garbage collection say, makes sure
    /// of it once more after the manifest is there for the remover to see:
    /// what is acknowledged is whole. Elsewhere that is not needed.
    ///
    /// # Errors
    /// * [`StorageError::PreconditionFailed`]: the precondition does not hold;
    ///   nothing has changed then.
    /// * [`StorageError::ContentUnknown`]: what is required has been removed
    ///   meanwhile.
    /// * [`StorageError::Full`]: there is no room for it.
    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError>;

    /// Lists tags in byte order (end-8).
    ///
    /// # Errors
    /// [`StorageError::NameUnknown`] when the repository never had a manifest.
    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError>;

    /// Removes a manifest from the repository, with every tag that stands at
    /// it and its entry among its subject's referrers (end-9).
    ///
    /// # Errors
    /// [`StorageError::ManifestUnknown`] when there is none.
    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError>;

    /// Removes one tag; its manifest stays (end-9).
    ///
    /// # Errors
    /// [`StorageError::ManifestUnknown`] when there is no such tag.
    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError>;

    /// When a tag was last pushed, be it to where it stood already: for
    /// whoever decides by age what to keep. `None`, the default, is for a
    /// backend that cannot tell.
    ///
    /// # Errors
    /// [`StorageError::ManifestUnknown`] when there is no such tag.
    async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        let _ = (name, tag);
        Ok(None)
    }

    /// Removes a tag, unless it was pushed after [`tag_pushed_at`](Self::tag_pushed_at)
    /// has said `pushed_at`, and tells whether it is gone; its manifest stays.
    /// By default it never is, as with a backend that cannot tell.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        let _ = (name, tag, pushed_at);
        Ok(false)
    }

    /// Removes a blob from the repository, still referenced or not (end-10).
    /// Other repositories keep it.
    ///
    /// # Errors
    /// [`StorageError::BlobUnknown`] when the repository does not hold it.
    async fn delete_blob(&self, name: &RepositoryName, digest: &Digest)
    -> Result<(), StorageError>;

    /// Makes a blob of the repository `from` one of `name` too, without moving
    /// bytes (end-11). Without `from`, any repository will do, and so will
    /// content that a backend still has although no repository holds it: the
    /// caller has checked that the client may read everything.
    ///
    /// # Errors
    /// [`StorageError::BlobUnknown`] when it is not there to be mounted.
    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError>;

    /// Lists the digests of the manifests in the repository whose `subject` is
    /// `subject`, in the order of digests (end-12). The subject itself need
    /// not exist. The caller reads each manifest for its descriptor, one at a
    /// time, since annotations may be large; an entry whose manifest is gone
    /// is skipped by it.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`]: an unknown repository has no referrers.
    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError>;

    /// The offset in bytes at which an upload session stands (end-13).
    ///
    /// # Errors
    /// [`StorageError::UploadUnknown`]: the repository has no such session.
    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError>;

    /// Ends an upload session and drops its bytes (end-14). An append that is
    /// under way fails then, or is lost with the rest.
    ///
    /// # Errors
    /// [`StorageError::UploadUnknown`]: the repository has no such session.
    async fn cancel_upload(&self, name: &RepositoryName, id: &UploadId)
    -> Result<(), StorageError>;

    /// Lists the repositories that have or had a manifest, in the order of
    /// [`RepositoryName`] (`_catalog`).
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError>;
}
