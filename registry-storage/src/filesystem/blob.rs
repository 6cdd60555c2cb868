//! Blobs of a repository: end-2, end-10, end-11.
//!
//! | act | reads | writes |
//! |---|---|---|
//! | stat, read | `_layers/…/link`, then the data of the digest that it names | |
//! | mount | the same in the other repository | `_layers/…/link` |
//! | delete | | removes `_layers/…/link` |
//!
//! A link alone proves nothing: Distribution's garbage collection leaves links
//! to blobs that it has removed. And a link may name another digest than its
//! path does: Distribution keeps a blob pushed by sha512 under its sha256.

use std::fs::File;
use std::path::PathBuf;

use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName};

use super::atomic;
use super::layout;
use super::tree::Tree;

impl Tree {
    pub(super) fn stat_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, StorageError> {
        let content = self.linked_content(name, digest)?;
        self.content_len(&content)?.ok_or(StorageError::BlobUnknown)
    }

    pub(super) fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(File, PathBuf, u64), StorageError> {
        let content = self.linked_content(name, digest)?;
        let (file, len) = self
            .open_content(&content)?
            .ok_or(StorageError::BlobUnknown)?;
        Ok((file, self.layout.blob_data(&content), len))
    }

    pub(super) fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        let content = match from {
            Some(from) => self.linked_content(from, digest)?,
            None => *digest,
        };
        self.content_len(&content)?
            .ok_or(StorageError::BlobUnknown)?;
        self.write_link(&self.layout.layer(name, digest), &content)
    }

    /// Also removes a link whose blob is gone, or that is broken.
    pub(super) fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        match atomic::remove(&layout::link(&self.layout.layer(name, digest)))? {
            true => Ok(()),
            false => Err(StorageError::BlobUnknown),
        }
    }

    /// The digest under which the bytes of one of the repository's blobs are kept.
    fn linked_content(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Digest, StorageError> {
        self.read_link(&self.layout.layer(name, digest))?
            .ok_or(StorageError::BlobUnknown)
    }
}
