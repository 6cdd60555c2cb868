//! Manifests of a repository: end-3, end-7, end-9.
//!
//! A put, each step durable before the next (but for the entry, which is
//! derived, see [`referrers`](super::referrers)):
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | `blobs/…/data` | bytes that nothing refers to |
//! | `_manifests/revisions/…/link` | the manifest, by digest |
//! | a look at all that it requires, see [`collect`] | the same |
//! | the entry among its subject's referrers | the same, listed |
//! | for each tag: `index/…/link`, then `current/link` | the tags so far |
//!
//! A delete goes the other way round:
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | every tag that stands at it | the manifest, by digest: the delete can be repeated |
//! | the link in `revisions` | nothing that a reader sees |
//!
//! With the link first, a crash would leave tags that come back to life when
//! the manifest is pushed again, and a repeated delete would find no manifest.
//! The entry among its subject's referrers stays, and is not listed.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use registry_spec::storage::{Precondition, PutManifest, StorageError, StoredManifest};
use registry_spec::types::{Digest, Manifest, MediaType, Reference, RepositoryName, Tag};

use super::cache::Held;
use super::error::At;
use super::shelf::done;
use super::tree::Tree;
use super::version::Version;
use super::{aside, layout};
use crate::collect::{self, Shelf as _};
use crate::limits::MAX_MANIFEST_LEN;

impl Tree {
    /// As `read_manifest`, when it can be done without waiting for the disk.
    pub(super) fn read_manifest_at_once(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Option<StoredManifest> {
        let revision = |digest| layout::link_in(self.layout.revision(name, digest));
        let (digest, content) = match reference {
            Reference::Digest(digest) => (*digest, self.cache.link(&revision(digest))?),
            Reference::Tag(tag) => {
                let current = layout::link_in(self.layout.tag_current(name, tag));
                let digest = self.cache.link(&current)?;
                (digest, self.cache.vouched_link(&revision(&digest))?)
            }
        };
        let (media_type, bytes) = self.cache.manifest(&self.layout.blob_data(&content))?;
        Some(StoredManifest::new(digest, media_type, bytes))
    }

    pub(super) fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        let find = |digest: &Digest| self.manifest_to_serve(name, digest);
        let (digest, (media_type, bytes)) = match reference {
            Reference::Digest(digest) => find(digest)?.map(|found| (*digest, found)),
            Reference::Tag(tag) => self.follow_tag(name, tag, Self::read_link_to_serve, find)?,
        }
        .ok_or(StorageError::ManifestUnknown)?;
        Ok(StoredManifest::new(digest, media_type, bytes))
    }

    fn manifest_to_serve(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<(MediaType, Bytes)>, StorageError> {
        let revision = self.layout.revision(name, digest);
        let Some(content) = self.read_kept_link_to_serve(&revision)? else {
            return Ok(None);
        };
        let Some((file, len)) = self.open_manifest(&content)? else {
            return Ok(None);
        };
        let path = self.layout.blob_data(&content);
        let version = Version::to_rely_on(&file);
        let bytes = read_whole(&file, len, &path)?;
        let Some(media_type) = Manifest::media_type_of(&bytes) else {
            self.warn_once(
                &revision,
                "not a manifest that can be served, taken as absent",
            );
            return Err(StorageError::ManifestUnknown);
        };
        let bytes = Bytes::from(bytes);
        if let Some(version) = version {
            let held = Held::Manifest(media_type.clone(), bytes.clone());
            self.cache.insert(path, version, held);
        }
        Ok(Some((media_type, bytes)))
    }

    pub(super) fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> Result<(), StorageError> {
        // Asked again under the lock; here it saves writing what is refused.
        self.check(name, manifest.precondition.as_ref())?;
        done(self.store_bytes(manifest))?;

        let _lock = self.lock(name)?;
        self.check(name, manifest.precondition.as_ref())?;
        done(collect::push_manifest(self, name, manifest))
    }

    pub(super) fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let revision = self.layout.revision(name, digest);
        // Before the lock, which would create an unknown repository.
        self.read_kept_link(&revision)?
            .ok_or(StorageError::ManifestUnknown)?;
        let _lock = self.lock(name)?;
        for tag in self.tags_at(name, digest)? {
            self.remove_tag(name, &tag)?;
        }
        match aside::remove(&layout::link(&revision))? {
            true => Ok(()),
            false => Err(StorageError::ManifestUnknown),
        }
    }

    /// Whether a manifest belongs to the repository and its bytes are there.
    pub(super) fn has_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        match self.read_kept_link(&self.layout.revision(name, digest))? {
            Some(content) => Ok(self.content_len(&content)?.is_some()),
            None => Ok(false),
        }
    }

    /// The bytes of one of the repository's manifests.
    pub(super) fn manifest_bytes(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(content) = self.read_kept_link(&self.layout.revision(name, digest))? else {
            return Ok(None);
        };
        match self.open_manifest(&content)? {
            Some((file, len)) => read_whole(&file, len, &self.layout.blob_data(&content)).map(Some),
            None => Ok(None),
        }
    }

    /// Whether exactly these bytes are stored, for whichever repository.
    pub(super) fn has_bytes(&self, manifest: &PutManifest) -> Result<bool, StorageError> {
        let path = self.layout.blob_data(&manifest.digest);
        match self.open_manifest(&manifest.digest)? {
            Some((file, len)) => Ok(read_whole(&file, len, &path)? == manifest.bytes),
            None => Ok(false),
        }
    }

    /// Opens some content, if it is there and not too large to be read.
    fn open_manifest(&self, content: &Digest) -> Result<Option<(File, u64)>, StorageError> {
        let opened = self.open_content(content)?;
        if opened
            .as_ref()
            .is_some_and(|(_, len)| *len > MAX_MANIFEST_LEN)
        {
            let path = self.layout.blob_data(content);
            self.warn_once(&path, "too large for a manifest, taken as absent");
            return Ok(None);
        }
        Ok(opened)
    }

    fn check(
        &self,
        name: &RepositoryName,
        precondition: Option<&Precondition>,
    ) -> Result<(), StorageError> {
        let Some(precondition) = precondition else {
            return Ok(());
        };
        // What a GET would be answered with: a tag at something that cannot be
        // served stands nowhere.
        let current = match self.read_manifest(name, &precondition.reference) {
            Ok(manifest) => Some(manifest.digest),
            Err(StorageError::ManifestUnknown) => None,
            Err(error) => return Err(error),
        };
        precondition.check(current.as_ref())
    }

    pub(super) fn move_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.write_link(&self.layout.tag_index(name, tag, digest), digest)?;
        let current = self.layout.tag_current(name, tag);
        if self.write_link(&current, digest)?.is_some() {
            self.touch_tag(&layout::link_in(current), digest);
        }
        Ok(())
    }
}

/// `len` is what the file said a moment ago.
fn read_whole(file: &File, len: u64, path: &Path) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(MAX_MANIFEST_LEN)
        .read_to_end(&mut bytes)
        .at("read", path)?;
    Ok(bytes)
}
