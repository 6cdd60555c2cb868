//! Blobs of a repository: end-2, end-10, end-11.
//!
//! The link and the content are asked for at the same time, and the link tells
//! whether the content may be seen. A link of Distribution's may name another
//! digest than its key does; the content is then asked for once more.

use std::ops::Range;
use std::time::Duration;

use http::{HeaderValue, Method};
use registry_spec::storage::{Blob, BlobUrl, ByteStream, StorageError};
use registry_spec::types::{Digest, RepositoryName};

use super::error::At;
use super::objects::Objects;

impl Objects {
    pub(super) async fn stat_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, StorageError> {
        Ok(self.find_blob(name, digest).await?.1)
    }

    /// The digest of a blob's content, and its length.
    async fn find_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(Digest, u64), StorageError> {
        let link = self.layout.layer(name, digest);
        let (content, len) = tokio::join!(self.read_link(&link), self.content_len(digest));
        let content = content?.ok_or(StorageError::BlobUnknown)?;
        let len = if content == *digest {
            len?
        } else {
            self.content_len(&content).await?
        };
        Ok((content, len.ok_or(StorageError::BlobUnknown)?))
    }

    pub(super) async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        let link = self.layout.layer(name, digest);
        let (content, opened) = tokio::join!(
            self.read_link(&link),
            self.open_content(digest, range.clone())
        );
        let content = content?.ok_or(StorageError::BlobUnknown)?;
        let opened = if content == *digest {
            opened?
        } else {
            self.open_content(&content, range.clone()).await?
        };
        let (stream, size) = opened.ok_or(StorageError::BlobUnknown)?;
        let stream = match range {
            Some(range) if range.is_empty() => ByteStream::empty(),
            _ => ByteStream::new(stream),
        };
        Ok(Blob::new(size, stream))
    }

    /// An address at which the store itself gives the blob to whoever comes.
    pub(super) async fn blob_url(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        valid_for: Duration,
    ) -> Result<Option<BlobUrl>, StorageError> {
        let Some(signer) = &self.bucket.signer else {
            return Ok(None);
        };
        let (content, size) = self.find_blob(name, digest).await?;
        let path = self.layout.blob_data(&content);
        let url = signer
            .signed_url(Method::GET, &path, valid_for)
            .await
            .at("sign an address of", path.as_ref())?;
        // A URL is ASCII without control characters.
        Ok(HeaderValue::from_str(url.as_str())
            .ok()
            .map(|url| BlobUrl::new(url, size)))
    }

    pub(super) async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        // The link alone: other repositories may hold the content.
        let link = self.layout.layer(name, digest);
        self.head(&link).await?.ok_or(StorageError::BlobUnknown)?;
        self.delete(vec![link]).await
    }

    pub(super) async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        let content = match from {
            Some(from) => self.find_blob(from, digest).await?.0,
            None => {
                let len = self.content_len(digest).await?;
                len.ok_or(StorageError::BlobUnknown)?;
                *digest
            }
        };
        self.write_link(&self.layout.layer(name, digest), &content)
            .await
    }

    /// Makes content that is there a blob of the repository.
    pub(super) async fn link_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.write_link(&self.layout.layer(name, digest), digest)
            .await
    }
}
