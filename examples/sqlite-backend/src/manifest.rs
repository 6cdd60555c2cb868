//! Manifests and tags: end-3, end-7, end-9.

use bytes::Bytes;
use registry_spec::storage::{PutManifest, StorageError, StoredManifest};
use registry_spec::types::{Digest, Reference, RepositoryName, Tag};
use rusqlite::{Connection, OptionalExtension as _};

use crate::database::parsed;
use crate::error::Result;
use crate::store::Store;

impl Store {
    pub(crate) fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest> {
        let sql = match reference {
            Reference::Digest(_) => {
                "SELECT digest, media_type, bytes FROM manifests
                 WHERE repository = ?1 AND digest = ?2"
            }
            Reference::Tag(_) => {
                "SELECT digest, media_type, bytes FROM tags JOIN manifests USING (repository, digest)
                 WHERE repository = ?1 AND tag = ?2"
            }
        };
        let found = self.database.read(|db| {
            let row = db.query_row(sql, (name.as_str(), reference.to_string()), |row| {
                let bytes = Bytes::from(row.get::<_, Vec<u8>>(2)?);
                Ok(StoredManifest::new(parsed(row, 0)?, parsed(row, 1)?, bytes))
            });
            Ok(row.optional()?)
        })?;
        Ok(found.ok_or(StorageError::ManifestUnknown)?)
    }

    pub(crate) fn put_manifest(&self, name: &RepositoryName, manifest: &PutManifest) -> Result<()> {
        let repository = name.as_str();
        let digest = manifest.digest.to_string();
        self.database.write(|tx| {
            if let Some(precondition) = &manifest.precondition {
                let current = resolve(tx, name, &precondition.reference)?;
                precondition.check(current.as_ref())?;
            }
            let sql = "INSERT INTO repositories VALUES (?1) ON CONFLICT DO NOTHING";
            tx.execute(sql, [repository])?;
            // Not `INSERT OR REPLACE`, which deletes first, and the tags with it.
            let sql = "INSERT INTO manifests VALUES (?1, ?2, ?3, ?4, ?5)
                       ON CONFLICT DO UPDATE SET media_type = ?3, bytes = ?4, subject = ?5";
            let media_type = manifest.media_type.as_str();
            let subject = manifest.subject.map(|subject| subject.to_string());
            let row = (
                repository,
                &digest,
                media_type,
                &manifest.bytes[..],
                subject,
            );
            tx.execute(sql, row)?;
            let sql = "INSERT INTO tags VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET digest = ?3";
            for tag in &manifest.tags {
                tx.execute(sql, (repository, tag.as_str(), &digest))?;
            }
            Ok(())
        })
    }

    /// Its tags go with it, by the foreign key; its entry among the referrers
    /// is the row itself.
    pub(crate) fn delete_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let sql = "DELETE FROM manifests WHERE repository = ?1 AND digest = ?2";
        self.delete(sql, name, &digest.to_string())
    }

    pub(crate) fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<()> {
        let sql = "DELETE FROM tags WHERE repository = ?1 AND tag = ?2";
        self.delete(sql, name, tag.as_str())
    }

    fn delete(&self, sql: &str, name: &RepositoryName, what: &str) -> Result<()> {
        self.database
            .write(|tx| match tx.execute(sql, (name.as_str(), what))? {
                0 => Err(StorageError::ManifestUnknown.into()),
                _ => Ok(()),
            })
    }
}

/// What a reference stands at.
fn resolve(
    db: &Connection,
    name: &RepositoryName,
    reference: &Reference,
) -> rusqlite::Result<Option<Digest>> {
    let sql = match reference {
        Reference::Digest(_) => {
            "SELECT digest FROM manifests WHERE repository = ?1 AND digest = ?2"
        }
        Reference::Tag(_) => "SELECT digest FROM tags WHERE repository = ?1 AND tag = ?2",
    };
    let key = (name.as_str(), reference.to_string());
    db.query_row(sql, key, |row| parsed(row, 0)).optional()
}
