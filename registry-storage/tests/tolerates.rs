//! What `registry:2` and `registry:3` leave in a tree, and what else is found
//! in one: a reader must take it as it is.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::error::Error as _;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use common::*;
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, Reference};
use registry_storage::filesystem::Access;
use tokio::time::timeout;

#[tokio::test]
async fn case_1_a_layer_link_that_names_another_digest_is_followed() {
    let fixture = Fixture::new();
    let content = fixture.foreign_data(b"layer");
    let pushed_as = Digest::of(Algorithm::Sha512, b"layer");
    fixture.write(&layer("a", &pushed_as), content.to_string());
    assert_eq!(read_blob(&fixture.storage, "a", &pushed_as).await, b"layer");
    // A mount takes the same way.
    fixture
        .storage
        .mount_blob(&name("b"), &pushed_as, Some(&name("a")))
        .await
        .expect("mounted");
    assert_eq!(read_blob(&fixture.storage, "b", &pushed_as).await, b"layer");
    let link = fs::read_to_string(fixture.path(&layer("b", &pushed_as)));
    assert_eq!(link.expect("a link"), content.to_string());
}

#[tokio::test]
async fn case_2_temporary_siblings_are_passed_over() {
    let fixture = Fixture::new();
    let image = image("x");
    let digest = fixture.foreign_manifest("a", &image, &["v1"]);
    let subject = sha256("subject");
    for path in [
        tag_file("a", "v1", "current/link.1a2b.tmp"),
        "repositories/a/_manifests/tags/link.1a2b.tmp".into(),
        format!("{}.1a2b.tmp", revision("a", &digest)),
        "repositories/a/_manifests/revisions/sha256/link.1a2b.tmp".into(),
        format!("{}.1a2b.tmp", data(&digest)),
        format!("repositories/a/_referrers/{}/sha256/x.tmp", pair(&subject)),
        "repositories/x.tmp".into(),
    ] {
        fixture.write(&path, "half a li");
    }
    let storage = &fixture.storage;
    assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
    assert_eq!(tags(storage, "a").await, ["v1"]);
    assert_eq!(referrers(storage, "a", &subject).await, []);
    assert_eq!(repositories(storage).await, ["a"]);
}

#[tokio::test]
async fn case_3_empty_and_truncated_links_are_absent_and_a_push_mends_them() {
    let image = image("x");
    for broken in ["", "sha256:abc", "\0\0\0\0", "sha256:"] {
        let fixture = Fixture::new();
        let storage = &fixture.storage;
        let digest = fixture.foreign_manifest("a", &image, &["v1", "v2"]);
        let blob = fixture.foreign_blob("a", b"layer");
        fixture.write(&tag_file("a", "v1", "current/link"), broken);
        fixture.write(&layer("a", &blob), broken);
        assert_eq!(tagged(storage, "a", "v1").await, None, "{broken:?}");
        assert_eq!(tags(storage, "a").await, ["v2"]);
        assert!(!is_blob(storage, "a", &blob).await);
        fixture.write(&revision("a", &digest), broken);
        assert_eq!(tagged(storage, "a", "v2").await, None);
        assert_eq!(tags(storage, "a").await, [""; 0]);

        push_blob(storage, "a", b"layer").await;
        push_manifest(storage, "a", &image, &["v1"]).await;
        assert!(is_blob(storage, "a", &blob).await);
        assert_eq!(tags(storage, "a").await, ["v1", "v2"]);
    }
}

#[tokio::test]
async fn case_3_a_link_may_end_with_a_newline_and_is_written_without() {
    let fixture = Fixture::new();
    let digest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    let link = tag_file("a", "v1", "current/link");
    fixture.write(&link, format!("{digest}\n"));
    assert_eq!(tagged(&fixture.storage, "a", "v1").await, Some(digest));
    push_manifest(&fixture.storage, "a", &image("x"), &["v1"]).await;
    let written = fs::read_to_string(fixture.path(&link)).expect("a link");
    assert_eq!(written, digest.to_string());
}

#[tokio::test]
async fn case_4_directories_left_empty_are_nothing() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let gone = sha256("gone");
    fixture.create_dir(&format!("repositories/a/_layers/{}", pair(&gone)));
    fixture.create_dir("repositories/a/_uploads");
    fixture.create_dir("repositories/a/_manifests/tags");
    fixture.create_dir(&format!(
        "repositories/a/_manifests/revisions/{}",
        pair(&gone)
    ));
    assert!(!is_blob(storage, "a", &gone).await);
    assert_eq!(tags(storage, "a").await, [""; 0]);
    assert_eq!(referrers(storage, "a", &gone).await, []);
    let read = storage.read_manifest(&name("a"), &gone.into()).await;
    assert!(
        matches!(read, Err(StorageError::ManifestUnknown)),
        "{read:?}"
    );
    let delete = storage.delete_manifest(&name("a"), &gone).await;
    assert!(
        matches!(delete, Err(StorageError::ManifestUnknown)),
        "{delete:?}"
    );
}

#[tokio::test]
async fn case_5_a_tag_without_current_is_hidden() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = fixture.foreign_manifest("a", &image("x"), &["v1", "v2"]);
    fixture.remove(&tag_file("a", "v1", "current/link"));
    fixture.create_dir(&tag_file("a", "v0", "current"));
    assert_eq!(tags(storage, "a").await, ["v2"]);
    assert_eq!(tagged(storage, "a", "v1").await, None);
    let delete = storage.delete_tag(&name("a"), &tag("v1")).await;
    assert!(
        matches!(delete, Err(StorageError::ManifestUnknown)),
        "{delete:?}"
    );
    push_manifest(storage, "a", &image("x"), &["v1"]).await;
    assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
}

#[tokio::test]
async fn case_6_links_to_what_garbage_collection_removed_prove_nothing() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let blob = fixture.foreign_blob("a", b"layer");
    let manifest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    fixture.remove(&data(&blob));
    fixture.remove(&data(&manifest));
    assert!(!is_blob(storage, "a", &blob).await);
    let read = storage.read_blob(&name("a"), &blob, None).await;
    assert!(matches!(read, Err(StorageError::BlobUnknown)), "{read:?}");
    for from in [Some(name("a")), None] {
        let mount = storage.mount_blob(&name("b"), &blob, from.as_ref()).await;
        assert!(matches!(mount, Err(StorageError::BlobUnknown)), "{mount:?}");
    }
    assert_eq!(tagged(storage, "a", "v1").await, None);
    assert_eq!(tags(storage, "a").await, [""; 0]);
    // Pushed again, it is back.
    push_blob(storage, "a", b"layer").await;
    assert_eq!(read_blob(storage, "a", &blob).await, b"layer");
}

#[tokio::test]
async fn case_7_old_signatures_are_passed_over_and_kept() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    let dir = revision("a", &digest).replace("/link", "");
    let signature = format!("{dir}/signatures/{}/link", pair(&sha256("jws")));
    fixture.write(&signature, sha256("jws").to_string());
    assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
    storage
        .delete_manifest(&name("a"), &digest)
        .await
        .expect("deleted");
    assert_eq!(tagged(storage, "a", "v1").await, None);
    assert!(fixture.path(&signature).exists());
}

#[tokio::test]
async fn case_8_a_later_versions_referrers_are_passed_over() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    let dir = revision("a", &digest).replace("/link", "");
    let other = sha256("other");
    fixture.write(
        &format!("{dir}/_referrers/_application.x/{}/link", pair(&other)),
        other.to_string(),
    );
    assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
    assert_eq!(referrers(storage, "a", &digest).await, []);
}

#[tokio::test]
async fn case_9_repositories_without_manifests_are_not_in_the_catalog() {
    let fixture = Fixture::new();
    fixture.foreign_blob("only/layers", b"layer");
    fixture.create_dir("repositories/only/uploads/_uploads");
    fixture.create_dir("repositories/empty");
    fixture.foreign_manifest("whole", &image("x"), &[]);
    assert_eq!(repositories(&fixture.storage).await, ["whole"]);
    let list = fixture
        .storage
        .list_tags(&name("only/layers"), None, ALL)
        .await;
    assert!(matches!(list, Err(StorageError::NameUnknown)), "{list:?}");
    assert_eq!(tags(&fixture.storage, "whole").await, [""; 0]);
}

#[tokio::test]
async fn case_10_foreign_entries_are_passed_over() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let image = image("x");
    let subject = sha256("subject");
    let digest = fixture.foreign_manifest("a", &image, &["v1"]);
    let signature = fixture.foreign_manifest("a", &signature("s", &subject), &[]);
    for dir in [
        "",
        "blobs/",
        "blobs/sha256/",
        "repositories/",
        "repositories/a/",
        "repositories/a/_manifests/",
        "repositories/a/_manifests/tags/",
        "repositories/a/_manifests/revisions/",
        "repositories/a/_manifests/revisions/sha256/",
        "repositories/a/_referrers/",
        "repositories/a/_uploads/",
    ] {
        for file in [".nfs0000000012", ".DS_Store", "notes.txt", "README"] {
            fixture.write(&format!("{dir}{file}"), "not ours");
        }
        for foreign in ["lost+found", "@eaDir", ".Trash-1000"] {
            fixture.write(&format!("{dir}{foreign}/_manifests/x"), "not ours");
        }
    }
    let circle = fixture.path("repositories/a/circle");
    symlink("..", circle).expect("linked");
    assert_eq!(repositories(storage).await, ["a"]);
    // `notes.txt` and `README` could be tags, but have no link.
    assert_eq!(tags(storage, "a").await, ["v1"]);
    assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
    assert_eq!(tagged(storage, "a", "README").await, None);
    assert_eq!(referrers(storage, "a", &subject).await, [signature]);
    storage
        .delete_manifest(&name("a"), &digest)
        .await
        .expect("deleted");
    assert_eq!(tags(storage, "a").await, [""; 0]);
}

#[tokio::test]
async fn case_10_a_file_where_a_directory_should_be_is_nothing() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = sha256("x");
    fixture.write("repositories/a", "a file");
    fixture.create_dir(&layer("b", &digest));
    fixture.create_dir(&tag_file("b", "v1", "current/link"));
    fixture.write("repositories/b/_manifests/revisions", "a file");
    for repository in ["a", "b"] {
        assert!(!is_blob(storage, repository, &digest).await);
        assert_eq!(tagged(storage, repository, "v1").await, None);
        assert_eq!(referrers(storage, repository, &digest).await, []);
    }
    assert_eq!(repositories(storage).await, ["b"]);
    // The data of a blob, too.
    fixture.write(&layer("c", &digest), digest.to_string());
    fixture.create_dir(&data(&digest));
    assert!(!is_blob(storage, "c", &digest).await);
}

/// As root, permissions bind nobody; this test then shows nothing.
#[tokio::test]
async fn case_10_a_fifo_in_the_place_of_a_file_holds_nobody_up_and_a_push_mends_it() {
    let image = image("x");
    // With a writer that says nothing, and without one.
    for is_held in [false, true] {
        let fixture = Fixture::new();
        let digest = fixture.foreign_manifest("a", &image, &["v1"]);
        let blob = fixture.foreign_blob("a", b"layer");
        let other = fixture.foreign_blob("a", b"another");
        let places = [
            tag_file("a", "v1", "current/link"),
            revision("a", &digest),
            data(&digest),
            layer("a", &blob),
            data(&other),
            "repositories/a/_referrers/indexed".into(),
        ];
        let mut held = Vec::new();
        for place in places {
            let path = fixture.path(&place);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            let _ = fs::remove_file(&path);
            let made = Command::new("mkfifo").arg(&path).status();
            assert!(made.expect("run").success());
            if is_held {
                let writer = File::options().read(true).write(true).open(path);
                held.push(writer.expect("open"));
            }
        }
        let work = async {
            let storage = &fixture.restarted();
            assert_eq!(tagged(storage, "a", "v1").await, None);
            let (name, reference) = (name("a"), Reference::Digest(digest));
            let error = storage.read_manifest(&name, &reference).await;
            assert!(matches!(error, Err(StorageError::ManifestUnknown)));
            assert!(!is_blob(storage, "a", &blob).await);
            assert!(!is_blob(storage, "a", &other).await);
            let error = storage.read_blob(&name, &other, None).await;
            assert!(matches!(error, Err(StorageError::BlobUnknown)));
            assert_eq!(referrers(storage, "a", &digest).await, []);

            push_blob(storage, "a", b"layer").await;
            push_blob(storage, "a", b"another").await;
            push_manifest(storage, "a", &image, &["v1"]).await;
            assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
            assert_eq!(read_blob(storage, "a", &blob).await, b"layer");
            assert_eq!(read_blob(storage, "a", &other).await, b"another");
        };
        let done = timeout(Duration::from_secs(20), work).await;
        // A thread that waits for ever would keep the runtime from ending.
        let Ok(()) = done else {
            eprintln!("held up by a FIFO");
            std::process::exit(1);
        };
    }
}

#[tokio::test]
async fn case_11_a_tree_that_cannot_be_written_is_served() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = sha256("subject");
    let blob = fixture.foreign_blob("a", b"layer");
    let digest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    let signature = fixture.foreign_manifest("a", &signature("s", &subject), &[]);
    let dirs = [
        "",
        "repositories",
        "repositories/a",
        "blobs",
        "blobs/sha256",
    ];
    let set_mode = |mode| {
        for dir in dirs {
            fs::set_permissions(fixture.path(dir), Permissions::from_mode(mode)).expect("set");
        }
    };
    set_mode(0o555);
    if fs::write(fixture.path("probe"), "").is_ok() {
        eprintln!("skipped: this user may write anywhere");
        return;
    }
    let Access::ReadOnly { reason } = storage.prepare().await.expect("readable") else {
        panic!("not writable");
    };
    let reason = reason.source().expect("a source").to_string();
    assert!(
        reason.contains(&*fixture.path("").to_string_lossy()),
        "{reason}"
    );
    assert!(reason.contains("as uid "), "{reason}");

    assert_eq!(read_blob(storage, "a", &blob).await, b"layer");
    assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
    assert_eq!(tags(storage, "a").await, ["v1"]);
    assert_eq!(referrers(storage, "a", &subject).await, [signature]);
    assert_eq!(repositories(storage).await, ["a"]);
    let push = storage.start_upload(&name("a"), Algorithm::Sha256).await;
    assert!(
        matches!(push, Err(StorageError::Backend { .. })),
        "{push:?}"
    );

    // One that cannot be read either is an error, not an empty registry.
    fs::set_permissions(fixture.path("blobs"), Permissions::from_mode(0o000)).expect("set");
    let stat = storage.stat_blob(&name("a"), &blob).await;
    let Err(error @ StorageError::Backend { .. }) = stat else {
        panic!("{stat:?}");
    };
    let source = error.source().expect("a source");
    assert!(source.to_string().contains("as uid "), "{source}");
    assert!(source.source().is_some());
    set_mode(0o755);
}

#[tokio::test]
async fn case_11_referrers_are_right_where_no_index_can_be_written() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = sha256("subject");
    let mut expected: Vec<Digest> = (0..5)
        .map(|n| fixture.foreign_manifest("a", &signature(&n.to_string(), &subject), &[]))
        .collect();
    expected.sort();
    fixture.foreign_manifest("a", &signature("another", &sha256("else")), &[]);
    // Not even root can write below a file.
    fixture.write("repositories/a/_referrers", "in the way");
    assert_eq!(referrers(storage, "a", &subject).await, expected);
    let page = storage
        .list_referrers(&name("a"), &subject, Some(&expected[1]), 2)
        .await
        .expect("listed");
    assert_eq!((page.items, page.more), (expected[2..4].to_vec(), true));
}

#[tokio::test]
async fn case_11_a_root_that_cannot_be_had_is_told_in_one_line() {
    let fixture = Fixture::new();
    assert!(matches!(
        fixture.storage.prepare().await,
        Ok(Access::ReadWrite)
    ));
    assert!(fixture.path("").is_dir());
    let left: Vec<_> = fs::read_dir(fixture.path("")).expect("listed").collect();
    assert!(left.is_empty(), "{left:?}");

    let file = fixture.root().join("file");
    fs::write(&file, "").expect("written");
    let error = registry_storage::FileSystem::new(&file)
        .prepare()
        .await
        .expect_err("a file is no root");
    let text = error.source().expect("a source").to_string();
    assert!(text.contains(&*file.to_string_lossy()), "{text}");
    assert!(text.contains("as uid ") && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn case_11_a_tree_that_cannot_be_read_is_told() {
    let fixture = Fixture::new();
    // Not even root can follow it.
    std::os::unix::fs::symlink("docker", fixture.root().join("docker")).expect("linked");
    let error = fixture.storage.prepare().await.expect_err("not readable");
    let text = error.source().expect("a source").to_string();
    assert!(text.starts_with("cannot list "), "{text}");
}

#[tokio::test]
async fn case_11_a_repository_that_cannot_be_looked_at_is_told() {
    let fixture = Fixture::new();
    fixture.create_dir("repositories/a");
    let manifests = fixture.path("repositories/a/_manifests");
    std::os::unix::fs::symlink("_manifests", manifests).expect("linked");
    let list = fixture.storage.list_repositories(None, ALL).await;
    assert!(
        matches!(list, Err(StorageError::Backend { .. })),
        "{list:?}"
    );
}

#[tokio::test]
async fn case_12_a_blob_directory_without_data_is_no_blob() {
    let fixture = Fixture::new();
    let digest = sha256("layer");
    fixture.create_dir(&data(&digest).replace("/data", ""));
    fixture.write(&layer("a", &digest), digest.to_string());
    assert!(!is_blob(&fixture.storage, "a", &digest).await);
    push_blob(&fixture.storage, "a", b"layer").await;
    assert!(is_blob(&fixture.storage, "a", &digest).await);
}

#[tokio::test]
async fn case_12_data_that_lost_its_bytes_is_no_blob_and_a_push_mends_it() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let blob = fixture.foreign_blob("a", b"layer");
    let manifest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    fixture.write(&data(&blob), "");
    fixture.write(&data(&manifest), "");
    assert!(!is_blob(storage, "a", &blob).await);
    assert_eq!(tagged(storage, "a", "v1").await, None);
    push_blob(storage, "a", b"layer").await;
    push_manifest(storage, "a", &image("x"), &[]).await;
    assert_eq!(read_blob(storage, "a", &blob).await, b"layer");
    assert_eq!(tagged(storage, "a", "v1").await, Some(manifest));
    // What was cut short is replaced as well.
    fixture.write(&data(&blob), "lay");
    push_blob(storage, "a", b"layer").await;
    assert_eq!(read_blob(storage, "a", &blob).await, b"layer");
}

#[tokio::test]
async fn case_13_the_catalog_sorts_a_slash_lowest() {
    let fixture = Fixture::new();
    let names = ["a", "a/b", "a/b/c", "a/b-c", "a-b", "a-b/c", "a.b", "b/c/d"];
    for repository in names {
        fixture.foreign_manifest(repository, &image("x"), &[]);
    }
    assert_eq!(repositories(&fixture.storage).await, names);
    for (index, after) in names.iter().enumerate() {
        let page = fixture
            .storage
            .list_repositories(Some(&name(after)), 2)
            .await
            .expect("listed");
        let rest = &names[index + 1..];
        let items: Vec<String> = page.items.iter().map(ToString::to_string).collect();
        assert_eq!(items, rest[..rest.len().min(2)]);
        assert_eq!(page.more, rest.len() > 2);
    }
    // From a place where there is nothing.
    for (after, first) in [
        ("0", "a"),
        ("a/a", "a/b"),
        ("a/b/a", "a/b/c"),
        ("a/b/d", "a/b-c"),
    ] {
        let page = fixture
            .storage
            .list_repositories(Some(&name(after)), 1)
            .await
            .expect("listed");
        assert_eq!(page.items, [name(first)], "{after}");
    }
}

#[tokio::test]
async fn a_directory_of_many_repositories_is_listed_whole() {
    let fixture = Fixture::new();
    let mut names: Vec<String> = (0..600).map(|n| format!("many/r{n}")).collect();
    for repository in &names {
        fixture.create_dir(&format!("repositories/{repository}/_manifests"));
    }
    names.sort();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = fixture
            .storage
            .list_repositories(after.as_ref(), 70)
            .await
            .expect("listed");
        after = page.items.last().cloned();
        listed.extend(page.items.iter().map(ToString::to_string));
        if !page.more {
            break;
        }
    }
    assert_eq!(listed, names);
}

#[tokio::test]
async fn docker_schema_1_and_what_is_no_manifest_are_unknown() {
    let fixture = Fixture::new();
    let huge = vec![b' '; 17 * 1024 * 1024];
    for bytes in [
        &br#"{"schemaVersion":1,"name":"a","tag":"v1"}"#[..],
        b"not json",
        b"\0\0\0\0",
        &huge,
    ] {
        fixture.foreign_manifest("a", bytes, &["v1"]);
        assert_eq!(tagged(&fixture.storage, "a", "v1").await, None);
        assert_eq!(referrers(&fixture.storage, "a", &sha256("x")).await, []);
    }
}
