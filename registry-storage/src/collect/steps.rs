//! The atomic steps on a store of which a collection is made.

use std::time::Duration;

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, References, RepositoryName};

use super::report::Item;
use crate::PurgedUploads;

/// What can be set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Unit<'a> {
    /// A manifest's link.
    Manifest(&'a RepositoryName, Digest),
    /// A layer link.
    Layer(&'a RepositoryName, Digest),
    /// Bytes.
    Blob(Digest),
}

impl<'a> Unit<'a> {
    pub(crate) const fn item(self) -> Item<'a> {
        match self {
            Self::Manifest(repository, digest) => Item::Manifest { repository, digest },
            Self::Layer(repository, digest) => Item::Layer { repository, digest },
            Self::Blob(digest) => Item::Blob { digest },
        }
    }

    pub(crate) const fn repository(self) -> Option<&'a RepositoryName> {
        match self {
            Self::Manifest(name, _) | Self::Layer(name, _) => Some(name),
            Self::Blob(_) => None,
        }
    }
}

/// A unit, in its place or set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What a link names; a blob's own digest.
    pub(crate) content: Digest,
    /// Whether it is older than the grace period.
    pub(crate) is_old: bool,
    /// Whether it is not in its place.
    pub(crate) is_aside: bool,
    /// A blob's length in bytes, 0 for a link.
    pub(crate) bytes: u64,
}

/// A place that a list shows, and what the list tells of it besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) digest: Digest,
    /// `None` where only a look can tell.
    pub(crate) told: Option<Told>,
}

/// What a list tells of a unit that is in its place, and whose content is the
/// digest of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// As in [`Found`].
    pub(crate) is_old: bool,
    /// As in [`Found`].
    pub(crate) bytes: u64,
}

impl From<Digest> for Listed {
    fn from(digest: Digest) -> Self {
        Self { digest, told: None }
    }
}

/// The repositories, and what may hide further ones.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    pub(crate) names: Vec<RepositoryName>,
    pub(crate) hidden: Vec<StorageError>,
}

/// What a collection asks of a store. Each method is one atomic step or, where
/// it lists, sees at least all that is there from its beginning to its end.
///
/// The futures of a store of files never wait; they are then polled once.
pub(crate) trait Steps: Sync {
    /// How many steps of a kind are taken at once.
    const CONCURRENCY: usize;

    /// Everything that may hold links. Fails when some of it cannot be listed.
    fn repositories(&self) -> impl Future<Output = Result<Repositories, StorageError>> + Send;

    /// The digests at which a repository's tags stand.
    fn tags(
        &self,
        name: &RepositoryName,
    ) -> impl Future<Output = Result<Vec<Digest>, StorageError>> + Send;

    /// Where there may be manifests' links, in their places or set aside.
    fn manifests(
        &self,
        name: &RepositoryName,
    ) -> impl Future<Output = Result<Vec<Listed>, StorageError>> + Send;

    /// Where there may be layer links, in their places or set aside.
    fn layers(
        &self,
        name: &RepositoryName,
    ) -> impl Future<Output = Result<Vec<Listed>, StorageError>> + Send;

    /// Where there may be bytes, in their places or set aside, of those digests
    /// whose hash begins with `first`.
    fn blobs(
        &self,
        algorithm: Algorithm,
        first: u8,
    ) -> impl Future<Output = Result<Vec<Listed>, StorageError>> + Send;

    /// What there is of a unit that was listed.
    fn look_at(
        &self,
        unit: Unit<'_>,
        listed: &Listed,
    ) -> impl Future<Output = Result<Option<Found>, StorageError>> + Send {
        async move {
            match listed.told {
                Some(told) => Ok(Some(Found {
                    content: listed.digest,
                    is_old: told.is_old,
                    is_aside: false,
                    bytes: told.bytes,
                })),
                None => self.look(unit).await,
            }
        }
    }

    /// Looks at one unit.
    fn look(
        &self,
        unit: Unit<'_>,
    ) -> impl Future<Output = Result<Option<Found>, StorageError>> + Send;

    /// Reads what a manifest names. Fails also when its bytes are not there,
    /// not whole, or not a manifest.
    fn references(
        &self,
        content: &Digest,
    ) -> impl Future<Output = Result<References, StorageError>> + Send;

    /// Sets a unit aside under a name of this run's own, taking over one that
    /// is set aside already; then looks at it. `None` when there is none.
    fn set_aside(
        &self,
        unit: Unit<'_>,
    ) -> impl Future<Output = Result<Option<Found>, StorageError>> + Send;

    /// Puts a unit back if it is set aside, under whatever name.
    fn put_back(&self, unit: Unit<'_>) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Deletes what this run has set aside; `false` when it is not set aside
    /// any more. For a manifest, lastingly before it returns.
    fn delete(&self, unit: Unit<'_>) -> impl Future<Output = Result<bool, StorageError>> + Send;

    /// Clears away what was derived from manifests that are deleted: each with
    /// its subject.
    fn forget(
        &self,
        name: &RepositoryName,
        deleted: &[(Digest, Option<Digest>)],
    ) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Removes a repository that holds nothing and is old; whether it did, or
    /// in a dry run would.
    fn remove_repository(
        &self,
        name: &RepositoryName,
        dry_run: bool,
    ) -> impl Future<Output = Result<bool, StorageError>> + Send;

    /// Removes upload sessions.
    fn purge_uploads(
        &self,
        older_than: Duration,
        dry_run: bool,
    ) -> impl Future<Output = Result<PurgedUploads, StorageError>> + Send;
}
