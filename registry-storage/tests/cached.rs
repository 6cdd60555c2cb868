//! What is answered from memory is as true as what is read: whoever changes
//! the tree, the next request sees it. What nobody changes, as a manifest's
//! bytes, is looked at each second.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;
use std::time::Duration;

use common::*;
use registry_spec::storage::Storage;
use registry_spec::types::Digest;
use registry_storage::FileSystem;

/// What is younger is read anew each time.
const SETTLED: Duration = Duration::from_millis(2100);
/// So long after an answer the file is looked at in another way.
const COLD: Duration = Duration::from_millis(1100);

async fn by_digest(storage: &FileSystem, digest: &Digest) -> bool {
    storage
        .read_manifest(&name("a"), &(*digest).into())
        .await
        .is_ok()
}

/// A manifest that has lain long enough to be remembered, and is.
async fn remembered(fixture: &Fixture) -> Digest {
    let digest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    tokio::time::sleep(SETTLED).await;
    for _ in 0..2 {
        assert_eq!(tagged(&fixture.storage, "a", "v1").await, Some(digest));
        assert!(by_digest(&fixture.storage, &digest).await);
    }
    digest
}

#[tokio::test]
async fn a_tag_moved_by_another_process_is_seen_by_the_next_read() {
    for wait in [Duration::ZERO, COLD] {
        let fixture = Fixture::new();
        let storage = &fixture.storage;
        remembered(&fixture).await;
        for content in ["y", "z"] {
            tokio::time::sleep(wait).await;
            let other = fixture.restarted();
            let moved = push_manifest(&other, "a", &image(content), &["v1"]).await;
            assert_eq!(tagged(storage, "a", "v1").await, Some(moved));
        }
    }
}

#[tokio::test]
async fn a_delete_by_another_process_is_seen_by_the_next_read() {
    for wait in [Duration::ZERO, COLD] {
        let fixture = Fixture::new();
        let storage = &fixture.storage;
        let digest = remembered(&fixture).await;
        tokio::time::sleep(wait).await;
        let other = fixture.restarted();
        other
            .delete_tag(&name("a"), &tag("v1"))
            .await
            .expect("deleted");
        assert_eq!(tagged(storage, "a", "v1").await, None);
        assert!(by_digest(storage, &digest).await);
        tokio::time::sleep(wait).await;
        other
            .delete_manifest(&name("a"), &digest)
            .await
            .expect("deleted");
        assert!(!by_digest(storage, &digest).await);
    }
}

#[tokio::test]
async fn a_tag_whose_revision_was_removed_is_gone() {
    let fixture = Fixture::new();
    let digest = remembered(&fixture).await;
    fixture.remove(&revision("a", &digest));
    assert!(!by_digest(&fixture.storage, &digest).await);
    // By hand: a registry would have removed the tag first.
    tokio::time::sleep(COLD).await;
    assert_eq!(tagged(&fixture.storage, "a", "v1").await, None);
}

#[tokio::test]
async fn content_that_was_collected_is_gone_and_comes_back() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = remembered(&fixture).await;
    fixture.remove(&data(&digest));
    tokio::time::sleep(COLD).await;
    assert_eq!(tagged(storage, "a", "v1").await, None);
    assert!(!by_digest(storage, &digest).await);
    fixture.foreign_data(&image("x"));
    assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
}

#[tokio::test]
async fn a_link_written_in_place_with_as_many_bytes_is_read_again() {
    for wait in [Duration::ZERO, COLD] {
        let fixture = Fixture::new();
        let first = remembered(&fixture).await;
        let second = fixture.foreign_manifest("a", &image("y"), &[]);
        tokio::time::sleep(wait).await;
        let link = tag_file("a", "v1", "current/link");
        // Many times, so that some fall into one tick of the clock.
        for _ in 0..500 {
            for digest in [&second, &first] {
                fixture.write(&link, digest.to_string());
                assert_eq!(tagged(&fixture.storage, "a", "v1").await, Some(*digest));
            }
        }
    }
}

#[tokio::test]
async fn a_restored_time_of_modification_hides_no_change() {
    let fixture = Fixture::new();
    remembered(&fixture).await;
    let second = fixture.foreign_manifest("a", &image("y"), &[]);
    let link = tag_file("a", "v1", "current/link");
    let modified = fs::metadata(fixture.path(&link)).and_then(|found| found.modified());
    fixture.write(&link, second.to_string());
    fs::File::options()
        .write(true)
        .open(fixture.path(&link))
        .expect("a link")
        .set_modified(modified.expect("a time"))
        .expect("set");
    assert_eq!(tagged(&fixture.storage, "a", "v1").await, Some(second));
}

#[tokio::test]
async fn a_repository_moved_away_is_gone_and_another_takes_its_place() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    remembered(&fixture).await;
    let other = fixture.foreign_manifest("b", &image("y"), &["v1"]);
    let path = |name: &str| fixture.path(&format!("repositories/{name}"));
    fs::rename(path("a"), path("aside")).expect("moved");
    assert_eq!(tagged(storage, "a", "v1").await, None);
    fs::rename(path("b"), path("a")).expect("moved");
    assert_eq!(tagged(storage, "a", "v1").await, Some(other));
}

#[tokio::test]
async fn a_blob_removed_by_another_process_is_gone() {
    for wait in [Duration::ZERO, COLD] {
        let fixture = Fixture::new();
        let storage = &fixture.storage;
        let digest = fixture.foreign_blob("a", b"layer");
        tokio::time::sleep(SETTLED).await;
        for _ in 0..2 {
            assert!(is_blob(storage, "a", &digest).await);
            assert_eq!(read_blob(storage, "a", &digest).await, b"layer");
        }
        tokio::time::sleep(wait).await;
        let removed = fixture.restarted().delete_blob(&name("a"), &digest).await;
        removed.expect("deleted");
        assert!(!is_blob(storage, "a", &digest).await);
        fixture.foreign_blob("a", b"layer");
        assert!(is_blob(storage, "a", &digest).await);
        fixture.remove(&data(&digest));
        assert!(!is_blob(storage, "a", &digest).await);
        let read = storage.read_blob(&name("a"), &digest, None).await;
        assert!(read.is_err());
    }
}
