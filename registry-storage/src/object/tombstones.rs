//! What garbage collections are about to remove, and how that is withdrawn;
//! see [`collect`](super::collect) for the protocol.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use object_store::PutPayload;
use object_store::path::Path;
use registry_spec::storage::StorageError;
use tokio::time::sleep;

use super::error::{At, ObjectError};
use super::names::PAGE;
use super::objects::{Condition, Objects, Small};
use crate::collect::Unit;

/// A collection that has condemned something deletes it within this time, or
/// never. What a store has been asked for, it does within the rest of [`DEAD`].
pub(super) const LAST: Duration = Duration::from_secs(60);
/// After how long whoever wrote a tombstone is taken for dead, by the store's
/// clock. (S3 refuses requests that are older than 15 minutes.)
pub(super) const DEAD: Duration = Duration::from_secs(20 * 60);

/// For how long to wait for what is just being deleted.
pub(super) const PATIENCE: &[Duration] = &[
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// Longer than any state.
const MAX_LEN: u64 = 64;
/// How often a tombstone is read that others change meanwhile.
const LOOKS: usize = 16;

/// How far a collection has come with a unit. Each tombstone is one
/// collection's, and goes from the first state to one of the others, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is set aside.
    Proposed,
    /// Somebody relies on it: it is not deleted.
    Withdrawn,
    /// It is deleted, or will be at any moment.
    Condemned,
}

impl State {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Withdrawn => "withdrawn",
            Self::Condemned => "condemned",
        }
    }

    /// What nobody has written is the worst.
    fn of(bytes: &[u8]) -> Self {
        let states = [Self::Proposed, Self::Withdrawn];
        let mut states = states.into_iter();
        let found = states.find(|state| state.text().as_bytes() == bytes);
        found.unwrap_or(Self::Condemned)
    }
}

/// The tombstones there were at one moment.
#[derive(Debug)]
pub(super) enum Tombstones {
    All(Vec<Path>),
    /// Too many for one list.
    Many,
}

/// Since when something is done, also by a machine that sleeps meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since(Instant, SystemTime);

impl Since {
    pub(super) fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0
            .elapsed()
            .max(self.1.elapsed().unwrap_or(Duration::MAX))
    }
}

impl Objects {
    /// All of them, if they are few: none, unless a collection is under way or
    /// one was cut short.
    pub(super) async fn tombstones(&self) -> Result<Tombstones, StorageError> {
        let prefix = self.layout.tombstones();
        let page = self.list_page(&prefix, None, None, PAGE).await?;
        if page.page_token.is_some() {
            return Ok(Tombstones::Many);
        }
        let objects = page.result.objects.into_iter();
        Ok(Tombstones::All(
            objects.map(|object| object.location).collect(),
        ))
    }

    /// Withdraws each tombstone of a unit, or waits until the deletion is
    /// over. Afterwards what is in its place is not deleted by any collection
    /// that began to look again before the tombstones were listed.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when a deletion does not end.
    pub(super) async fn settle(
        &self,
        unit: Unit<'_>,
        listed: &Tombstones,
    ) -> Result<(), StorageError> {
        let prefix = self.layout.tombstones_of(unit);
        match listed {
            Tombstones::All(listed) => {
                for tombstone in listed {
                    if tombstone.as_ref().starts_with(&prefix) {
                        self.withdraw(tombstone).await?;
                    }
                }
            }
            Tombstones::Many => {
                for object in self.list_all(&prefix).await? {
                    self.withdraw(&object.location).await?;
                }
            }
        }
        Ok(())
    }

    /// Withdraws one tombstone, or waits until it is gone.
    pub(super) async fn withdraw(&self, tombstone: &Path) -> Result<(), StorageError> {
        let mut pauses = self.pauses.iter();
        for _ in 0..LOOKS {
            let Some((state, read)) = self.tombstone(tombstone).await? else {
                return Ok(());
            };
            match state {
                State::Withdrawn => return Ok(()),
                State::Proposed => {
                    let unchanged = Condition::Unchanged(read.version);
                    if self.mark(tombstone, State::Withdrawn, &unchanged).await? {
                        return Ok(());
                    }
                }
                State::Condemned => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None if is_older(read.modified, self.clock().await?, DEAD) => {
                        return self.delete(vec![tombstone.clone()]).await;
                    }
                    None => break,
                },
            }
        }
        let fault = "tells that this is being removed: it can be pushed again in some minutes";
        Err(ObjectError::inconsistent(tombstone, fault))
    }

    pub(super) async fn tombstone(
        &self,
        path: &Path,
    ) -> Result<Option<(State, Small)>, StorageError> {
        let read = self.get(path, MAX_LEN).await?;
        Ok(read.map(|read| (State::of(&read.bytes), read)))
    }

    /// Writes a state if the condition holds; whether it did.
    pub(super) async fn mark(
        &self,
        tombstone: &Path,
        state: State,
        condition: &Condition,
    ) -> Result<bool, StorageError> {
        let text = PutPayload::from_static(state.text().as_bytes());
        let put = self.put_compared(tombstone, text, condition).await;
        put.at("write", tombstone.as_ref())
    }

    /// Now, by the clock that gives objects their times.
    pub(super) async fn clock(&self) -> Result<SystemTime, StorageError> {
        let path = self.layout.probe();
        self.put(&path, Bytes::new()).await?;
        // Lists tell more than the seconds of an answer's header.
        let listed = self.list_page(path.as_ref(), None, None, 1).await;
        self.delete(vec![path.clone()]).await?;
        let object = listed?.result.objects.pop();
        let object = object.ok_or_else(|| ObjectError::inconsistent(&path, "is not there"))?;
        Ok(object.last_modified.into())
    }
}

/// Whether something is older than that. What is of the future is not.
pub(super) fn is_older(modified: SystemTime, now: SystemTime, than: Duration) -> bool {
    now.duration_since(modified).is_ok_and(|age| age > than)
}
