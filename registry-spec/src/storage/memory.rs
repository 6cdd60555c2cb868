//! The reference backend: everything in memory, gone with the process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::{Blob, ByteStream, Page, PutManifest, Storage, StorageError, StoredManifest};
use crate::types::{
    Algorithm, Digest, Hasher, MediaType, Reference, RepositoryName, Tag, UploadId,
};

/// A [`Storage`] in memory: for tests and examples. Blobs stay until the
/// process ends, also when no repository holds them any more.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    blobs: HashMap<Digest, Bytes>,
    repositories: BTreeMap<RepositoryName, Repository>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeSet<Digest>,
    manifests: BTreeMap<Digest, Entry>,
    /// With when it was last pushed.
    tags: BTreeMap<Tag, (Digest, SystemTime)>,
    referrers: BTreeMap<Digest, BTreeSet<Digest>>,
    uploads: HashMap<UploadId, Upload>,
    /// Whether it ever had a manifest.
    is_listed: bool,
}

#[derive(Debug)]
struct Entry {
    media_type: MediaType,
    bytes: Bytes,
    subject: Option<Digest>,
}

#[derive(Debug)]
struct Upload {
    bytes: BytesMut,
    hasher: Hasher,
}

impl MemoryStorage {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No method panics half-way through a change, so a poisoned lock still
    /// guards whole content.
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<&Bytes, StorageError> {
        self.repositories
            .get(name)
            .filter(|repository| repository.blobs.contains(digest))
            .and_then(|_| self.blobs.get(digest))
            .ok_or(StorageError::BlobUnknown)
    }

    fn upload(
        &mut self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<&mut Upload, StorageError> {
        self.repositories
            .get_mut(name)
            .and_then(|repository| repository.uploads.get_mut(id))
            .ok_or(StorageError::UploadUnknown)
    }

    fn remove_upload(
        &mut self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Upload, StorageError> {
        self.repositories
            .get_mut(name)
            .and_then(|repository| repository.uploads.remove(id))
            .ok_or(StorageError::UploadUnknown)
    }

    fn repository(&mut self, name: &RepositoryName) -> &mut Repository {
        self.repositories.entry(name.clone()).or_default()
    }
}

impl Repository {
    /// What a reference stands at, if that exists.
    fn resolve(&self, reference: &Reference) -> Option<Digest> {
        let digest = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => &self.tags.get(tag)?.0,
        };
        self.manifests.contains_key(digest).then_some(*digest)
    }
}

/// All that is after `after`.
fn beyond<T>(after: Option<&T>) -> (Bound<&T>, Bound<&T>) {
    (
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError> {
        Ok(self.lock().blob(name, digest)?.len() as u64)
    }

    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        let bytes = self.lock().blob(name, digest)?.clone();
        let size = bytes.len() as u64;
        let end = |offset: u64| usize::try_from(offset.min(size)).unwrap_or(bytes.len());
        let content = match range {
            Some(range) => bytes.slice(end(range.start)..end(range.end)),
            None => bytes,
        };
        Ok(Blob::new(size, content.into()))
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        let content = self.lock();
        content
            .repositories
            .get(name)
            .and_then(|repository| {
                let digest = repository.resolve(reference)?;
                let entry = repository.manifests.get(&digest)?;
                let (media_type, bytes) = (entry.media_type.clone(), entry.bytes.clone());
                Some(StoredManifest::new(digest, media_type, bytes))
            })
            .ok_or(StorageError::ManifestUnknown)
    }

    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        let id = UploadId::random();
        let upload = Upload {
            bytes: BytesMut::new(),
            hasher: Hasher::new(algorithm),
        };
        self.lock()
            .repository(name)
            .uploads
            .insert(id.clone(), upload);
        Ok(id)
    }

    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        mut body: ByteStream,
    ) -> Result<u64, StorageError> {
        let mut reached = at;
        let check = |upload: &Upload, at: u64| match upload.bytes.len() as u64 {
            offset if offset == at => Ok(()),
            offset => Err(StorageError::OutOfOrder { at, offset }),
        };
        check(self.lock().upload(name, id)?, reached)?;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|source| StorageError::Body { source })?;
            let mut content = self.lock();
            let upload = content.upload(name, id)?;
            // Each chunk is checked, so of two appends at once one gives up.
            check(upload, reached)?;
            upload.hasher.update(&chunk);
            upload.bytes.extend_from_slice(&chunk);
            reached += chunk.len() as u64;
        }
        Ok(reached)
    }

    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let mut content = self.lock();
        let Upload { bytes, hasher } = content.remove_upload(name, id)?;
        let actual = if hasher.algorithm() == digest.algorithm() {
            hasher.finish()
        } else {
            Digest::of(digest.algorithm(), &bytes)
        };
        if actual != *digest {
            return Err(StorageError::DigestMismatch { actual });
        }
        content.blobs.insert(*digest, bytes.freeze());
        content.repository(name).blobs.insert(*digest);
        Ok(())
    }

    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        let PutManifest {
            digest,
            media_type,
            bytes,
            subject,
            tags,
            precondition,
            // Nothing is removed here but at a client's wish.
            requirements: _,
        } = manifest;
        let mut content = self.lock();
        if let Some(precondition) = precondition {
            let repository = content.repositories.get(name);
            let current = repository.and_then(|r| r.resolve(&precondition.reference));
            precondition.check(current.as_ref())?;
        }
        let repository = content.repository(name);
        repository.is_listed = true;
        repository.manifests.insert(
            digest,
            Entry {
                media_type,
                bytes,
                subject,
            },
        );
        if let Some(subject) = subject {
            repository
                .referrers
                .entry(subject)
                .or_default()
                .insert(digest);
        }
        for tag in tags {
            repository.tags.insert(tag, (digest, SystemTime::now()));
        }
        Ok(())
    }

    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        let content = self.lock();
        let repository = content
            .repositories
            .get(name)
            .filter(|repository| repository.is_listed)
            .ok_or(StorageError::NameUnknown)?;
        let tags = repository.tags.range::<Tag, _>(beyond(after));
        Ok(Page::take(tags.map(|(tag, _)| tag.clone()), limit))
    }

    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let mut content = self.lock();
        let repository = content
            .repositories
            .get_mut(name)
            .ok_or(StorageError::ManifestUnknown)?;
        let entry = repository
            .manifests
            .remove(digest)
            .ok_or(StorageError::ManifestUnknown)?;
        repository.tags.retain(|_, (tagged, _)| tagged != digest);
        if let Some(referrers) = entry
            .subject
            .and_then(|subject| repository.referrers.get_mut(&subject))
        {
            referrers.remove(digest);
        }
        Ok(())
    }

    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        self.lock()
            .repositories
            .get_mut(name)
            .and_then(|repository| repository.tags.remove(tag))
            .map(drop)
            .ok_or(StorageError::ManifestUnknown)
    }

    async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        let content = self.lock();
        let repository = content.repositories.get(name);
        let tagged = repository.and_then(|repository| repository.tags.get(tag));
        let (_, pushed_at) = tagged.ok_or(StorageError::ManifestUnknown)?;
        Ok(Some(*pushed_at))
    }

    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        let mut content = self.lock();
        let Some(repository) = content.repositories.get_mut(name) else {
            return Ok(false);
        };
        let is_unchanged = |(_, at): &(Digest, SystemTime)| *at == pushed_at;
        if !repository.tags.get(tag).is_some_and(is_unchanged) {
            return Ok(false);
        }
        Ok(repository.tags.remove(tag).is_some())
    }

    async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let mut content = self.lock();
        let removed = content
            .repositories
            .get_mut(name)
            .is_some_and(|repository| repository.blobs.remove(digest));
        if removed {
            Ok(())
        } else {
            Err(StorageError::BlobUnknown)
        }
    }

    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        let mut content = self.lock();
        let held = match from {
            Some(from) => content.blob(from, digest).is_ok(),
            None => content
                .repositories
                .values()
                .any(|repository| repository.blobs.contains(digest)),
        };
        if !held {
            return Err(StorageError::BlobUnknown);
        }
        content.repository(name).blobs.insert(*digest);
        Ok(())
    }

    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let content = self.lock();
        let referrers = content
            .repositories
            .get(name)
            .and_then(|repository| repository.referrers.get(subject));
        let after_it = referrers
            .into_iter()
            .flat_map(|referrers| referrers.range::<Digest, _>(beyond(after)));
        Ok(Page::take(after_it.copied(), limit))
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError> {
        Ok(self.lock().upload(name, id)?.bytes.len() as u64)
    }

    async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        self.lock().remove_upload(name, id).map(drop)
    }

    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        let content = self.lock();
        let listed = content
            .repositories
            .range::<RepositoryName, _>(beyond(after))
            .filter(|(_, repository)| repository.is_listed)
            .map(|(name, _)| name.clone());
        Ok(Page::take(listed, limit))
    }
}
