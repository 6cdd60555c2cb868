//! Blobs of a repository: end-2, end-10, end-11.
//!
//! The link and the content are asked for at the same time, and the link tells
//! whether the content may be seen. Who asks whether a blob is there keeps its
//! link from garbage collections. A link of Distribution's may name another
//! digest than its key does; the content is then asked for once more.

use std::ops::Range;
use std::time::Duration;

use http::{HeaderValue, Method};
use registry_spec::storage::{Blob, BlobUrl, ByteStream, StorageError};
use registry_spec::types::{Digest, RepositoryName, UploadId};

use super::error::At;
use super::objects::{Link, Objects};
use super::push::Push;
use crate::collect;

/// A blob of a repository.
struct FoundBlob {
    /// Whose bytes it is.
    content: Digest,
    len: u64,
    link: Link,
}

impl Objects {
    pub(super) async fn stat_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, StorageError> {
        let found = self.find_blob(name, digest).await?;
        match self.renew_layer(name, digest, found.link).await? {
            true => Ok(found.len),
            false => Err(StorageError::BlobUnknown),
        }
    }

    async fn find_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<FoundBlob, StorageError> {
        let path = self.layout.layer(name, digest);
        let (link, len) = tokio::join!(self.read_whole_link(&path), self.content_len(digest));
        let link = link?.ok_or(StorageError::BlobUnknown)?;
        let content = link.digest.ok_or(StorageError::BlobUnknown)?;
        let len = if content == *digest {
            len?
        } else {
            self.content_len(&content).await?
        };
        let len = len.ok_or(StorageError::BlobUnknown)?;
        Ok(FoundBlob { content, len, link })
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
        let found = self.find_blob(name, digest).await?;
        let path = self.layout.blob_data(&found.content);
        let url = signer
            .signed_url(Method::GET, &path, valid_for)
            .await
            .at("sign an address of", path.as_ref())?;
        // A URL is ASCII without control characters.
        Ok(HeaderValue::from_str(url.as_str())
            .ok()
            .map(|url| BlobUrl::new(url, found.len)))
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
            Some(from) => self.find_blob(from, digest).await?.content,
            None => {
                let len = self.content_len(digest).await?;
                len.ok_or(StorageError::BlobUnknown)?;
                *digest
            }
        };
        match self.link_blob(name, digest, &content).await? {
            true => Ok(()),
            false => Err(StorageError::BlobUnknown),
        }
    }

    /// Makes content that is there a blob of the repository; `false` when a
    /// collection has removed it meanwhile.
    pub(super) async fn link_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        content: &Digest,
    ) -> Result<bool, StorageError> {
        let push = Push::new(self, UploadId::random(), None);
        collect::link_blob(&push, name, digest, content).await
    }
}
