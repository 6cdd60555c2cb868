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

use super::cache::Held;
use super::tree::Tree;
use super::version::Version;
use super::{atomic, layout};

impl Tree {
    /// As `stat_blob`, when it can be told without waiting for the disk.
    pub(super) fn stat_blob_at_once(&self, name: &RepositoryName, digest: &Digest) -> Option<u64> {
        let link = layout::link_in(self.layout.layer(name, digest));
        let content = self.cache.link(&link)?;
        self.cache.content_len(&self.layout.blob_data(&content))
    }

    /// As `open_blob`, when it can be done without waiting for the disk.
    pub(super) fn open_blob_at_once(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Option<(File, PathBuf, u64)> {
        let link = layout::link_in(self.layout.layer(name, digest));
        let path = self.layout.blob_data(&self.cache.link(&link)?);
        let (file, len) = self.cache.open(&path)?;
        Some((file, path, len))
    }

    pub(super) fn stat_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, StorageError> {
        let content = self.content_to_serve(name, digest)?;
        let len = self
            .content_len(&content)?
            .ok_or(StorageError::BlobUnknown)?;
        let path = self.layout.blob_data(&content);
        if let Some(version) = Version::at_to_rely_on(&path)
            && version.len() == len
        {
            self.cache.insert(path, version, Held::Blob);
        }
        Ok(len)
    }

    pub(super) fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(File, PathBuf, u64), StorageError> {
        let content = self.content_to_serve(name, digest)?;
        let (file, len) = self
            .open_content(&content)?
            .ok_or(StorageError::BlobUnknown)?;
        let path = self.layout.blob_data(&content);
        if let Some(version) = Version::to_rely_on(&file) {
            self.cache.insert(path.clone(), version, Held::Blob);
        }
        Ok((file, path, len))
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
        let layer = self.layout.layer(name, digest);
        self.write_link(&layer, &content).map(|_| ())
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

    /// As `linked_content`, for what will soon be asked for again.
    fn content_to_serve(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Digest, StorageError> {
        self.read_link_to_serve(&self.layout.layer(name, digest))?
            .ok_or(StorageError::BlobUnknown)
    }
}
