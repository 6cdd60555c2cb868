//! Garbage collection in an object store, beside pushes by any registry.
//!
//! What lives, what is removed in which order, and why that is safe, is told
//! in [`collect`](crate::collect). Stores differ from files: nothing can be
//! renamed, and a removal is without a condition. They have instead what the
//! [module above](super#what-the-store-must-do) asks for: an object is created
//! only if it is absent, replaced only if it is unchanged, and lists show what
//! was acknowledged.
//!
//! # The protocol
//!
//! *A collection* sets a unit aside by a **tombstone**: a small object with a
//! key of its own, made of the unit's key and the random name of the
//! collection, so that nobody ever writes it a second time. It holds a state:
//!
//! | state | written by | while it is there, the unit |
//! |---|---|---|
//! | `proposed` | the collection, if absent | is in its place, and pulled as ever |
//! | `withdrawn` | whoever relies on the unit, instead of `proposed` | stays, as far as this collection goes |
//! | `condemned` | the collection, instead of `proposed`, after it has looked again | is as good as gone |
//!
//! After `condemned` the collection removes the unit, and when that is
//! acknowledged, the tombstone. The second and the third state exclude each
//! other, since each replaces the first if it is unchanged, and neither is
//! ever replaced. Collections know nothing of each other: each has its own
//! tombstones, and each has looked again before it removes something.
//!
//! *A writer* of a link or of a manifest
//!
//! 1. **publishes** where collections look: the link itself, or for a manifest
//!    an object that says that it is being pushed, which collections take for
//!    a link that is young. Readers do not see it: a manifest whose layers
//!    turn out to be gone is never there.
//! 2. **lists the tombstones**, all at once: one request, and as a rule there are
//!    none. If there are too many for one list, those of each unit are listed
//!    when it is looked at.
//! 3. looks at each unit that it needs. **Tombstones first**: `proposed` is
//!    replaced by `withdrawn`; of `condemned` it waits for the end, for some
//!    seconds, and then the push fails with 503. **Then the unit itself**: if it
//!    is gone, the push fails, or writes it anew.
//! 4. a manifest: writes its link, its entry and its tags, and removes what
//!    said that it is being pushed.
//!
//! # Why it is safe
//!
//! Let a writer rely on a unit `u`, and suppose that a collection `c` removes
//! it after the writer has seen it in step 3. `c` has proposed, looked again and
//! condemned before. Of the writer's list of tombstones, which comes after its
//! publication and before its look at `u`:
//!
//! * *It shows `c`'s, `proposed`.* Then it was withdrawn, or `c` was faster; see
//!   the next.
//! * *It shows `c`'s, `condemned`.* The writer has waited until the tombstone was
//!   gone, so that the removal had been acknowledged before the look at `u`:
//!   what it saw was written later, and is not removed any more.
//! * *It does not show it, since it was gone.* The same.
//! * *It does not show it, since it was not yet there.* Then `c` has looked again
//!   after the publication, and has seen it.
//!
//! The publication in step 1 is seen until the tag keeps the manifest, for
//! collections list what is being pushed before the repositories and before the
//! links, and a link is written before its push ends. A link is published and relied on at once,
//! in that order, so that it is written again where a collection was just
//! about to remove it.
//!
//! *Nothing is removed late.* A tombstone `condemned` stays when the removal has
//! failed, or its answer was lost. Nobody writes in the place of such a unit
//! and relies on it. The collection gives up 60 s after it has condemned, and
//! who finds a tombstone in this state that is older than 20 minutes by the store's
//! clock takes it away. This is where time is relied upon: a program that is
//! stopped for 20 minutes between its look at the clock and the request that
//! follows, or a request that is on its way for so long, could remove what was
//! pushed meanwhile.
//!
//! *A collection that dies* leaves tombstones, which hinder nobody but who needs
//! one of the few units (16 at most) that it had condemned and not removed. The next
//! one removes those units as any other, and tombstones once they are 20
//! minutes old; of a collection that is alive it withdraws them before.
//!
//! *A push that dies* leaves what it has announced, for which collections keep
//! what it needs for an hour. A push gives up after half of that.
//!
//! *Deletes of clients* need no tombstones: nothing is ever put back that is not
//! in its place.

mod lists;
#[cfg(test)]
mod model;
mod steps;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, UploadId};

use super::ObjectStorage;
use super::error::ObjectError;
use super::layout::verbatim;
use super::objects::Objects;
use super::upload::Uploads;
use crate::collect::{CollectOptions, Event, Report, Run};

impl ObjectStorage {
    /// Removes what nothing leads to: garbage collection, beside pushes and
    /// pulls of any registry. See [`collect`](crate::collect) for what lives and
    /// why that is safe. `listener` is told what happens.
    ///
    /// At most 16 requests are under way at once. When the future is dropped
    /// it ends, and leaves the rest to the next one.
    ///
    /// | of the store is asked | |
    /// |---|---|
    /// | for each repository | 4 lists, of 1000 keys each |
    /// | for each manifest | 1 read |
    /// | for each tag, with `delete_untagged` | 1 read |
    /// | for the blobs | 256 lists at least, if there are so many, of 1000 keys each |
    /// | for what is removed | 6 requests for each |
    /// | if anything was set aside in a repository, or any blob | its links, or those of all repositories, are listed again |
    ///
    /// Of links only those of a sha512 are read, and those whose length is not
    /// a link's.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use object_store::memory::InMemory;
    /// # use registry_spec::storage::Storage;
    /// use registry_storage::ObjectStorage;
    /// use registry_storage::collect::CollectOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let storage = ObjectStorage::new(Arc::new(InMemory::new()));
    /// # storage.start_upload(&"app".parse()?, registry_spec::types::Algorithm::Sha256).await?;
    /// let report = storage.collect(CollectOptions::default(), |_| {}).await?;
    /// println!("{} bytes freed", report.blobs_removed.bytes);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] and [`StorageError::Backend`] when the
    /// store does not answer, writes without comparing, holds no registry, or
    /// has repositories that cannot be listed: nothing was removed then. What
    /// goes wrong later is a problem in the report.
    pub async fn collect(
        &self,
        options: CollectOptions,
        listener: impl FnMut(Event<'_>) + Send + 'static,
    ) -> Result<Report, StorageError> {
        let run = UploadId::random();
        let collection = Collection::begin(&self.objects, &self.uploads, run, &options).await?;
        let (mut listener, stop) = (listener, AtomicBool::new(false));
        Run::new(&collection, &options, &mut listener, &stop)
            .finish()
            .await
    }
}

/// What one collection works with.
pub(crate) struct Collection<'a> {
    objects: &'a Objects,
    uploads: &'a Uploads,
    /// Its tombstones have this in their keys.
    run: UploadId,
    /// When it began, by the clock of the store.
    now: SystemTime,
    grace: Duration,
    /// Where there are blobs, by the first byte of their hash.
    parts: Vec<(Algorithm, u8)>,
}

impl<'a> Collection<'a> {
    pub(super) async fn begin(
        objects: &'a Objects,
        uploads: &'a Uploads,
        run: UploadId,
        options: &CollectOptions,
    ) -> Result<Self, StorageError> {
        let tree = objects.layout.tree();
        let fault = |fault| Err(ObjectError::broken(&verbatim(tree), fault));
        let probed = objects.probe().await.map_err(|error| error.below(tree))?;
        if !probed.compares {
            return fault(
                "is in a store that writes without comparing, \
                 where garbage cannot be told from what is being pushed",
            );
        }
        let mut collection = Self {
            objects,
            uploads,
            run,
            now: objects.clock().await?,
            grace: options.grace,
            parts: Vec::new(),
        };
        collection.parts = collection.find_parts().await?;
        // Another folder's name, say: every blob would be garbage.
        match (collection.has_repositories().await?, &collection.parts) {
            (true, _) => {}
            (false, parts) if parts.is_empty() && options.may_be_absent => {}
            (false, parts) if parts.is_empty() => return fault("is not there: no registry's tree"),
            (false, _) => return fault("has blobs, but no repositories"),
        }
        if !options.dry_run {
            collection.tidy().await?;
        }
        Ok(collection)
    }

    async fn has_repositories(&self) -> Result<bool, StorageError> {
        let mut walk = self.objects.walk(None, 1);
        while let Some(visit) = walk.next().await? {
            if visit.has_any {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn find_parts(&self) -> Result<Vec<(Algorithm, u8)>, StorageError> {
        let mut parts = Vec::new();
        for algorithm in Algorithm::ALL {
            let prefix = self.objects.layout.blobs_of(algorithm);
            let mut names = self.objects.names(prefix, "", None);
            while let Some(name) = names.next().await? {
                let first = u8::from_str_radix(&name, 16);
                parts.extend(first.map(|first| (algorithm, first)));
            }
        }
        Ok(parts)
    }

    fn is_old(&self, modified: SystemTime) -> bool {
        let age = self.now.duration_since(modified);
        age.is_ok_and(|age| age >= self.grace)
    }
}
