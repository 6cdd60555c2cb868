//! Verification and repair of a tree: `registry:2`'s or ours, while it is served
//! or not.
//!
//! | pass | looks at |
//! |---|---|
//! | blobs | every `blobs/…/data`: that it hashes to its name |
//! | repositories | links; manifests, with all that they need and its size; tags; the referrers index; upload sessions |
//!
//! What is no registry's is told as a note and never opened; no symbolic link is
//! followed. Every problem names the tags that it hurts. What a garbage
//! collection has set aside, to look at it again, counts as there.
//!
//! # What a repair does
//!
//! It deletes nothing. What is bad is put aside: renamed into
//! `docker/registry/v2/put-aside/`, under the path that it had, where nothing
//! else looks, Distribution neither. It stays there until a person removes it.
//!
//! | problem | repair | needs then |
//! |---|---|---|
//! | bytes of a blob or manifest that are not its own, or that the disk cannot read | are put aside, so that a client which asks hears that the blob is absent, and sends it again | a push |
//! | bytes that are not there | none; links and tags to them stay, since they tell what to push, and one push mends all repositories | a push |
//! | a broken or foreign link to content that is there | is written again, from the name of its folder | |
//! | content that a manifest or a tag of the repository names, is there and whole, but has no link | gets its link | |
//! | a broken tag | is written again if its history has one manifest only that is there | else a push |
//! | a layer link to nothing that no manifest needs | is put aside | |
//! | an entry in a tag's history, or among referrers | is written, or put aside if it is wrong | |
//! | a manifest that is none, or gives a wrong size | none | a push |
//! | a symbolic link in the place of a file | none: somebody meant it | a person |
//!
//! Links are changed under the repository's lock, after another look, and
//! whatever was put aside is put back when it turns out to be newer than what
//! was looked at. A running registry sees the changes by its next request; a
//! running `registry:2` remembers blobs, and must be started again after a
//! repair. What is written belongs to the owner of the directory that it is
//! in, whoever runs the repair.
//!
//! # What is not seen
//!
//! * An index may leave out children on purpose (Distribution 3 can be told to
//!   accept that). They are told as missing, unless the run is
//!   [sparse](VerifyOptions::sparse).
//! * Entries of manifests that were deleted stay in the referrers index. That
//!   is how it is meant, and they are not listed.
//! * In a [quick](VerifyOptions::quick) run: flipped bits in blobs, other than
//!   manifests, whose size is right.
//!
//! # Example
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use registry_storage::FileSystem;
//! use registry_storage::filesystem::verify::{Verifier, VerifyOptions};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! let storage = FileSystem::new(root.path());
//! # storage.prepare().await?;
//! let report = Verifier::new(&storage, VerifyOptions::default())
//!     .run(|progress| {
//!         eprintln!("{} blobs", progress.blobs);
//!         ControlFlow::Continue(())
//!     })?;
//! for problem in &report.problems {
//!     println!("{}: {}", problem.path.display(), problem.detail);
//! }
//! assert!(report.is_healthy());
//! # Ok(()) }
//! ```

mod aside;
mod beneath;
mod blobs;
mod hurts;
mod layers;
mod links;
mod manifests;
mod pace;
mod referrers;
mod repair;
mod report;
mod repository;
mod run;
mod tags;
mod uploads;
mod walk;

use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::FileSystem;
use super::nice::be_nice;
use super::tree::Tree;
use run::Run;

pub use report::{Hurt, Problem, ProblemKind, Remedy, Repair, VerifyReport};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// More workers than this seldom make a disk faster.
const MAX_DEFAULT_WORKERS: usize = 4;

/// How a tree is verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// How many bytes are read per second at most, by all workers together.
    /// Default: `None`, as fast as the disk and the workers can. Set it where a
    /// registry serves from the same disk.
    pub rate: Option<NonZeroU64>,
    /// How many threads read and hash. Default: one per core, at most four.
    pub workers: NonZeroUsize,
    /// Whether blobs other than manifests are hashed only where their size is
    /// not the one that a manifest gives. Default: no, every blob is hashed.
    pub quick: bool,
    /// Whether a manifest may name what was never pushed, as in a registry that
    /// accepts manifests unchecked. What the repository has no link to is a
    /// note then, and gets none. Default: no, it is a problem.
    pub sparse: bool,
    /// Whether what is found is repaired, see the [module](self). Default: no,
    /// nothing in the tree is changed.
    pub repair: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let most = NonZeroUsize::new(MAX_DEFAULT_WORKERS).unwrap_or(NonZeroUsize::MIN);
        Self {
            rate: None,
            workers: cores.min(most),
            quick: false,
            sparse: false,
            repair: false,
        }
    }
}

/// What a verification is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It reads blobs.
    Blobs,
    /// It looks at repositories.
    Repositories,
}

/// How far a verification has got.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// What is done at the moment.
    pub phase: Phase,
    /// How much of the blobs is done, from 0 to 1. Blobs are spread over folders
    /// by chance, and this is about folders: nothing is counted beforehand.
    pub blobs_done: f64,
    /// Blobs looked at so far.
    pub blobs: u64,
    /// Bytes hashed so far.
    pub bytes: u64,
    /// Repositories looked at so far.
    pub repositories: u64,
    /// Problems found so far, without notes.
    pub problems: u64,
}

/// Why a tree could not be verified. Nothing was changed, but for
/// [`Stopped`](Self::Stopped).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The directory is not there, or cannot be read.
    #[error("cannot read {} as uid {uid}", path.display())]
    Unreadable {
        /// Which directory.
        path: PathBuf,
        /// Who tried.
        uid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tree cannot be written to, and a repair was asked for.
    #[error("cannot repair in {} as uid {uid}", path.display())]
    Unwritable {
        /// Which directory.
        path: PathBuf,
        /// Who tried.
        uid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No registry has written there.
    #[error("{} is no registry's root: there is no directory {missing} in it", root.display())]
    NotARegistry {
        /// The root.
        root: PathBuf,
        /// What should be in it.
        missing: &'static str,
    },
    /// A part of the tree is somewhere else, where a verification does not go.
    #[error("{} is {kind}, which is not followed", path.display())]
    NotADirectory {
        /// Which part.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The progress callback said so.
    #[error("stopped")]
    Stopped,
}

/// Looks for damage in the tree of a [`FileSystem`], and repairs it if asked to.
/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Verifier {
    tree: Arc<Tree>,
    options: VerifyOptions,
}

impl Verifier {
    /// For the tree of a storage.
    #[must_use]
    pub fn new(storage: &FileSystem, options: VerifyOptions) -> Self {
        Self {
            tree: Arc::clone(&storage.tree),
            options,
        }
    }

    /// Looks at everything. `progress` is called about ten times a second on
    /// this thread, and ends the run with [`ControlFlow::Break`].
    ///
    /// Blocks for as long as it takes: within a runtime, call it by
    /// `spawn_blocking`. Its threads have a low priority, on Linux. It keeps in
    /// memory what is damaged, up to a bound, and nothing of what is not. It may be
    /// ended at any moment, by a signal too.
    ///
    /// # Errors
    /// [`VerifyError`]; what is wrong further down is in the report.
    pub fn run(
        &self,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<VerifyReport, VerifyError> {
        let run = Run::open(&self.tree, &self.options)?;
        thread::scope(|scope| {
            let (done, ended) = mpsc::channel();
            let run = &run;
            scope.spawn(move || {
                be_nice();
                run.everything();
                drop(done);
            });
            while let Err(mpsc::RecvTimeoutError::Timeout) =
                ended.recv_timeout(TICK) as Result<(), _>
            {
                if !run.is_stopped() && progress(&run.progress()).is_break() {
                    run.stop();
                }
            }
        });
        run.into_report().ok_or(VerifyError::Stopped)
    }
}
