//! Garbage collection on a tree that is damaged, strange, or none.
#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::collecting::{collect, untagged};
use common::{Fixture, data, layer, name, revision, sha256, tag_file};
use registry_spec::storage::StorageError;
use registry_spec::types::Digest;
use registry_storage::collect::Consequence;

/// A repository with garbage of each kind, and how to damage it.
type Damage = fn(&Fixture, &Digest);

#[tokio::test]
async fn damage_keeps_its_repository_and_nothing_else() {
    fn replace(tree: &Fixture, path: &str, with: impl FnOnce(&Path)) {
        let path = tree.path(path);
        fs::remove_file(&path).expect("removed");
        with(&path);
    }
    fn make_fifo(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).expect("made");
    }
    let damages: &[(&str, Damage)] = &[
        ("an empty revision", |tree, live| {
            tree.write(&revision("hurt", live), "");
        }),
        ("a cut revision", |tree, live| {
            tree.write(&revision("hurt", live), "sha256:12");
        }),
        ("a revision of bytes", |tree, live| {
            tree.write(&revision("hurt", live), [0xff; 71]);
        }),
        ("a flipped bit", |tree, live| {
            let mut bytes = fs::read(tree.path(&data(live))).expect("read");
            *bytes.last_mut().expect("some") ^= 1;
            tree.write(&data(live), bytes);
        }),
        ("a manifest without bytes", |tree, live| {
            tree.remove(&data(live));
        }),
        ("a cut manifest", |tree, live| {
            tree.write(&data(live), "{");
        }),
        ("a blob linked as a manifest", |tree, _| {
            let blob = tree.foreign_data(b"text");
            tree.write(&revision("hurt", &blob), blob.to_string());
        }),
        ("an empty tag", |tree, _| {
            tree.write(&tag_file("hurt", "latest", "current/link"), "");
        }),
        ("a revision that is a fifo", |tree, live| {
            replace(tree, &revision("hurt", live), make_fifo);
        }),
        ("a manifest that is a fifo", |tree, live| {
            replace(tree, &data(live), make_fifo);
        }),
        ("a revision that is a symbolic link", |tree, live| {
            let elsewhere = tree.root().join("elsewhere");
            fs::write(&elsewhere, live.to_string()).expect("written");
            replace(tree, &revision("hurt", live), |path| {
                symlink(&elsewhere, path).expect("linked");
            });
        }),
    ];
    for (what, damage) in damages {
        let tree = Fixture::new();
        let live = tree.image("hurt", "live", &["latest"]);
        let unused = tree.foreign_blob("hurt", b"unused");
        let untagged = tree.image("hurt", "untagged", &[]);
        let elsewhere = tree.foreign_blob("whole", b"garbage");
        tree.image("whole", "image", &["latest"]);
        damage(&tree, &live);
        tree.age();
        let before = tree.files();
        let report = tree.collect_untagged().await;
        assert_eq!(report.problem_count, 1, "{what}: {:?}", report.problems);
        assert!(
            report.problems[0].repository == Some(name("hurt")),
            "{what}"
        );
        assert_eq!(report.manifests_removed, 0, "{what}");
        assert!(!tree.exists(&data(&elsewhere)), "{what}");
        for kept in [unused, untagged, sha256("layer of live"), live] {
            let path = tree.path(&data(&kept));
            let was_there = before.iter().any(|(before, _)| *before == path);
            assert!(tree.exists(&data(&kept)) || !was_there, "{what}: {kept}");
        }
        assert!(tree.exists(&layer("hurt", &unused)), "{what}");
    }
}

#[tokio::test]
async fn a_layer_link_that_cannot_be_read_keeps_layers() {
    let tree = Fixture::new();
    tree.image("hurt", "live", &["latest"]);
    let unused = tree.foreign_blob("hurt", b"unused");
    let untagged = tree.image("hurt", "untagged", &[]);
    let another = tree.foreign_blob("hurt", b"another");
    tree.write(&layer("hurt", &another), "");
    tree.age();
    let report = tree.collect_untagged().await;
    assert_eq!(report.problem_count, 1, "{:?}", report.problems);
    assert_eq!((report.manifests_removed, report.layers_removed), (1, 0));
    assert!(!tree.exists(&data(&untagged)));
    assert!(tree.exists(&data(&unused)) && tree.exists(&data(&another)));
}

#[tokio::test]
async fn no_link_is_followed_out_of_the_tree() {
    let elsewhere = Fixture::new();
    let theirs = elsewhere.image("theirs", "theirs", &["latest"]);
    let garbage = elsewhere.foreign_blob("theirs", b"garbage");
    let before = elsewhere.files();
    elsewhere.age();
    let target = |path: &str| elsewhere.path(path);

    // A repository: its blobs may be ours.
    let tree = Fixture::new();
    tree.image("demo", "image", &["latest"]);
    let unlinked = tree.foreign_data(b"unlinked");
    symlink(
        target("repositories/theirs"),
        tree.path("repositories/linked"),
    )
    .expect("linked");
    tree.age();
    let report = tree.collect_untagged().await;
    assert_eq!(report.problem_count, 1);
    assert_eq!(report.problems[0].consequence, Consequence::BlobsKept);
    assert!(tree.exists(&data(&unlinked)));

    // One whose volume is not mounted.
    let tree = Fixture::new();
    tree.image("demo", "image", &["latest"]);
    let unlinked = tree.foreign_data(b"unlinked");
    symlink("/nowhere/team", tree.path("repositories/team")).expect("linked");
    tree.age();
    let report = tree.collect_untagged().await;
    assert_eq!(report.problem_count, 1);
    assert!(tree.exists(&data(&unlinked)));

    // Parts of one.
    for part in ["_layers", "_manifests/revisions", "_manifests/tags"] {
        let tree = Fixture::new();
        tree.image("demo", "image", &["latest"]);
        let unlinked = tree.foreign_data(b"unlinked");
        let path = tree.path(&format!("repositories/demo/{part}"));
        fs::rename(&path, path.with_extension("old")).expect("moved");
        symlink(target(&format!("repositories/theirs/{part}")), &path).expect("linked");
        tree.age();
        let report = tree.collect_untagged().await;
        assert_eq!(report.problem_count, 1, "{part}");
        // A tag keeps no blob that has no link.
        let is_kept = part != "_manifests/tags";
        assert_eq!(tree.exists(&data(&unlinked)), is_kept, "{part}");
    }

    // The blobs.
    let tree = Fixture::new();
    tree.image("demo", "image", &["latest"]);
    fs::rename(tree.path("blobs"), tree.path("old")).expect("moved");
    symlink(target("blobs"), tree.path("blobs")).expect("linked");
    tree.age();
    let report = tree.collect_untagged().await;
    assert!(report.problem_count > 0);
    assert_eq!(elsewhere.files(), before);
    assert!(elsewhere.has_manifest("theirs", &theirs).await);
    assert!(elsewhere.exists(&data(&garbage)));

    // One within the tree hides nothing.
    let tree = Fixture::new();
    tree.image("demo", "image", &["latest"]);
    let unlinked = tree.foreign_data(b"unlinked");
    symlink("demo", tree.path("repositories/again")).expect("linked");
    tree.age();
    assert_eq!(tree.collect_untagged().await.problem_count, 0);
    assert!(!tree.exists(&data(&unlinked)));
}

#[tokio::test]
async fn what_is_not_ours_stays() {
    let tree = Fixture::new();
    tree.image("demo", "image", &["latest"]);
    let foreign = [
        "lost+found/file",
        "blobs/.DS_Store",
        "blobs/sha256/@eaDir/file",
        "blobs/sha256/ab/notes",
        "blobs/sha384/ab/abcd/data",
        "repositories/Upper/_layers/file",
        "repositories/demo/notes",
        "repositories/demo/_layers/sha256/notes/link",
        "repositories/demo/_manifests/revisions/sha256/file",
        "repositories/demo/_manifests/tags/file",
    ];
    for path in foreign {
        tree.write(path, "foreign");
    }
    let blob = sha256("no file");
    tree.create_dir(&data(&blob));
    tree.age();
    let before = tree.files();
    let report = tree.collect_untagged().await;
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    assert_eq!(tree.files(), before);
    assert!(tree.exists(&data(&blob)));
}

#[tokio::test]
async fn what_is_no_registry_is_refused_before_anything_is_deleted() {
    let refused = |tree: Fixture| async move {
        tree.age();
        let before = tree.files();
        let error = collect(&tree.storage, untagged()).await;
        assert!(
            matches!(error, Err(StorageError::Backend { .. })),
            "{error:?}"
        );
        assert_eq!(tree.files(), before);
    };
    refused(Fixture::new()).await;

    let tree = Fixture::new();
    tree.foreign_data(b"unlinked");
    refused(tree).await;

    // A volume that is not mounted.
    let tree = Fixture::new();
    tree.foreign_data(b"unlinked");
    tree.create_dir("repositories");
    refused(tree).await;

    // One that cannot be listed, after one with garbage.
    for part in ["", "/_layers/sha256", "/_manifests/tags"] {
        let tree = Fixture::new();
        tree.foreign_blob("a", b"garbage");
        tree.image("b", "image", &["latest"]);
        let path = tree.path(&format!("repositories/b{part}"));
        let beside = path.with_extension("old");
        fs::rename(&path, &beside).expect("moved");
        if part.is_empty() {
            // Without a right to look; root has all rights.
            if rustix::process::geteuid().is_root() {
                continue;
            }
            fs::rename(&beside, &path).expect("moved");
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("set");
        } else {
            symlink(path.file_name().expect("a name"), &path).expect("a circle");
        }
        refused(tree).await;
    }
}
