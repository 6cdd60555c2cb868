//! Manifests of a repository: end-3, end-7, end-9.
//!
//! A put, each step durable before the next (but for the entry, which is
//! derived, see [`referrers`](super::referrers)):
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | `blobs/…/data` | bytes that nothing refers to |
//! | `_manifests/revisions/…/link` | the manifest, by digest |
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

use std::io::Read;

use registry_spec::storage::{Precondition, PutManifest, StorageError, StoredManifest};
use registry_spec::types::{Digest, Manifest, Reference, RepositoryName, Tag};

use super::error::At;
use super::tree::Tree;
use super::{atomic, layout};

/// The largest manifest read into memory. The spec expects 4 MiB to work, and
/// somebody may have configured more; but any blob can be linked as a manifest.
const MAX_MANIFEST_LEN: u64 = 16 * 1024 * 1024;

impl Tree {
    pub(super) fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        let bytes_of = |digest: &Digest| self.manifest_bytes(name, digest);
        let (digest, bytes) = match reference {
            Reference::Digest(digest) => bytes_of(digest)?.map(|bytes| (*digest, bytes)),
            Reference::Tag(tag) => self.follow_tag(name, tag, bytes_of)?,
        }
        .ok_or(StorageError::ManifestUnknown)?;
        let Some(media_type) = Manifest::media_type_of(&bytes) else {
            let path = self.layout.revision(name, &digest);
            self.warn_once(&path, "not a manifest that can be served, taken as absent");
            return Err(StorageError::ManifestUnknown);
        };
        Ok(StoredManifest::new(digest, media_type, bytes.into()))
    }

    pub(super) fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> Result<(), StorageError> {
        // Asked again under the lock; here it saves writing what is refused.
        self.check(name, manifest.precondition.as_ref())?;
        let data = self.layout.blob_data(&manifest.digest);
        atomic::write_unless_same(&data, &manifest.bytes)?;

        let _lock = self.lock(name)?;
        self.check(name, manifest.precondition.as_ref())?;
        self.write_link(
            &self.layout.revision(name, &manifest.digest),
            &manifest.digest,
        )?;
        if let Some(subject) = &manifest.subject {
            self.write_referrer(name, subject, &manifest.digest)?;
        }
        for tag in &manifest.tags {
            self.move_tag(name, tag, &manifest.digest)?;
        }
        Ok(())
    }

    pub(super) fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let revision = self.layout.revision(name, digest);
        // Before the lock, which would create an unknown repository.
        self.read_link(&revision)?
            .ok_or(StorageError::ManifestUnknown)?;
        let _lock = self.lock(name)?;
        for tag in self.tags_at(name, digest)? {
            self.remove_tag(name, &tag)?;
        }
        match atomic::remove(&layout::link(&revision))? {
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
        match self.read_link(&self.layout.revision(name, digest))? {
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
        let Some(content) = self.read_link(&self.layout.revision(name, digest))? else {
            return Ok(None);
        };
        let Some((file, len)) = self.open_content(&content)? else {
            return Ok(None);
        };
        let path = self.layout.blob_data(&content);
        if len > MAX_MANIFEST_LEN {
            self.warn_once(&path, "too large for a manifest, taken as absent");
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        file.take(MAX_MANIFEST_LEN)
            .read_to_end(&mut bytes)
            .at("read", &path)?;
        Ok(Some(bytes))
    }

    fn check(
        &self,
        name: &RepositoryName,
        precondition: Option<&Precondition>,
    ) -> Result<(), StorageError> {
        let Some(precondition) = precondition else {
            return Ok(());
        };
        let current = match &precondition.reference {
            Reference::Tag(tag) => self.tag_stands_at(name, tag)?,
            Reference::Digest(digest) => self.has_manifest(name, digest)?.then_some(*digest),
        };
        precondition.check(current.as_ref())
    }

    fn move_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.write_link(&self.layout.tag_index(name, tag, digest), digest)?;
        self.write_link(&self.layout.tag_current(name, tag), digest)
    }
}
