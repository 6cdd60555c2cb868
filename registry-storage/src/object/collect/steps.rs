//! The atomic steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use object_store::path::Path;
use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, Manifest, References, RepositoryName};
use tokio::time::timeout;

use super::super::error::{At, ObjectError};
use super::super::layout::{blob_below, is_current, pushed_below, stood_at};
use super::super::names::PAGE;
use super::super::objects::{CONCURRENCY, Condition, digest_in};
use super::super::tombstones::{LAST, Since, State};
use super::Collection;
use crate::PurgedUploads;
use crate::collect::{Found, Listed, Repositories, Steps, Told, Unit};
use crate::limits::{MAX_LINK_LEN, MAX_MANIFEST_LEN};

impl Steps for Collection<'_> {
    const CONCURRENCY: usize = CONCURRENCY;

    async fn repositories(&self) -> Result<Repositories, StorageError> {
        // First those that may come to be, with what is being pushed to them.
        let pushes = self.pushes(&self.objects.layout.pushes()).await?;
        let layout = &self.objects.layout;
        let names = pushes.iter().filter_map(|push| layout.pushed_to(push));
        let mut names: BTreeSet<RepositoryName> = names.collect();
        let mut walk = self.objects.walk(None, usize::MAX);
        while let Some(visit) = walk.next().await? {
            if visit.has_any {
                names.extend(visit.name.parse::<RepositoryName>());
            }
        }
        Ok(Repositories {
            names: names.into_iter().collect(),
            hidden: Vec::new(),
        })
    }

    async fn tags(&self, name: &RepositoryName) -> Result<Vec<Digest>, StorageError> {
        let prefix = self.objects.layout.tags(name);
        let mut below = self.objects.below(&prefix);
        let (mut digests, mut links) = (Vec::new(), Vec::new());
        loop {
            let next = below.try_next().await.at("list", &prefix)?;
            let is_last = next.is_none();
            if let Some(object) = next
                && is_current(&prefix, object.location.as_ref())
            {
                links.push(object.location);
            }
            if links.len() == CONCURRENCY || is_last {
                let reads = links.iter().map(|link| self.read_link(link));
                let read = try_join_all(reads).await?;
                digests.extend(read.into_iter().flatten());
                links.clear();
            }
            if is_last {
                return Ok(digests);
            }
        }
    }

    async fn manifests(&self, name: &RepositoryName) -> Result<Vec<Listed>, StorageError> {
        // First those whose link may come to be, and they cease to be pushed,
        // while the links are listed.
        let mut found: BTreeMap<Digest, Option<Told>> = BTreeMap::new();
        let prefix = self.objects.layout.pushes_to(name);
        for push in self.pushes(&prefix).await? {
            let (is_old, bytes) = (false, 0);
            let digest = pushed_below(&prefix, push.as_ref());
            found.extend(digest.map(|digest| (digest, Some(Told { is_old, bytes }))));
        }
        let prefix = self.objects.layout.revisions(name);
        self.list(&prefix, |listed| {
            found.entry(listed.digest).or_insert(listed.told);
        })
        .await?;
        let listed = found.into_iter();
        Ok(listed
            .map(|(digest, told)| Listed { digest, told })
            .collect())
    }

    async fn layers(&self, name: &RepositoryName) -> Result<Vec<Listed>, StorageError> {
        let mut layers = Vec::new();
        let prefix = self.objects.layout.layers(name);
        self.list(&prefix, |listed| layers.push(listed)).await?;
        Ok(layers)
    }

    async fn blobs(&self, algorithm: Algorithm, first: u8) -> Result<Vec<Listed>, StorageError> {
        if !self.parts.contains(&(algorithm, first)) {
            return Ok(Vec::new());
        }
        let of_algorithm = self.objects.layout.blobs_of(algorithm);
        let prefix = format!("{of_algorithm}{first:02x}/");
        let mut below = self.objects.below(&prefix);
        let mut blobs = Vec::new();
        while let Some(object) = below.try_next().await.at("list", &prefix)? {
            let key = object.location.as_ref();
            blobs.extend(
                blob_below(&of_algorithm, algorithm, key).map(|digest| Listed {
                    digest,
                    told: Some(self.told(&object)),
                }),
            );
        }
        Ok(blobs)
    }

    async fn look(&self, unit: Unit<'_>) -> Result<Option<Found>, StorageError> {
        let place = self.objects.layout.place(unit);
        let tombstone = self.objects.layout.tombstone(unit, &self.run);
        let is_aside = async { Ok(self.objects.head(&tombstone).await?.is_some()) };
        if let Unit::Blob(digest) = unit {
            let (found, is_aside) = tokio::try_join!(self.objects.head(&place), is_aside)?;
            return Ok(found.map(|object| self.found(digest, &object, is_aside)));
        }
        let link = self.objects.get(&place, MAX_LINK_LEN as u64);
        let (link, is_aside) = tokio::try_join!(link, is_aside)?;
        if let Some(link) = link {
            let fault = || ObjectError::broken(&place, "is not a link");
            return Ok(Some(Found {
                content: digest_in(&link.bytes).ok_or_else(fault)?,
                is_old: self.is_old(link.modified),
                is_aside,
                bytes: 0,
            }));
        }
        match unit {
            Unit::Manifest(name, digest) if self.is_pushed(name, &digest).await? => {
                Ok(Some(Found {
                    content: digest,
                    is_old: false,
                    is_aside,
                    bytes: 0,
                }))
            }
            _ => Ok(None),
        }
    }

    async fn references(&self, content: &Digest) -> Result<References, StorageError> {
        let place = self.objects.layout.blob_data(content);
        let fault = |fault| ObjectError::broken(&place, fault);
        let read = self.objects.get(&place, MAX_MANIFEST_LEN).await?;
        let bytes = read.ok_or_else(|| fault("is not there, or too large for a manifest"))?;
        if Digest::of(content.algorithm(), &bytes.bytes) != *content {
            return Err(fault("is a manifest with another digest"));
        }
        let references = Manifest::references_of(&bytes.bytes);
        references.ok_or_else(|| fault("is linked as a manifest, but not one"))
    }

    async fn set_aside(&self, unit: Unit<'_>) -> Result<Option<Found>, StorageError> {
        let tombstone = self.objects.layout.tombstone(unit, &self.run);
        let proposed = State::Proposed;
        // One that is there is that of an attempt whose answer was lost.
        self.objects
            .mark(&tombstone, proposed, &Condition::Absent)
            .await?;
        let place = self.objects.layout.place(unit);
        let (Unit::Manifest(_, digest) | Unit::Layer(_, digest) | Unit::Blob(digest)) = unit;
        match self.objects.head(&place).await? {
            Some(object) => Ok(Some(self.found(digest, &object, true))),
            None => {
                self.objects.delete(vec![tombstone]).await?;
                Ok(None)
            }
        }
    }

    async fn put_back(&self, unit: Unit<'_>) -> Result<(), StorageError> {
        let tombstone = self.objects.layout.tombstone(unit, &self.run);
        match self.objects.tombstone(&tombstone).await? {
            // A deletion whose end is not known may yet come to the store.
            Some((State::Condemned, _)) | None => Ok(()),
            Some(_) => self.objects.delete(vec![tombstone]).await,
        }
    }

    async fn delete(&self, unit: Unit<'_>) -> Result<bool, StorageError> {
        let tombstone = self.objects.layout.tombstone(unit, &self.run);
        let since = Since::now();
        if !self.condemn(&tombstone).await? {
            self.objects.delete(vec![tombstone]).await?;
            return Ok(false);
        }
        let place = self.objects.layout.place(unit);
        let late = || ObjectError::inconsistent(&place, "could not be removed in time");
        let left = LAST.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(late());
        }
        let deleted = timeout(left, self.objects.delete(vec![place.clone()])).await;
        deleted.map_err(|_| late())??;
        // What it told is done. If it stays, it hinders pushes for a while.
        if let Err(error) = self.objects.delete(vec![tombstone.clone()]).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(key = %tombstone, error, "left over from a garbage collection");
        }
        Ok(true)
    }

    async fn forget(
        &self,
        name: &RepositoryName,
        deleted: &[(Digest, Option<Digest>)],
    ) -> Result<(), StorageError> {
        let layout = &self.objects.layout;
        // The repository stays in the catalog.
        self.objects.put(&layout.kept(name), Bytes::new()).await?;
        for some in deleted.chunks(CONCURRENCY) {
            let forgets = some.iter().filter_map(|(digest, subject)| {
                let subject = subject.as_ref()?;
                Some(self.forget_referrer(name, subject, digest))
            });
            try_join_all(forgets).await?;
        }
        let prefix = layout.tags(name);
        let mut below = self.objects.below(&prefix);
        let mut entries = Vec::new();
        while let Some(object) = below.try_next().await.at("list", &prefix)? {
            let stood_at = stood_at(&prefix, object.location.as_ref());
            let is_gone = |at: Digest| deleted.iter().any(|(digest, _)| *digest == at);
            if stood_at.is_some_and(is_gone) {
                entries.push(object.location);
            }
        }
        self.objects.delete(entries).await
    }

    async fn remove_repository(
        &self,
        name: &RepositoryName,
        dry_run: bool,
    ) -> Result<bool, StorageError> {
        let layout = &self.objects.layout;
        let (kept, indexed) = (layout.kept(name), layout.referrers_indexed(name));
        let referrers = layout.all_referrers(name);
        let prefix = layout.own(name);
        let (mut derived, mut offset) = (Vec::new(), None);
        loop {
            let page = self
                .objects
                .list_page(&prefix, offset.as_deref(), None, PAGE);
            let page = page.await?;
            for object in page.result.objects {
                let is_derived = object.location.as_ref().starts_with(&referrers);
                let is_kept = object.location == kept && self.is_old(object.last_modified.into());
                if !is_derived && !is_kept {
                    return Ok(false);
                }
                derived.push(object.location);
            }
            let last = derived.last().map(Path::to_string);
            if page.page_token.is_none() || last.is_none() {
                break;
            }
            offset = last;
        }
        if derived.is_empty() {
            // Gone with its last link, unless it is about to come to be.
            return Ok(self.pushes(&layout.pushes_to(name)).await?.is_empty());
        }
        if !dry_run {
            // The entries before what tells that they are there.
            derived.sort_by_key(|path| *path == indexed);
            self.objects.delete(derived).await?;
        }
        Ok(true)
    }

    async fn purge_uploads(
        &self,
        older_than: Duration,
        dry_run: bool,
    ) -> Result<PurgedUploads, StorageError> {
        self.uploads.purge_all(self.now, older_than, dry_run).await
    }
}

impl Collection<'_> {
    /// From now on nobody relies on it; `false` if somebody does.
    async fn condemn(&self, tombstone: &Path) -> Result<bool, StorageError> {
        let Some((State::Proposed, read)) = self.objects.tombstone(tombstone).await? else {
            return Ok(false);
        };
        let unchanged = Condition::Unchanged(read.version);
        let condemned = State::Condemned;
        if self.objects.mark(tombstone, condemned, &unchanged).await? {
            return Ok(true);
        }
        // An earlier attempt at it may have succeeded.
        let now = self.objects.tombstone(tombstone).await?;
        Ok(now.is_some_and(|(state, _)| state == condemned))
    }

    /// Removes the entry of a manifest that is gone. Whoever pushes it again
    /// writes the entry after its link, so that one of both sees the other.
    async fn forget_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let layout = &self.objects.layout;
        let entry = layout.referrer(name, subject, digest);
        self.objects.delete(vec![entry]).await?;
        let link = layout.revision(name, digest);
        match self.objects.head(&link).await? {
            Some(_) => self.objects.write_referrer(name, subject, digest).await,
            None => Ok(()),
        }
    }
}
