//! Garbage collection in a store: what lives, what goes, and what refuses.
#![cfg(all(unix, feature = "object-store"))]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;
mod object_store_wrapper;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::busy::{BLOBS, content, pull_all, push_all, upload};
use common::collecting::{image, index, untagged};
use common::{data, layer, name, pair, put, revision, sha256, tag};
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use object_store_wrapper::late::Late;
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Digest, Reference};
use registry_storage::ObjectStorage;
use registry_storage::collect::{CollectOptions, Report};

const ROOT: &str = "docker/registry/v2";

struct Bucket {
    store: Arc<InMemory>,
    storage: ObjectStorage,
}

impl Bucket {
    fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let storage = ObjectStorage::new(Arc::clone(&store) as _);
        Self { store, storage }
    }

    async fn write(&self, key: &str, text: impl Into<Bytes>) {
        let path = Path::from(format!("{ROOT}/{key}"));
        let written = self.store.put(&path, text.into().into()).await;
        written.expect("written");
    }

    async fn exists(&self, key: &str) -> bool {
        let path = Path::from(format!("{ROOT}/{key}"));
        self.store.head(&path).await.is_ok()
    }

    /// Every object, and what it holds.
    async fn all(&self) -> BTreeMap<String, Bytes> {
        let listed: Vec<_> = self.store.list(None).try_collect().await.expect("listed");
        let mut all = BTreeMap::new();
        for object in listed {
            let got = self.store.get(&object.location).await.expect("there");
            let bytes = got.bytes().await.expect("read");
            all.insert(object.location.to_string(), bytes);
        }
        all
    }

    async fn below(&self, folder: &str) -> usize {
        let prefix = format!("{ROOT}/{folder}/");
        let all = self.all().await;
        all.keys().filter(|key| key.starts_with(&prefix)).count()
    }

    async fn manifest(&self, repository: &str, bytes: Bytes, tags: &[&str]) -> Digest {
        let mut put = put(&bytes, tags);
        put.subject = registry_spec::types::Manifest::subject_of(&bytes);
        let digest = put.digest;
        let pushed = self.storage.put_manifest(&name(repository), put).await;
        pushed.expect("pushed");
        digest
    }

    async fn image(&self, text: &str, subject: Option<&Digest>, tags: &[&str]) -> Digest {
        let (config, layer) = (format!("config of {text}"), format!("layer of {text}"));
        for blob in [&config, &layer] {
            upload(&self.storage, "demo", blob.as_bytes()).await;
        }
        let bytes = image(text, &sha256(&config), &[sha256(&layer)], subject);
        self.manifest("demo", bytes, tags).await
    }

    /// From one repository to another.
    async fn mount(&self, blob: &Digest) -> Result<(), StorageError> {
        let (from, to) = (name("demo"), name("other"));
        self.storage.mount_blob(&to, blob, Some(&from)).await
    }

    async fn has_manifest(&self, digest: &Digest) -> bool {
        let reference = Reference::Digest(*digest);
        // Not from memory.
        let fresh = ObjectStorage::new(Arc::clone(&self.store) as _);
        fresh.read_manifest(&name("demo"), &reference).await.is_ok()
    }

    async fn collect(&self, options: CollectOptions) -> Report {
        self.try_collect(options).await.expect("collected")
    }

    async fn try_collect(&self, options: CollectOptions) -> Result<Report, StorageError> {
        self.storage.collect(options, |_| {}).await
    }
}

/// Everything at once, however young it is.
fn at_once() -> CollectOptions {
    let mut options = untagged();
    options.grace = Duration::ZERO;
    options
}

#[tokio::test]
async fn what_a_tag_reaches_stays_and_the_rest_goes_with_what_only_it_used() {
    let bucket = Bucket::new();
    let child = bucket.image("child", None, &[]).await;
    let outer = bucket.manifest("demo", index(&[child]), &["latest"]).await;
    let signature = bucket.image("signature", Some(&outer), &[]).await;
    let other = bucket.image("moved", None, &["v1"]).await;
    let new = bucket.image("new", None, &["v1"]).await;
    let dead = bucket.image("dead", Some(&other), &[]).await;
    let entry = format!(
        "repositories/demo/_referrers/{}/{}/link",
        pair(&other),
        pair(&dead)
    );
    let stood = format!(
        "repositories/demo/_manifests/tags/v1/index/{}/link",
        pair(&other)
    );
    assert!(bucket.exists(&entry).await && bucket.exists(&stood).await);
    upload(&bucket.storage, "demo", b"unused").await;

    let before = bucket.all().await;
    let mut would = at_once();
    would.dry_run = true;
    let would = bucket.collect(would).await;
    assert_eq!(bucket.all().await, before);

    let mut kept = at_once();
    kept.delete_untagged = false;
    let report = bucket.collect(kept).await;
    assert_eq!((report.manifests_removed, report.layers_removed), (0, 1));

    let report = bucket.collect(at_once()).await;
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    assert_eq!((report.manifests_removed, report.layers_removed), (2, 4));
    assert_eq!((would.manifests_removed, would.layers_removed), (2, 5));
    assert_eq!(
        (report.blobs_removed.count, would.blobs_removed.count),
        (6, 7)
    );
    assert!(report.blobs_removed.bytes > 0);
    for digest in [child, outer, signature, new] {
        assert!(bucket.has_manifest(&digest).await, "{digest}");
    }
    for digest in [other, dead] {
        assert!(!bucket.has_manifest(&digest).await, "{digest}");
        assert!(!bucket.exists(&revision("demo", &digest)).await);
        assert!(!bucket.exists(&data(&digest)).await);
    }
    assert!(!bucket.exists(&entry).await && !bucket.exists(&stood).await);
    for folder in ["tombstones", "pushes", "probes"] {
        assert_eq!(bucket.below(folder).await, 0, "{folder}");
    }
}

#[tokio::test]
async fn what_is_young_stays() {
    let bucket = Bucket::new();
    bucket.image("old", None, &[]).await;
    let report = bucket.collect(untagged()).await;
    assert_eq!(
        (report.manifests_removed, report.blobs_removed.count),
        (0, 0)
    );
    upload(&bucket.storage, "demo", b"unused").await;
    let report = bucket.collect(untagged()).await;
    assert_eq!((report.layers_removed, report.young), (0, 1));
}

#[tokio::test]
async fn an_empty_repository_goes_and_an_upload_keeps_its_own() {
    let bucket = Bucket::new();
    bucket.image("kept", None, &["latest"]).await;
    upload(&bucket.storage, "empty", b"unused").await;
    let untagged = bucket
        .manifest("deleted/by-client", index(&[]), &["v1"])
        .await;
    bucket.manifest("untagged", index(&[]), &[]).await;
    let client = name("deleted/by-client");
    let deleted = bucket.storage.delete_manifest(&client, &untagged).await;
    deleted.expect("deleted");
    bucket
        .storage
        .start_upload(&name("busy"), sha256("").algorithm())
        .await
        .expect("started");
    let report = bucket.collect(at_once()).await;
    assert_eq!(report.repositories_removed, 2);
    let listed = bucket
        .storage
        .list_repositories(None, 10)
        .await
        .expect("listed");
    // Its last manifest went a moment ago.
    assert_eq!(listed.items, [name("demo"), name("untagged")]);
    assert_eq!(bucket.below("repositories/busy").await, 2);
    assert_eq!(bucket.collect(at_once()).await.repositories_removed, 1);
    assert_eq!(bucket.below("repositories/untagged").await, 0);
}

#[tokio::test]
async fn damage_keeps_its_repository_and_nothing_else() {
    let bucket = Bucket::new();
    let tagged = bucket.image("tagged", None, &["latest"]).await;
    upload(&bucket.storage, "demo", b"unused here").await;
    upload(&bucket.storage, "other", b"unused there").await;
    let digest = sha256("unused there");
    for (key, text) in [
        (
            revision("demo", &sha256("nothing")),
            sha256("nothing").to_string(),
        ),
        (revision("demo", &sha256("empty")), String::new()),
        (data(&tagged), "cut".to_owned()),
    ] {
        upload(&bucket.storage, "other", b"unused there").await;
        let before = bucket.all().await.get(&format!("{ROOT}/{key}")).cloned();
        bucket.write(&key, text).await;
        let report = bucket.collect(at_once()).await;
        assert!(report.problem_count > 0, "{key}");
        assert!(
            bucket.exists(&layer("demo", &sha256("unused here"))).await,
            "{key}"
        );
        assert!(bucket.exists(&data(&sha256("unused here"))).await, "{key}");
        assert!(!bucket.exists(&data(&digest)).await, "{key}");
        match before {
            Some(bytes) => bucket.write(&key, bytes).await,
            None => {
                let path = Path::from(format!("{ROOT}/{key}"));
                bucket.store.delete(&path).await.expect("removed");
            }
        }
    }
    assert_eq!(bucket.collect(at_once()).await.problem_count, 0);
    assert!(!bucket.exists(&data(&sha256("unused here"))).await);
}

#[tokio::test]
async fn a_root_that_is_none_and_a_store_that_does_not_compare_are_refused() {
    let bucket = Bucket::new();
    bucket
        .try_collect(at_once())
        .await
        .expect_err("nothing is there");
    bucket.write(&data(&sha256("blob")), "blob").await;
    bucket.try_collect(at_once()).await.expect_err("blobs only");
    assert!(bucket.exists(&data(&sha256("blob"))).await);

    let dir = tempfile::tempdir().expect("a directory");
    let store: Arc<dyn ObjectStore> =
        Arc::new(LocalFileSystem::new_with_prefix(dir.path()).expect("a store"));
    let storage = ObjectStorage::new(Arc::clone(&store));
    upload(&storage, "demo", b"unused").await;
    let refused = storage
        .collect(at_once(), |_| {})
        .await
        .expect_err("refused");
    assert!(
        format!("{refused:?}").contains("without comparing"),
        "{refused:?}"
    );
    let path = Path::from(format!("{ROOT}/{}", data(&sha256("unused"))));
    store.head(&path).await.expect("still there");
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_collection_has_condemned_is_refused_and_not_lost() {
    let bucket = Bucket::new();
    let digest = bucket.image("image", None, &["latest"]).await;
    let blob = sha256("layer of image");
    let tombstone = format!("tombstones/blobs/{}/dead", pair(&blob));
    bucket.write(&tombstone, "condemned").await;
    let again = bucket.mount(&blob);
    let again = again.await.expect_err("on its way out");
    assert!(
        matches!(again, StorageError::Unavailable { .. }),
        "{again:?}"
    );
    // Nobody but who needs it notices.
    bucket.image("else", None, &["v1"]).await;
    assert!(bucket.has_manifest(&digest).await);

    bucket.write(&tombstone, "proposed").await;
    let again = bucket.mount(&blob);
    again.await.expect("withdrawn");
    let all = bucket.all().await;
    assert_eq!(all[&format!("{ROOT}/{tombstone}")], "withdrawn");
}

#[tokio::test]
async fn what_many_tombstones_hide_is_found() {
    let bucket = Bucket::new();
    bucket.image("image", None, &["latest"]).await;
    for n in 0..1100 {
        bucket
            .write(&format!("tombstones/blobs/sha256/{n:064}/x"), "proposed")
            .await;
    }
    let blob = sha256("layer of image");
    let tombstone = format!("tombstones/blobs/{}/dead", pair(&blob));
    bucket.write(&tombstone, "proposed").await;
    let mounted = bucket.mount(&blob);
    mounted.await.expect("mounted");
    let all = bucket.all().await;
    assert_eq!(all[&format!("{ROOT}/{tombstone}")], "withdrawn");
    assert_eq!(all.values().filter(|text| **text == "withdrawn").count(), 1);
}

#[tokio::test]
async fn a_push_that_is_refused_leaves_no_manifest() {
    let bucket = Bucket::new();
    let bytes = image("image", &sha256("config"), &[], None);
    let mut put = put(&bytes, &["latest"]);
    put.requirements = registry_spec::types::Manifest::parse(None, &bytes)
        .expect("one")
        .requirements();
    let (digest, demo) = (put.digest, name("demo"));
    let refused = bucket.storage.put_manifest(&demo, put).await;
    assert!(matches!(refused, Err(StorageError::ContentUnknown { .. })));
    assert!(!bucket.has_manifest(&digest).await);
    let tagged = Reference::Tag(tag("latest"));
    assert!(bucket.storage.read_manifest(&demo, &tagged).await.is_err());
    assert_eq!(bucket.below("pushes").await, 0);
}

#[tokio::test]
async fn a_push_under_way_keeps_what_it_needs() {
    let bucket = Bucket::new();
    upload(&bucket.storage, "demo", b"config").await;
    let bytes = image("image", &sha256("config"), &[], None);
    let digest = sha256(&bytes);
    bucket.write(&data(&digest), bytes.clone()).await;
    let push = format!("pushes/demo/_manifests/{}/x", pair(&digest));
    bucket.write(&push, "").await;
    let report = bucket.collect(at_once()).await;
    assert_eq!((report.blobs_removed.count, report.layers_removed), (0, 0));
    assert!(!bucket.has_manifest(&digest).await);
    let path = Path::from(format!("{ROOT}/{push}"));
    bucket.store.delete(&path).await.expect("removed");
    assert_eq!(bucket.collect(at_once()).await.blobs_removed.count, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_beside_collectors_is_whole() {
    let freed: Arc<AtomicU64> = Arc::default();
    for seed in 0..3 {
        let store: Arc<dyn ObjectStore> = Arc::new(Late::new(seed));
        let storage = ObjectStorage::new(Arc::clone(&store));
        for blob in 0..BLOBS {
            upload(&storage, "pool", &content(blob)).await;
        }
        let stop: Arc<AtomicBool> = Arc::default();
        let collectors: Vec<_> = (0..2)
            .map(|_| {
                // As from another process.
                let storage = ObjectStorage::new(Arc::clone(&store));
                let (stop, freed) = (Arc::clone(&stop), Arc::clone(&freed));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let report = storage.collect(at_once(), |_| {}).await;
                        let report = report.expect("collected");
                        freed.fetch_add(report.blobs_removed.count, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let storage = ObjectStorage::new(Arc::clone(&store));
                tokio::spawn(push_all(storage, writer))
            })
            .collect();
        for writer in writers {
            writer.await.expect("pushed");
        }
        stop.store(true, Ordering::Relaxed);
        for collector in collectors {
            collector.await.expect("collected");
        }
        pull_all(&ObjectStorage::new(store), 3).await;
    }
    assert!(freed.load(Ordering::Relaxed) > 0, "nothing was ever freed");
}

#[tokio::test]
async fn before_the_first_push_there_is_nothing_to_do_where_that_is_told() {
    let bucket = Bucket::new();
    let mut options = CollectOptions::default();
    let refused = bucket.storage.collect(options.clone(), |_| {}).await;
    refused.expect_err("the wrong place, perhaps");
    options.may_be_absent = true;
    let collected = bucket.storage.collect(options.clone(), |_| {}).await;
    assert_eq!(collected.expect("collected").problem_count, 0);
    // As where the folder of the repositories is another one.
    bucket.write(&data(&sha256("blob")), "blob").await;
    let refused = bucket.storage.collect(options, |_| {}).await;
    refused.expect_err("blobs, and no repositories");
}
