//! Every interleaving of the requests of collectors and writers.
//!
//! All is as in production, but for the store: in memory, where between any two
//! requests of one another may make his. The scenarios are those of
//! [`collect::model`](crate::collect::model), up to some number of changes from
//! one task to another. Nobody waits: who finds something condemned fails at
//! once.

mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use registry_spec::storage::{PutManifest, StorageError};
use registry_spec::types::{Algorithm, Digest, MediaType, RepositoryName, Requirement, UploadId};

use super::super::bucket::Bucket;
use super::super::objects::Objects;
use super::super::upload::Uploads;
use super::Collection;
use crate::collect::model::{Breakage, Content, Image, Model, Outcome, name, scenarios};
use crate::collect::{CollectOptions, Event, Run, Unit};
use store::{Requests, lock};

/// Objects that are only replaced and removed.
struct Stored;

#[derive(Default)]
struct World {
    objects: Arc<Mutex<store::Objects>>,
    /// What there may be of manifests, by their names.
    documents: BTreeMap<&'static str, Image>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        lock(&self.objects).hash(state);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.objects).keys()).finish()
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

impl World {
    fn layout() -> super::super::layout::Layout {
        super::super::layout::Layout::new(&"".into())
    }

    fn insert(&self, path: &object_store::path::Path, bytes: impl Into<Bytes>) {
        lock(&self.objects).insert(path.to_string(), bytes.into());
    }

    fn has(&self, unit: Unit<'_>) -> bool {
        let key = Self::layout().place(unit).to_string();
        lock(&self.objects).contains_key(&key)
    }

    fn bytes_of(&self, image: Image) -> Bytes {
        bytes_of(&self.documents, image)
    }
}

/// What a manifest says.
fn bytes_of(documents: &BTreeMap<&'static str, Image>, image: Image) -> Bytes {
    let blobs = image.blobs.iter().map(|text| digest(text.as_bytes()));
    let blobs =
        blobs.map(|digest| format!(r#"{{"digest":"{digest}","size":1,"mediaType":"a/b"}}"#));
    let children = image.children.iter().map(|text| documents[text]);
    let children = children.map(|child| digest(&bytes_of(documents, child)));
    let children =
        children.map(|digest| format!(r#"{{"digest":"{digest}","size":1,"mediaType":"a/b"}}"#));
    let (kind, list) = match image.children {
        [] => (
            "manifest",
            format!(r#""layers":[{}]"#, blobs.collect::<Vec<_>>().join(",")),
        ),
        _ => (
            "index",
            format!(
                r#""manifests":[{}]"#,
                children.collect::<Vec<_>>().join(",")
            ),
        ),
    };
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.{kind}.v1+json",{list},"annotations":{{"name":"{}"}}}}"#,
        image.text
    ))
}

impl Content for World {
    fn blob(&mut self, text: &'static str) {
        let path = Self::layout().blob_data(&digest(text.as_bytes()));
        self.insert(&path, text);
    }

    fn layer(&mut self, repository: &str, text: &'static str) {
        let digest = digest(text.as_bytes());
        let path = Self::layout().layer(&name(repository), &digest);
        self.insert(&path, digest.to_string());
    }

    fn document(&mut self, image: Image) {
        self.documents.insert(image.text, image);
    }

    fn manifest(&mut self, repository: &str, image: Image, is_tagged: bool) {
        self.document(image);
        let (layout, name, bytes) = (Self::layout(), name(repository), self.bytes_of(image));
        let digest = digest(&bytes);
        self.insert(&layout.blob_data(&digest), bytes);
        self.insert(&layout.revision(&name, &digest), digest.to_string());
        if is_tagged {
            let tag = "old".parse().expect("a tag");
            self.insert(&layout.tag_current(&name, &tag), digest.to_string());
        }
    }
}

#[derive(Clone)]
struct Handle {
    objects: Arc<Objects>,
    requests: Requests,
    documents: Arc<BTreeMap<&'static str, Image>>,
    /// What the collection is called.
    run: usize,
}

impl Handle {
    fn put(&self, image: Image) -> PutManifest {
        let bytes = bytes_of(&self.documents, image);
        let mut put = PutManifest::new(digest(&bytes), MediaType::OCI_MANIFEST, bytes);
        let blobs = image.blobs.iter().map(|text| digest(text.as_bytes()));
        let children = image.children.iter().map(|text| self.documents[text]);
        let children = children.map(|child| digest(&bytes_of(&self.documents, child)));
        let blobs = blobs.map(Requirement::Blob);
        put.requirements = blobs.chain(children.map(Requirement::Child)).collect();
        put.tags = vec!["latest".parse().expect("a tag")];
        put
    }
}

/// What comes of a refusal; anything else is a fault of the test.
fn refused(error: &StorageError) -> Outcome {
    match error {
        StorageError::ContentUnknown { .. }
        | StorageError::BlobUnknown
        | StorageError::Unavailable { .. } => Outcome::Refused,
        error => panic!("{error:?}"),
    }
}

fn layer(image: Image) -> Digest {
    digest(image.blobs[0].as_bytes())
}

impl Model for Stored {
    type World = World;
    type Handle = Handle;

    /// All orders would take minutes.
    const INTERRUPTIONS: usize = 3;
    const OF_THREE: usize = 2;

    fn handle(world: &Arc<Mutex<World>>, run: usize, breakage: Breakage) -> Handle {
        let world = lock(world);
        let requests = Requests::new(&world.objects, run, breakage);
        let mut objects = Objects::new(Bucket::new(Arc::new(requests.clone())), &"".into());
        objects.pauses = &[];
        let run = match breakage {
            Breakage::SharesNames => 1,
            _ => run,
        };
        Handle {
            objects: Arc::new(objects),
            requests,
            documents: Arc::new(world.documents.clone()),
            run,
        }
    }

    fn of_run(handle: &Handle, run: usize) -> Handle {
        Handle {
            run,
            ..handle.clone()
        }
    }

    fn begin_step(handle: &Handle) {
        handle.requests.begin_step();
    }

    fn seen(handle: &Handle) -> u64 {
        handle.requests.seen()
    }

    fn is_whole(world: &World, repository: &RepositoryName, manifest: &Digest) -> bool {
        let documents = world.documents.values();
        let mut images = documents.filter(|image| digest(&world.bytes_of(**image)) == *manifest);
        let Some(image) = images.next() else {
            return false;
        };
        let blobs = image.blobs.iter().map(|text| digest(text.as_bytes()));
        let children = image.children.iter().map(|text| world.documents[text]);
        Self::has_manifest(world, repository, manifest)
            && world.has(Unit::Blob(*manifest))
            && blobs
                .into_iter()
                .all(|blob| world.has(Unit::Layer(repository, blob)) && world.has(Unit::Blob(blob)))
            && children
                .into_iter()
                .all(|child| Self::is_whole(world, repository, &digest(&world.bytes_of(child))))
    }

    fn has_manifest(world: &World, repository: &RepositoryName, manifest: &Digest) -> bool {
        world.has(Unit::Manifest(repository, *manifest))
    }

    async fn push(handle: Handle, repository: RepositoryName, image: Image) -> Outcome {
        let put = handle.put(image);
        match handle.objects.put_manifest(&repository, &put).await {
            Ok(()) => Outcome::Pushed(repository, put.digest),
            Err(error) => refused(&error),
        }
    }

    async fn upload_and_push(handle: Handle, image: Image) -> Outcome {
        let (repository, blob) = (name("a"), layer(image));
        let path = handle.objects.layout.blob_data(&blob);
        let put = handle.objects.put(&path, image.blobs[0].into());
        put.await.expect("written");
        match handle.objects.link_blob(&repository, &blob, &blob).await {
            Ok(true) => Self::push(handle, repository, image).await,
            Ok(false) => Outcome::Refused,
            Err(error) => refused(&error),
        }
    }

    async fn mount_and_push(handle: Handle, image: Image) -> Outcome {
        let (from, to, blob) = (name("b"), name("a"), layer(image));
        match handle.objects.mount_blob(&to, &blob, Some(&from)).await {
            Ok(()) => Self::push(handle, to, image).await,
            Err(error) => refused(&error),
        }
    }

    async fn head_and_push(handle: Handle, image: Image) -> Outcome {
        let repository = name("a");
        match handle.objects.stat_blob(&repository, &layer(image)).await {
            Ok(_) => Self::push(handle, repository, image).await,
            Err(error) => refused(&error),
        }
    }

    async fn delete(handle: Handle, repository: RepositoryName, image: Image) -> Outcome {
        let manifest = handle.put(image).digest;
        match handle.objects.delete_manifest(&repository, &manifest).await {
            Ok(()) | Err(StorageError::ManifestUnknown) => Outcome::Deleted(repository, manifest),
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn collect(handle: Handle, delete_untagged: bool) -> Outcome {
        let options = CollectOptions {
            delete_untagged,
            grace: std::time::Duration::ZERO,
            stale_uploads: None,
            empty_repositories: false,
            ..CollectOptions::default()
        };
        let uploads = Uploads::new(Arc::clone(&handle.objects), 1, 1);
        let run: UploadId = format!("run-{}", handle.run).parse().expect("an id");
        let collection = Collection::begin(&handle.objects, &uploads, run, &options).await;
        let Ok(collection) = collection else {
            // There is no repository, not yet or not any more.
            return Outcome::Collected(0);
        };
        let mut listener = |_: Event<'_>| {};
        let report = Run::new(&collection, &options, &mut listener, &false.into())
            .finish()
            .await
            .expect("collected");
        Outcome::Collected(report.blobs_removed.count)
    }
}

scenarios!(Stored:
    a_push_beside_a_collector(LooksOnce, ChecksNothing, ComparesNothing);
    a_push_to_a_new_repository_beside_a_collector(LooksOnce, ChecksNothing, SeesNoPushes);
    a_mount_beside_a_collector(LooksOnce, ChecksNothing);
    a_look_before_a_push_beside_a_collector(LooksOnce, ChecksNothing, SeesNoPushes);
    a_push_beside_two_collectors(SharesNames);
    a_push_beside_a_delete_and_a_collector(LooksOnce, ChecksNothing);
    an_index_of_an_untagged_manifest_beside_a_collector(LooksOnce, ChecksNothing, SeesNoPushes);
    a_tag_on_an_untagged_manifest_beside_a_collector(LooksOnce, ChecksNothing);
    a_manifest_that_goes_and_comes_beside_two_collectors(LooksOnce);
    a_delete_of_an_untagged_manifest_beside_a_collector();
    a_collector_that_dies_beside_a_push(ChecksNothing);
);
