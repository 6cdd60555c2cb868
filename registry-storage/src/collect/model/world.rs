//! A store of names in memory, with the steps that files have.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use registry_spec::storage::{PutManifest, StorageError};
use registry_spec::types::{Algorithm, Digest, References, RepositoryName};

use super::super::{Found, Listed, Repositories, Shelf, Steps, Unit};
use super::{Breakage, Image, name};
use crate::PurgedUploads;

/// All content there is.
const TEXTS: [&str; 4] = ["layer", "image", "old", "index"];
const REPOSITORIES: [&str; 2] = ["a", "b"];
const TAGS: [&str; 2] = ["latest", "old"];

static DIGESTS: LazyLock<[Digest; TEXTS.len()]> =
    LazyLock::new(|| TEXTS.map(|text| Digest::of(Algorithm::Sha256, text.as_bytes())));
static NAMES: LazyLock<[RepositoryName; REPOSITORIES.len()]> =
    LazyLock::new(|| REPOSITORIES.map(|name| name.parse().expect("a name")));

pub(super) fn digest(text: &str) -> Digest {
    let index = TEXTS.iter().position(|known| *known == text);
    DIGESTS[index.expect("known content")]
}

fn index_of_digest(digest: &Digest) -> usize {
    let index = DIGESTS.iter().position(|known| known == digest);
    index.expect("known content")
}

fn index_of_name(name: &RepositoryName) -> usize {
    let index = NAMES.iter().position(|known| known == name);
    index.expect("a known repository")
}

/// A unit, as its number: of the content, and in which row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Thing(usize);

const THINGS: usize = TEXTS.len() * (1 + 2 * REPOSITORIES.len());

impl Thing {
    pub(super) fn blob(text: &str) -> Self {
        Unit::Blob(digest(text)).into()
    }

    pub(super) fn layer(repository: &str, text: &str) -> Self {
        Unit::Layer(&name(repository), digest(text)).into()
    }

    fn digest(self) -> Digest {
        DIGESTS[self.0 % TEXTS.len()]
    }

    /// The things of one row, in order.
    fn row(row: usize) -> impl Iterator<Item = Self> {
        (row * TEXTS.len()..(row + 1) * TEXTS.len()).map(Self)
    }
}

const BLOBS: usize = 0;

fn layers_of(name: &RepositoryName) -> usize {
    1 + 2 * index_of_name(name)
}

fn manifests_of(name: &RepositoryName) -> usize {
    2 + 2 * index_of_name(name)
}

impl From<Unit<'_>> for Thing {
    fn from(unit: Unit<'_>) -> Self {
        let (row, digest) = match unit {
            Unit::Blob(digest) => (BLOBS, digest),
            Unit::Layer(name, digest) => (layers_of(name), digest),
            Unit::Manifest(name, digest) => (manifests_of(name), digest),
        };
        Self(row * TEXTS.len() + index_of_digest(&digest))
    }
}

impl fmt::Debug for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = match self.0 / TEXTS.len() {
            BLOBS => "blob",
            1 => "layer a",
            2 => "manifest a",
            3 => "layer b",
            _ => "manifest b",
        };
        write!(f, "{row} {}", TEXTS[self.0 % TEXTS.len()])
    }
}

/// The name of a thing in its place; the others are those of runs.
const PLACE: usize = 0;
const NAMES_OF_A_THING: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Which names each thing has.
    names: [[bool; NAMES_OF_A_THING]; THINGS],
    /// At what each repository's tags stand.
    tags: [[Option<Digest>; TAGS.len()]; REPOSITORIES.len()],
    /// What the bytes of each manifest say, also of one that is not there.
    documents: [Option<Image>; TEXTS.len()],
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = (0..THINGS).map(Thing);
        let named = things
            .filter(|thing| self.is_there(*thing))
            .map(|thing| (thing, self.names_of(thing).collect::<Vec<_>>()));
        f.debug_map().entries(named).finish()
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            names: [[false; NAMES_OF_A_THING]; THINGS],
            tags: [[None; TAGS.len()]; REPOSITORIES.len()],
            documents: [None; TEXTS.len()],
        }
    }
}

impl World {
    pub(super) fn add(&mut self, thing: Thing) {
        self.names[thing.0][PLACE] = true;
    }

    /// What the manifest's bytes will be.
    pub(super) fn add_document(&mut self, image: Image) {
        self.documents[index_of_digest(&digest(image.text))] = Some(image);
    }

    pub(super) fn add_manifest(&mut self, repository: &str, image: Image, is_tagged: bool) {
        self.add_document(image);
        self.add(Thing::blob(image.text));
        let (name, digest) = (name(repository), digest(image.text));
        self.add(Unit::Manifest(&name, digest).into());
        if is_tagged {
            self.tags[index_of_name(&name)][1] = Some(digest);
        }
    }

    /// Whether a reader finds it.
    pub(super) fn is_there(&self, thing: Thing) -> bool {
        self.names_of(thing).next().is_some()
    }

    fn names_of(&self, thing: Thing) -> impl Iterator<Item = usize> {
        let names = self.names[thing.0];
        (0..NAMES_OF_A_THING).filter(move |name| names[*name])
    }

    fn take_name(&mut self, thing: Thing, at: usize) -> bool {
        std::mem::take(&mut self.names[thing.0][at])
    }

    fn there(&self, row: usize) -> Vec<Digest> {
        Thing::row(row)
            .filter(|thing| self.is_there(*thing))
            .map(Thing::digest)
            .collect()
    }

    /// Whether a manifest can be pulled, with all that it names.
    pub(super) fn is_whole(&self, repository: &RepositoryName, manifest: &Digest) -> bool {
        let there = |unit: Unit<'_>| self.is_there(unit.into());
        let Some(image) = self.documents[index_of_digest(manifest)] else {
            return false;
        };
        let references = image.references();
        there(Unit::Manifest(repository, *manifest))
            && there(Unit::Blob(*manifest))
            && references
                .blobs
                .iter()
                .all(|blob| there(Unit::Layer(repository, *blob)) && there(Unit::Blob(*blob)))
            && references
                .children
                .iter()
                .all(|child| self.is_whole(repository, child))
    }
}

/// What was listed, by kind and number.
type Looks = HashMap<(&'static str, usize), Vec<Digest>>;

/// What one task has of the world.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    world: Arc<Mutex<World>>,
    /// What the task has seen so far, which is all that it can know.
    seen: Arc<Mutex<u64>>,
    run: usize,
    breakage: Breakage,
    first_looks: Arc<Mutex<Looks>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    pub(super) fn new(world: &Arc<Mutex<World>>, run: usize, breakage: Breakage) -> Self {
        Self {
            world: Arc::clone(world),
            seen: Arc::default(),
            run: match breakage {
                Breakage::SharesNames => 1,
                _ => run,
            },
            breakage,
            first_looks: Arc::default(),
        }
    }

    /// The same task, as a collector.
    pub(super) fn of_run(&self, run: usize) -> Self {
        Self {
            run,
            ..self.clone()
        }
    }

    pub(super) fn seen(&self) -> u64 {
        *lock(&self.seen)
    }

    /// One step, before which others may take theirs.
    async fn step<T: Hash>(&self, take: impl FnOnce(&mut World) -> T) -> T {
        let mut has_waited = false;
        poll_fn(|_| match std::mem::replace(&mut has_waited, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        let result = take(&mut lock(&self.world));
        let mut seen = lock(&self.seen);
        let mut hasher = DefaultHasher::new();
        (*seen, &result).hash(&mut hasher);
        *seen = hasher.finish();
        result
    }

    pub(super) async fn store(&self, thing: Thing) {
        self.step(|world| world.add(thing)).await;
    }

    pub(super) async fn untag(&self, repository: &RepositoryName, manifest: &Digest) {
        self.step(|world| {
            let tags = world.tags[index_of_name(repository)].iter_mut();
            tags.filter(|tag| **tag == Some(*manifest))
                .for_each(|tag| *tag = None);
        })
        .await;
    }

    async fn has(&self, thing: Thing, at: usize) -> bool {
        self.step(|world| world.names[thing.0][at]).await
    }

    async fn drop_name(&self, thing: Thing, at: usize) -> bool {
        self.step(|world| world.take_name(thing, at)).await
    }

    async fn aside(&self, thing: Thing) -> Option<usize> {
        self.step(|world| world.names_of(thing).find(|name| *name != PLACE))
            .await
    }

    /// As `aside::put_back` has it.
    async fn bring_back(&self, thing: Thing) -> bool {
        let mut was_aside = false;
        while let Some(aside) = self.aside(thing).await {
            let linked = self.step(|world| {
                let is_there = world.names[thing.0][aside];
                if is_there {
                    world.add(thing);
                }
                is_there
            });
            if linked.await {
                self.drop_name(thing, aside).await;
                was_aside = true;
            }
        }
        was_aside
    }

    /// As `aside::remove` has it.
    pub(super) async fn remove(&self, thing: Thing) {
        loop {
            self.drop_name(thing, PLACE).await;
            match self.aside(thing).await {
                Some(aside) => {
                    self.drop_name(thing, aside).await;
                }
                None if self.has(thing, PLACE).await => {}
                None => return,
            }
        }
    }

    /// As `aside::look` has it.
    async fn name_of(&self, thing: Thing) -> Option<usize> {
        loop {
            if self.has(thing, PLACE).await {
                return Some(PLACE);
            }
            match self.aside(thing).await {
                None => return self.has(thing, PLACE).await.then_some(PLACE),
                Some(aside) if self.has(thing, aside).await => return Some(aside),
                Some(_) => {}
            }
        }
    }

    /// A list, in one step.
    async fn list(
        &self,
        what: (&'static str, usize),
        list: impl FnOnce(&World) -> Vec<Digest>,
    ) -> Result<Vec<Digest>, StorageError> {
        let listed = self.step(|world| list(world)).await;
        if self.breakage != Breakage::LooksOnce {
            return Ok(listed);
        }
        let mut looks = lock(&self.first_looks);
        Ok(looks.entry(what).or_insert(listed).clone())
    }
}

impl Shelf for Handle {
    const CONCURRENCY: usize = 1;

    async fn publish(&self, link: Unit<'_>, _content: &Digest) -> Result<bool, StorageError> {
        let thing = Thing::from(link);
        Ok(self
            .step(|world| {
                let is_new = !world.is_there(thing);
                world.add(thing);
                is_new
            })
            .await)
    }

    async fn withdraw(&self, link: Unit<'_>) -> Result<(), StorageError> {
        self.drop_name(link.into(), PLACE).await;
        Ok(())
    }

    async fn find(&self, unit: Unit<'_>) -> Result<Option<Digest>, StorageError> {
        let thing = Thing::from(unit);
        let is_there = self.breakage == Breakage::ChecksNothing || self.has(thing, PLACE).await;
        Ok(is_there.then(|| thing.digest()))
    }

    async fn restore(&self, unit: Unit<'_>) -> Result<bool, StorageError> {
        Ok(self.bring_back(unit.into()).await)
    }

    async fn store_bytes(&self, manifest: &PutManifest) -> Result<(), StorageError> {
        self.store(Unit::Blob(manifest.digest).into()).await;
        Ok(())
    }

    async fn lead_to(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> Result<(), StorageError> {
        for tag in &manifest.tags {
            let tag = TAGS.iter().position(|known| *known == tag.as_str());
            let tag = tag.expect("a known tag");
            self.step(|world| world.tags[index_of_name(name)][tag] = Some(manifest.digest))
                .await;
        }
        Ok(())
    }
}

fn as_listed(digests: Vec<Digest>) -> Vec<Listed> {
    digests.into_iter().map(Listed::from).collect()
}

impl Steps for Handle {
    const CONCURRENCY: usize = 1;

    /// Repositories neither come nor go here.
    async fn repositories(&self) -> Result<Repositories, StorageError> {
        let names = NAMES.to_vec();
        let hidden = Vec::new();
        Ok(Repositories { names, hidden })
    }

    async fn tags(&self, name: &RepositoryName) -> Result<Vec<Digest>, StorageError> {
        let index = index_of_name(name);
        self.list(("tags", index), |world| {
            world.tags[index].iter().copied().flatten().collect()
        })
        .await
    }

    async fn manifests(&self, name: &RepositoryName) -> Result<Vec<Listed>, StorageError> {
        let row = manifests_of(name);
        let listed = self.list(("manifests", row), |world| world.there(row));
        listed.await.map(as_listed)
    }

    async fn layers(&self, name: &RepositoryName) -> Result<Vec<Listed>, StorageError> {
        let row = layers_of(name);
        let listed = self.list(("layers", row), |world| world.there(row));
        listed.await.map(as_listed)
    }

    async fn blobs(&self, algorithm: Algorithm, first: u8) -> Result<Vec<Listed>, StorageError> {
        let is_here =
            |digest: &Digest| digest.algorithm() == algorithm && digest.hash()[0] == first;
        // Lists that can have nothing in them are no steps worth an order.
        if !DIGESTS.iter().any(is_here) {
            return Ok(Vec::new());
        }
        let of_blobs = |world: &mut World| {
            let mut blobs = world.there(BLOBS);
            blobs.retain(is_here);
            blobs
        };
        Ok(as_listed(self.step(of_blobs).await))
    }

    async fn look(&self, unit: Unit<'_>) -> Result<Option<Found>, StorageError> {
        let thing = Thing::from(unit);
        Ok(self.name_of(thing).await.map(|name| Found {
            content: thing.digest(),
            is_old: true,
            is_aside: name != PLACE,
            bytes: 1,
        }))
    }

    async fn references(&self, content: &Digest) -> Result<References, StorageError> {
        let document = self.step(|world| {
            let document = world.documents[index_of_digest(content)];
            document.filter(|_| world.is_there(Unit::Blob(*content).into()))
        });
        let document = document
            .await
            .ok_or_else(|| StorageError::backend("model", "no bytes"))?;
        Ok(document.references())
    }

    async fn set_aside(&self, unit: Unit<'_>) -> Result<Option<Found>, StorageError> {
        let thing = Thing::from(unit);
        loop {
            let from = match self.has(thing, PLACE).await {
                true => PLACE,
                false => match self.aside(thing).await {
                    Some(aside) => aside,
                    None => return Ok(None),
                },
            };
            let run = self.run;
            let renamed = self.step(|world| {
                let was_there = world.take_name(thing, from);
                world.names[thing.0][run] |= was_there;
                was_there
            });
            if renamed.await {
                return Ok(Some(Found {
                    content: thing.digest(),
                    is_old: true,
                    is_aside: true,
                    bytes: 1,
                }));
            }
        }
    }

    async fn put_back(&self, unit: Unit<'_>) -> Result<(), StorageError> {
        self.bring_back(unit.into()).await;
        Ok(())
    }

    async fn delete(&self, unit: Unit<'_>) -> Result<bool, StorageError> {
        Ok(self.drop_name(unit.into(), self.run).await)
    }

    async fn forget(
        &self,
        _name: &RepositoryName,
        _deleted: &[(Digest, Option<Digest>)],
    ) -> Result<(), StorageError> {
        Ok(())
    }

    async fn remove_repository(
        &self,
        _name: &RepositoryName,
        _dry_run: bool,
    ) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn purge_uploads(
        &self,
        _older_than: Duration,
        _dry_run: bool,
    ) -> Result<PurgedUploads, StorageError> {
        Ok(PurgedUploads::default())
    }
}
