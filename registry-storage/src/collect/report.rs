//! What a collection tells.

use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName};

/// What happens during a collection, as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A repository's manifests and layer links are done with.
    Repository {
        /// Its name.
        name: &'a RepositoryName,
        /// How many are done with, this one included.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// A part of the blobs is done with.
    Blobs {
        /// How many parts are done with.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// Something was removed, or would be.
    Removed {
        /// What it was.
        item: Item<'a>,
        /// Why.
        reason: Reason,
        /// How many bytes that frees: the blob's, 0 for a link.
        bytes: u64,
    },
    /// Something was put back since it is needed after all.
    PutBack {
        /// What it is.
        item: Item<'a>,
    },
    /// Something is wrong with the store.
    Problem(&'a Problem),
}

/// A thing that a collection removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// A manifest, with its entry among its subject's referrers.
    Manifest {
        /// Whose it is.
        repository: &'a RepositoryName,
        /// Its digest.
        digest: Digest,
    },
    /// The link by which a blob belongs to a repository.
    Layer {
        /// The repository.
        repository: &'a RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// The bytes of a blob or manifest.
    Blob {
        /// Their digest.
        digest: Digest,
    },
    /// A repository that held nothing.
    Repository(&'a RepositoryName),
}

/// Why something is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No tag reaches the manifest, and it refers to nothing live.
    Untagged,
    /// No manifest of the repository names the blob.
    Unused,
    /// No repository has the blob.
    Unlinked,
    /// Nothing is in the repository.
    Empty,
}

/// What a fault of the store keeps from being removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consequence {
    /// The thing itself.
    ItemKept,
    /// Everything in a repository.
    RepositoryKept,
    /// Every blob.
    BlobsKept,
}

/// A fault that a collection came across.
#[derive(Debug)]
#[non_exhaustive]
pub struct Problem {
    /// Where it is, if it is in one repository.
    pub repository: Option<RepositoryName>,
    /// What it is; its sources have the path.
    pub error: StorageError,
    /// What is kept because of it.
    pub consequence: Consequence,
}

/// How many things of a kind were removed, and the bytes that freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a collection did, or would do.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Whether nothing was really removed.
    pub dry_run: bool,
    /// How many repositories were looked at.
    pub repositories: u64,
    /// How many blobs were looked at.
    pub blobs: u64,
    /// Untagged manifests removed.
    pub manifests_removed: u64,
    /// Layer links removed.
    pub layers_removed: u64,
    /// Blobs removed.
    pub blobs_removed: Counted,
    /// Upload sessions removed.
    pub uploads_removed: Counted,
    /// Repositories removed.
    pub repositories_removed: u64,
    /// What was set aside, and was needed after all.
    pub put_back: u64,
    /// Garbage that stays for now since it is younger than the grace period.
    pub young: u64,
    /// Faults, up to [`Report::MOST_PROBLEMS`]; all of them are told as they
    /// are found.
    pub problems: Vec<Problem>,
    /// How many faults there are.
    pub problem_count: u64,
}

impl Report {
    /// How many faults are kept in a report.
    pub const MOST_PROBLEMS: usize = 1000;
}
