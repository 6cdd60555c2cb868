//! Blobs of a repository: end-2, end-10, end-11.
//!
//! | act | reads | writes |
//! |---|---|---|
//! | read | `_layers/…/link`, then the data of the digest that it names | |
//! | stat | the same | the link's time, when it is old: a push may follow |
//! | mount | the same in the other repository | `_layers/…/link`, then looks at the data again |
//! | delete | | removes `_layers/…/link` |
//!
//! A link alone proves nothing: Distribution's garbage collection leaves links
//! to blobs that it has removed. And a link may name another digest than its
//! path does: Distribution keeps a blob pushed by sha512 under its sha256.

use std::fs::{self, File};
use std::path::PathBuf;

use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName};

use super::cache::Held;
use super::error::At;
use super::shelf::done;
use super::tree::Tree;
use super::version::Version;
use super::{aside, layout};
use crate::collect;

impl Tree {
    /// As `stat_blob`, when it can be told without waiting for the disk.
    pub(super) fn stat_blob_at_once(&self, name: &RepositoryName, digest: &Digest) -> Option<u64> {
        let link = layout::link_in(self.layout.layer(name, digest));
        let (content, modified) = self.cache.dated_link(&link)?;
        if !self.renewals.are_needless(modified) {
            return None;
        }
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
        self.renew_layer(name, digest)?;
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
        match done(collect::link_blob(self, name, digest, &content))? {
            true => Ok(()),
            false => Err(StorageError::BlobUnknown),
        }
    }

    /// Also removes a link whose blob is gone, or that is broken.
    pub(super) fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        match aside::remove(&layout::link(&self.layout.layer(name, digest)))? {
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
        self.read_kept_link(&self.layout.layer(name, digest))?
            .ok_or(StorageError::BlobUnknown)
    }

    /// As `linked_content`, for what will soon be asked for again.
    fn content_to_serve(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Digest, StorageError> {
        self.read_kept_link_to_serve(&self.layout.layer(name, digest))?
            .ok_or(StorageError::BlobUnknown)
    }

    /// Keeps a blob for a client that is told that it is there.
    fn renew_layer(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        let link = layout::link_in(self.layout.layer(name, digest));
        for _ in 0..2 {
            match fs::metadata(&link).if_present("read", &link)? {
                Some(metadata) if self.renewals.renew(&link, &metadata)? => break,
                // It was set aside, or is not there at all.
                _ if aside::restore(&link).is_ok_and(|was_aside| was_aside) => {}
                _ => break,
            }
        }
        Ok(())
    }
}
