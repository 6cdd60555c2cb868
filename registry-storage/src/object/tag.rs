//! Tags of a repository: end-8, end-9.
//!
//! A tag is there when there is its `current/link`; one of which only the
//! `index` is left is neither served nor listed. A link that leads nowhere,
//! since the bytes of its manifest are gone, is not served, but listed: to look
//! behind each would take a request per tag.

use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_spec::storage::{Page, StorageError};
use registry_spec::types::{Digest, RepositoryName, Tag};

use super::error::At;
use super::layout::CURRENT_LINK;
use super::objects::{CONCURRENCY, Objects};

impl Objects {
    pub(super) async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        let mut names = self.names(self.layout.tags(name), CURRENT_LINK, after.map(Tag::as_str));
        let mut tags: Vec<Tag> = Vec::new();
        // One more than fits shows whether there is more.
        while tags.len() <= limit
            && let Some(tag) = names.next().await?
        {
            tags.extend(tag.parse());
        }
        if tags.is_empty() && !self.has_any(&self.layout.manifests(name)).await? {
            return Err(StorageError::NameUnknown);
        }
        Ok(Page::take(tags, limit))
    }

    pub(super) async fn delete_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<(), StorageError> {
        let current = self.layout.tag_current(name, tag);
        let link = self.read_whole_link(&current).await?;
        match link {
            Some(_) => self.remove_tag(name, tag).await?,
            // A delete that was cut short leaves the index.
            None => self.remove_tag_index(name, tag).await?,
        }
        let digest = link.and_then(|link| link.digest);
        digest.map(|_| ()).ok_or(StorageError::ManifestUnknown)
    }

    /// The time of its link, which every push of the tag writes.
    pub(super) async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        let link = self.head(&self.layout.tag_current(name, tag)).await?;
        let link = link.ok_or(StorageError::ManifestUnknown)?;
        Ok(Some(link.last_modified.into()))
    }

    /// Between the look and the removal lies one request: stores have no
    /// conditional delete in common. A push of the tag within it is lost, or
    /// within the second of the one before it: many tell time in seconds.
    pub(super) async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        match self.tag_pushed_at(name, tag).await {
            Ok(at) if at == Some(pushed_at) => {}
            Ok(_) | Err(StorageError::ManifestUnknown) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.remove_tag(name, tag).await.map(|()| true)
    }

    /// Every tag whose link names `digest`.
    pub(super) async fn tags_at(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<Tag>, StorageError> {
        let mut names = self.names(self.layout.tags(name), CURRENT_LINK, None);
        let mut found = Vec::new();
        loop {
            let mut some: Vec<Tag> = Vec::new();
            while some.len() < CONCURRENCY
                && let Some(tag) = names.next().await?
            {
                some.extend(tag.parse());
            }
            if some.is_empty() {
                return Ok(found);
            }
            let links = some.into_iter().map(|tag| async move {
                let link = self.read_link(&self.layout.tag_current(name, &tag)).await?;
                Ok::<_, StorageError>((link == Some(*digest)).then_some(tag))
            });
            let mut links = stream::iter(links).buffer_unordered(CONCURRENCY);
            while let Some(tag) = links.try_next().await? {
                found.extend(tag);
            }
        }
    }

    /// Whether a tag that was listed has not moved on since.
    pub(super) async fn still_stands_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let link = self.read_link(&self.layout.tag_current(name, tag)).await?;
        Ok(link == Some(*digest))
    }

    /// Removes a tag, its link first.
    pub(super) async fn remove_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<(), StorageError> {
        self.delete(vec![self.layout.tag_current(name, tag)])
            .await?;
        self.remove_tag_index(name, tag).await
    }

    /// Removes where a tag ever stood.
    pub(super) async fn remove_tag_index(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<(), StorageError> {
        let prefix = self.layout.tag(name, tag);
        let index: Vec<_> = self
            .below(&format!("{prefix}index/"))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .at("list", &prefix)?;
        self.delete(index).await
    }
}
