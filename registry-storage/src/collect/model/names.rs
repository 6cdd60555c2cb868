//! What writers and collectors do to a store of names.

use std::sync::{Arc, Mutex};

use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName};

use super::super::{CollectOptions, Event, Run, Shelf as _, Unit, link_blob, push_manifest};
use super::world::{Handle, Thing, World, digest};
use super::{Breakage, Content, Image, Model, Outcome, name};

/// Names that are renamed, as files have them.
pub(super) struct Names;

impl Content for World {
    fn blob(&mut self, text: &'static str) {
        self.add(Thing::blob(text));
    }

    fn layer(&mut self, repository: &str, text: &'static str) {
        self.add(Thing::layer(repository, text));
    }

    fn document(&mut self, image: Image) {
        self.add_document(image);
    }

    fn manifest(&mut self, repository: &str, image: Image, is_tagged: bool) {
        self.add_manifest(repository, image, is_tagged);
    }
}

impl Model for Names {
    type World = World;
    type Handle = Handle;

    const INTERRUPTIONS: usize = usize::MAX;
    const OF_THREE: usize = usize::MAX;

    fn handle(world: &Arc<Mutex<World>>, run: usize, breakage: Breakage) -> Handle {
        Handle::new(world, run, breakage)
    }

    fn of_run(handle: &Handle, run: usize) -> Handle {
        handle.of_run(run)
    }

    fn seen(handle: &Handle) -> u64 {
        handle.seen()
    }

    fn is_whole(world: &World, repository: &RepositoryName, manifest: &Digest) -> bool {
        world.is_whole(repository, manifest)
    }

    fn has_manifest(world: &World, repository: &RepositoryName, manifest: &Digest) -> bool {
        world.is_there(Unit::Manifest(repository, *manifest).into())
    }

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
            Ok(true) => Self::push(handle, repository, image).await,
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
            Ok(true) => Self::push(handle, to, image).await,
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
        Self::push(handle, repository, image).await
    }

    async fn delete(handle: Handle, repository: RepositoryName, image: Image) -> Outcome {
        let manifest = digest(image.text);
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
        let mut listener = |_: Event<'_>| {};
        let report = Run::new(&handle, &options, &mut listener, &false.into())
            .finish()
            .await
            .expect("collected");
        Outcome::Collected(report.blobs_removed.count)
    }
}
