//! Room on the disk that pushes leave alone.
//!
//! A disk that pushes have filled is one on which nothing can be deleted, and
//! on a small board it is the system's own. So they end a little earlier:
//!
//! | what | may use | checked |
//! |---|---|---|
//! | the bytes of blobs | all but the reserve | at the start by the length announced, then each batch |
//! | manifests | all but a quarter of it: those of layers that have arrived | each whose bytes are not there yet |
//! | links, mounts, deletes, the end of an upload | all there is | never |
//!
//! The system is asked for the free space at most once in [`MEASURED_FOR`] or
//! [`MEASURED_BYTES`], and before a push is refused. In between, what this process
//! has written since is counted, and what it is about to write counts already, so that
//! pushes at once do not take the same room. What others write meanwhile is
//! seen with the next look.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use registry_spec::storage::StorageError;

use super::error::FileError;

/// For how long a look at the disk is believed.
const MEASURED_FOR: Duration = Duration::from_millis(500);
/// After how many bytes of our own it is looked at again: what they take on the
/// disk is not quite their number.
const MEASURED_BYTES: u64 = 64 * 1024 * 1024;
/// What part of the reserve manifests leave alone.
const KEPT_FROM_MANIFESTS: u64 = 4;

/// How much of the disk pushes leave free: a number of bytes or a part of the
/// disk, whichever is less. Default: 256 MiB or 2 %.
///
/// It is the free space of unprivileged users that counts, as `df` tells it.
/// Where the system cannot tell it (some file systems in user space), nothing
/// is kept free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    bytes: u64,
    percent: u8,
}

impl Reserve {
    /// `bytes` or `percent` of the disk, whichever is less.
    #[must_use]
    pub const fn new(bytes: u64, percent: u8) -> Self {
        Self { bytes, percent }
    }

    /// Pushes may fill the disk.
    #[must_use]
    pub const fn none() -> Self {
        Self::new(0, 0)
    }

    /// What is kept free of a disk of `total` bytes.
    #[must_use]
    pub const fn of(self, total: u64) -> u64 {
        let part = (total / 100).saturating_mul(self.percent as u64);
        if part < self.bytes { part } else { self.bytes }
    }
}

impl Default for Reserve {
    fn default() -> Self {
        Self::new(256 * 1024 * 1024, 2)
    }
}

/// What room is wanted for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    Blob,
    Manifest,
}

#[derive(Debug)]
pub(super) struct Space {
    root: PathBuf,
    reserve: Reserve,
    state: Mutex<State>,
}

/// The disk as it was at the last look, and what came of it since.
#[derive(Debug, Default)]
struct State {
    measured: Option<Instant>,
    /// In bytes, less what was taken since. `None`: the system cannot tell.
    free: Option<u64>,
    /// In bytes.
    reserve: u64,
    taken: u64,
    /// Taken, but perhaps not written yet.
    pending: u64,
}

/// Room that was taken and is about to be used; dropped once it is.
#[derive(Debug)]
#[must_use = "what is about to be written must be seen by others"]
pub(super) struct Taken<'a> {
    space: &'a Space,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.space.state().pending -= self.bytes;
    }
}

impl Space {
    pub(super) fn new(root: PathBuf, reserve: Reserve) -> Self {
        Self {
            root,
            reserve,
            state: Mutex::default(),
        }
    }

    pub(super) fn reserve(&self) -> Reserve {
        self.reserve
    }

    /// Looks whether there is room for `bytes` more. May wait for the disk, as
    /// `take` may.
    pub(super) fn check(&self, bytes: u64, purpose: Use) -> Result<(), StorageError> {
        self.look(bytes, purpose).map(drop)
    }

    /// Takes room for `bytes` more, if there is.
    pub(super) fn take(&self, bytes: u64, purpose: Use) -> Result<Taken<'_>, StorageError> {
        let mut state = self.look(bytes, purpose)?;
        state.free = state.free.map(|free| free.saturating_sub(bytes));
        state.taken = state.taken.saturating_add(bytes);
        state.pending += bytes;
        drop(state);
        Ok(Taken { space: self, bytes })
    }

    fn look(&self, bytes: u64, purpose: Use) -> Result<MutexGuard<'_, State>, StorageError> {
        let mut state = self.state();
        if self.reserve.of(u64::MAX) == 0 {
            return Ok(state);
        }
        if !state.is_fresh() || state.lack(bytes, purpose).is_some() {
            self.measure(&mut state);
        }
        match state.lack(bytes, purpose) {
            None => Ok(state),
            Some(free) => Err(FileError::NoRoom {
                root: self.root.clone(),
                bytes,
                free,
                reserve: state.reserve,
            }
            .into()),
        }
    }

    fn measure(&self, state: &mut State) {
        // A root that is not there yet is made by the first push.
        let disk = rustix::fs::statvfs(&self.root).ok();
        let disk = disk.filter(|disk| disk.f_blocks > 0);
        let total = disk
            .as_ref()
            .map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        let free = disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        state.measured = Some(Instant::now());
        // Some of it may have been written already; that errs to the safe side.
        state.free = free.map(|free| free.saturating_sub(state.pending));
        state.reserve = self.reserve.of(total);
        state.taken = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_fresh(&self) -> bool {
        let measured = self.measured;
        measured.is_some_and(|at| at.elapsed() < MEASURED_FOR) && self.taken < MEASURED_BYTES
    }

    /// How much is free, if that is too little.
    fn lack(&self, bytes: u64, purpose: Use) -> Option<u64> {
        let kept = match purpose {
            Use::Blob => self.reserve,
            Use::Manifest => self.reserve / KEPT_FROM_MANIFESTS,
        };
        self.free.filter(|free| *free < kept || free - kept < bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn the_lesser_of_both_counts() {
        let reserve = Reserve::default();
        assert_eq!(reserve.of(100 * 1024 * MIB), 256 * MIB);
        assert_eq!(reserve.of(1000 * MIB), 20 * MIB);
        assert_eq!(reserve.of(0), 0);
        assert_eq!(Reserve::new(5 * MIB, 100).of(1000 * MIB), 5 * MIB);
        assert_eq!(Reserve::new(u64::MAX, 1).of(u64::MAX), u64::MAX / 100);
        assert_eq!(Reserve::none().of(u64::MAX), 0);
    }

    /// As if the disk had just been looked at.
    fn space(free: u64) -> Space {
        let space = Space::new("/none".into(), Reserve::new(8 * MIB, 100));
        *space.state() = State {
            measured: Some(Instant::now() + Duration::from_secs(3600)),
            free: Some(free),
            reserve: 8 * MIB,
            ..State::default()
        };
        space
    }

    #[test]
    fn what_was_taken_is_not_there_for_others() {
        let space = space(10 * MIB);
        let first = space.take(MIB, Use::Blob).expect("room");
        let second = space.take(MIB, Use::Blob).expect("room");
        assert_eq!(space.state().lack(1, Use::Blob), Some(8 * MIB));
        assert_eq!(space.state().lack(6 * MIB, Use::Manifest), None);
        assert_eq!(space.state().lack(7 * MIB, Use::Manifest), Some(8 * MIB));
        assert_eq!(space.state().pending, 2 * MIB);
        drop((first, second));
        assert_eq!(space.state().pending, 0);
    }

    #[test]
    fn a_look_alone_takes_nothing() {
        let space = space(10 * MIB);
        space.check(2 * MIB, Use::Blob).expect("room");
        space.check(2 * MIB, Use::Blob).expect("the same room");
        assert_eq!(space.state().lack(2 * MIB, Use::Blob), None);
    }

    #[test]
    fn a_disk_that_cannot_be_asked_refuses_nothing() {
        let space = space(0);
        // The root is not there, which is seen by the look before a refusal.
        space.check(MIB, Use::Blob).expect("unknown");
        let _taken = space.take(1000 * MIB, Use::Blob).expect("unknown");
    }
}
