//! The atomic steps.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, Manifest, References, RepositoryName};

use super::super::entries::entries;
use super::super::error::{At, FileError, is_absent};
use super::super::owner::{as_owner, chain};
use super::super::{aside, atomic, disk, layout};
use super::Collection;
use super::empty::remove_empty;
use super::links::{digests_in, is_real_dir, open, read_link};
use crate::PurgedUploads;
use crate::collect::{Found, Listed, Repositories, Steps, Unit};
use crate::limits::MAX_MANIFEST_LEN;

/// How often something is set aside that others move meanwhile.
const LOOKS: usize = 16;

impl Steps for Collection<'_> {
    const CONCURRENCY: usize = 1;

    async fn repositories(&self) -> Result<Repositories, StorageError> {
        let mut found = Repositories::default();
        self.walk(&self.tree.layout.repositories(), "", &mut found)?;
        found.names.sort_unstable();
        Ok(found)
    }

    async fn tags(&self, name: &RepositoryName) -> Result<Vec<Digest>, StorageError> {
        let mut digests = Vec::new();
        for tag in self.tag_names(name)? {
            let link = layout::link_in(self.tree.layout.tag_current(name, &tag));
            digests.extend(read_link(&link)?.map(|(digest, _)| digest));
        }
        Ok(digests)
    }

    async fn manifests(&self, name: &RepositoryName) -> Result<Vec<Listed>, StorageError> {
        self.digests(name, &[layout::MANIFESTS, "revisions"])
    }

    async fn layers(&self, name: &RepositoryName) -> Result<Vec<Listed>, StorageError> {
        self.digests(name, &[layout::LAYERS])
    }

    async fn blobs(&self, algorithm: Algorithm, first: u8) -> Result<Vec<Listed>, StorageError> {
        let mut digests = Vec::new();
        let dir = [layout::BLOBS, algorithm.as_str(), &format!("{first:02x}")];
        digests_in(self.tree.layout.tree(), &dir, algorithm, &mut digests)?;
        // What lies in another's directory is nobody's.
        digests.retain(|digest| digest.hash()[0] == first);
        Ok(digests.into_iter().map(Listed::from).collect())
    }

    async fn look(&self, unit: Unit<'_>) -> Result<Option<Found>, StorageError> {
        aside::look(&self.tree.layout.place(unit), |path| {
            self.found_at(unit, path)
        })
    }

    async fn references(&self, content: &Digest) -> Result<References, StorageError> {
        let place = self.tree.layout.blob_data(content);
        let file = aside::look(&place, open)?;
        let file = file.ok_or_else(|| FileError::fault(&place, "a manifest's bytes are gone"))?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_MANIFEST_LEN + 1).read_to_end(&mut bytes);
        if read.at("read", &place)? as u64 > MAX_MANIFEST_LEN {
            return Err(FileError::fault(&place, "too large for a manifest"));
        }
        if Digest::of(content.algorithm(), &bytes) != *content {
            return Err(FileError::fault(&place, "a manifest with another digest"));
        }
        Manifest::references_of(&bytes)
            .ok_or_else(|| FileError::fault(&place, "linked as a manifest, but not one"))
    }

    async fn set_aside(&self, unit: Unit<'_>) -> Result<Option<Found>, StorageError> {
        let place = self.tree.layout.place(unit);
        let aside = layout::aside(&place, &self.run);
        for _ in 0..LOOKS {
            let is_file = |path: &Path| fs::symlink_metadata(path).is_ok_and(|m| m.is_file());
            let from = match is_file(&place) {
                true => place.clone(),
                false => match aside::find(&place)? {
                    Some(of_another) => of_another,
                    None => return Ok(None),
                },
            };
            match disk::rename(&from, &aside) {
                Err(error) if is_absent(&error) => {}
                result => {
                    result.at("set aside", &place)?;
                    return self.found_at(unit, &aside);
                }
            }
        }
        Ok(None)
    }

    async fn put_back(&self, unit: Unit<'_>) -> Result<(), StorageError> {
        aside::restore(&self.tree.layout.place(unit)).map(|_| ())
    }

    async fn delete(&self, unit: Unit<'_>) -> Result<bool, StorageError> {
        let aside = layout::aside(&self.tree.layout.place(unit), &self.run);
        if let Unit::Manifest(..) = unit {
            return atomic::remove(&aside);
        }
        let removed = disk::remove_file(&aside).if_present("remove", &aside)?;
        if removed.is_some() {
            // Whatever else is in it keeps it.
            let _ = disk::remove_dir(layout::parent(&aside));
        }
        Ok(removed.is_some())
    }

    async fn forget(
        &self,
        name: &RepositoryName,
        deleted: &[(Digest, Option<Digest>)],
    ) -> Result<(), StorageError> {
        let layout = &self.tree.layout;
        // Whoever pushes one of them again writes all this again.
        let _lock = self.lock(name)?;
        let mut gone = Vec::new();
        for (digest, subject) in deleted {
            if self.has_no_link(Unit::Manifest(name, *digest))? {
                gone.push((*digest, *subject));
            }
        }
        // It tells that the entries are there. It is written anew, which
        // somebody may be doing now.
        let indexed = layout.referrers_indexed(name);
        let distrust = || disk::remove_file(&indexed).if_present("remove", &indexed);
        distrust()?;
        for (digest, subject) in &gone {
            if let Some(subject) = subject {
                clear(&layout.referrer(name, subject, digest), 3);
            }
        }
        distrust()?;
        for tag in self.tag_names(name)? {
            let dir = layout.tag(name, &tag);
            for algorithm in Algorithm::ALL {
                let mut digests = Vec::new();
                digests_in(
                    &dir,
                    &["index", algorithm.as_str()],
                    algorithm,
                    &mut digests,
                )?;
                for digest in digests {
                    if gone.iter().any(|(gone, _)| *gone == digest) {
                        clear(&layout.tag_index(name, &tag, &digest), 0);
                    }
                }
            }
        }
        Ok(())
    }

    async fn remove_repository(
        &self,
        name: &RepositoryName,
        dry_run: bool,
    ) -> Result<bool, StorageError> {
        let base = self.tree.layout.repository(name);
        if !self.is_empty(&base)? {
            return Ok(false);
        }
        if dry_run {
            return Ok(true);
        }
        // Whoever waits for the lock finds another one, or none.
        let _lock = self.lock(name)?;
        let parts = [layout::UPLOADS, layout::LAYERS, layout::MANIFESTS];
        for part in parts.map(|part| base.join(part)) {
            if !remove_empty(&part)? {
                return Ok(false);
            }
        }
        let referrers = base.join(layout::REFERRERS);
        let lock = self.tree.layout.lock(name);
        for entry in entries(&referrers)? {
            let (_, entry) = entry?;
            let path = entry.path();
            match is_real_dir(&entry) {
                Ok(true) => disk::remove_dir_all(&path),
                _ if path == lock => Ok(()),
                _ => disk::remove_file(&path),
            }
            .if_present("remove", &path)?;
        }
        // Once, so that another one's lock stays.
        disk::remove_file(&lock).if_present("remove", &lock)?;
        let _ = disk::remove_dir(&referrers);
        // Another repository may be in it.
        let _ = disk::remove_dir(&base);
        Ok(true)
    }

    async fn purge_uploads(
        &self,
        older_than: Duration,
        dry_run: bool,
    ) -> Result<PurgedUploads, StorageError> {
        self.tree.purge_uploads_at(self.now, older_than, dry_run)
    }
}

impl Collection<'_> {
    /// What it makes belongs to the registry's user, who must be able to lock.
    fn lock(&self, name: &RepositoryName) -> Result<File, StorageError> {
        let path = self.tree.layout.lock(name);
        let lock = || self.tree.lock(name).map_err(chain);
        as_owner(&path, lock).map_err(|line| StorageError::backend("filesystem", line))
    }

    /// Looks at one file, which may be set aside.
    fn found_at(&self, unit: Unit<'_>, path: &Path) -> Result<Option<Found>, StorageError> {
        let place = self.tree.layout.place(unit);
        let found = match unit {
            Unit::Blob(digest) => {
                let metadata = fs::symlink_metadata(path).if_present("read", path)?;
                let metadata = metadata.filter(fs::Metadata::is_file);
                metadata.map(|metadata| (digest, metadata.len(), metadata))
            }
            Unit::Layer(..) | Unit::Manifest(..) => {
                read_link(path)?.map(|(digest, metadata)| (digest, 0, metadata))
            }
        };
        Ok(found.map(|(content, bytes, metadata)| Found {
            content,
            is_old: self.is_old(&metadata),
            is_aside: path != place,
            bytes,
        }))
    }

    fn has_no_link(&self, unit: Unit<'_>) -> Result<bool, StorageError> {
        let place = self.tree.layout.place(unit);
        let found = aside::look(&place, |path| {
            fs::symlink_metadata(path).if_present("read", path)
        })?;
        Ok(found.is_none())
    }
}

/// Removes a derived link and its directory, and so many empty ones above.
fn clear(dir: &Path, above: usize) {
    let _ = disk::remove_file(&layout::link(dir));
    for dir in dir.ancestors().take(above + 1) {
        if disk::remove_dir(dir).is_err() {
            return;
        }
    }
}
