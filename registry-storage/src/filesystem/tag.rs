//! Tags of a repository: end-8, end-9.
//!
//! A tag is there when `current/link` names a manifest that the repository
//! has. One that does not (its manifest was deleted, its link was cut short by
//! a crash, only its `index` is left) is neither served nor listed.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::SystemTime;

use registry_spec::storage::{Page, StorageError};
use registry_spec::types::{Digest, RepositoryName, Tag};

use super::entries::{entries, page};
use super::error::At;
use super::open::open;
use super::tree::Tree;
use super::{atomic, disk, layout};

impl Tree {
    pub(super) fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        let manifests = self.layout.manifests(name);
        fs::metadata(&manifests)
            .if_present("read", &manifests)?
            .filter(Metadata::is_dir)
            .ok_or(StorageError::NameUnknown)?;
        let tags = self.layout.tags(name);
        page(
            after,
            limit,
            |smallest| {
                for entry in entries(&tags)? {
                    if let Ok(tag) = entry?.0.parse() {
                        smallest.offer(tag);
                    }
                }
                Ok(())
            },
            |tag| Ok(self.tag_stands_at(name, tag)?.is_some()),
        )
    }

    pub(super) fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        let dir = self.layout.tag(name, tag);
        // Before the lock, which would create an unknown repository.
        fs::symlink_metadata(&dir)
            .if_present("read", &dir)?
            .ok_or(StorageError::ManifestUnknown)?;
        let _lock = self.lock(name)?;
        let link = self.read_link(&self.layout.tag_current(name, tag))?;
        // Without a link too: a delete that died leaves the directory.
        self.remove_tag(name, tag)?;
        match link {
            Some(_) => Ok(()),
            None => Err(StorageError::ManifestUnknown),
        }
    }

    /// The time of its link: every push of the tag writes or touches it.
    pub(super) fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        let link = layout::link_in(self.layout.tag_current(name, tag));
        let metadata = fs::metadata(&link)
            .if_present("read", &link)?
            .ok_or(StorageError::ManifestUnknown)?;
        Ok(metadata.modified().ok().filter(is_told))
    }

    pub(super) fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        let is_unchanged = || match self.tag_pushed_at(name, tag) {
            Ok(at) => Ok(at == Some(pushed_at)),
            Err(StorageError::ManifestUnknown) => Ok(false),
            Err(error) => Err(error),
        };
        // Before the lock, which would create an unknown repository.
        if !is_unchanged()? {
            return Ok(false);
        }
        let _lock = self.lock(name)?;
        if !is_unchanged()? {
            return Ok(false);
        }
        self.remove_tag(name, tag).map(|()| true)
    }

    /// Says durably that a tag was pushed just now, where its link was there
    /// already and so was not written.
    pub(super) fn touch_tag(&self, link: &Path, digest: &Digest) {
        let touched = open(link).and_then(|file| {
            disk::set_modified(&file, link, SystemTime::now())?;
            self.durability.sync_file(&file, link)
        });
        // Only the owner of a file may do that; whoever may write to the
        // directory puts a new one in its place.
        let Err(error) = touched else { return };
        // A tag that seems older than it is was pushed all the same.
        if atomic::write(link, digest.to_string().as_bytes(), self.durability).is_err() {
            self.warn_once(
                link,
                format_args!("the time of a push is not kept: {error}"),
            );
        }
    }

    /// The digest of the manifest that a tag names, if that is there.
    pub(super) fn tag_stands_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, StorageError> {
        let is_there = |digest: &Digest| Ok(self.has_manifest(name, digest)?.then_some(()));
        let found = self.follow_tag(name, tag, Self::read_link, is_there)?;
        Ok(found.map(|(digest, ())| digest))
    }

    /// The digest that a tag names, and what `find` finds of that manifest.
    pub(super) fn follow_tag<T>(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        read_link: impl Fn(&Self, &Path) -> Result<Option<Digest>, StorageError>,
        find: impl Fn(&Digest) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<(Digest, T)>, StorageError> {
        let current = self.layout.tag_current(name, tag);
        let mut without = None;
        loop {
            let link = read_link(self, &current)?;
            let Some(digest) = link.filter(|digest| without != Some(*digest)) else {
                return Ok(None);
            };
            if let Some(found) = find(&digest)? {
                return Ok(Some((digest, found)));
            }
            // The tag may have moved on before its old manifest was deleted.
            without = Some(digest);
        }
    }

    /// Every tag whose link names `digest`.
    pub(super) fn tags_at(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<Tag>, StorageError> {
        let mut tags = Vec::new();
        for entry in entries(&self.layout.tags(name))? {
            let Ok(tag) = entry?.0.parse() else {
                continue;
            };
            if self.read_link(&self.layout.tag_current(name, &tag))? == Some(*digest) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    /// Removes a tag durably, its link first. The caller holds the
    /// repository's lock.
    pub(super) fn remove_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        let dir = self.layout.tag(name, tag);
        let current = self.layout.tag_current(name, tag);
        let link = layout::link(&current);
        disk::remove_file(&link).if_present("remove", &link)?;
        match disk::remove_dir_all(&dir) {
            Ok(()) => atomic::sync_entries(&self.layout.tags(name)),
            // A file of somebody else's is in the way. The tag is gone with
            // its link all the same.
            Err(_) => atomic::sync_entries(&current),
        }
    }
}

/// Whether a time says anything: archives and some file systems set all times
/// to 0, and no text has a year after 9999.
fn is_told(at: &SystemTime) -> bool {
    const YEAR_10000: u64 = 253_402_300_800;
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.is_ok_and(|since| (1..YEAR_10000).contains(&since.as_secs()))
}
