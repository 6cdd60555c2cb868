//! Damaged links, tags and referrers, each before and after a repair.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/damaged.rs"]
mod damaged;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;

use common::*;
use damaged::*;
use registry_spec::types::{Algorithm, Digest};
use registry_storage::FileSystem;
use registry_storage::filesystem::verify::{ProblemKind as Kind, Remedy, Repair, Verifier};

#[test]
fn a_broken_link_is_written_again_from_its_folder() {
    for broken in ["", "sha256:abc", "\0\0\0\0\0"] {
        let image = Image::new();
        let (path, text) = (layer("app", &image.layer), image.layer.to_string());
        image.fixture.write(&path, broken);
        image.mends(Kind::LinkBroken, &path, &text, &["app:v1", "app:v2"]);

        let image = Image::new();
        let (path, text) = (revision("app", &image.manifest), image.manifest.to_string());
        image.fixture.write(&path, broken);
        image.mends(Kind::LinkBroken, &path, &text, &["app:v1", "app:v2"]);

        let image = Image::new();
        let index = format!("index/{}/link", pair(&image.manifest));
        let (path, text) = (tag_file("app", "v1", &index), image.manifest.to_string());
        image.fixture.write(&path, broken);
        image.mends(Kind::LinkBroken, &path, &text, &[]);

        // A tag that has only ever stood at one manifest.
        let image = Image::new();
        let (path, text) = (
            tag_file("app", "v2", "current/link"),
            image.manifest.to_string(),
        );
        image.fixture.write(&path, broken);
        image.mends(Kind::LinkBroken, &path, &text, &["app:v2"]);
    }
}

#[tokio::test]
async fn a_broken_tag_that_may_have_stood_at_several_manifests_needs_a_push() {
    let image = Image::new();
    let other = manifest_of(
        (&image.config, CONFIG.len()),
        (&image.layer, LAYER.len()),
        " ",
    );
    let other_digest = image.fixture.foreign_manifest("app", &other, &["v1"]);
    image
        .fixture
        .write(&tag_file("app", "v1", "current/link"), "");
    let report = verify(&image.fixture);
    assert_eq!(
        told(&report),
        one(Kind::LinkBroken, Remedy::Push, &["app:v1"])
    );
    let detail = &report.problems[0].detail;
    for digest in [image.manifest, other_digest] {
        assert!(detail.contains(&digest.to_string()), "{detail}");
    }
    assert_eq!(told(&repair(&image.fixture)), told(&report));
    push_manifest(&image.fixture.storage, "app", &other, &["v1"]).await;
    assert_eq!(told(&verify(&image.fixture)), []);
}

#[test]
fn a_link_that_names_other_content_is_written_again() {
    let image = Image::new();
    let (path, text) = (layer("app", &image.layer), image.layer.to_string());
    image.fixture.write(&path, image.config.to_string());
    image.mends(Kind::LinkForeign, &path, &text, &["app:v1", "app:v2"]);

    let image = Image::new();
    let (path, text) = (revision("app", &image.manifest), image.manifest.to_string());
    image.fixture.write(&path, image.config.to_string());
    image.mends(Kind::LinkForeign, &path, &text, &["app:v1", "app:v2"]);
}

#[test]
fn content_pushed_by_another_algorithm_is_checked_by_that() {
    let image = Image::new();
    let alias = Digest::of(Algorithm::Sha512, LAYER);
    let path = layer("app", &alias);
    image.fixture.write(&path, image.layer.to_string());
    assert_eq!(told(&verify(&image.fixture)), []);
    image.fixture.write(&path, image.config.to_string());
    let report = verify(&image.fixture);
    assert_eq!(told(&report), one(Kind::LinkForeign, Remedy::Repair, &[]));
    repair(&image.fixture);
    assert!(!image.fixture.path(&path).exists());
    assert_eq!(told(&verify(&image.fixture)), []);
}

#[test]
fn content_that_is_there_and_needed_gets_its_link() {
    let image = Image::new();
    let (path, text) = (layer("app", &image.layer), image.layer.to_string());
    image.fixture.remove(&path);
    image.mends(Kind::LinkMissing, &path, &text, &["app:v1", "app:v2"]);

    let image = Image::new();
    let (path, text) = (revision("app", &image.manifest), image.manifest.to_string());
    image.fixture.remove(&path);
    image.mends(Kind::LinkMissing, &path, &text, &["app:v1", "app:v2"]);
}

#[test]
fn a_repair_follows_what_it_has_made_reachable() {
    let (image, _) = Image::with_index_and_note();
    let all = "repositories/app/_manifests/revisions";
    fs::remove_dir_all(image.fixture.path(all)).expect("removed");
    fs::remove_dir_all(image.fixture.path("repositories/app/_layers")).expect("removed");
    let report = repair(&image.fixture);
    assert!(report.is_healthy(), "{report:?}");
    let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
    // Three manifests and three blobs. Nothing leads to the note.
    assert_eq!(kinds, [Kind::LinkMissing; 6]);
    assert_eq!(told(&verify(&image.fixture)), []);
}

#[test]
fn what_a_manifest_without_a_link_needs_is_looked_for_at_once() {
    let (image, _) = Image::with_index_and_note();
    let fixture = &image.fixture;
    // As distribution's collector leaves an index, of all that has no tag.
    let layer_digest = sha256("another");
    let child = manifest_of((&image.config, CONFIG.len()), (&layer_digest, 7), "");
    fixture.remove(&revision("app", &sha256(&child)));
    fixture.remove(&data(&layer_digest));
    let hurts = vec!["app:multi".to_owned()];
    let expected = |needs| {
        vec![
            (Kind::BlobMissing, Remedy::Push, hurts.clone()),
            (Kind::LinkMissing, needs, hurts.clone()),
        ]
    };
    assert_eq!(told(&verify(fixture)), expected(Remedy::Repair));
    assert_eq!(told(&repair(fixture)), expected(Remedy::Nothing));
    // Its layer's link stays, so that a push to any repository heals it.
    assert!(fixture.path(&layer("app", &layer_digest)).exists());
    fixture.foreign_data(b"another");
    assert_eq!(told(&verify(fixture)), []);
}

#[test]
fn the_history_of_a_tag_is_completed() {
    let image = Image::new();
    let index = format!("index/{}/link", pair(&image.manifest));
    let (path, text) = (tag_file("app", "v1", &index), image.manifest.to_string());
    image.fixture.remove(&path);
    image.mends(Kind::TagIndexMissing, &path, &text, &["app:v1"]);
}

#[tokio::test]
async fn the_referrers_index_lists_what_it_says_and_nothing_else() {
    let (image, note) = Image::with_index_and_note();
    let fixture = &image.fixture;
    // Not made yet, which is no problem: the first list makes it.
    assert_eq!(told(&verify(fixture)), []);
    let bytes = fs::read(fixture.path(&data(&note))).expect("read");
    let subject = registry_spec::types::Manifest::subject_of(&bytes).expect("a subject");
    assert_eq!(referrers(&fixture.storage, "app", &subject).await, [note]);
    let entry = |subject| {
        format!(
            "repositories/app/_referrers/{}/{}/link",
            pair(subject),
            pair(&note)
        )
    };
    assert_eq!(told(&verify(fixture)), []);

    fixture.remove(&entry(&subject));
    let hurts = ["app:multi"];
    let report = verify(fixture);
    assert_eq!(
        told(&report),
        one(Kind::ReferrerMissing, Remedy::Repair, &hurts)
    );
    assert!(repair(fixture).is_healthy());
    assert_eq!(referrers(&fixture.storage, "app", &subject).await, [note]);

    fixture.write(&entry(&subject), "");
    let report = verify(fixture);
    assert_eq!(told(&report), one(Kind::LinkBroken, Remedy::Repair, &hurts));
    assert!(repair(fixture).is_healthy());

    let wrong = entry(&image.manifest);
    fixture.write(&wrong, note.to_string());
    let report = verify(fixture);
    let expected = one(
        Kind::ReferrerStale,
        Remedy::Repair,
        &["app:multi", "app:v1", "app:v2"],
    );
    assert_eq!(told(&report), expected);
    assert!(repair(fixture).is_healthy());
    assert!(!fixture.path(&wrong).exists());
    assert_eq!(told(&verify(fixture)), []);

    // That of a manifest which was deleted is meant to stay.
    fixture.remove(&revision("app", &note));
    assert_eq!(told(&verify(fixture)), []);
}

#[test]
fn a_dead_link_is_a_note_and_is_put_aside() {
    let image = Image::new();
    let digest = sha256("collected");
    let path = layer("app", &digest);
    image.fixture.write(&path, digest.to_string());
    let report = verify(&image.fixture);
    assert_eq!(told(&report), one(Kind::LinkDead, Remedy::Nothing, &[]));
    assert!(report.is_healthy());
    let report = repair(&image.fixture);
    assert!(matches!(&report.problems[0].repair, Some(Repair::Done(_))));
    assert!(!image.fixture.path(&path).exists());
    assert_eq!(told(&verify(&image.fixture)), []);
}

#[test]
fn a_repair_writes_nothing_through_a_link() {
    let image = Image::new();
    let fixture = &image.fixture;
    let outside = tempfile::tempdir().expect("a directory");
    // All layers of the repository are missing, and their folder leads away.
    let layers = fixture.path("repositories/app/_layers");
    fs::remove_dir_all(&layers).expect("removed");
    symlink(outside.path(), &layers).expect("linked");
    let report = repair(fixture);
    assert!(!report.is_healthy());
    for problem in report
        .problems
        .iter()
        .filter(|p| p.kind == Kind::LinkMissing)
    {
        assert!(
            matches!(&problem.repair, Some(Repair::Failed(_))),
            "{problem:?}"
        );
    }
    assert_eq!(files(outside.path()), []);

    // So does the place for what is put aside.
    let image = Image::new();
    symlink(outside.path(), image.fixture.path("put-aside")).expect("linked");
    image.overwrite(&image.layer, "damaged");
    let report = repair(&image.fixture);
    assert!(
        matches!(&report.problems[0].repair, Some(Repair::Failed(_))),
        "{report:?}"
    );
    assert_eq!(files(outside.path()), []);
    assert_eq!(image.read(&data(&image.layer)).as_deref(), Some("damaged"));
}

/// Changes are seen by a server that goes on, whatever it remembers.
#[tokio::test]
async fn a_repair_beside_pushes_loses_none_of_them() {
    let image = Image::new();
    let fixture = &image.fixture;
    let root = fixture.root();
    let repairs = std::thread::spawn(move || {
        let storage = FileSystem::new(root);
        for _ in 0..30 {
            let options = options(|options| options.repair = true);
            Verifier::new(&storage, options)
                .run(|_| ControlFlow::Continue(()))
                .expect("verified");
        }
    });
    let mut pushed = 0_u32;
    while !repairs.is_finished() {
        let bytes = format!("layer {pushed}");
        let digest = sha256(&bytes);
        // A dead link, and bytes that are not whole, in the place of each.
        fixture.write(&layer("busy", &digest), digest.to_string());
        if pushed.is_multiple_of(2) {
            fixture.write(&data(&digest), &bytes[..3]);
        }
        push_blob(&fixture.storage, "busy", bytes.as_bytes()).await;
        let manifest = manifest_of((&image.config, CONFIG.len()), (&digest, bytes.len()), "");
        push_blob(&fixture.storage, "busy", CONFIG).await;
        push_manifest(
            &fixture.storage,
            "busy",
            &manifest,
            &[&format!("t{pushed}")],
        )
        .await;
        pushed += 1;
    }
    repairs.join().expect("ended");
    let report = verify(fixture);
    assert!(report.is_healthy(), "{:?}", told(&report));
    for n in 0..pushed {
        let bytes = format!("layer {n}");
        let digest = sha256(&bytes);
        assert_eq!(
            read_blob(&fixture.storage, "busy", &digest).await,
            bytes.as_bytes()
        );
    }
}
