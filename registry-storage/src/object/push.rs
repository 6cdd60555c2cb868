//! What a writer does to objects, in the order of
//! [`collect`](super::collect#the-protocol).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use registry_spec::storage::{PutManifest, StorageError};
use registry_spec::types::{Digest, RepositoryName, UploadId};

use super::error::ObjectError;
use super::objects::{CONCURRENCY, Condition, Objects};
use super::tombstones::{Since, Tombstones};
use crate::collect::{Shelf, Unit};

/// For how long collections believe in a push of a manifest, by the store's
/// clock, and how long it may take.
pub(super) const DEAD_PUSH: Duration = Duration::from_secs(60 * 60);
const LONGEST_PUSH: Duration = Duration::from_secs(30 * 60);

/// How often a link is written that others remove meanwhile.
const LOOKS: usize = 16;

/// One push, of a manifest or of a blob's link.
pub(super) struct Push<'a> {
    objects: &'a Objects,
    id: UploadId,
    /// What must hold when a manifest's link is written.
    expected: Option<Condition>,
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    /// Where collections see that a manifest is being pushed, and since when.
    announced: Option<(Path, Since)>,
    tombstones: Arc<Tombstones>,
    /// Whether the link and the tags have been written before.
    has_led: bool,
}

impl<'a> Push<'a> {
    pub(super) fn new(objects: &'a Objects, id: UploadId, expected: Option<Condition>) -> Self {
        Self {
            objects,
            id,
            expected,
            state: Mutex::new(State {
                announced: None,
                tombstones: Arc::new(Tombstones::Many),
                has_led: false,
            }),
        }
    }

    fn state(&self) -> State {
        let state = self.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// To be called when the push is over, either way.
    pub(super) async fn end(&self) {
        let Some((announced, _)) = self.state().announced else {
            return;
        };
        if let Err(error) = self.objects.delete(vec![announced.clone()]).await {
            // A collection removes it.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(key = %announced, error, "left over from the push of a manifest");
        }
    }

    /// Lets collections see that a manifest is there, before it can be read.
    async fn announce(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        if self.state().announced.is_some() {
            return Ok(());
        }
        let path = self.objects.layout.push(name, digest, &self.id);
        let since = Since::now();
        // It may be there even if that fails.
        self.change(|state| state.announced = Some((path.clone(), since)));
        self.objects.put(&path, Bytes::new()).await
    }

    async fn settle(&self, unit: Unit<'_>) -> Result<(), StorageError> {
        let tombstones = self.state().tombstones;
        self.objects.settle(unit, &tombstones).await
    }

    async fn list_tombstones(&self) -> Result<(), StorageError> {
        let listed = Arc::new(self.objects.tombstones().await?);
        self.change(|state| state.tombstones = listed);
        Ok(())
    }

    /// The longer it takes, the less it can rely upon.
    fn in_time(&self) -> Result<(), StorageError> {
        match self.state().announced {
            Some((path, since)) if since.elapsed() > LONGEST_PUSH => {
                let fault = "is a push that has taken too long";
                Err(ObjectError::inconsistent(&path, fault))
            }
            _ => Ok(()),
        }
    }
}

/// Tombstones are withdrawn where a unit is looked for, so that there is
/// nothing to be put back later.
impl Shelf for Push<'_> {
    const CONCURRENCY: usize = CONCURRENCY;

    async fn publish(&self, link: Unit<'_>, content: &Digest) -> Result<bool, StorageError> {
        if let Unit::Manifest(name, digest) = link {
            self.announce(name, &digest).await?;
            self.list_tombstones().await?;
            // Its link is written when all else is known to be there.
            return self.settle(link).await.map(|()| true);
        }
        let path = self.objects.layout.place(link);
        for _ in 0..LOOKS {
            self.objects.write_link(&path, content).await?;
            self.list_tombstones().await?;
            self.settle(link).await?;
            if self.objects.head(&path).await?.is_some() {
                return Ok(false);
            }
        }
        let fault = "is removed all the time";
        Err(ObjectError::inconsistent(&path, fault))
    }

    async fn withdraw(&self, _link: Unit<'_>) -> Result<(), StorageError> {
        // It is not yet written.
        Ok(())
    }

    async fn find(&self, unit: Unit<'_>) -> Result<Option<Digest>, StorageError> {
        self.settle(unit).await?;
        match unit {
            Unit::Blob(digest) => {
                let len = self.objects.content_len(&digest).await?;
                Ok(len.map(|_| digest))
            }
            Unit::Layer(..) | Unit::Manifest(..) => {
                let path = self.objects.layout.place(unit);
                self.objects.read_link(&path).await
            }
        }
    }

    async fn restore(&self, _unit: Unit<'_>) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn store_bytes(&self, manifest: &PutManifest) -> Result<(), StorageError> {
        self.objects.store_bytes(manifest).await
    }

    async fn lead_to(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> Result<(), StorageError> {
        self.in_time()?;
        if self.state().has_led {
            self.objects.lead_again(name, manifest).await?;
        } else {
            let expected = self.expected.as_ref();
            self.objects.lead_to(name, manifest, expected).await?;
            self.change(|state| state.has_led = true);
        }
        self.in_time()
    }
}
