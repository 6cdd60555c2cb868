//! Upload sessions: end-4 to end-6, end-13, end-14.
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | append: write to `uploads/<id>` | the session at its last recorded offset |
//! | append: sync the file, record offset and hash in the row | the session there |
//! | finish: compare digests, cut the file at the offset, sync it | the session |
//! | finish: move the file to `blobs/`, sync that directory | neither: the file is swept |
//! | finish: commit the blob's rows, and that the session is gone | the blob |
//!
//! Whoever writes to a session holds a lock on its file, which goes with the
//! open file and so never outlives its holder. What lies beyond the recorded
//! offset was never acknowledged, and is written over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use bytes::Bytes;
use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, Hasher, RepositoryName, UploadId};
use rusqlite::{OptionalExtension as _, Transaction};

use crate::blob::hold;
use crate::database::parsed;
use crate::error::{At, Error, Result};
use crate::store::{Store, if_present, sync_dir};

/// How much of a long append may be lost to a client that has to go on.
const RECORD_EVERY: u64 = 16 * 1024 * 1024;

/// A session that nobody else can write to.
#[derive(Debug)]
pub(crate) struct Session {
    id: UploadId,
    file: File,
    hasher: Hasher,
    pub(crate) offset: u64,
    recorded: u64,
}

struct Recorded {
    offset: u64,
    algorithm: Algorithm,
    hash_state: Vec<u8>,
}

impl Store {
    pub(crate) fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId> {
        let id = UploadId::random();
        let path = self.upload_path(&id);
        let hash_state = Hasher::new(algorithm).save();
        self.database.write(|tx| {
            File::create_new(&path).at(&path)?;
            sync_dir(&self.upload_dir())?;
            let sql = "INSERT INTO uploads (id, repository, algorithm, hash_state)
                       VALUES (?1, ?2, ?3, ?4)";
            let row = (id.as_str(), name.as_str(), algorithm.as_str(), hash_state);
            tx.execute(sql, row)?;
            Ok(())
        })?;
        Ok(id)
    }

    pub(crate) fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64> {
        self.recorded(name, id).map(|recorded| recorded.offset)
    }

    /// Does not wait for a writer, who will find the session gone.
    pub(crate) fn cancel_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<()> {
        self.database.write(|tx| end(tx, name, id))?;
        // A file that stays is swept some day.
        let _ = fs::remove_file(self.upload_path(id));
        Ok(())
    }

    /// Takes a session for writing; `None` when somebody else has it.
    pub(crate) fn take(&self, name: &RepositoryName, id: &UploadId) -> Result<Option<Session>> {
        self.recorded(name, id)?;
        let path = self.upload_path(id);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = if_present(file)
            .at(&path)?
            .ok_or(StorageError::UploadUnknown)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).at(&path),
            Ok(()) => {}
        }
        // Once more: whoever had the lock may have gone on, or ended the session.
        let recorded = self.recorded(name, id)?;
        let offset = recorded.offset;
        if file.metadata().at(&path)?.len() < offset {
            return Err(StorageError::UploadUnknown.into());
        }
        let hasher = match Hasher::resume(recorded.algorithm, &recorded.hash_state) {
            Some(hasher) => hasher,
            // Saved by another version of the library.
            None => hash(&mut file, recorded.algorithm, offset).at(&path)?,
        };
        file.seek(SeekFrom::Start(offset)).at(&path)?;
        Ok(Some(Session {
            id: id.clone(),
            file,
            hasher,
            offset,
            recorded: offset,
        }))
    }

    pub(crate) fn write(&self, session: &mut Session, chunks: &[Bytes]) -> Result<()> {
        for chunk in chunks {
            session
                .file
                .write_all(chunk)
                .at(&self.upload_path(&session.id))?;
            session.hasher.update(chunk);
            session.offset += chunk.len() as u64;
        }
        if session.offset - session.recorded >= RECORD_EVERY {
            self.record(session)?;
        }
        Ok(())
    }

    /// Makes what was written part of the session.
    pub(crate) fn record(&self, session: &mut Session) -> Result<()> {
        if session.offset == session.recorded {
            return Ok(());
        }
        // The bytes first: the row vouches for them.
        session
            .file
            .sync_data()
            .at(&self.upload_path(&session.id))?;
        self.database.write(|tx| {
            let sql = "UPDATE uploads SET position = ?2, hash_state = ?3, changed_at = unixepoch()
                       WHERE id = ?1";
            let row = (session.id.as_str(), session.offset, session.hasher.save());
            match tx.execute(sql, row)? {
                0 => Err(StorageError::UploadUnknown.into()),
                _ => Ok(()),
            }
        })?;
        session.recorded = session.offset;
        Ok(())
    }

    pub(crate) fn finish(
        &self,
        name: &RepositoryName,
        mut session: Session,
        digest: &Digest,
    ) -> Result<()> {
        let path = self.upload_path(&session.id);
        let actual = if session.hasher.algorithm() == digest.algorithm() {
            session.hasher.finish()
        } else {
            hash(&mut session.file, digest.algorithm(), session.offset)
                .at(&path)?
                .finish()
        };
        if actual != *digest {
            self.cancel_upload(name, &session.id)?;
            return Err(StorageError::DigestMismatch { actual }.into());
        }
        session.file.set_len(session.offset).at(&path)?;
        session.file.sync_all().at(&path)?;
        self.database.write(|tx| {
            end(tx, name, &session.id)?;
            // Over one that is there: these bytes have just been verified.
            let blob = self.blob_path(digest);
            fs::rename(&path, &blob).at(&blob)?;
            sync_dir(&self.blob_dir(digest.algorithm()))?;
            let sql = "INSERT INTO blobs VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            tx.execute(sql, (digest.to_string(), session.offset))?;
            hold(tx, name, digest)
        })
    }

    fn recorded(&self, name: &RepositoryName, id: &UploadId) -> Result<Recorded> {
        let found = self.database.read(|db| {
            let sql = "SELECT position, algorithm, hash_state FROM uploads
                       WHERE id = ?1 AND repository = ?2";
            let key = (id.as_str(), name.as_str());
            let row = db.query_row(sql, key, |row| {
                Ok(Recorded {
                    offset: row.get(0)?,
                    algorithm: parsed(row, 1)?,
                    hash_state: row.get(2)?,
                })
            });
            Ok(row.optional()?)
        })?;
        found.ok_or(Error::Answer(StorageError::UploadUnknown))
    }
}

fn end(tx: &Transaction<'_>, name: &RepositoryName, id: &UploadId) -> Result<()> {
    let sql = "DELETE FROM uploads WHERE id = ?1 AND repository = ?2";
    match tx.execute(sql, (id.as_str(), name.as_str()))? {
        0 => Err(StorageError::UploadUnknown.into()),
        _ => Ok(()),
    }
}

/// Hashes the first `len` bytes of a file.
fn hash(file: &mut File, algorithm: Algorithm, len: u64) -> io::Result<Hasher> {
    let mut hasher = Hasher::new(algorithm);
    file.seek(SeekFrom::Start(0))?;
    let mut content = file.take(len);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match content.read(&mut buffer)? {
            0 if content.limit() > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => return Ok(hasher),
            read => hasher.update(&buffer[..read]),
        }
    }
}
