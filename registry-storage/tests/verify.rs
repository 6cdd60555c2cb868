//! Damaged blobs and manifests, and what is strange: what is told of each, what
//! a repair does, and what is left for a push.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/damaged.rs"]
mod damaged;

use std::fs;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use common::*;
use damaged::*;
use registry_storage::FileSystem;
use registry_storage::filesystem::verify::{
    ProblemKind as Kind, Remedy, Repair, Verifier, VerifyError, VerifyOptions,
};

#[test]
fn a_sound_tree_has_no_problem_and_is_not_touched() {
    let (image, _) = Image::with_index_and_note();
    let before = files(&image.fixture.root());
    for options in [
        VerifyOptions::default(),
        options(|options| options.quick = true),
        options(|options| options.repair = true),
    ] {
        let report = run(&image.fixture, options);
        assert_eq!(told(&report), []);
        assert!(report.is_healthy());
        assert_eq!((report.blobs, report.repositories), (8, 1));
        assert_eq!((report.manifests, report.tags), (4, 3));
    }
    assert_eq!(files(&image.fixture.root()), before);
}

#[tokio::test]
async fn a_damaged_blob_is_put_aside_and_the_next_push_heals_it() {
    let mut flipped = LAYER.to_vec();
    flipped[5] ^= 1;
    let longer = [LAYER, b"!"].concat();
    for damaged in [&flipped[..], &LAYER[..5], b"", &longer] {
        let (image, _) = Image::with_index_and_note();
        let storage = &image.fixture.storage;
        let other = FileSystem::new(image.fixture.root());
        image.overwrite(&image.layer, damaged);
        let hurts = ["app:multi", "app:v1", "app:v2"];
        let report = verify(&image.fixture);
        let expected = one(Kind::BlobCorrupt, Remedy::RepairThenPush, &hurts);
        assert_eq!(told(&report), expected, "{damaged:?}");
        // A size that is not the manifest's makes a quick run hash it.
        let report = quick(&image.fixture);
        let is_seen = damaged.len() != LAYER.len();
        assert_eq!(told(&report), if is_seen { expected } else { vec![] });
        assert!(is_blob(storage, "app", &image.layer).await || damaged.is_empty());

        let report = repair(&image.fixture);
        assert_eq!(told(&report), one(Kind::BlobCorrupt, Remedy::Push, &hurts));
        let Some(Repair::Done(how)) = &report.problems[0].repair else {
            panic!("{report:?}");
        };
        let place = how.strip_prefix("put aside as ").expect("a place");
        assert_eq!(fs::read(place).expect("kept"), damaged);
        let aside = format!("put-aside/{}.", data(&image.layer));
        assert!(place.contains(&aside), "{place}");
        // Who asks is told to push it.
        assert!(!is_blob(storage, "app", &image.layer).await);
        assert!(!is_blob(&other, "app", &image.layer).await);
        let expected = one(Kind::BlobMissing, Remedy::Push, &hurts);
        assert_eq!(told(&verify(&image.fixture)), expected);
        assert_eq!(told(&repair(&image.fixture)), expected);

        push_blob(storage, "app", LAYER).await;
        assert_eq!(told(&verify(&image.fixture)), []);
        assert_eq!(read_blob(storage, "app", &image.layer).await, LAYER);
    }
}

#[tokio::test]
async fn a_damaged_manifest_is_put_aside_and_its_tags_tell_what_to_push() {
    for quick in [false, true] {
        let image = Image::new();
        let storage = &image.fixture.storage;
        let mut damaged = image.bytes.to_vec();
        damaged[20] ^= 4;
        image.overwrite(&image.manifest, &damaged);
        let hurts = ["app:v1", "app:v2"];
        let report = run(&image.fixture, options(|options| options.quick = quick));
        let expected = one(Kind::BlobCorrupt, Remedy::RepairThenPush, &hurts);
        assert_eq!(told(&report), expected);
        let options = options(|options| {
            options.quick = quick;
            options.repair = true;
        });
        let report = run(&image.fixture, options);
        assert_eq!(told(&report), one(Kind::BlobCorrupt, Remedy::Push, &hurts));
        assert_eq!(tagged(storage, "app", "v1").await, None);
        let expected = one(Kind::ManifestMissing, Remedy::Push, &hurts);
        assert_eq!(told(&verify(&image.fixture)), expected);
        push_manifest(storage, "app", &image.bytes, &["v1"]).await;
        assert_eq!(told(&verify(&image.fixture)), []);
        assert_eq!(tagged(storage, "app", "v2").await, Some(image.manifest));
    }
}

#[test]
fn a_blob_that_nobody_needs_is_repaired_by_putting_it_aside() {
    let image = Image::new();
    let digest = image.fixture.foreign_data(b"nobody's");
    image.overwrite(&digest, "nobody'z");
    let report = verify(&image.fixture);
    assert_eq!(told(&report), one(Kind::BlobCorrupt, Remedy::Repair, &[]));
    let report = repair(&image.fixture);
    assert_eq!(told(&report), one(Kind::BlobCorrupt, Remedy::Nothing, &[]));
    assert_eq!(told(&verify(&image.fixture)), []);
}

#[test]
fn one_missing_blob_is_one_problem_of_all_repositories() {
    let image = Image::new();
    let fixture = &image.fixture;
    for repository in ["app/copy", "other"] {
        fixture.foreign_blob(repository, CONFIG);
        fixture.foreign_blob(repository, LAYER);
        fixture.foreign_manifest(repository, &image.bytes, &["v1"]);
    }
    fixture.remove(&data(&image.layer));
    let hurts = ["app/copy:v1", "app:v1", "app:v2", "other:v1"];
    let layer = layer("other", &image.layer);
    for report in [verify(fixture), quick(fixture), repair(fixture)] {
        assert_eq!(told(&report), one(Kind::BlobMissing, Remedy::Push, &hurts));
    }
    // So that a push to one of them heals all.
    assert!(fixture.path(&layer).exists());
}

#[test]
fn what_is_damaged_hurts_indexes_and_subjects() {
    let (image, note) = Image::with_index_and_note();
    image.overwrite(&sha256("{}"), "[]");
    let report = verify(&image.fixture);
    // The note is about a child of the index. It has no tag of its own.
    let expected = one(Kind::BlobCorrupt, Remedy::RepairThenPush, &["app:multi"]);
    assert_eq!(told(&report), expected);

    // A signature under a tag, as clients without the referrers API push it.
    let image = Image::new();
    let layer = image.fixture.foreign_blob("app", b"signature");
    let bytes = manifest_of((&image.config, CONFIG.len()), (&layer, 9), "");
    let tag = format!("sha256-{}.sig", image.manifest.hex());
    image.fixture.foreign_manifest("app", &bytes, &[&tag]);
    image.fixture.remove(&data(&layer));
    let hurts = [&format!("app:{tag}")[..], "app:v1", "app:v2"];
    let expected = one(Kind::BlobMissing, Remedy::Push, &hurts);
    assert_eq!(told(&verify(&image.fixture)), expected);

    // Without any tag, the digest is told.
    let (image, _) = Image::with_index_and_note();
    image.fixture.remove(&data(&sha256("{}")));
    fs::remove_dir_all(image.fixture.path("repositories/app/_manifests/tags")).expect("removed");
    let report = verify(&image.fixture);
    let hurts: Vec<_> = report.problems[0]
        .hurts
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(hurts.contains(&format!("app@{note}")), "{hurts:?}");
}

#[test]
fn a_missing_child_needs_a_push_of_its_index() {
    let (image, _) = Image::with_index_and_note();
    let fixture = &image.fixture;
    for tag in ["v1", "v2"] {
        fs::remove_dir_all(fixture.path(&tag_file("app", tag, ""))).expect("removed");
    }
    fixture.remove(&revision("app", &image.manifest));
    fixture.remove(&data(&image.manifest));
    image.needs(Kind::ManifestMissing, Remedy::Push, &["app:multi"]);
}

#[test]
fn what_was_left_out_is_a_note_where_manifests_are_not_checked() {
    let image = Image::new();
    let fixture = &image.fixture;
    let absent = sha256("never pushed");
    // Another repository has it: a link would let this one read it.
    let others = fixture.foreign_blob("other", b"private");
    let index = index_of(&[(&image.manifest, image.bytes.len()), (&absent, 7)]);
    fixture.foreign_manifest("app", &index, &["sparse"]);
    let bytes = manifest_of((&image.config, CONFIG.len()), (&others, 7), "");
    fixture.foreign_manifest("app", &bytes, &["taken"]);
    let kinds: Vec<_> = told(&verify(fixture)).into_iter().map(|t| t.0).collect();
    assert!(kinds.contains(&Kind::ManifestMissing), "{kinds:?}");
    let before = files(&fixture.root());
    let report = run(
        fixture,
        options(|options| (options.sparse, options.repair) = (true, true)),
    );
    assert!(report.is_healthy());
    assert_eq!(report.problems.len(), 2);
    assert!(report.problems.iter().all(|p| p.kind == Kind::LeftOut));
    let after = files(&fixture.root());
    assert_eq!(after, before);
    // What was there once leaves its link.
    fixture.remove(&data(&image.layer));
    let report = run(fixture, options(|options| options.sparse = true));
    let missing = report.problems.iter().find(|p| !p.kind.is_note());
    assert_eq!(missing.map(|p| p.kind), Some(Kind::BlobMissing));
}

#[test]
fn what_a_garbage_collection_has_set_aside_is_there() {
    let (image, _) = Image::with_index_and_note();
    let fixture = &image.fixture;
    let aside = |path: &str| {
        let to = format!("{path}.8f7dd3f1-8b1c-4d7e-9a55-111111111111.aside");
        fs::rename(fixture.path(path), fixture.path(&to)).expect("renamed");
        to
    };
    let blob = aside(&data(&image.layer));
    aside(&data(&image.manifest));
    aside(&layer("app", &image.layer));
    aside(&revision("app", &image.manifest));
    let before = files(&fixture.root());
    for report in [verify(fixture), quick(fixture), repair(fixture)] {
        assert_eq!(told(&report), []);
        assert_eq!((report.blobs, report.manifests), (8, 4));
    }
    assert_eq!(files(&fixture.root()), before);
    fixture.write(&blob, "bad");
    let hurts = ["app:multi", "app:v1", "app:v2"];
    let expected = one(Kind::BlobCorrupt, Remedy::RepairThenPush, &hurts);
    assert_eq!(told(&verify(fixture)), expected);
    let expected = one(Kind::BlobCorrupt, Remedy::Push, &hurts);
    assert_eq!(told(&repair(fixture)), expected);
    assert!(!fixture.path(&blob).exists());
}

#[test]
fn a_wrong_size_and_a_wrong_manifest_need_a_push() {
    let image = Image::new();
    let bytes = manifest_of((&image.config, CONFIG.len()), (&image.layer, 5), "");
    image.fixture.foreign_manifest("app", &bytes, &["wrong"]);
    assert_eq!(told(&quick(&image.fixture)), told(&verify(&image.fixture)));
    image.needs(Kind::SizeMismatch, Remedy::Push, &["app:wrong"]);

    let image = Image::new();
    image
        .fixture
        .foreign_manifest("app", b"{\"schemaVersion\":2,", &["cut"]);
    image.needs(Kind::ManifestInvalid, Remedy::Push, &["app:cut"]);
}

#[test]
fn strange_things_are_told_and_neither_opened_nor_followed() {
    let image = Image::new();
    let fixture = &image.fixture;
    let outside = tempfile::tempdir().expect("a directory");
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").expect("written");
    let fifo = |path: &str| {
        let made = Command::new("mkfifo").arg(fixture.path(path)).status();
        assert!(made.expect("run").success());
    };
    fifo("blobs/pipe");
    fifo("blobs/sha256/pipe");
    fifo("repositories/pipe");
    fifo("repositories/app/_layers/pipe");
    fifo("repositories/app/_manifests/tags/pipe");
    fixture.create_dir("repositories/app/_uploads/8f7dd3f1-8b1c-4d7e-9a55-111111111111");
    fifo("repositories/app/_uploads/8f7dd3f1-8b1c-4d7e-9a55-111111111111/data");
    fixture.write("repositories/app/_manifests/README", "mine");
    fixture.create_dir("repositories/Thumbs");
    symlink(outside.path(), fixture.path("repositories/link")).expect("linked");
    symlink(
        outside.path(),
        fixture.path("repositories/app/_manifests/tags/out"),
    )
    .expect("linked");
    let _socket = UnixListener::bind(fixture.path("repositories/s")).expect("bound");
    let before = files(&fixture.root());
    for report in [verify(fixture), quick(fixture), repair(fixture)] {
        let foreign = report.problems.iter().filter(|p| p.kind == Kind::Foreign);
        assert_eq!(foreign.count(), 10, "{report:?}");
        let odd = report.problems.iter().filter(|p| p.kind == Kind::UploadOdd);
        assert_eq!(odd.count(), 2);
        assert_eq!(report.problems.len(), 12);
        assert!(report.is_healthy());
    }
    assert_eq!(files(&fixture.root()), before);
}

#[test]
fn something_else_in_the_place_of_a_file_is_put_aside_but_for_a_link() {
    let image = Image::new();
    let path = data(&image.layer);
    image.fixture.remove(&path);
    let fifo = Command::new("mkfifo")
        .arg(image.fixture.path(&path))
        .status();
    assert!(fifo.expect("run").success());
    let hurts = ["app:v1", "app:v2"];
    let report = repair(&image.fixture);
    assert_eq!(told(&report), one(Kind::BlobNotAFile, Remedy::Push, &hurts));
    let report = verify(&image.fixture);
    assert_eq!(told(&report), one(Kind::BlobMissing, Remedy::Push, &hurts));

    let image = Image::new();
    let path = layer("app", &image.layer);
    image.fixture.remove(&path);
    let fifo = Command::new("mkfifo")
        .arg(image.fixture.path(&path))
        .status();
    assert!(fifo.expect("run").success());
    let report = repair(&image.fixture);
    assert!(report.is_healthy(), "{report:?}");
    assert_eq!(image.read(&path), Some(image.layer.to_string()));
    assert_eq!(told(&verify(&image.fixture)), []);

    // It may well serve, and somebody has made it.
    let image = Image::new();
    let outside = tempfile::tempdir().expect("a directory");
    let (path, away) = (
        image.fixture.path(&data(&image.layer)),
        outside.path().join("data"),
    );
    fs::write(&away, LAYER).expect("written");
    fs::remove_file(&path).expect("removed");
    symlink(&away, &path).expect("linked");
    image.needs(Kind::BlobNotAFile, Remedy::ByHand, &hurts);
    assert_eq!(fs::read(&away).expect("there"), LAYER);
}

#[test]
fn what_is_no_registry_is_refused_before_anything() {
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |root: &Path| {
        let storage = FileSystem::new(root);
        let options = options(|options| options.repair = true);
        Verifier::new(&storage, options)
            .run(|_| ControlFlow::Continue(()))
            .expect_err("refused")
    };
    let error = refused(&dir.path().join("missing"));
    assert!(matches!(error, VerifyError::Unreadable { .. }), "{error:?}");
    fs::write(dir.path().join("file"), "x").expect("written");
    let error = refused(dir.path());
    assert!(
        matches!(error, VerifyError::NotARegistry { .. }),
        "{error:?}"
    );
    assert_eq!(files(dir.path()).len(), 1);

    for (part, to) in [("blobs/sha256", "sha256"), ("blobs", "blobs")] {
        let image = Image::new();
        let (blobs, away) = (image.fixture.path(part), dir.path().join(to));
        fs::rename(&blobs, &away).expect("moved");
        symlink(&away, &blobs).expect("linked");
        let error = refused(&image.fixture.root());
        assert!(
            matches!(error, VerifyError::NotADirectory { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }
}

#[test]
fn a_run_can_be_slow_and_can_be_stopped() {
    let image = Image::new();
    let options = options(|options| options.rate = NonZeroU64::new(10));
    let mut seen = 0;
    let stopped = Verifier::new(&image.fixture.storage, options).run(|progress| {
        assert!(progress.blobs <= 3 && (0.0..=1.0).contains(&progress.blobs_done));
        seen += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(VerifyError::Stopped)));
    assert_eq!(seen, 1);
}
