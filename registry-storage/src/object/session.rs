//! An upload session at work, and whose it is.
//!
//! Each save of its [record](super::record) replaces the one that was read or
//! saved last, or is refused: of two that change a session at once, one loses,
//! and writes nothing more. No two records are alike, so that their entity tags
//! tell them apart.
//!
//! Whoever is about to send parts writes its name into the record before, and
//! saves it every few seconds. Another process leaves such a session alone,
//! until it has seen no sign of life for long.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::UpdateVersion;
use registry_spec::storage::StorageError;
use registry_spec::types::Hasher;
use tokio::time::{Instant, sleep, sleep_until};

use super::busy::Turn;
use super::error::ObjectError;
use super::objects::{Condition, Objects, version_of};
use super::record::{Header, Opened};
use super::upload::{Keys, Uploads};

/// How often who claims a session shows that it is alive.
const BEAT: Duration = Duration::from_secs(5);
/// How often another process looks for that, and after how long it no longer
/// believes it.
const LOOK: Duration = Duration::from_millis(500);
const DEAD: Duration = Duration::from_secs(15);

/// A session at work.
#[derive(Debug)]
pub(super) struct Session {
    objects: Arc<Objects>,
    pub(super) keys: Keys,
    /// What was read or saved last, with what has come to it since.
    pub(super) header: Header,
    version: UpdateVersion,
    /// The tail that belongs to the header, as long as it may be saved again.
    kept: Bytes,
    /// Whether the store may know us as the writer.
    claimed: bool,
    saved_at: Instant,
    us: Arc<str>,
    _turn: Turn,
}

impl Uploads {
    /// Takes a session for changing it, when nobody else is at work on it. `at`
    /// is where the caller means to go on.
    pub(super) async fn take(
        &self,
        keys: Keys,
        at: Option<u64>,
    ) -> Result<(Session, Opened), StorageError> {
        let turn = self.busy.enter(&keys.session).await;
        let opened = self.open(&keys).await?;
        let in_use = |offset| StorageError::OutOfOrder {
            at: at.unwrap_or(offset),
            offset,
        };
        let turn = turn.ok_or_else(|| in_use(opened.header.offset))?;
        let opened = match self.wait_for_writer(&keys, opened).await? {
            Ok(opened) => opened,
            Err(offset) => return Err(in_use(offset)),
        };
        let mut header = opened.header.clone();
        // Whoever it was is dead.
        header.writer = None;
        let session = Session {
            objects: Arc::clone(&self.objects),
            keys,
            header,
            version: opened.version.clone(),
            kept: Bytes::new(),
            claimed: false,
            saved_at: Instant::now(),
            us: Arc::clone(&self.us),
            _turn: turn,
        };
        Ok((session, opened))
    }

    pub(super) async fn open(&self, keys: &Keys) -> Result<Opened, StorageError> {
        let opened = self.objects.open_session(&keys.session).await?;
        opened.ok_or(StorageError::UploadUnknown)
    }

    /// Waits until no other process claims the session, or the one that does
    /// must be dead. An `Err` tells the offset at which one is alive.
    async fn wait_for_writer(
        &self,
        keys: &Keys,
        opened: Opened,
    ) -> Result<Result<Opened, u64>, StorageError> {
        let claimed_by = opened.header.writer.clone();
        // A claim of ours is a leftover: it is our turn.
        if claimed_by.is_none_or(|writer| *writer == *self.us) {
            return Ok(Ok(opened));
        }
        let mut seen = opened.version.clone();
        let deadline = Instant::now() + DEAD;
        while Instant::now() < deadline {
            sleep(LOOK).await;
            let head = self.objects.head(&keys.session).await?;
            let version = version_of(&head.ok_or(StorageError::UploadUnknown)?);
            if version == seen {
                continue;
            }
            let now = self.open(keys).await?;
            if now.header.stamp != opened.header.stamp {
                let alive = now.header.writer.is_some();
                return Ok(if alive {
                    Err(now.header.offset)
                } else {
                    Ok(now)
                });
            }
            // The store tells one version in two ways.
            seen = version;
        }
        tracing::warn!(key = %keys.session, "taking an upload session over from a silent writer");
        self.open(keys).await.map(Ok)
    }
}

impl Session {
    pub(super) const fn claimed(&self) -> bool {
        self.claimed
    }

    /// Saves the header, as the writer's that we are.
    pub(super) async fn claim(&mut self, tail: Bytes) -> Result<(), StorageError> {
        self.header.writer = Some(self.us.to_string());
        self.claimed = true;
        self.kept = tail;
        self.save().await
    }

    /// Saves the header, and lets others have the session.
    pub(super) async fn release(&mut self, tail: Bytes) -> Result<(), StorageError> {
        self.header.writer = None;
        self.kept = tail;
        self.save().await?;
        self.claimed = false;
        self.kept = Bytes::new();
        Ok(())
    }

    /// After a failure: lets others have the session, with what came to it.
    pub(super) async fn abandon(&mut self, error: StorageError) -> StorageError {
        if !self.claimed {
            return error;
        }
        let kept = self.kept.clone();
        match self.release(kept).await {
            Err(StorageError::UploadUnknown) => StorageError::UploadUnknown,
            // Left as it is, others find out that it is nobody's.
            _ => error,
        }
    }

    /// A part has come to the session: it holds what was the tail.
    pub(super) fn add_part(&mut self, part: String, len: usize, hasher: Option<&Hasher>) {
        if let Some(multipart) = &mut self.header.multipart {
            multipart.parts.push(part);
            multipart.bytes += len as u64;
            self.header.offset = multipart.bytes;
        }
        self.header.set_hasher(hasher);
        self.kept = Bytes::new();
    }

    /// Saves the header again, so that others see life.
    pub(super) async fn beat(&mut self) -> Result<(), StorageError> {
        self.save().await
    }

    /// Ends when a claimed session is to be saved again.
    pub(super) async fn beat_due(&self) {
        match self.claimed {
            true => sleep_until(self.saved_at + BEAT).await,
            false => pending().await,
        }
    }

    /// Does some work during which others are to see life.
    pub(super) async fn alive<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = self.beat_due() => self.beat().await?,
            }
        }
    }

    async fn save(&mut self) -> Result<(), StorageError> {
        let before = self.header.stamp.clone();
        let payload = self.header.stamped(self.kept.clone());
        let key = &self.keys.session;
        // Once more where the store has told us a version that it does not know.
        for _ in 0..2 {
            let condition = Condition::Unchanged(self.version.clone());
            let put = self
                .objects
                .put_if(key, payload.clone(), &condition)
                .await?;
            if let Some(version) = put {
                self.version = version;
                self.saved_at = Instant::now();
                return Ok(());
            }
            let opened = self.objects.open_session(key).await?;
            let there = opened.ok_or(StorageError::UploadUnknown)?;
            let is_ours = there.header.stamp == self.header.stamp;
            if !is_ours && there.header.stamp != before {
                // With the version that we had, no later save succeeds either.
                return Err(StorageError::OutOfOrder {
                    at: self.header.offset,
                    offset: there.header.offset,
                });
            }
            self.version = there.version;
            // An earlier attempt at it may have succeeded.
            if is_ours {
                self.saved_at = Instant::now();
                return Ok(());
            }
        }
        let fault = "has other versions than the store says";
        Err(ObjectError::inconsistent(key, fault))
    }
}
