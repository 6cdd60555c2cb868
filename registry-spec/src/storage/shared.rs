//! A storage behind an `Arc` is one.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::{Blob, BlobUrl, ByteStream, Page, PutManifest, Storage, StorageError, StoredManifest};
use crate::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};

/// So that wrappers can nest, and one storage can be shared.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: Storage + ?Sized> Storage for Arc<T> {
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError> {
        (**self).stat_blob(name, digest).await
    }

    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        (**self).read_blob(name, digest, range).await
    }

    async fn redirect_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobUrl>, StorageError> {
        (**self).redirect_blob(name, digest).await
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        (**self).read_manifest(name, reference).await
    }

    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        (**self).start_upload(name, algorithm).await
    }

    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        (**self).append_upload(name, id, at, body).await
    }

    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        (**self).finish_upload(name, id, digest).await
    }

    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        (**self).put_manifest(name, manifest).await
    }

    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        (**self).list_tags(name, after, limit).await
    }

    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        (**self).delete_manifest(name, digest).await
    }

    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        (**self).delete_tag(name, tag).await
    }

    async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        (**self).tag_pushed_at(name, tag).await
    }

    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        (**self).expire_tag(name, tag, pushed_at).await
    }

    async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        (**self).delete_blob(name, digest).await
    }

    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        (**self).mount_blob(name, digest, from).await
    }

    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        (**self).list_referrers(name, subject, after, limit).await
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError> {
        (**self).stat_upload(name, id).await
    }

    async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        (**self).cancel_upload(name, id).await
    }

    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        (**self).list_repositories(after, limit).await
    }
}
