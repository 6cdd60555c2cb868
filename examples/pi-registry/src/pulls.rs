//! Notes of pulls, for the rules that keep tags by them: `pulledwithin`.
//!
//! ```text
//! GET or HEAD of a tag -> seen today? -> queue -> a file's time
//!                                        every hour: they are noted
//! ```
//!
//! While no rule needs them, a request costs one look at a flag, and the storage
//! is told that they are not noted; else one at a set of numbers. Whatever is
//! not noted, since the disk is away, say, makes all of it begin anew: tags then
//! stay longer.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use registry_spec::EventKind;
use registry_spec::storage::StorageError;
use registry_spec::types::{Reference, RepositoryName, Tag};
use registry_storage::FileSystem;
use registry_storage::retention::PULLS_NOTED_EVERY;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::MissedTickBehavior;

use crate::logging::chain;
use crate::tag_rules::CurrentTagRules;

/// How many tags are remembered, in 16 bytes each, more or less. Of more, some
/// are noted more often.
const MAX_SEEN: usize = 100_000;
/// How many notes may wait for the disk.
const QUEUE: usize = 1000;
/// The time between two looks whether a rule needs them.
const LOOK: Duration = Duration::from_secs(60);
/// The time after which the storage is told again that they are noted.
const SAY: Duration = Duration::from_secs(3600);

/// Is told of pulls. Clones share what they have seen; the default forgets all.
#[derive(Clone, Debug, Default)]
pub struct PullNotes(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    rules: CurrentTagRules,
    hasher: RandomState,
    seen: Mutex<Seen>,
    queue: Sender<(RepositoryName, Tag)>,
    /// Something was not noted.
    is_lost: AtomicBool,
}

/// The tags that were noted lately, by their hash.
#[derive(Debug)]
struct Seen {
    since: Instant,
    tags: HashSet<u64>,
}

impl Seen {
    /// Whether a tag is to be noted, which it is then taken for.
    fn is_due(&mut self, tag: u64, now: Instant) -> bool {
        let is_over = now.duration_since(self.since) >= PULLS_NOTED_EVERY;
        if is_over || self.tags.len() >= MAX_SEEN {
            self.tags.clear();
            self.since = now;
        }
        self.tags.insert(tag)
    }
}

/// Writes the notes.
#[derive(Debug)]
pub struct PullWriter {
    files: FileSystem,
    shared: Arc<Shared>,
    queue: Receiver<(RepositoryName, Tag)>,
}

impl PullNotes {
    /// Notes in `files` while `rules` need them.
    #[must_use]
    pub fn new(files: FileSystem, rules: CurrentTagRules) -> (Self, PullWriter) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            rules,
            hasher: RandomState::new(),
            seen: Mutex::new(Seen {
                since: Instant::now(),
                tags: HashSet::new(),
            }),
            queue: sender,
            is_lost: AtomicBool::new(false),
        });
        let writer = PullWriter {
            files,
            shared: Arc::clone(&shared),
            queue,
        };
        (Self(Some(shared)), writer)
    }

    /// Takes note of what happened, if it was a pull by tag.
    pub(crate) fn event(&self, repository: &RepositoryName, kind: &EventKind) {
        let (EventKind::ManifestPulled { reference, .. }
        | EventKind::ManifestProbed { reference, .. }) = kind
        else {
            return;
        };
        if let (Some(shared), Reference::Tag(tag)) = (&self.0, reference)
            && shared.rules.need_pulls()
        {
            shared.pulled(repository, tag);
        }
    }
}

impl Shared {
    fn pulled(&self, repository: &RepositoryName, tag: &Tag) {
        let hash = self.hasher.hash_one((repository, tag));
        let seen = self.seen.lock();
        let is_due = seen
            .unwrap_or_else(PoisonError::into_inner)
            .is_due(hash, Instant::now());
        if is_due
            && self
                .queue
                .try_send((repository.clone(), tag.clone()))
                .is_err()
        {
            self.is_lost.store(true, Ordering::Relaxed);
        }
    }
}

impl PullWriter {
    /// Writes what comes, for ever.
    pub async fn write(mut self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = None;
        let mut has_failed = false;
        loop {
            let done = tokio::select! {
                Some((repository, tag)) = self.queue.recv() => {
                    self.files.note_pull(&repository, &tag).await
                }
                _ = looks.tick() => self.say(&mut said).await,
            };
            if let Err(error) = done {
                self.shared.is_lost.store(true, Ordering::Relaxed);
                if !has_failed {
                    tracing::error!(
                        error = chain(&error),
                        "pulls cannot be noted: tags stay that rules would keep by pulledwithin"
                    );
                }
                has_failed = true;
            }
        }
    }

    /// Tells the storage whether pulls are noted, when that has changed or was
    /// told a while ago.
    async fn say(&self, said: &mut Option<(bool, Instant)>) -> Result<(), StorageError> {
        let is_lost = self.shared.is_lost.swap(false, Ordering::Relaxed);
        let are_noted = self.shared.rules.need_pulls() && !is_lost;
        if said.is_some_and(|(what, at)| what == are_noted && at.elapsed() < SAY) {
            return Ok(());
        }
        self.files.say_pulls_noted(are_noted).await?;
        *said = Some((are_noted, Instant::now()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_due_once_a_day() {
        let start = Instant::now();
        let mut seen = Seen {
            since: start,
            tags: HashSet::new(),
        };
        let at = |hours: u64| start + Duration::from_secs(3600 * hours);
        assert!(seen.is_due(1, at(1)));
        assert!(seen.is_due(2, at(2)));
        assert!(!seen.is_due(1, at(23)));
        assert!(seen.is_due(1, at(24)));
        assert!(!seen.is_due(1, at(25)));
        assert!(seen.is_due(2, at(25)));
        for tag in 0..2 * MAX_SEEN as u64 {
            seen.is_due(tag, at(26));
            assert!(seen.tags.len() <= MAX_SEEN);
        }
    }
}
