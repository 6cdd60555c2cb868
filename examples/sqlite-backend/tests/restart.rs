//! What was acknowledged is there after a restart, and sessions go on.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use common::*;
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, Reference};
use sqlite_backend::SqliteStorage;

#[tokio::test]
async fn content_is_kept() {
    let dir = Dir::new();
    let storage = dir.open();
    let blob = push_blob(&storage, "a", "hello").await.expect("is pushed");
    let mut put = manifest("one", "v1");
    put.subject = Some(blob);
    let digest = put.digest;
    storage
        .put_manifest(&name("a/b"), put)
        .await
        .expect("is pushed");
    drop(storage);

    let storage = dir.open();
    assert_eq!(
        read_blob(&storage, "a", &blob).await.expect("is there"),
        b"hello"
    );
    let tag: Reference = "v1".parse().expect("a tag");
    let stored = storage.read_manifest(&name("a/b"), &tag).await;
    assert_eq!(stored.expect("is there").digest, digest);
    let referrers = storage.list_referrers(&name("a/b"), &blob, None, 10).await;
    assert_eq!(referrers.expect("a list").items, [digest]);
    let repositories = storage.list_repositories(None, 10).await;
    assert_eq!(repositories.expect("a list").items, [name("a/b")]);
}

/// With the hash that was saved, and by another algorithm.
#[tokio::test]
async fn a_session_goes_on() {
    for (begun, ended) in [
        (Algorithm::Sha256, Algorithm::Sha256),
        (Algorithm::Sha512, Algorithm::Sha256),
    ] {
        let dir = Dir::new();
        session_goes_on(&dir, begun, ended, |_| {}).await;
    }
}

/// As one is that another version of the library saved.
#[tokio::test]
async fn a_session_goes_on_when_its_hash_is_of_no_use() {
    let dir = Dir::new();
    session_goes_on(&dir, Algorithm::Sha256, Algorithm::Sha256, |dir| {
        let spoilt = dir
            .database()
            .execute("UPDATE uploads SET hash_state = x'00'", ());
        assert_eq!(spoilt.expect("is a row"), 1);
    })
    .await;
}

async fn session_goes_on(dir: &Dir, begun: Algorithm, ended: Algorithm, between: fn(&Dir)) {
    let name = name("a");
    let storage = dir.open();
    let id = storage.start_upload(&name, begun).await.expect("starts");
    let reached = storage.append_upload(&name, &id, 0, "hello ".into()).await;
    assert_eq!(reached.expect("is in order"), 6);
    drop(storage);
    between(dir);

    let storage = dir.open();
    assert_eq!(storage.stat_upload(&name, &id).await.expect("is open"), 6);
    let reached = storage.append_upload(&name, &id, 6, "world".into()).await;
    assert_eq!(reached.expect("is in order"), 11);
    drop(storage);

    let storage = dir.open();
    let digest = Digest::of(ended, b"hello world");
    storage
        .finish_upload(&name, &id, &digest)
        .await
        .expect("has that digest");
    let content = read_blob(&storage, "a", &digest).await.expect("is there");
    assert_eq!(content, b"hello world");
    assert_eq!(dir.uploads(), 0);
}

#[tokio::test]
async fn a_session_that_nobody_goes_on_with_is_dropped_in_the_end() {
    let dir = Dir::new();
    let storage = dir.open();
    let name = name("a");
    let old = storage
        .start_upload(&name, Algorithm::Sha256)
        .await
        .expect("starts");
    let new = storage
        .start_upload(&name, Algorithm::Sha256)
        .await
        .expect("starts");
    drop(storage);
    let sql = "UPDATE uploads SET changed_at = changed_at - 8 * 86400 WHERE id = ?1";
    dir.database()
        .execute(sql, [old.as_str()])
        .expect("is a row");

    let storage = dir.open();
    let stat = storage.stat_upload(&name, &old).await;
    assert!(matches!(stat, Err(StorageError::UploadUnknown)), "{stat:?}");
    assert_eq!(storage.stat_upload(&name, &new).await.expect("is open"), 0);
    assert_eq!(dir.uploads(), 1);
}

#[tokio::test]
async fn a_database_of_another_schema_is_refused() {
    let dir = Dir::new();
    drop(dir.open());
    let database = dir.database();
    database
        .pragma_update(None, "user_version", 2)
        .expect("is set");
    let path = database.path().expect("is a file").to_owned();
    let root = std::path::Path::new(&path).parent().expect("a directory");
    let opened = SqliteStorage::open(root);
    assert!(
        matches!(opened, Err(StorageError::Backend { .. })),
        "{opened:?}"
    );
}
