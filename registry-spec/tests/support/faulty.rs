//! A backend that is not up to its contract.

use std::ops::Range;
use std::time::SystemTime;

use async_trait::async_trait;
use http::HeaderValue;
use registry_spec::storage::{
    Blob, BlobUrl, ByteStream, MemoryStorage, Page, PutManifest, Storage, StorageError,
    StoredManifest,
};
use registry_spec::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};

/// A storage in memory with two faults: of each blob it sends one byte and says
/// nothing of the rest, and it does not know of any referrer, as one that was
/// filled by an older program. It may send clients elsewhere for every blob.
#[derive(Debug)]
pub(crate) struct Faulty(pub(crate) MemoryStorage, pub(crate) Option<HeaderValue>);

type Answer<T> = Result<T, StorageError>;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Faulty {
    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Answer<Blob> {
        let blob = self.0.read_blob(name, digest, range).await?;
        Ok(Blob::new(blob.size, ByteStream::from("0")))
    }
    async fn redirect_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Answer<Option<BlobUrl>> {
        let size = self.0.stat_blob(name, digest).await?;
        Ok(self.1.clone().map(|url| BlobUrl::new(url, size)))
    }
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Answer<u64> {
        self.0.stat_blob(name, digest).await
    }
    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Answer<StoredManifest> {
        self.0.read_manifest(name, reference).await
    }
    async fn start_upload(&self, name: &RepositoryName, algorithm: Algorithm) -> Answer<UploadId> {
        self.0.start_upload(name, algorithm).await
    }
    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Answer<u64> {
        self.0.append_upload(name, id, at, body).await
    }
    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Answer<()> {
        self.0.finish_upload(name, id, digest).await
    }
    async fn put_manifest(&self, name: &RepositoryName, manifest: PutManifest) -> Answer<()> {
        self.0.put_manifest(name, manifest).await
    }
    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Answer<Page<Tag>> {
        self.0.list_tags(name, after, limit).await
    }
    async fn delete_manifest(&self, name: &RepositoryName, digest: &Digest) -> Answer<()> {
        self.0.delete_manifest(name, digest).await
    }
    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Answer<()> {
        self.0.delete_tag(name, tag).await
    }
    async fn tag_pushed_at(&self, name: &RepositoryName, tag: &Tag) -> Answer<Option<SystemTime>> {
        self.0.tag_pushed_at(name, tag).await
    }
    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Answer<bool> {
        self.0.expire_tag(name, tag, pushed_at).await
    }
    async fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Answer<()> {
        self.0.delete_blob(name, digest).await
    }
    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Answer<()> {
        self.0.mount_blob(name, digest, from).await
    }
    async fn list_referrers(
        &self,
        _: &RepositoryName,
        _: &Digest,
        _: Option<&Digest>,
        _: usize,
    ) -> Answer<Page<Digest>> {
        Ok(Page::new(vec![], false))
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Answer<u64> {
        self.0.stat_upload(name, id).await
    }
    async fn cancel_upload(&self, name: &RepositoryName, id: &UploadId) -> Answer<()> {
        self.0.cancel_upload(name, id).await
    }
    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Answer<Page<RepositoryName>> {
        self.0.list_repositories(after, limit).await
    }
}
