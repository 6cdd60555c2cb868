//! The storage that obeys the rules.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use registry_spec::storage::{
    Blob, BlobUrl, ByteStream, Expected, Page, Precondition, PutManifest, Storage, StorageError,
    StoredManifest,
};
use registry_spec::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};
use tokio::sync::RwLock;

use super::{CurrentImmutable, ImmutableTags};

/// How many repositories can be changed without one waiting for another.
const PLACES: usize = 64;
/// How many tags are listed at once.
const PAGE: usize = 1000;
/// How many of them are looked at together: each may be a question to a store.
const LOOKS: usize = 8;

/// A storage some of whose tags stay where they are. See the
/// [module](super) for what is refused.
///
/// A push of an immutable tag, and the delete of a manifest where there may be
/// some, go on when their futures are dropped, on the Tokio runtime that they were
/// begun on: neither may begin while the other is under way.
#[derive(Debug)]
pub struct Immutable<S> {
    inner: Arc<S>,
    rules: CurrentImmutable,
    /// Pushes of immutable tags share one, deletes of manifests have it alone:
    /// a tag must not come to a manifest that was found to have none.
    places: Arc<[RwLock<()>]>,
}

impl<S> Clone for Immutable<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            rules: self.rules.clone(),
            places: Arc::clone(&self.places),
        }
    }
}

impl<S: Storage> Immutable<S> {
    /// `inner` keeps everything; `rules` say which tags stay where they are.
    pub fn new(inner: S, rules: impl Into<CurrentImmutable>) -> Self {
        Self {
            inner: Arc::new(inner),
            rules: rules.into(),
            places: (0..PLACES).map(|_| RwLock::new(())).collect(),
        }
    }

    fn place(&self, name: &RepositoryName) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = hasher.finish() % self.places.len() as u64;
        &self.places[usize::try_from(index).expect("less than a length")]
    }

    async fn stands_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, StorageError> {
        match self.inner.read_manifest(name, &tag.clone().into()).await {
            Ok(manifest) => Ok(Some(manifest.digest)),
            Err(StorageError::ManifestUnknown) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Refuses to move an immutable tag that stands at another manifest.
    async fn check(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        match self.stands_at(name, tag).await? {
            Some(there) if there != *digest => Err(StorageError::TagImmutable { tag: tag.clone() }),
            _ => Ok(()),
        }
    }

    /// Puts a manifest with its tags, some of which are `immutable`.
    async fn put_all(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
        immutable: Vec<Tag>,
        others: Vec<Tag>,
    ) -> Result<(), StorageError> {
        let _place = self.place(name).read().await;
        // Before anything changes; each is asked again when it is moved.
        for tag in &immutable {
            self.check(name, tag, &manifest.digest).await?;
        }
        // A push has one precondition. The client's own comes first, if there
        // is one; each further tag takes a push of its own.
        let asked = manifest.precondition.as_ref();
        let first = match asked.map(|asked| &asked.reference) {
            Some(Reference::Tag(tag)) => immutable.iter().find(|immutable| *immutable == tag),
            Some(Reference::Digest(_)) => None,
            None => immutable.first(),
        };
        let mut put = manifest.clone();
        // First, so that nothing moves where this one is refused.
        put.tags = first.cloned().into_iter().chain(others).collect();
        if let Some(tag) = first {
            put.precondition = Some(match asked {
                Some(asked) => Precondition::new(
                    asked.reference.clone(),
                    narrowed(&asked.expected, &manifest.digest),
                ),
                None => stays(tag, &manifest.digest),
            });
        }
        self.put(name, first, put).await?;
        for tag in immutable.iter().filter(|tag| Some(*tag) != first) {
            let mut put = manifest.clone();
            put.tags = vec![tag.clone()];
            put.precondition = Some(stays(tag, &manifest.digest));
            self.put(name, Some(tag), put).await?;
        }
        Ok(())
    }

    /// Puts a manifest whose precondition is, or includes, that the immutable
    /// tag does not move.
    async fn put(
        &self,
        name: &RepositoryName,
        tag: Option<&Tag>,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        let digest = manifest.digest;
        match (self.inner.put_manifest(name, manifest).await, tag) {
            // Was it the rule, or what the client asked for?
            (Err(StorageError::PreconditionFailed), Some(tag)) => {
                self.check(name, tag, &digest).await?;
                Err(StorageError::PreconditionFailed)
            }
            (result, _) => result,
        }
    }

    /// Refuses when an immutable tag stands at the manifest.
    async fn check_tags_at(
        &self,
        rules: &ImmutableTags,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let page = match self.inner.list_tags(name, after.as_ref(), PAGE).await {
                Err(StorageError::NameUnknown) => return Ok(()),
                result => result?,
            };
            let immutable = page
                .items
                .iter()
                .filter(|tag| rules.rule_for(name, tag).is_some());
            let looks: Vec<_> = immutable
                .map(|tag| async move { (tag, self.stands_at(name, tag).await) })
                .collect();
            let mut looks = stream::iter(looks).buffer_unordered(LOOKS);
            while let Some((tag, there)) = looks.next().await {
                if there? == Some(*digest) {
                    return Err(StorageError::TagImmutable { tag: tag.clone() });
                }
            }
            match page.items.last() {
                Some(last) if page.more => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }
}

/// Does it whether or not somebody waits for it: what an inner storage has begun
/// goes on in any case, and must not lose its place.
async fn to_its_end(
    work: impl Future<Output = Result<(), StorageError>> + Send + 'static,
) -> Result<(), StorageError> {
    tokio::spawn(work)
        .await
        .map_err(|error| StorageError::backend("immutable", error))?
}

/// What must hold for an immutable tag.
fn stays(tag: &Tag, digest: &Digest) -> Precondition {
    Precondition::new(tag.clone().into(), Expected::AbsentOr(*digest))
}

/// What a client expects of a tag, and that it does not move.
fn narrowed(expected: &Expected, digest: &Digest) -> Expected {
    match expected {
        Expected::Absent => Expected::Absent,
        Expected::Present => Expected::OneOf(vec![*digest]),
        Expected::OneOf(digests) => {
            let same = digests.contains(digest).then_some(*digest);
            Expected::OneOf(same.into_iter().collect())
        }
        Expected::NoneOf(digests) if digests.contains(digest) => Expected::Absent,
        // And what this version does not know is left to the rule.
        _ => Expected::AbsentOr(*digest),
    }
}

// A new method must not slip past the rules.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: Storage> Storage for Immutable<S> {
    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        let rules = self.rules.get();
        let (immutable, others): (Vec<Tag>, Vec<Tag>) = manifest
            .tags
            .iter()
            .cloned()
            .partition(|tag| rules.rule_for(name, tag).is_some());
        if immutable.is_empty() {
            return self.inner.put_manifest(name, manifest).await;
        }
        let (this, name) = (self.clone(), name.clone());
        to_its_end(async move { this.put_all(&name, manifest, immutable, others).await }).await
    }

    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let rules = self.rules.get();
        if !rules.is_about(name) {
            return self.inner.delete_manifest(name, digest).await;
        }
        let (this, name, digest) = (self.clone(), name.clone(), *digest);
        to_its_end(async move {
            let _place = this.place(&name).write().await;
            this.check_tags_at(&rules, &name, &digest).await?;
            this.inner.delete_manifest(&name, &digest).await
        })
        .await
    }

    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        if self.rules.get().rule_for(name, tag).is_none() {
            return self.inner.delete_tag(name, tag).await;
        }
        match self.stands_at(name, tag).await? {
            Some(_) => Err(StorageError::TagImmutable { tag: tag.clone() }),
            // Nothing is removed: it may be pushed at this moment.
            None => Err(StorageError::ManifestUnknown),
        }
    }

    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError> {
        self.inner.stat_blob(name, digest).await
    }

    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        self.inner.read_blob(name, digest, range).await
    }

    async fn redirect_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobUrl>, StorageError> {
        self.inner.redirect_blob(name, digest).await
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        self.inner.read_manifest(name, reference).await
    }

    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        self.inner.start_upload(name, algorithm).await
    }

    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        self.inner.append_upload(name, id, at, body).await
    }

    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.inner.finish_upload(name, id, digest).await
    }

    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        self.inner.list_tags(name, after, limit).await
    }

    async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        self.inner.tag_pushed_at(name, tag).await
    }

    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        match self.rules.get().rule_for(name, tag) {
            Some(_) => Ok(false),
            None => self.inner.expire_tag(name, tag, pushed_at).await,
        }
    }

    async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.inner.delete_blob(name, digest).await
    }

    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        self.inner.mount_blob(name, digest, from).await
    }

    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        self.inner.list_referrers(name, subject, after, limit).await
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError> {
        self.inner.stat_upload(name, id).await
    }

    async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        self.inner.cancel_upload(name, id).await
    }

    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        self.inner.list_repositories(after, limit).await
    }
}
