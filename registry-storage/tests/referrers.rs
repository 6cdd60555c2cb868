//! The referrers of trees that another program has written, or writes in between.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;
use std::time::Duration;

use common::*;
use registry_spec::storage::Storage;
use registry_spec::types::Digest;

fn sorted(digests: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
    let mut digests: Vec<Digest> = digests.into_iter().collect();
    digests.sort();
    digests
}

/// Lets the file system's clock move on, so that what was just scanned counts
/// as settled.
fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

#[tokio::test]
async fn a_tree_of_distributions_has_its_referrers() {
    let fixture = Fixture::new();
    let subject = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    let own = sorted(
        (0..3).map(|n| fixture.foreign_manifest("a", &signature(&n.to_string(), &subject), &[])),
    );
    fixture.foreign_manifest("a", &signature("x", &sha256("another")), &[]);
    fixture.foreign_manifest("b", &signature("x", &subject), &[]);
    for storage in [&fixture.storage, &fixture.restarted()] {
        assert_eq!(referrers(storage, "a", &subject).await, own);
        assert_eq!(referrers(storage, "a", &sha256("another")).await.len(), 1);
        assert_eq!(referrers(storage, "b", &subject).await.len(), 1);
    }
}

#[tokio::test]
async fn what_distribution_adds_and_deletes_in_between_is_seen() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    let mut expected = Vec::new();
    for n in 0..6 {
        let bytes = signature(&n.to_string(), &subject);
        expected.push(match n % 2 {
            0 => fixture.foreign_manifest("a", &bytes, &[]),
            _ => {
                let mut put = put(&bytes, &[]);
                put.subject = Some(subject);
                storage.put_manifest(&name("a"), put).await.expect("put");
                sha256(&bytes)
            }
        });
        let expected = sorted(expected.clone());
        assert_eq!(referrers(storage, "a", &subject).await, expected);
        settle();
        // Twice settled, so that the second comes from the index alone.
        assert_eq!(referrers(storage, "a", &subject).await, expected);
        assert_eq!(referrers(storage, "a", &subject).await, expected);
    }
    // Distribution deletes the link and leaves the directory.
    let gone = expected.remove(2);
    fixture.remove(&revision("a", &gone));
    assert_eq!(
        referrers(storage, "a", &subject).await,
        sorted(expected.clone())
    );
    // And may write it again, with no trace in the directory above.
    settle();
    referrers(storage, "a", &subject).await;
    fixture.write(&revision("a", &gone), gone.to_string());
    expected.push(gone);
    assert_eq!(referrers(storage, "a", &subject).await, sorted(expected));
}

#[tokio::test]
async fn a_directory_that_gets_its_link_later_is_not_missed() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = sha256("subject");
    let bytes = signature("s", &subject);
    let digest = sha256(&bytes);
    fixture.create_dir(&revision("a", &digest).replace("/link", ""));
    settle();
    for _ in 0..2 {
        assert_eq!(referrers(storage, "a", &subject).await, []);
    }
    fixture.foreign_manifest("a", &bytes, &[]);
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
}

#[tokio::test]
async fn what_we_delete_and_distribution_pushes_again_is_back() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = sha256("subject");
    let bytes = signature("s", &subject);
    let digest = fixture.foreign_manifest("a", &bytes, &[]);
    settle();
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
    storage
        .delete_manifest(&name("a"), &digest)
        .await
        .expect("deleted");
    assert_eq!(referrers(storage, "a", &subject).await, []);
    settle();
    assert_eq!(referrers(storage, "a", &subject).await, []);
    fixture.foreign_manifest("a", &bytes, &[]);
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
}

#[tokio::test]
async fn what_we_delete_beside_other_files_and_distribution_pushes_again_is_back() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = sha256("subject");
    let bytes = signature("s", &subject);
    let digest = fixture.foreign_manifest("a", &bytes, &[]);
    // An old signature, which keeps the directory.
    let link = revision("a", &digest);
    fixture.write(&link.replace("/link", "/signatures/sha256/x/link"), "x");
    settle();
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
    storage
        .delete_manifest(&name("a"), &digest)
        .await
        .expect("deleted");
    fixture.foreign_manifest("a", &bytes, &[]);
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
}

#[tokio::test]
async fn a_lost_or_broken_index_is_made_again() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = sha256("subject");
    let digest = fixture.foreign_manifest("a", &signature("s", &subject), &[]);
    settle();
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
    let indexed = fixture.path("repositories/a/_referrers/indexed");
    let text = fs::read_to_string(&indexed).expect("written");
    // Within one boot the file is whole: it was put in place by a rename.
    let boot = text.split(' ').nth(1).expect("the boot's id");
    let text = text.replace(boot, "another-boot");
    let entry = format!(
        "repositories/a/_referrers/{}/{}/link",
        pair(&subject),
        pair(&digest)
    );
    for broken in ["", "\0\0\0\0", "1\n", &text[..text.len() / 2]] {
        fs::write(&indexed, broken).expect("written");
        // As a power cut leaves it.
        fixture.write(&entry, "");
        assert_eq!(
            referrers(storage, "a", &subject).await,
            [digest],
            "{broken:?}"
        );
    }
    fs::remove_dir_all(fixture.path("repositories/a/_referrers")).expect("removed");
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
}

#[tokio::test]
async fn another_boot_does_not_rely_on_entries_that_may_be_lost() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let subject = sha256("subject");
    let digest = fixture.foreign_manifest("a", &signature("s", &subject), &[]);
    settle();
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
    let indexed = "repositories/a/_referrers/indexed";
    let text = fs::read_to_string(fixture.path(indexed)).expect("written");
    let boot = text.split(' ').nth(1).expect("the boot's id");
    fixture.write(indexed, text.replace(boot, "another-boot"));
    fs::remove_dir_all(fixture.path(&format!("repositories/a/_referrers/{}", pair(&subject))))
        .expect("removed");
    assert_eq!(referrers(storage, "a", &subject).await, [digest]);
}

#[tokio::test]
async fn an_unknown_repository_is_not_created_by_asking() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = sha256("x");
    assert_eq!(referrers(storage, "a", &digest).await, []);
    let _ = storage.delete_manifest(&name("a"), &digest).await;
    let _ = storage.delete_tag(&name("a"), &tag("v1")).await;
    let _ = storage.delete_blob(&name("a"), &digest).await;
    let _ = storage.mount_blob(&name("a"), &digest, None).await;
    assert!(!fixture.path("repositories").exists());
}
