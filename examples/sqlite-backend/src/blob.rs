//! Blobs: end-2, end-10, end-11.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use bytes::BytesMut;
use futures_util::stream;
use registry_spec::BoxError;
use registry_spec::storage::{Blob, ByteStream, StorageError};
use registry_spec::types::{Digest, RepositoryName};
use rusqlite::{OptionalExtension as _, Transaction};
use tokio::task::spawn_blocking;

use crate::error::{At, Result};
use crate::store::{Store, if_present};

/// How much of a blob is read at once, and held in memory for a reader.
const CHUNK: u64 = 256 * 1024;

impl Store {
    pub(crate) fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64> {
        self.open_blob(name, digest).map(|(_, size)| size)
    }

    pub(crate) fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob> {
        let (mut file, size) = self.open_blob(name, digest)?;
        let Range { start, end } = range.unwrap_or(0..size);
        file.seek(SeekFrom::Start(start))
            .at(&self.blob_path(digest))?;
        Ok(Blob::new(size, content(file, end.saturating_sub(start))))
    }

    /// The open file, which outlives a delete.
    fn open_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(File, u64)> {
        let size: Option<u64> = self.database.read(|db| {
            let sql = "SELECT size FROM repository_blobs JOIN blobs USING (digest)
                       WHERE repository = ?1 AND digest = ?2";
            let key = (name.as_str(), digest.to_string());
            Ok(db.query_row(sql, key, |row| row.get(0)).optional()?)
        })?;
        let size = size.ok_or(StorageError::BlobUnknown)?;
        let path = self.blob_path(digest);
        let file = if_present(File::open(&path)).at(&path)?;
        // The row alone is no blob.
        match file {
            Some(file) if file.metadata().at(&path)?.len() == size => Ok((file, size)),
            _ => Err(StorageError::BlobUnknown.into()),
        }
    }

    pub(crate) fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let text = digest.to_string();
        self.database.write(|tx| {
            let sql = "DELETE FROM repository_blobs WHERE repository = ?1 AND digest = ?2";
            if tx.execute(sql, (name.as_str(), &text))? == 0 {
                return Err(StorageError::BlobUnknown.into());
            }
            let sql = "DELETE FROM blobs WHERE digest = ?1 AND NOT EXISTS
                       (SELECT 1 FROM repository_blobs WHERE digest = ?1)";
            tx.execute(sql, [&text])?;
            Ok(())
        })?;
        // Only now, and not within the same transaction: it might not commit.
        // In one of its own, since the blob may have been pushed again.
        self.database.write(|tx| {
            let mut known = tx.prepare("SELECT 1 FROM blobs WHERE digest = ?1")?;
            if !known.exists([&text])? {
                // A file that stays is swept some day; the blob is gone.
                let _ = fs::remove_file(self.blob_path(digest));
            }
            Ok(())
        })
    }

    pub(crate) fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<()> {
        self.database.write(|tx| {
            let sql = "SELECT size FROM repository_blobs JOIN blobs USING (digest)
                       WHERE digest = ?1 AND repository = ifnull(?2, repository) LIMIT 1";
            let key = (digest.to_string(), from.map(RepositoryName::as_str));
            let size: Option<u64> = tx.query_row(sql, key, |row| row.get(0)).optional()?;
            let path = self.blob_path(digest);
            let file = if_present(fs::metadata(&path)).at(&path)?;
            match (size, file) {
                (Some(size), Some(file)) if file.len() == size => hold(tx, name, digest),
                _ => Err(StorageError::BlobUnknown.into()),
            }
        })
    }
}

/// Makes a blob one of the repository's.
pub(crate) fn hold(tx: &Transaction<'_>, name: &RepositoryName, digest: &Digest) -> Result<()> {
    let sql = "INSERT INTO repository_blobs VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    tx.execute(sql, (name.as_str(), digest.to_string()))?;
    Ok(())
}

/// The next `len` bytes of a file; when it is shorter, an error at its end.
fn content(file: File, len: u64) -> ByteStream {
    ByteStream::new(stream::try_unfold(
        (file, len),
        |(mut file, rest)| async move {
            if rest == 0 {
                return Ok(None);
            }
            let read = spawn_blocking(move || {
                let len = rest.min(CHUNK);
                let mut chunk = BytesMut::zeroed(usize::try_from(len)?);
                file.read_exact(&mut chunk)?;
                Ok::<_, BoxError>((chunk.freeze(), (file, rest - len)))
            });
            read.await?.map(Some)
        },
    ))
}
