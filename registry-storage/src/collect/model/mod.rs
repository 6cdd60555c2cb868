//! Every interleaving of the small steps of collectors and writers.
//!
//! The protocol is the real one, on both sides; only the store is small: names
//! in memory, each step on which may come between any two of another's. There
//! is no age, everything is old.
//!
//! | file | holds |
//! |---|---|
//! | `explore.rs` | what runs the tasks in every order |
//! | `world.rs` | a store of names, with the same steps as files |
//! | `names.rs` | what is done to it |
//!
//! The scenarios are for object stores, too; see the model there.
//!
//! Each scenario is also run with the protocol broken, which must be noticed.

mod explore;
mod names;
mod world;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use registry_spec::storage::PutManifest;
use registry_spec::types::{Digest, MediaType, References, RepositoryName, Requirement};

pub(crate) use explore::Outcome;
use explore::{Scenario, explore};
use names::Names;
use world::digest;

/// How the protocol is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakage {
    None,
    /// A collector takes its first look for its second.
    LooksOnce,
    /// A writer takes what it publishes for whole.
    ChecksNothing,
    /// Collectors set aside under one name.
    SharesNames,
    /// In object stores: what is written on a condition is written in any case.
    #[cfg_attr(not(feature = "object-store"), expect(dead_code))]
    ComparesNothing,
    /// In object stores: collectors do not look for what is being pushed.
    #[cfg_attr(not(feature = "object-store"), expect(dead_code))]
    SeesNoPushes,
}

/// What there is at the start.
pub(crate) trait Content: Debug + Default + Hash {
    fn blob(&mut self, text: &'static str);

    fn layer(&mut self, repository: &str, text: &'static str);

    /// What the manifest's bytes will be.
    fn document(&mut self, image: Image);

    fn manifest(&mut self, repository: &str, image: Image, is_tagged: bool);
}

/// A store, and what writers and collectors do to it.
pub(crate) trait Model: 'static {
    type World: Content;
    /// What one task has of the world.
    type Handle: Clone + 'static;

    /// With how many interruptions all in all the orders of two tasks are run.
    const INTERRUPTIONS: usize;
    /// The same for three tasks.
    const OF_THREE: usize;

    fn handle(world: &Arc<Mutex<Self::World>>, run: usize, breakage: Breakage) -> Self::Handle;

    /// The same task, as another collector.
    fn of_run(handle: &Self::Handle, run: usize) -> Self::Handle;

    /// The task may take one more step.
    fn begin_step(_handle: &Self::Handle) {}

    /// What the task has seen so far, which is all that it can know.
    fn seen(handle: &Self::Handle) -> u64;

    /// Whether a manifest can be pulled, with all that it names.
    fn is_whole(world: &Self::World, repository: &RepositoryName, manifest: &Digest) -> bool;

    fn has_manifest(world: &Self::World, repository: &RepositoryName, manifest: &Digest) -> bool;

    /// Pushes a manifest; whether that was acknowledged.
    fn push(
        handle: Self::Handle,
        repository: RepositoryName,
        image: Image,
    ) -> impl Future<Output = Outcome> + 'static;

    /// Ends an upload of a blob, then pushes a manifest.
    fn upload_and_push(
        handle: Self::Handle,
        image: Image,
    ) -> impl Future<Output = Outcome> + 'static;

    /// Mounts a blob, then pushes a manifest.
    fn mount_and_push(
        handle: Self::Handle,
        image: Image,
    ) -> impl Future<Output = Outcome> + 'static;

    /// Looks whether a blob is there, then pushes a manifest.
    fn head_and_push(handle: Self::Handle, image: Image)
    -> impl Future<Output = Outcome> + 'static;

    fn delete(
        handle: Self::Handle,
        repository: RepositoryName,
        image: Image,
    ) -> impl Future<Output = Outcome> + 'static;

    fn collect(
        handle: Self::Handle,
        delete_untagged: bool,
    ) -> impl Future<Output = Outcome> + 'static;
}

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

/// What a manifest needs, by names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Image {
    pub(crate) text: &'static str,
    pub(crate) blobs: &'static [&'static str],
    pub(crate) children: &'static [&'static str],
}

const fn image(text: &'static str, blobs: &'static [&'static str]) -> Image {
    let children = &[];
    Image {
        text,
        blobs,
        children,
    }
}

const fn index(text: &'static str, children: &'static [&'static str]) -> Image {
    let blobs = &[];
    Image {
        text,
        blobs,
        children,
    }
}

impl Image {
    fn references(self) -> References {
        let mut references = References::default();
        references.blobs = self.blobs.iter().map(|text| digest(text)).collect();
        references.children = self.children.iter().map(|text| digest(text)).collect();
        references
    }

    fn put(self) -> PutManifest {
        let mut put = PutManifest::new(digest(self.text), MediaType::OCI_MANIFEST, "".into());
        let references = self.references();
        let blobs = references.blobs.into_iter().map(Requirement::Blob);
        let children = references.children.into_iter().map(Requirement::Child);
        put.requirements = blobs.chain(children).collect();
        put.tags = vec!["latest".parse().expect("a tag")];
        put
    }
}

/// A repository `a` with a blob that nothing uses, and so has `b`.
fn unused_blob(world: &mut impl Content) {
    world.blob("layer");
    world.layer("a", "layer");
    world.layer("b", "layer");
}

const IMAGE: Image = image("image", &["layer"]);

/// All is well in every order, garbage is removed in some, and with the
/// protocol broken something is lost.
#[track_caller]
fn holds<M: Model>(scenario: &Scenario<M>, breakages: &[Breakage]) {
    let explored = explore(scenario, Breakage::None);
    assert_eq!(explored.lost, None);
    assert!(explored.pushed > 0, "no push was acknowledged");
    assert!(explored.collected > 0, "nothing was ever removed");
    for breakage in breakages {
        let explored = explore(scenario, *breakage);
        assert!(explored.lost.is_some(), "{breakage:?} does no harm here");
    }
}

/// The run of a collector that is part of another task.
const ANOTHER: usize = 7;

/// With two collectors there are too many orders for all of them.
const FEW: usize = 3;

pub(crate) fn a_push_beside_a_collector<M: Model>(breakages: &[Breakage]) {
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.document(IMAGE);
    })
    .task(|handle| M::upload_and_push(handle, IMAGE))
    .task(|handle| M::collect(handle, false));
    holds(&scenario, breakages);
}

pub(crate) fn a_push_to_a_new_repository_beside_a_collector<M: Model>(breakages: &[Breakage]) {
    const EMPTY: Image = image("old", &[]);
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("b", "layer");
        world.document(EMPTY);
    })
    .task(|handle| M::push(handle, name("a"), EMPTY))
    .task(|handle| M::collect(handle, false));
    holds(&scenario, breakages);
}

pub(crate) fn a_mount_beside_a_collector<M: Model>(breakages: &[Breakage]) {
    let scenario = Scenario::<M>::new(|world| {
        unused_blob(world);
        world.document(IMAGE);
    })
    .task(|handle| M::mount_and_push(handle, IMAGE))
    .task(|handle| M::collect(handle, false));
    holds(&scenario, breakages);
}

pub(crate) fn a_look_before_a_push_beside_a_collector<M: Model>(breakages: &[Breakage]) {
    let scenario = Scenario::<M>::new(|world| {
        unused_blob(world);
        world.document(IMAGE);
    })
    .task(|handle| M::head_and_push(handle, IMAGE))
    .task(|handle| M::collect(handle, false));
    holds(&scenario, breakages);
}

pub(crate) fn a_push_beside_two_collectors<M: Model>(breakages: &[Breakage]) {
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.document(IMAGE);
    })
    .task(|handle| M::head_and_push(handle, IMAGE))
    .task(|handle| M::collect(handle, false))
    .task(|handle| M::collect(handle, false))
    .interrupted_at_most(FEW);
    holds(&scenario, breakages);
}

pub(crate) fn a_push_beside_a_delete_and_a_collector<M: Model>(breakages: &[Breakage]) {
    const OLD: Image = image("old", &["layer"]);
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.document(IMAGE);
        world.manifest("a", OLD, true);
    })
    .task(|handle| M::head_and_push(handle, IMAGE))
    .task(|handle| M::delete(handle, name("a"), OLD))
    .task(|handle| M::collect(handle, false));
    holds(&scenario, breakages);
}

pub(crate) fn an_index_of_an_untagged_manifest_beside_a_collector<M: Model>(
    breakages: &[Breakage],
) {
    const INDEX: Image = index("index", &["image"]);
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.document(INDEX);
        world.manifest("a", IMAGE, false);
    })
    .task(|handle| M::push(handle, name("a"), INDEX))
    .task(|handle| M::collect(handle, true));
    holds(&scenario, breakages);
}

pub(crate) fn a_tag_on_an_untagged_manifest_beside_a_collector<M: Model>(breakages: &[Breakage]) {
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.manifest("a", IMAGE, false);
    })
    .task(|handle| M::push(handle, name("a"), IMAGE))
    .task(|handle| M::collect(handle, true));
    holds(&scenario, breakages);
}

pub(crate) fn a_manifest_that_goes_and_comes_beside_two_collectors<M: Model>(
    breakages: &[Breakage],
) {
    const OLD: Image = image("old", &["layer"]);
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.manifest("a", IMAGE, true);
        world.manifest("a", OLD, true);
    })
    .task(|handle| async move {
        M::delete(handle.clone(), name("a"), IMAGE).await;
        // Its bytes go, and not its layer.
        M::collect(M::of_run(&handle, ANOTHER), false).await;
        M::delete(handle.clone(), name("a"), OLD).await;
        M::push(handle, name("a"), IMAGE).await
    })
    .task(|handle| M::collect(handle, false));
    holds(&scenario, breakages);
}

pub(crate) fn an_index_of_an_index_beside_a_collector<M: Model>(breakages: &[Breakage]) {
    const INNER: Image = index("old", &["image"]);
    const INDEX: Image = index("index", &["old"]);
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.document(INDEX);
        world.manifest("a", IMAGE, false);
        world.manifest("a", INNER, false);
    })
    .task(|handle| M::push(handle, name("a"), INDEX))
    .task(|handle| M::collect(handle, true));
    holds(&scenario, breakages);
}

pub(crate) fn a_delete_of_an_untagged_manifest_beside_a_collector<M: Model>(_: &[Breakage]) {
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.manifest("a", IMAGE, false);
    })
    .task(|handle| M::delete(handle, name("a"), IMAGE))
    .task(|handle| M::collect(handle, true));
    let explored = explore(&scenario, Breakage::None);
    assert_eq!(explored.lost, None);
    assert!(explored.collected > 0);
}

pub(crate) fn a_collector_that_dies_beside_a_push<M: Model>(breakages: &[Breakage]) {
    let scenario = Scenario::<M>::new(|world| {
        world.blob("layer");
        world.layer("a", "layer");
        world.document(IMAGE);
    })
    .task(|handle| M::head_and_push(handle, IMAGE))
    .mortal_task(|handle| M::collect(handle, false));
    holds(&scenario, breakages);
}

/// Makes each scenario a test of a model, with what breaks it there.
macro_rules! scenarios {
    ($model:ty: $($name:ident($($breakage:ident),*);)*) => {
        $(#[test]
        fn $name() {
            $crate::collect::model::$name::<$model>(&[$($crate::collect::model::Breakage::$breakage),*]);
        })*
    };
}
pub(crate) use scenarios;

mod of_names {
    super::scenarios!(super::Names:
        a_push_beside_a_collector(LooksOnce, ChecksNothing);
        a_push_to_a_new_repository_beside_a_collector(LooksOnce, ChecksNothing);
        a_mount_beside_a_collector(LooksOnce, ChecksNothing);
        a_look_before_a_push_beside_a_collector(LooksOnce, ChecksNothing);
        a_push_beside_two_collectors(SharesNames);
        a_push_beside_a_delete_and_a_collector(LooksOnce, ChecksNothing);
        an_index_of_an_untagged_manifest_beside_a_collector(LooksOnce, ChecksNothing);
        a_tag_on_an_untagged_manifest_beside_a_collector(LooksOnce, ChecksNothing);
        a_manifest_that_goes_and_comes_beside_two_collectors(LooksOnce);
        an_index_of_an_index_beside_a_collector(LooksOnce, ChecksNothing);
        a_delete_of_an_untagged_manifest_beside_a_collector();
        a_collector_that_dies_beside_a_push(ChecksNothing);
    );
}
