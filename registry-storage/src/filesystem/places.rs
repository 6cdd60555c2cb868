//! How many blocking threads each kind of work may occupy, so that no number
//! of pushes stops pulls, and no number of pulls from a slow disk stops
//! anything else. Look-ups, which are short, wait for none of this.
//!
//! | work | at once | why |
//! |---|---|---|
//! | reading a chunk of a blob that is not in memory | [`READS`] | a slow disk stops readers |
//! | writing a batch of an upload | [`APPENDS`] | a slow disk stops writers |
//! | finishing an upload | [`FINISHES`] | an fsync may take seconds, hashing a blob anew minutes |
//! | changing manifests and tags | one per repository, [`CHANGES`] in all | they wait for the repository's lock |
//! | completing a referrers index | one | it holds all digests of a repository in memory |
//!
//! That is three quarters of the 512 threads that a runtime has by default.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use registry_spec::types::RepositoryName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::buffers::Shared;

const READS: usize = 128;
const APPENDS: usize = 128;
const FINISHES: usize = 64;
const CHANGES: usize = 64;

#[derive(Debug)]
pub(super) struct Places {
    pub(super) reads: Arc<Semaphore>,
    /// Not threads but memory.
    pub(super) buffers: Shared,
    pub(super) appends: Arc<Semaphore>,
    pub(super) finishes: Arc<Semaphore>,
    pub(super) refreshes: Arc<Semaphore>,
    changes: Vec<Arc<Semaphore>>,
}

impl Places {
    pub(super) fn new() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            reads: places(READS),
            buffers: Shared::default(),
            appends: places(APPENDS),
            finishes: places(FINISHES),
            refreshes: places(1),
            changes: (0..CHANGES).map(|_| places(1)).collect(),
        }
    }

    /// The place for changes of a repository. Those whose names hash alike
    /// share one, which costs them time only.
    pub(super) fn changes(&self, name: &RepositoryName) -> &Arc<Semaphore> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = hasher.finish() % self.changes.len() as u64;
        &self.changes[usize::try_from(index).expect("less than a length")]
    }
}

/// Waits for a place; it is free again when the permit is dropped.
pub(super) async fn turn(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
}
