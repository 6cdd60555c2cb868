//! A crash between a file and its row, as far as a test can show one: the
//! commit fails, files and rows are taken away, the program starts again. A
//! power cut, which is what the syncs are for, none of these is.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;

use common::*;
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Algorithm, Digest};

async fn is_unknown(storage: &dyn Storage, digest: &Digest) {
    let stat = storage.stat_blob(&name("a"), digest).await;
    assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
    let read = storage.read_blob(&name("a"), digest, None).await;
    assert!(matches!(read, Err(StorageError::BlobUnknown)), "{read:?}");
    for from in [Some(name("a")), None] {
        let mount = storage.mount_blob(&name("b"), digest, from.as_ref()).await;
        assert!(matches!(mount, Err(StorageError::BlobUnknown)), "{mount:?}");
    }
}

/// Stops every transaction that would make a blob visible, in its last step.
fn stop_commits(dir: &Dir) {
    let sql = "CREATE TRIGGER crash AFTER INSERT ON repository_blobs
               BEGIN SELECT RAISE(ABORT, 'crash'); END";
    dir.database().execute_batch(sql).expect("a trigger");
}

fn let_commits_through(dir: &Dir) {
    dir.database()
        .execute_batch("DROP TRIGGER crash")
        .expect("is there");
}

#[tokio::test]
async fn a_file_without_its_row_is_no_blob_and_is_swept() {
    let dir = Dir::new();
    let storage = dir.open();
    stop_commits(&dir);
    let push = push_blob(&storage, "a", "hello").await;
    assert!(
        matches!(push, Err(StorageError::Backend { .. })),
        "{push:?}"
    );
    let digest = sha256(b"hello");
    // Moved already, and yet unseen.
    assert!(dir.blob(&digest).exists());
    is_unknown(&storage, &digest).await;
    drop(storage);
    let_commits_through(&dir);

    let storage = dir.open();
    assert!(!dir.blob(&digest).exists());
    is_unknown(&storage, &digest).await;
    push_blob(&storage, "a", "hello").await.expect("is pushed");
    assert_eq!(
        read_blob(&storage, "a", &digest).await.expect("is there"),
        b"hello"
    );
}

/// Another repository's blob is neither lost nor given away.
#[tokio::test]
async fn a_push_that_fails_leaves_the_blob_to_who_has_it() {
    let dir = Dir::new();
    let storage = dir.open();
    let digest = push_blob(&storage, "other", "hello")
        .await
        .expect("is pushed");
    stop_commits(&dir);
    let push = push_blob(&storage, "a", "hello").await;
    assert!(
        matches!(push, Err(StorageError::Backend { .. })),
        "{push:?}"
    );
    drop(storage);
    let storage = dir.open();
    let stat = storage.stat_blob(&name("a"), &digest).await;
    assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
    let content = read_blob(&storage, "other", &digest)
        .await
        .expect("is there");
    assert_eq!(content, b"hello");
}

/// A session whose file has moved is gone as a whole.
#[tokio::test]
async fn a_session_without_its_file_is_unknown() {
    let dir = Dir::new();
    let storage = dir.open();
    let name = name("a");
    let id = storage
        .start_upload(&name, Algorithm::Sha256)
        .await
        .expect("starts");
    let append = storage.append_upload(&name, &id, 0, "hello".into()).await;
    append.expect("is in order");
    stop_commits(&dir);
    let finish = storage.finish_upload(&name, &id, &sha256(b"hello")).await;
    assert!(
        matches!(finish, Err(StorageError::Backend { .. })),
        "{finish:?}"
    );
    let_commits_through(&dir);
    let again = storage.finish_upload(&name, &id, &sha256(b"hello")).await;
    assert!(
        matches!(again, Err(StorageError::UploadUnknown)),
        "{again:?}"
    );
}

/// What was written after the last record is not the session's.
#[tokio::test]
async fn bytes_that_were_not_recorded_are_written_over() {
    for rest in ["", "lo"] {
        let dir = Dir::new();
        let storage = dir.open();
        let name = name("a");
        let id = storage
            .start_upload(&name, Algorithm::Sha256)
            .await
            .expect("starts");
        let append = storage.append_upload(&name, &id, 0, "hel".into()).await;
        append.expect("is in order");
        drop(storage);
        let file = dir.upload(&id);
        fs::write(&file, "helXXXXXX").expect("is written");

        let storage = dir.open();
        assert_eq!(storage.stat_upload(&name, &id).await.expect("is open"), 3);
        let append = storage.append_upload(&name, &id, 3, rest.into()).await;
        append.expect("is in order");
        let content = format!("hel{rest}");
        let digest = sha256(content.as_bytes());
        storage
            .finish_upload(&name, &id, &digest)
            .await
            .expect("has that digest");
        let read = read_blob(&storage, "a", &digest).await.expect("is there");
        assert_eq!(read, content.as_bytes());
    }
}

/// A row whose file is gone or cut off is no blob, until it is pushed again.
#[tokio::test]
async fn a_row_without_its_bytes_is_no_blob() {
    let dir = Dir::new();
    let storage = dir.open();
    let digest = push_blob(&storage, "a", "hello").await.expect("is pushed");
    fs::write(dir.blob(&digest), "hel").expect("is cut off");
    is_unknown(&storage, &digest).await;
    fs::remove_file(dir.blob(&digest)).expect("is removed");
    is_unknown(&storage, &digest).await;
    push_blob(&storage, "a", "hello").await.expect("is pushed");
    assert_eq!(
        read_blob(&storage, "a", &digest).await.expect("is there"),
        b"hello"
    );
}

#[tokio::test]
async fn a_blob_that_nobody_has_leaves_no_file() {
    let dir = Dir::new();
    let storage = dir.open();
    let digest = push_blob(&storage, "a", "hello").await.expect("is pushed");
    let mount = storage.mount_blob(&name("b"), &digest, None).await;
    mount.expect("is mounted");
    storage
        .delete_blob(&name("a"), &digest)
        .await
        .expect("is there");
    assert!(dir.blob(&digest).exists());
    storage
        .delete_blob(&name("b"), &digest)
        .await
        .expect("is there");
    assert!(!dir.blob(&digest).exists());
}
