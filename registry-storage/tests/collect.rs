//! Garbage collection on a tree: what lives, and what goes.
#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

use common::collecting::{DAY, image, is_young, untagged};
use common::{
    Fixture, data, layer, name, pair, push_blob, push_manifest, revision, sha256, tag, tag_file,
};
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, Reference, UploadId};
use registry_storage::FileSystem;
use registry_storage::collect::{CollectOptions, Event};

#[tokio::test]
async fn what_a_tag_reaches_stays() {
    let tree = Fixture::new();
    let child = tree.image("demo", "child", &[]);
    let inner = tree.index("demo", &[child], &[]);
    let outer = tree.index("demo", &[inner], &["latest"]);
    let other = tree.image("team/other", "other", &["v1"]);
    tree.age();
    let before = tree.files();
    let report = tree.collect_untagged().await;
    assert_eq!(report.problem_count, 0);
    assert_eq!((report.repositories, report.blobs), (2, 8));
    assert_eq!(tree.files(), before);
    for digest in [child, inner, outer] {
        assert!(tree.has_manifest("demo", &digest).await);
    }
    assert!(tree.has_manifest("team/other", &other).await);
}

#[tokio::test]
async fn what_refers_to_something_live_stays_and_to_something_dead_goes() {
    let tree = Fixture::new();
    let image = tree.image("demo", "image", &["latest"]);
    let signature = tree.signature("demo", "signature", &image, &[]);
    let of_signature = tree.signature("demo", "of a signature", &signature, &[]);
    let attested = tree.image("demo", "attested", &[]);
    let fallback = format!("sha256-{}", attested.hex());
    let attestation = tree.signature("demo", "attestation", &attested, &[]);
    tree.index("demo", &[attestation], &[&fallback]);
    let cosign = tree.image("demo", "cosign", &[&format!("sha256-{}.sig", image.hex())]);
    let dead = tree.image("demo", "dead", &[]);
    let dead_too = tree.signature("demo", "dead too", &dead, &[]);
    tree.storage
        .list_referrers(&name("demo"), &dead, None, 10)
        .await
        .expect("listed");
    let entry = format!(
        "repositories/demo/_referrers/{}/{}/link",
        pair(&dead),
        pair(&dead_too)
    );
    assert!(tree.exists(&entry));
    tree.age();
    let report = tree.collect_untagged().await;
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    // Its fallback tag does not keep an image whose own tag is gone.
    assert_eq!(report.manifests_removed, 3);
    for digest in [image, signature, of_signature, attestation, cosign] {
        assert!(tree.has_manifest("demo", &digest).await, "{digest}");
    }
    for digest in [attested, dead, dead_too] {
        assert!(!tree.has_manifest("demo", &digest).await, "{digest}");
        assert!(!tree.exists(&data(&digest)));
        let dir = revision("demo", &digest);
        assert!(!tree.exists(dir.strip_suffix("/link").expect("a link")));
    }
    assert!(!tree.exists(&entry));
    // Pushed again, it is listed again.
    tree.signature("demo", "dead too", &dead, &[]);
    let listed = tree
        .storage
        .list_referrers(&name("demo"), &dead, None, 10)
        .await
        .expect("listed");
    assert_eq!(listed.items, [dead_too]);
}

#[tokio::test]
async fn an_untagged_manifest_goes_only_when_asked_and_with_what_only_it_used() {
    let tree = Fixture::new();
    let old = tree.image("demo", "old", &["latest"]);
    let new = tree.image("demo", "new", &["latest"]);
    tree.age();
    let report = tree.collect(CollectOptions::default()).await;
    assert_eq!(report.manifests_removed + report.layers_removed, 0);
    assert!(tree.has_manifest("demo", &old).await);

    let report = tree.collect_untagged().await;
    assert_eq!((report.manifests_removed, report.layers_removed), (1, 2));
    assert_eq!(report.blobs_removed.count, 3);
    let freed = image(
        "old",
        &sha256("config of old"),
        &[sha256("layer of old")],
        None,
    )
    .len()
        + "config of old".len()
        + "layer of old".len();
    assert_eq!(report.blobs_removed.bytes, freed as u64);
    assert!(!tree.has_manifest("demo", &old).await);
    assert!(tree.has_manifest("demo", &new).await);
    let index = format!("index/{}/link", pair(&old));
    assert!(!tree.exists(&tag_file("demo", "latest", &index)));
}

#[tokio::test]
async fn a_blob_goes_from_the_repository_that_does_not_use_it() {
    let tree = Fixture::new();
    tree.image("demo", "image", &["latest"]);
    let shared = tree.foreign_blob("unused", b"layer of image");
    let lonely = tree.foreign_blob("unused", b"lonely");
    let unlinked = tree.foreign_data(b"unlinked");
    tree.age();
    let report = tree.collect(CollectOptions::default()).await;
    assert_eq!(report.layers_removed, 2);
    assert_eq!(report.blobs_removed.count, 2);
    assert!(!tree.exists(&layer("unused", &shared)));
    assert!(tree.exists(&data(&shared)));
    assert!(!tree.exists(&data(&lonely)));
    assert!(!tree.exists(&data(&unlinked)));
    let stat = tree.storage.stat_blob(&name("demo"), &shared).await;
    assert_eq!(stat.expect("there"), 14);
}

#[tokio::test]
async fn what_is_young_stays() {
    let tree = Fixture::new();
    let old = tree.foreign_blob("demo", b"old");
    let untagged = tree.image("demo", "untagged", &[]);
    tree.age();
    let young = tree.foreign_blob("demo", b"young");
    let touched = File::open(tree.path(&revision("demo", &untagged))).expect("opened");
    touched.set_modified(SystemTime::now()).expect("touched");
    let tomorrow = tree.foreign_data(b"tomorrow");
    let file = File::open(tree.path(&data(&tomorrow))).expect("opened");
    file.set_modified(SystemTime::now() + DAY).expect("touched");
    let report = tree.collect_untagged().await;
    assert_eq!((report.layers_removed, report.manifests_removed), (1, 0));
    assert_eq!((report.young, report.blobs_removed.count), (2, 1));
    assert!(!tree.exists(&data(&old)));
    assert!(tree.exists(&data(&young)) && tree.exists(&data(&tomorrow)));
}

#[tokio::test]
async fn what_somebody_is_about_to_rely_on_becomes_young() {
    let tree = Fixture::new();
    let blob = tree.foreign_blob("demo", b"blob");
    let link = tree.path(&layer("demo", &blob));
    let storage = &tree.storage;
    tree.age();
    storage
        .stat_blob(&name("demo"), &blob)
        .await
        .expect("there");
    assert!(is_young(&link), "a look");
    tree.age();
    storage
        .mount_blob(&name("demo"), &blob, Some(&name("demo")))
        .await
        .expect("mounted");
    assert!(is_young(&link), "a mount");
    tree.age();
    push_blob(storage, "demo", b"blob").await;
    assert!(is_young(&link), "an upload");
    let manifest = common::image("text");
    push_manifest(storage, "demo", &manifest, &[]).await;
    tree.age();
    push_manifest(storage, "demo", &manifest, &[]).await;
    let link = revision("demo", &sha256(&manifest));
    assert!(is_young(&tree.path(&link)), "a push of a manifest");
}

#[tokio::test]
async fn content_under_another_digest_is_followed() {
    let tree = Fixture::new();
    let config = tree.foreign_blob("demo", b"config");
    // As Distribution keeps a blob that is pushed by sha512.
    let content = tree.foreign_blob("demo", b"layer");
    let pushed = Digest::of(Algorithm::Sha512, b"layer");
    tree.write(&layer("demo", &pushed), content.to_string());
    tree.foreign_manifest("demo", &image("image", &config, &[pushed], None), &["v1"]);
    let unused = Digest::of(Algorithm::Sha512, b"unused");
    tree.write(&layer("demo", &unused), unused.to_string());
    tree.write(&data(&unused), b"unused");
    tree.age();
    let report = tree.collect_untagged().await;
    assert_eq!((report.layers_removed, report.blobs_removed.count), (1, 1));
    assert!(tree.exists(&layer("demo", &content)));
    let stat = tree.storage.stat_blob(&name("demo"), &pushed).await;
    assert_eq!(stat.expect("there"), 5);
    assert!(!tree.exists(&data(&unused)));
}

#[tokio::test]
async fn what_a_collection_left_behind_is_read_and_put_back() {
    let tree = Fixture::new();
    let live = tree.image("demo", "image", &["latest"]);
    let blob = sha256("layer of image");
    let dead = tree.foreign_blob("demo", b"dead");
    let run = UploadId::random();
    let all = [
        data(&live),
        data(&blob),
        revision("demo", &live),
        layer("demo", &blob),
        data(&dead),
        layer("demo", &dead),
    ];
    for path in &all {
        let place = tree.path(path);
        let mut aside = place.clone().into_os_string();
        aside.push(format!(".{run}.aside"));
        fs::rename(&place, aside).expect("set aside");
    }
    let storage = tree.restarted();
    let reference = Reference::Tag(tag("latest"));
    let read = storage.read_manifest(&name("demo"), &reference).await;
    assert_eq!(read.expect("read").digest, live);
    let read = storage.read_blob(&name("demo"), &blob, None).await;
    assert_eq!(read.expect("read").size, 14);
    let tags = storage.list_tags(&name("demo"), None, 10).await;
    assert_eq!(tags.expect("listed").items, [tag("latest")]);

    tree.age();
    let report = tree.collect_untagged().await;
    assert_eq!(report.problem_count, 0);
    assert_eq!(report.blobs_removed.count, 1);
    assert!(all[..4].iter().all(|path| tree.exists(path)));
    assert!(
        tree.files()
            .iter()
            .all(|(path, _)| path.extension().is_none())
    );
}

#[tokio::test]
async fn a_push_takes_the_place_of_what_a_collection_left_behind() {
    let tree = Fixture::new();
    let manifest = common::image("text");
    push_blob(&tree.storage, "demo", b"layer").await;
    push_manifest(&tree.storage, "demo", &manifest, &["v1"]).await;
    let (blob, image) = (sha256("layer"), sha256(&manifest));
    let all = [
        data(&blob),
        data(&image),
        layer("demo", &blob),
        revision("demo", &image),
    ];
    for path in &all {
        let place = tree.path(path);
        fs::rename(&place, place.with_extension("run.aside")).expect("set aside");
    }
    push_blob(&tree.storage, "demo", b"layer").await;
    push_manifest(&tree.storage, "demo", &manifest, &["v1"]).await;
    assert!(all.iter().all(|path| tree.exists(path)));
    let is_aside = |(path, _): &(PathBuf, Vec<u8>)| path.extension() == Some("aside".as_ref());
    assert!(!tree.files().iter().any(is_aside));
}

#[tokio::test]
async fn a_delete_also_takes_what_is_set_aside() {
    let tree = Fixture::new();
    let manifest = tree.image("demo", "image", &["latest"]);
    let blob = sha256("layer of image");
    for path in [revision("demo", &manifest), layer("demo", &blob)] {
        let place = tree.path(&path);
        fs::rename(&place, place.with_extension("run.aside")).expect("set aside");
    }
    let storage = &tree.storage;
    storage
        .delete_manifest(&name("demo"), &manifest)
        .await
        .expect("deleted");
    storage
        .delete_blob(&name("demo"), &blob)
        .await
        .expect("deleted");
    assert!(!tree.has_manifest("demo", &manifest).await);
    let read = storage.read_blob(&name("demo"), &blob, None).await;
    assert!(matches!(read, Err(StorageError::BlobUnknown)));
}

#[tokio::test]
async fn an_empty_repository_goes_when_it_is_old() {
    let tree = Fixture::new();
    tree.image("team/app", "image", &["latest"]);
    let storage = &tree.storage;
    for repository in ["team", "team/empty"] {
        let manifest = common::image(repository);
        push_manifest(storage, repository, &manifest, &["v1"]).await;
        storage
            .delete_manifest(&name(repository), &sha256(&manifest))
            .await
            .expect("deleted");
    }
    // As Distribution leaves it.
    tree.create_dir(&revision("left", &sha256("gone")).replace("/link", ""));
    tree.create_dir("repositories/left/_uploads");
    storage
        .start_upload(&name("busy"), Algorithm::Sha256)
        .await
        .expect("started");
    let report = tree.collect_untagged().await;
    assert_eq!(report.repositories_removed, 0, "they are young");

    tree.age();
    let mut options = untagged();
    options.stale_uploads = Some(7 * DAY);
    let report = tree.collect(options).await;
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    assert_eq!(report.repositories_removed, 3);
    assert!(!tree.exists("repositories/team/_manifests"));
    assert!(!tree.exists("repositories/team/empty"));
    assert!(!tree.exists("repositories/left"));
    assert!(tree.exists("repositories/busy/_uploads"));
    let listed = storage.list_repositories(None, 10).await.expect("listed");
    assert_eq!(listed.items, [name("team/app")]);
    push_manifest(storage, "team/empty", &common::image("new"), &["v1"]).await;

    tree.age();
    let report = tree.collect({
        let mut options = untagged();
        options.stale_uploads = Some(DAY);
        options
    });
    let report = report.await;
    assert_eq!(report.uploads_removed.count, 1);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let tree = Fixture::new();
    tree.image("demo", "old", &["latest"]);
    tree.image("demo", "new", &["latest"]);
    tree.foreign_blob("demo", b"unused");
    tree.foreign_data(b"unlinked");
    tree.age();
    let before = tree.files();
    let mut options = untagged();
    options.dry_run = true;
    let dry = tree.collect(options).await;
    assert!(dry.dry_run);
    assert_eq!(tree.files(), before);
    let wet = tree.collect_untagged().await;
    assert_eq!(dry.manifests_removed, wet.manifests_removed);
    assert_eq!(dry.layers_removed, wet.layers_removed);
    assert_eq!(dry.blobs_removed, wet.blobs_removed);
    assert_eq!((wet.layers_removed, wet.blobs_removed.count), (3, 5));
}

#[tokio::test]
async fn a_listener_is_told_what_and_why() {
    let tree = Fixture::new();
    let blob = tree.foreign_blob("demo", b"unused");
    tree.age();
    let (sender, receiver) = std::sync::mpsc::channel();
    let told = move |event: Event<'_>| {
        if let Event::Removed {
            item,
            reason,
            bytes,
        } = event
        {
            let told = format!("{item:?} {reason:?} {bytes}");
            sender.send(told).expect("heard");
        }
    };
    let collected = tree.storage.collect(CollectOptions::default(), told).await;
    collected.expect("collected");
    let told: Vec<String> = receiver.iter().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("Layer") && told[0].contains("Unused 0"));
    assert!(told[1].contains(&blob.to_string()) && told[1].contains("Unlinked 6"));
}

#[tokio::test]
async fn before_the_first_push_there_is_nothing_to_do_where_that_is_told() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let storage = FileSystem::new(dir.path());
    let mut options = CollectOptions::default();
    let refused = storage.collect(options.clone(), |_| {}).await;
    refused.expect_err("the wrong place, perhaps");
    options.may_be_absent = true;
    let report = storage.collect(options.clone(), |_| {}).await;
    let report = report.expect("collected");
    assert_eq!(report.blobs_removed.count, 0);
    assert_eq!(report.problem_count, 0);
    // No place for it, or something else there.
    let away = FileSystem::new(dir.path().join("away"));
    let refused = away.collect(options.clone(), |_| {}).await;
    refused.expect_err("no root directory");
    std::fs::write(dir.path().join("docker"), "").expect("written");
    let refused = storage.collect(options, |_| {}).await;
    refused.expect_err("a file");
}
