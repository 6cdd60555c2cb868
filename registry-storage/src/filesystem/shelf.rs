//! What a writer does to files, in the order of
//! [`collect`](crate::collect#the-protocol).

use futures_util::FutureExt as _;
use registry_spec::storage::{PutManifest, StorageError};
use registry_spec::types::{Digest, RepositoryName};

use super::space::Use;
use super::tree::Tree;
use super::{aside, atomic, layout};
use crate::collect::{Shelf, Unit};

/// The result of file work, none of which waits for another task.
pub(super) fn done<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("file work never waits")
}

impl Shelf for Tree {
    const CONCURRENCY: usize = 1;

    async fn publish(&self, link: Unit<'_>, content: &Digest) -> Result<bool, StorageError> {
        let path = self.layout.place(link);
        let was_aside = aside::restore(&path)?;
        match self.write_link(layout::parent(&path), content)? {
            // It may have been set aside just now.
            None => Ok(!was_aside && aside::find(&path)?.is_none()),
            Some(metadata) if self.renewals.renew(&path, &metadata)? => Ok(false),
            // Set aside meanwhile.
            Some(_) => atomic::write(&path, content.to_string().as_bytes(), self.durability)
                .map(|()| false),
        }
    }

    async fn withdraw(&self, link: Unit<'_>) -> Result<(), StorageError> {
        atomic::remove(&self.layout.place(link)).map(|_| ())
    }

    async fn find(&self, unit: Unit<'_>) -> Result<Option<Digest>, StorageError> {
        let path = self.layout.place(unit);
        match unit {
            Unit::Blob(digest) => Ok(self.len_at(&digest, &path)?.map(|_| digest)),
            Unit::Layer(..) | Unit::Manifest(..) => self.read_link(layout::parent(&path)),
        }
    }

    async fn restore(&self, unit: Unit<'_>) -> Result<bool, StorageError> {
        aside::restore(&self.layout.place(unit))
    }

    async fn store_bytes(&self, manifest: &PutManifest) -> Result<(), StorageError> {
        let data = self.layout.blob_data(&manifest.digest);
        aside::restore(&data)?;
        let room = self.space.take(manifest.bytes.len() as u64, Use::Manifest);
        let _taken = match room {
            // Only a tag moves.
            Err(StorageError::Full { .. }) if self.has_bytes(manifest)? => None,
            room => Some(room?),
        };
        atomic::write_unless_same(&data, &manifest.bytes, self.durability).map(|_| ())
    }

    async fn lead_to(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> Result<(), StorageError> {
        if let Some(subject) = &manifest.subject {
            self.write_referrer(name, subject, &manifest.digest)?;
        }
        for tag in &manifest.tags {
            self.move_tag(name, tag, &manifest.digest)?;
        }
        Ok(())
    }
}
