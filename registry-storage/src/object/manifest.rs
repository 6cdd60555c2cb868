//! Manifests of a repository: end-3, end-7, end-9.
//!
//! A put, each step acknowledged by the store before the next:
//!
//! | step | when it ends here |
//! |---|---|
//! | `blobs/…/data` | there are bytes that nothing refers to |
//! | what tells collections of the push | the same, and they stay for an hour |
//! | a look at all that it requires, see [`collect`](super::collect) | the same |
//! | the link in `revisions` | there is the manifest, by digest |
//! | the entry among its subject's referrers | the same, listed |
//! | for each tag: `index/…/link`, then `current/link` | so are the tags so far |
//! | what tells collections is removed | |
//!
//! A delete goes the other way round: every tag that stands at it, the entry,
//! the link in `revisions`.
//!
//! The two may run beside each other in several registries, and nothing is
//! locked. Instead each looks at what the other may have done to it:
//!
//! | a put, after its last tag | a delete, after the link in `revisions` |
//! |---|---|
//! | looks at the link in `revisions`; if it is gone: | looks for tags; for each one at it: |
//! | writes it again, and the entry | removes the tag |
//! | looks at its tags; writes again what is gone | looks at the link in `revisions`; if it is back, writes the tag again |
//!
//! Whoever looks later sees what the other wrote. So both manifest and tag are
//! left, or neither, and a tag alone proves that the repository has the
//! manifest: reading one takes two requests.
//!
//! A tag may also move on to another manifest meanwhile. No store can be told
//! to remove only what is unchanged, so each tag is looked at again just before
//! it is removed.

use bytes::Bytes;
use object_store::PutPayload;
use registry_spec::storage::{Precondition, PutManifest, StorageError, StoredManifest};
use registry_spec::types::{Digest, Manifest, Reference, RepositoryName, Tag, UploadId};

use super::objects::{Condition, Objects};
use super::push::Push;
use crate::collect;
use crate::limits::MAX_MANIFEST_LEN;

impl Objects {
    pub(super) async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        let (digest, bytes) = match reference {
            Reference::Digest(digest) => (*digest, self.manifest_bytes(name, digest).await?),
            Reference::Tag(tag) => {
                let link = self.read_link(&self.layout.tag_current(name, tag)).await?;
                let digest = link.ok_or(StorageError::ManifestUnknown)?;
                (digest, self.manifest_content(&digest).await?)
            }
        };
        let bytes = bytes.ok_or(StorageError::ManifestUnknown)?;
        let Some(media_type) = Manifest::media_type_of(&bytes) else {
            let path = self.layout.blob_data(&digest);
            self.warn_once(&path, "not a manifest that can be served, taken as absent");
            return Err(StorageError::ManifestUnknown);
        };
        Ok(StoredManifest::new(digest, media_type, bytes))
    }

    pub(super) async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> Result<(), StorageError> {
        // Asked again when it is acted upon; here it saves writing what is refused.
        let expected = self.check(name, manifest.precondition.as_ref()).await?;
        self.store_bytes(manifest).await?;
        let push = Push::new(self, UploadId::random(), expected);
        let pushed = collect::push_manifest(&push, name, manifest).await;
        push.end().await;
        pushed
    }

    pub(super) async fn store_bytes(&self, manifest: &PutManifest) -> Result<(), StorageError> {
        let data = self.layout.blob_data(&manifest.digest);
        self.put(&data, manifest.bytes.clone()).await?;
        self.manifests.insert(manifest.digest, &manifest.bytes);
        Ok(())
    }

    /// Writes the link of a manifest and what leads to it. `expected` is what
    /// must hold of its precondition's link.
    pub(super) async fn lead_to(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
        expected: Option<&Condition>,
    ) -> Result<(), StorageError> {
        let digest = &manifest.digest;
        let of = manifest.precondition.as_ref().map(|of| &of.reference);
        let revision = self.layout.revision(name, digest);
        match (expected, of) {
            (Some(condition), Some(Reference::Digest(_))) => {
                self.write_link_if(&revision, digest, condition).await?;
            }
            _ => self.write_link(&revision, digest).await?,
        }
        if let Some(subject) = &manifest.subject {
            self.write_referrer(name, subject, digest).await?;
        }
        for tag in &manifest.tags {
            let is_of = matches!(of, Some(Reference::Tag(of)) if of == tag);
            let condition = expected.filter(|_| is_of);
            self.move_tag(name, tag, digest, condition).await?;
        }
        Ok(())
    }

    /// Brings back what a delete at the same time has taken away.
    pub(super) async fn lead_again(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> Result<(), StorageError> {
        let digest = &manifest.digest;
        self.write_link(&self.layout.revision(name, digest), digest)
            .await?;
        if let Some(subject) = &manifest.subject {
            self.write_referrer(name, subject, digest).await?;
        }
        for tag in &manifest.tags {
            self.restore_tag(name, tag, digest).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let revision = self.layout.revision(name, digest);
        self.head(&revision)
            .await?
            .ok_or(StorageError::ManifestUnknown)?;
        self.put(&self.layout.kept(name), Bytes::new()).await?;
        let subject = self
            .manifest_content(digest)
            .await?
            .and_then(|bytes| Manifest::subject_of(&bytes));
        for tag in self.tags_at(name, digest).await? {
            if self.still_stands_at(name, &tag, digest).await? {
                self.remove_tag(name, &tag).await?;
            }
        }
        if let Some(subject) = subject {
            self.delete(vec![self.layout.referrer(name, &subject, digest)])
                .await?;
        }
        self.delete(vec![revision.clone()]).await?;
        for tag in self.tags_at(name, digest).await? {
            if !self.still_stands_at(name, &tag, digest).await? {
                continue;
            }
            self.delete(vec![self.layout.tag_current(name, &tag)])
                .await?;
            if self.head(&revision).await?.is_some() {
                self.restore_tag(name, &tag, digest).await?;
            } else {
                self.remove_tag_index(name, &tag).await?;
            }
        }
        Ok(())
    }

    /// The bytes of one of the repository's manifests.
    pub(super) async fn manifest_bytes(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Bytes>, StorageError> {
        let revision = self.layout.revision(name, digest);
        let (link, bytes) = tokio::join!(self.read_link(&revision), self.manifest_content(digest));
        match link? {
            Some(content) if content == *digest => bytes,
            Some(content) => self.manifest_content(&content).await,
            None => Ok(None),
        }
    }

    /// The bytes of a manifest, whoever has it.
    async fn manifest_content(&self, digest: &Digest) -> Result<Option<Bytes>, StorageError> {
        if let Some(bytes) = self.manifests.get(digest) {
            return Ok(Some(bytes));
        }
        let path = self.layout.blob_data(digest);
        let content = self.get(&path, MAX_MANIFEST_LEN).await?;
        Ok(content.map(|content| {
            self.manifests.insert(*digest, &content.bytes);
            content.bytes
        }))
    }

    /// Compares with what the reference of a precondition stands at, and
    /// returns what must then hold of its link when it is written.
    async fn check(
        &self,
        name: &RepositoryName,
        precondition: Option<&Precondition>,
    ) -> Result<Option<Condition>, StorageError> {
        let Some(precondition) = precondition else {
            return Ok(None);
        };
        let path = match &precondition.reference {
            Reference::Tag(tag) => self.layout.tag_current(name, tag),
            Reference::Digest(digest) => self.layout.revision(name, digest),
        };
        let link = self.read_whole_link(&path).await?;
        let current = match link.as_ref().and_then(|link| link.digest) {
            Some(digest) if self.content_len(&digest).await?.is_some() => Some(digest),
            _ => None,
        };
        precondition.check(current.as_ref())?;
        Ok(Some(match link {
            Some(link) => Condition::Unchanged(link.version),
            None => Condition::Absent,
        }))
    }

    async fn move_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        condition: Option<&Condition>,
    ) -> Result<(), StorageError> {
        self.write_link(&self.layout.tag_index(name, tag, digest), digest)
            .await?;
        let current = self.layout.tag_current(name, tag);
        match condition {
            Some(condition) => self.write_link_if(&current, digest, condition).await,
            None => self.write_link(&current, digest).await,
        }
    }

    /// Moves a tag to the manifest, if it is nowhere.
    async fn restore_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let moved = self.move_tag(name, tag, digest, Some(&Condition::Absent));
        match moved.await {
            // Somebody else has moved it meanwhile.
            Err(StorageError::PreconditionFailed) => Ok(()),
            result => result,
        }
    }

    async fn write_link_if(
        &self,
        path: &object_store::path::Path,
        digest: &Digest,
        condition: &Condition,
    ) -> Result<(), StorageError> {
        let payload = PutPayload::from(digest.to_string());
        if self.put_if(path, payload, condition).await?.is_some() {
            return Ok(());
        }
        // An earlier attempt of the store's client may have succeeded, and made
        // the next one fail.
        match self.read_link(path).await? {
            Some(there) if there == *digest => Ok(()),
            _ => Err(StorageError::PreconditionFailed),
        }
    }
}
