//! Every interleaving of the small steps of collectors and writers.
//!
//! The protocol is the real one, on both sides; only the store is small: names
//! in memory, each step on which may come between any two of another's. There
//! is no age, everything is old.
//!
//! | file | holds |
//! |---|---|
//! | `world.rs` | the store, with the same steps as files |
//! | `explore.rs` | what runs the tasks in every order |
//!
//! Each scenario is also run with the protocol broken, which must be noticed.

mod explore;
mod world;

use registry_spec::storage::{PutManifest, StorageError};
use registry_spec::types::{Digest, MediaType, References, RepositoryName, Requirement};

use super::{CollectOptions, Run, Shelf as _, Unit, link_blob, push_manifest};
use explore::{Outcome, Scenario, explore};
use world::{Breakage, Handle, Thing, World, digest, name};

/// What a manifest needs, by names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Image {
    text: &'static str,
    blobs: &'static [&'static str],
    children: &'static [&'static str],
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

/// Pushes a manifest; whether that was acknowledged.
async fn push(handle: Handle, repository: RepositoryName, image: Image) -> Outcome {
    let put = image.put();
    handle.store_bytes(&put).await.expect("stored");
    match push_manifest(&handle, &repository, &put).await {
        Ok(()) => Outcome::Pushed(repository, put.digest),
        Err(StorageError::ContentUnknown { .. }) => Outcome::Refused,
        Err(error) => panic!("{error}"),
    }
}

/// Ends an upload of a blob, then pushes a manifest.
async fn upload_and_push(handle: Handle, image: Image) -> Outcome {
    let (repository, blob) = (name("a"), digest(image.blobs[0]));
    handle.store(Unit::Blob(blob).into()).await;
    match link_blob(&handle, &repository, &blob, &blob).await {
        Ok(true) => push(handle, repository, image).await,
        Ok(false) => Outcome::Refused,
        Err(error) => panic!("{error}"),
    }
}

/// Mounts a blob, then pushes a manifest.
async fn mount_and_push(handle: Handle, image: Image) -> Outcome {
    let (from, to, blob) = (name("b"), name("a"), digest(image.blobs[0]));
    let source = handle.find(Unit::Layer(&from, blob)).await.expect("looked");
    if source.is_none()
        || handle
            .find(Unit::Blob(blob))
            .await
            .expect("looked")
            .is_none()
    {
        return Outcome::Refused;
    }
    match link_blob(&handle, &to, &blob, &blob).await {
        Ok(true) => push(handle, to, image).await,
        Ok(false) => Outcome::Refused,
        Err(error) => panic!("{error}"),
    }
}

/// Looks whether a blob is there, then pushes a manifest.
async fn head_and_push(handle: Handle, image: Image) -> Outcome {
    let (repository, blob) = (name("a"), digest(image.blobs[0]));
    let link = Unit::Layer(&repository, blob);
    if handle.find(link).await.expect("looked").is_none()
        && !handle.restore(link).await.expect("looked")
    {
        return Outcome::Refused;
    }
    push(handle, repository, image).await
}

async fn delete(handle: Handle, repository: RepositoryName, manifest: Digest) -> Outcome {
    handle.untag(&repository, &manifest).await;
    handle
        .remove(Unit::Manifest(&repository, manifest).into())
        .await;
    Outcome::Deleted(repository, manifest)
}

async fn collect(handle: Handle, delete_untagged: bool) -> Outcome {
    let options = CollectOptions {
        delete_untagged,
        ..CollectOptions::default()
    };
    let mut listener = |_: super::Event<'_>| {};
    let report = Run::new(&handle, &options, &mut listener, &false.into())
        .finish()
        .await
        .expect("collected");
    Outcome::Collected(report.blobs_removed.count)
}

/// A repository `a` with a blob that nothing uses, and so has `b`.
fn unused_blob(world: &mut World) {
    world.add(Thing::blob("layer"));
    world.add(Thing::layer("a", "layer"));
    world.add(Thing::layer("b", "layer"));
}

const IMAGE: Image = image("image", &["layer"]);

/// All is well in every order, garbage is removed in some, and with the
/// protocol broken something is lost.
#[track_caller]
fn holds(scenario: &Scenario, breakages: &[Breakage]) {
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

const BOTH: &[Breakage] = &[Breakage::LooksOnce, Breakage::ChecksNothing];

#[test]
fn a_push_beside_a_collector() {
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.document(IMAGE);
    })
    .task(|handle| upload_and_push(handle, IMAGE))
    .task(|handle| collect(handle, false));
    holds(&scenario, BOTH);
}

#[test]
fn a_mount_beside_a_collector() {
    let scenario = Scenario::new(|world| {
        unused_blob(world);
        world.document(IMAGE);
    })
    .task(|handle| mount_and_push(handle, IMAGE))
    .task(|handle| collect(handle, false));
    holds(&scenario, BOTH);
}

#[test]
fn a_look_before_a_push_beside_a_collector() {
    let scenario = Scenario::new(|world| {
        unused_blob(world);
        world.document(IMAGE);
    })
    .task(|handle| head_and_push(handle, IMAGE))
    .task(|handle| collect(handle, false));
    holds(&scenario, BOTH);
}

#[test]
fn a_push_beside_two_collectors() {
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.document(IMAGE);
    })
    .task(|handle| head_and_push(handle, IMAGE))
    .task(|handle| collect(handle, false))
    .task(|handle| collect(handle, false))
    .interrupted_at_most(FEW);
    holds(&scenario, &[Breakage::SharesNames]);
}

#[test]
fn a_push_beside_a_delete_and_a_collector() {
    const OLD: Image = image("old", &["layer"]);
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.document(IMAGE);
        world.manifest("a", OLD, true);
    })
    .task(|handle| head_and_push(handle, IMAGE))
    .task(|handle| delete(handle, name("a"), digest("old")))
    .task(|handle| collect(handle, false));
    holds(&scenario, BOTH);
}

#[test]
fn an_index_of_an_untagged_manifest_beside_a_collector() {
    const INDEX: Image = index("index", &["image"]);
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.document(INDEX);
        world.manifest("a", IMAGE, false);
    })
    .task(|handle| push(handle, name("a"), INDEX))
    .task(|handle| collect(handle, true));
    holds(&scenario, BOTH);
}

#[test]
fn a_tag_on_an_untagged_manifest_beside_a_collector() {
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.manifest("a", IMAGE, false);
    })
    .task(|handle| push(handle, name("a"), IMAGE))
    .task(|handle| collect(handle, true));
    holds(&scenario, BOTH);
}

#[test]
fn a_manifest_that_goes_and_comes_beside_two_collectors() {
    const OLD: Image = image("old", &["layer"]);
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.manifest("a", IMAGE, true);
        world.manifest("a", OLD, true);
    })
    .task(|handle| async move {
        delete(handle.clone(), name("a"), digest("image")).await;
        // Its bytes go, and not its layer.
        collect(handle.of_run(ANOTHER), false).await;
        delete(handle.clone(), name("a"), digest("old")).await;
        push(handle, name("a"), IMAGE).await
    })
    .task(|handle| collect(handle, false));
    holds(&scenario, &[Breakage::LooksOnce]);
}

#[test]
fn an_index_of_an_index_beside_a_collector() {
    const INNER: Image = index("old", &["image"]);
    const INDEX: Image = index("index", &["old"]);
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.document(INDEX);
        world.manifest("a", IMAGE, false);
        world.manifest("a", INNER, false);
    })
    .task(|handle| push(handle, name("a"), INDEX))
    .task(|handle| collect(handle, true));
    holds(&scenario, BOTH);
}

#[test]
fn a_delete_of_an_untagged_manifest_beside_a_collector() {
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.manifest("a", IMAGE, false);
    })
    .task(|handle| delete(handle, name("a"), digest("image")))
    .task(|handle| collect(handle, true));
    let explored = explore(&scenario, Breakage::None);
    assert_eq!(explored.lost, None);
    assert!(explored.collected > 0);
}

#[test]
fn a_collector_that_dies_beside_a_push() {
    let scenario = Scenario::new(|world| {
        world.add(Thing::blob("layer"));
        world.add(Thing::layer("a", "layer"));
        world.document(IMAGE);
    })
    .task(|handle| head_and_push(handle, IMAGE))
    .mortal_task(|handle| collect(handle, false));
    holds(&scenario, &[Breakage::ChecksNothing]);
}
