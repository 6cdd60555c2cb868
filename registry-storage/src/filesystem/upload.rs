//! Upload sessions: end-4, end-13, end-14, and what appending and finishing share.
//!
//! | file in `_uploads/<id>/` | holds |
//! |---|---|
//! | `data` | the bytes so far; its length is the session's offset |
//! | `startedat` | when it began, by which Distribution purges |
//! | `hashstate.json` | the hash so far, see [`hash_state`] |
//!
//! Whoever changes a session holds a lock on `data`: of two requests, or of
//! two processes, one writes. The lock goes with the open file, so that it
//! never outlives its holder. Who finds a session locked asks again a little
//! later, and occupies no thread in between. Nothing of a session is synced before it is
//! finished: after a power cut a session may be shorter, or gone.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, Hasher, RepositoryName, UploadId};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::FileSystem;
use super::error::At;
use super::hash_state::{self, HashState};
use super::open::open;
use super::places::turn;
use super::space::Use;
use super::tree::Tree;
use super::{atomic, disk, layout};

/// How long to wait for a session that another writer holds. A writer whose
/// request was dropped lets go within one batch; only a slow disk makes that
/// noticeable.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long asking for an offset waits for such a writer. One that is not
/// dropped holds the lock for long, and its offset is of the moment anyway.
const STAT_PATIENCE: Duration = Duration::from_millis(100);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A session that nobody else can change.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) dir: PathBuf,
    pub(super) data: File,
    pub(super) offset: u64,
    /// Device and number of `data`, which never change while it is open.
    inode: (u64, u64),
}

/// What an attempt to take a session comes to.
#[derive(Debug)]
pub(super) enum Lock {
    Ours(Session),
    /// Another writer has it, and has got so far.
    Busy {
        offset: u64,
    },
}

impl FileSystem {
    pub(super) async fn stat_session(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<u64, StorageError> {
        let deadline = Instant::now() + STAT_PATIENCE;
        loop {
            let (name, id) = (name.clone(), id.clone());
            let patient = Instant::now() < deadline;
            let offset = self
                .blocking(move |tree| tree.stat_upload(&name, &id, patient))
                .await?;
            match offset {
                Some(offset) => return Ok(offset),
                None => sleep(LOCK_PAUSE).await,
            }
        }
    }

    /// Does `work` with a session that nobody else has. `at` is where the
    /// caller means to go on, to be named when another writer has the session.
    pub(super) async fn with_session<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        name: &RepositoryName,
        id: &UploadId,
        at: Option<u64>,
        work: impl Fn(&Tree, Session) -> Result<T, StorageError> + Clone + Send + 'static,
    ) -> Result<T, StorageError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let permit = turn(places).await;
            let (name, id, work) = (name.clone(), id.clone(), work.clone());
            let attempt = self.blocking(move |tree| {
                let _permit = permit;
                match tree.lock_session(&name, &id)? {
                    Lock::Ours(session) => work(tree, session).map(Ok),
                    Lock::Busy { offset } => Ok(Err(offset)),
                }
            });
            match attempt.await? {
                Ok(done) => return Ok(done),
                Err(offset) if Instant::now() >= deadline => {
                    let at = at.unwrap_or(offset);
                    return Err(StorageError::OutOfOrder { at, offset });
                }
                Err(_) => sleep(LOCK_PAUSE).await,
            }
        }
    }
}

impl Tree {
    pub(super) fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        // Not only when the bytes come: many clients do not say how many.
        self.space.check(1, Use::Blob)?;
        let id = UploadId::random();
        let uploads = self.layout.uploads(name);
        let dir = self.layout.upload(name, &id);
        let started_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        // A garbage collection may remove them as long as they are empty.
        atomic::retry(|| {
            // Durably: what is pushed later lies below some of these.
            atomic::create_dirs(&uploads)?;
            fs::create_dir(&dir)
        })
        .at("create", &dir)?;
        let files = [
            (layout::upload_started_at(&dir), started_at.into_bytes()),
            (
                layout::upload_hash_state(&dir),
                HashState::new(&Hasher::new(algorithm), 0).to_bytes(),
            ),
            // Last, since it makes the session known.
            (layout::upload_data(&dir), Vec::new()),
        ];
        for (path, bytes) in files {
            fs::write(&path, bytes).at("write", &path)?;
        }
        Ok(id)
    }

    /// The offset; `None` when somebody who is `patient` should ask again,
    /// since a writer has the session.
    fn stat_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        patient: bool,
    ) -> Result<Option<u64>, StorageError> {
        let path = layout::upload_data(&self.layout.upload(name, id));
        let file = open(&path)
            .if_present("open", &path)?
            .ok_or(StorageError::UploadUnknown)?;
        if patient && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return Ok(None);
        }
        // A session that was finished meanwhile is not there any more.
        if !atomic::is_at(&file, &path).at("read", &path)? {
            return Err(StorageError::UploadUnknown);
        }
        Ok(Some(file.metadata().at("read", &path)?.len()))
    }

    /// Does not wait for a writer: a session without `data` is gone for it too.
    pub(super) fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        let dir = self.layout.upload(name, id);
        let data = layout::upload_data(&dir);
        disk::remove_file(&data)
            .if_present("remove", &data)?
            .ok_or(StorageError::UploadUnknown)?;
        remove_session(&dir);
        Ok(())
    }

    /// Takes a session for changing it, if nobody else has it.
    pub(super) fn lock_session(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Lock, StorageError> {
        let dir = self.layout.upload(name, id);
        let session = open_session(&dir)?.ok_or(StorageError::UploadUnknown)?;
        if !session.try_lock()? {
            let offset = session.measure()?.offset;
            return Ok(Lock::Busy { offset });
        }
        // The one before us may have finished the session.
        if !session.is_current()? {
            return Err(StorageError::UploadUnknown);
        }
        session.measure().map(Lock::Ours)
    }
}

/// The session in a directory, not locked; `None` when it has no data.
pub(super) fn open_session(dir: &Path) -> Result<Option<Session>, StorageError> {
    let path = layout::upload_data(dir);
    let data = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .if_present("open", &path)?;
    data.map(|data| {
        let inode = inode(&data.metadata().at("read", &path)?);
        Ok(Session {
            dir: dir.to_path_buf(),
            data,
            offset: 0,
            inode,
        })
    })
    .transpose()
}

/// Removes what there is of a session; `false` when something is left. A rest
/// that cannot be removed now is purged some day; the session itself is gone
/// with its data.
pub(super) fn remove_session(dir: &Path) -> bool {
    let _ = disk::remove_file(&layout::upload_data(dir));
    match disk::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %dir.display(), %error, "left over from an upload session");
            false
        }
        _ => true,
    }
}

fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Session {
    pub(super) fn data_path(&self) -> PathBuf {
        layout::upload_data(&self.dir)
    }

    /// `false` when another writer has the session.
    pub(super) fn try_lock(&self) -> Result<bool, StorageError> {
        match self.data.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error).at("lock", &self.data_path()),
        }
    }

    /// `false` when the session was finished or cancelled after it was opened.
    pub(super) fn is_current(&self) -> Result<bool, StorageError> {
        let path = self.data_path();
        let found = fs::metadata(&path).if_present("read", &path)?;
        Ok(found.is_some_and(|found| inode(&found) == self.inode))
    }

    fn measure(mut self) -> Result<Self, StorageError> {
        let path = self.data_path();
        self.offset = self.data.metadata().at("read", &path)?.len();
        Ok(self)
    }

    /// The hash of all that is stored, in the algorithm with which the session
    /// began.
    pub(super) fn hasher(&self) -> Result<Hasher, StorageError> {
        let (hasher, from) = self.hash(None)?;
        // A client that does not wait so long finds it done when it comes back.
        if from < self.offset {
            self.save(&hasher);
        }
        Ok(hasher)
    }

    /// The digest of all that is stored.
    pub(super) fn digest(&self, algorithm: Algorithm) -> Result<Digest, StorageError> {
        Ok(self.hash(Some(algorithm))?.0.finish())
    }

    /// The hash, and the offset from which it had to be computed.
    fn hash(&self, algorithm: Option<Algorithm>) -> Result<(Hasher, u64), StorageError> {
        let state = HashState::read(&layout::upload_hash_state(&self.dir));
        let (mut hasher, from) = hash_state::resume(state, self.offset, algorithm);
        hash_state::hash_rest(&mut hasher, &self.data, from).at("read", &self.data_path())?;
        Ok((hasher, from))
    }

    /// Puts the hash up to the offset aside for the next request.
    pub(super) fn save(&self, hasher: &Hasher) {
        let path = layout::upload_hash_state(&self.dir);
        let state = HashState::new(hasher, self.offset);
        // Not having it costs time, not correctness.
        if let Err(error) = atomic::write_derived(&path, &state.to_bytes()) {
            tracing::debug!(path = %path.display(), %error, "hash state not saved");
        }
    }
}
