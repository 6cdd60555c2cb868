//! What all threads of a run share, and what they do with it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use registry_spec::types::{Algorithm, Digest};
use rustix::fs::FileType;

use super::beneath::{self, Dir, Opened, Place};
use super::pace::Pace;
use super::report::{Ledger, Mend, ProblemKind, VerifyReport};
use super::{Phase, Progress, VerifyError, VerifyOptions};
use crate::filesystem::layout;
use crate::filesystem::tree::Tree;

/// Where a tree is in its root.
const TREE: &str = "docker/registry/v2";

/// What all threads of a run share.
pub(super) struct Run<'a> {
    pub(super) tree: &'a Tree,
    /// `docker/registry/v2`.
    pub(super) base: Dir,
    pub(super) options: &'a VerifyOptions,
    pub(super) pace: Pace,
    pub(super) counts: Counts,
    ledger: Mutex<Ledger>,
    /// Content that is there and not whole, or was until it was put aside, with
    /// the number of its problem.
    pub(super) bad: RwLock<HashMap<Digest, usize>>,
    stopped: AtomicBool,
}

#[derive(Default)]
pub(super) struct Counts {
    in_repositories: AtomicBool,
    pub(super) shards: AtomicU64,
    pub(super) shards_done: AtomicU64,
    pub(super) blobs: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) repositories: AtomicU64,
    pub(super) manifests: AtomicU64,
    pub(super) tags: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// One of the directories that make a tree; `None` when there is nothing.
fn directory(dir: &Dir, name: &str) -> Result<Option<Dir>, VerifyError> {
    let path = dir.path.join(name);
    let look = dir.look(name).and_then(|place| match place {
        Place::Absent => Ok(Ok(None)),
        Place::Other(FileType::Directory) => dir.dir(name).map(Ok),
        Place::Other(kind) => Ok(Err(kind)),
        Place::File(_) => Ok(Err(FileType::RegularFile)),
    });
    match look {
        Ok(Ok(dir)) => Ok(dir),
        Ok(Err(kind)) => Err(VerifyError::NotADirectory {
            path,
            kind: beneath::called(kind),
        }),
        Err(source) => Err(VerifyError::Unreadable {
            path,
            uid: rustix::process::geteuid().as_raw(),
            source,
        }),
    }
}

impl<'a> Run<'a> {
    pub(super) fn open(tree: &'a Tree, options: &'a VerifyOptions) -> Result<Self, VerifyError> {
        let root = tree.layout.root();
        let uid = rustix::process::geteuid().as_raw();
        let unreadable = |path: &Path, source| VerifyError::Unreadable {
            path: path.to_path_buf(),
            uid,
            source,
        };
        // The operator's own path may lead over links.
        let real = root
            .canonicalize()
            .and_then(|real| Dir::open(&real))
            .map_err(|source| unreadable(root, source))?;
        let mut base = real;
        for name in TREE.split('/') {
            base = directory(&base, name)?.ok_or_else(|| VerifyError::NotARegistry {
                root: root.to_path_buf(),
                missing: TREE,
            })?;
        }
        for name in [layout::BLOBS, layout::REPOSITORIES] {
            if let Some(dir) = directory(&base, name)? {
                let listed = dir.entries().map(drop);
                listed.map_err(|source| unreadable(&dir.path, source))?;
                // Behind a link, everything would seem to be missing.
                if name == layout::BLOBS {
                    for algorithm in Algorithm::ALL {
                        directory(&dir, algorithm.as_str())?;
                    }
                }
            }
        }
        if options.repair {
            rustix::fs::access(&base.path, rustix::fs::Access::WRITE_OK).map_err(|error| {
                VerifyError::Unwritable {
                    path: base.path.clone(),
                    uid,
                    source: error.into(),
                }
            })?;
        }
        Ok(Self {
            tree,
            base: Dir {
                path: tree.layout.tree().to_path_buf(),
                ..base
            },
            options,
            pace: Pace::new(options.rate),
            counts: Counts::default(),
            ledger: Mutex::default(),
            bad: RwLock::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// `None` when it was stopped.
    pub(super) fn into_report(self) -> Option<VerifyReport> {
        if self.is_stopped() {
            return None;
        }
        let ledger = self.ledger.into_inner();
        let ledger = ledger.unwrap_or_else(PoisonError::into_inner);
        let counts = self.counts;
        Some(VerifyReport {
            blobs: counts.blobs.into_inner(),
            bytes: counts.bytes.into_inner(),
            repositories: counts.repositories.into_inner(),
            manifests: counts.manifests.into_inner(),
            tags: counts.tags.into_inner(),
            ..ledger.into_report()
        })
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn everything(&self) {
        self.check_blobs();
        self.counts.in_repositories.store(true, Ordering::Relaxed);
        self.check_repositories();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn progress(&self) -> Progress {
        let counts = &self.counts;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let phase = match counts.in_repositories.load(Ordering::Relaxed) {
            true => Phase::Repositories,
            false => Phase::Blobs,
        };
        Progress {
            phase,
            blobs_done: match (phase, get(&counts.shards)) {
                (Phase::Repositories, _) => 1.0,
                (Phase::Blobs, 0) => 0.0,
                (Phase::Blobs, shards) => get(&counts.shards_done) as f64 / shards as f64,
            },
            blobs: get(&counts.blobs),
            bytes: get(&counts.bytes),
            repositories: get(&counts.repositories),
            problems: self.ledger().count() as u64,
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some content is known not to be whole; the number of its problem.
    pub(super) fn bad(&self, digest: &Digest) -> Option<usize> {
        let bad = self.bad.read().unwrap_or_else(PoisonError::into_inner);
        bad.get(digest).copied()
    }

    /// Below the tree, what is at a path of the layout.
    pub(super) fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.base.path).unwrap_or(path)
    }

    /// What stands at a path, or is set aside there.
    pub(super) fn look_kept(&self, path: &Path) -> io::Result<Place> {
        self.base.look_kept_below(self.relative(path))
    }

    pub(super) fn look(&self, path: &Path) -> io::Result<Place> {
        self.base.look_below(self.relative(path))
    }

    pub(super) fn open_file(&self, path: &Path) -> io::Result<Opened> {
        self.base.file_below(self.relative(path))
    }

    /// Tells of something that hurts nobody by itself.
    pub(super) fn note(&self, kind: ProblemKind, path: PathBuf, detail: impl Into<String>) {
        self.ledger().add(kind, path, detail.into(), Mend::Note);
    }

    /// Tells of an entry that is not the layout's.
    pub(super) fn strange(&self, dir: &Dir, entry: &beneath::Entry) {
        let path = dir.path.join(&entry.name);
        if layout::is_temporary(&entry.name) && entry.kind == FileType::RegularFile {
            let detail = "a file that was not written to its end, or is being written";
            self.note(ProblemKind::Temporary, path, detail);
        } else {
            let kind = beneath::called(entry.kind);
            let detail = match entry.kind {
                FileType::Symlink => {
                    format!("{kind}, which is not followed: nothing behind it is verified")
                }
                _ => format!("{kind} that is no registry's"),
            };
            self.note(ProblemKind::Foreign, path, detail);
        }
    }

    /// Tells of something that cannot be read.
    pub(super) fn unreadable(&self, path: &Path, error: &io::Error) {
        self.ledger().add(
            ProblemKind::Unreadable,
            path.to_path_buf(),
            format!("cannot be read: {error}"),
            Mend::ByHand,
        );
    }

    /// The entries of a directory, one at a time; what cannot be listed is told of.
    pub(super) fn entries<'r>(
        &'r self,
        dir: &'r Dir,
    ) -> impl Iterator<Item = beneath::Entry> + use<'r, 'a> {
        let listing = match dir.entries() {
            Ok(entries) => Some(entries),
            Err(error) => {
                self.unreadable(&dir.path, &error);
                None
            }
        };
        let entries = listing.into_iter().flatten();
        entries.filter_map(|entry| match entry {
            Ok(entry) => Some(entry),
            Err(error) => {
                self.unreadable(&dir.path, &error);
                None
            }
        })
    }

    /// A directory in another; what cannot be opened is told of.
    pub(super) fn dir(&self, dir: &Dir, name: impl AsRef<OsStr>) -> Option<Dir> {
        let name = name.as_ref();
        dir.dir(name).unwrap_or_else(|error| {
            self.unreadable(&dir.path.join(name), &error);
            None
        })
    }
}
