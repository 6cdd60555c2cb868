//! Removing abandoned upload sessions.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use common::*;
use futures_util::{StreamExt, stream};
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, Storage, StorageError};
use registry_spec::types::{Algorithm, UploadId};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn age(path: &Path, age: Duration) {
    File::open(path)
        .and_then(|file| file.set_modified(SystemTime::now() - age))
        .expect("aged");
}

async fn session(fixture: &Fixture, repository: &str, bytes: &'static str) -> UploadId {
    let id = fixture
        .storage
        .start_upload(&name(repository), Algorithm::Sha256)
        .await
        .expect("started");
    fixture
        .storage
        .append_upload(&name(repository), &id, 0, bytes.into())
        .await
        .expect("appended");
    id
}

#[tokio::test]
async fn sessions_without_recent_bytes_are_removed_in_every_repository() {
    let fixture = Fixture::new();
    let mut old = Vec::new();
    for repository in ["a", "a/b/c", "b"] {
        let id = session(&fixture, repository, "hello").await;
        age(&fixture.path(&upload(repository, &id, "data")), 2 * DAY);
        old.push((repository, id));
    }
    let young = session(&fixture, "a", "hello").await;
    // As after the clock was set back.
    let future = session(&fixture, "a", "hello").await;
    File::open(fixture.path(&upload("a", &future, "data")))
        .and_then(|file| file.set_modified(SystemTime::now() + DAY))
        .expect("aged");

    let stale = fixture.storage.stale_uploads(DAY).await.expect("counted");
    let purged = fixture.storage.purge_uploads(DAY).await.expect("purged");
    assert_eq!(stale, purged, "counting removes nothing");
    assert_eq!((purged.sessions, purged.bytes), (3, 15));
    for (repository, id) in old {
        let stat = fixture.storage.stat_upload(&name(repository), &id).await;
        assert!(matches!(stat, Err(StorageError::UploadUnknown)), "{stat:?}");
        let dir = fixture.path(&upload(repository, &id, ""));
        assert!(!dir.exists(), "{dir:?}");
    }
    for id in [young, future] {
        let stat = fixture.storage.stat_upload(&name("a"), &id).await;
        assert_eq!(stat.expect("open"), 5);
    }
    let again = fixture.storage.purge_uploads(DAY).await.expect("purged");
    assert_eq!((again.sessions, again.bytes), (0, 0));
}

#[tokio::test]
async fn what_distribution_would_keep_for_ever_is_removed() {
    let fixture = Fixture::new();
    // Without a date; without anything; and what a finish left behind.
    for (dir, file) in [
        ("undated", "data"),
        ("empty", ""),
        ("finished", "startedat"),
    ] {
        let dir = format!("repositories/a/_uploads/{dir}");
        fixture.create_dir(&dir);
        if !file.is_empty() {
            fixture.write(&format!("{dir}/{file}"), "x");
            age(&fixture.path(&format!("{dir}/{file}")), 2 * DAY);
        }
        age(&fixture.path(&dir), 2 * DAY);
    }
    fixture.create_dir("repositories/a/_uploads/young");
    let purged = fixture.storage.purge_uploads(DAY).await.expect("purged");
    assert_eq!((purged.sessions, purged.bytes), (3, 1));
    let left: Vec<_> = fs::read_dir(fixture.path("repositories/a/_uploads"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["young"]);
}

#[tokio::test]
async fn old_temporary_files_go_and_what_is_not_ours_stays() {
    let fixture = Fixture::new();
    let id = session(&fixture, "a", "hello").await;
    let gone = [
        upload("a", &id, "hashstate.json.1a2b.tmp"),
        "repositories/a/_uploads/x.1a2b.tmp".to_owned(),
    ];
    let kept = [
        upload("a", &id, "hashstate.json.young.tmp"),
        upload("a", &id, "notes"),
        "repositories/a/_uploads/notes".to_owned(),
    ];
    for path in gone.iter().chain(&kept) {
        fixture.write(path, "x");
        if !path.contains("young") {
            age(&fixture.path(path), 2 * DAY);
        }
    }
    let purged = fixture.storage.purge_uploads(DAY).await.expect("purged");
    assert_eq!(purged.sessions, 0);
    assert!(gone.iter().all(|path| !fixture.path(path).exists()));
    assert!(kept.iter().all(|path| fixture.path(path).exists()));
}

#[tokio::test]
async fn a_session_that_cannot_be_purged_does_not_keep_the_others() {
    let fixture = Fixture::new();
    let mut old = Vec::new();
    for repository in ["a", "b", "c"] {
        let id = session(&fixture, repository, "hello").await;
        let data = fixture.path(&upload(repository, &id, "data"));
        age(&data, 2 * DAY);
        if repository == "b" {
            // Not even root can open it.
            fs::remove_file(&data).expect("removed");
            std::os::unix::fs::symlink("data", &data).expect("linked");
        } else {
            old.push(data);
        }
    }
    let purged = fixture.storage.purge_uploads(DAY).await.expect("purged");
    assert_eq!((purged.sessions, purged.bytes), (2, 10));
    assert!(old.iter().all(|data| !data.exists()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_being_written_to_stays() {
    let fixture = Fixture::new();
    let id = session(&fixture, "a", "hello").await;
    let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
    let body = stream::once(async move {
        let _ = wait.await;
        Ok::<_, BoxError>(Bytes::from_static(b" world"))
    });
    let writer = tokio::spawn({
        let (storage, id) = (fixture.storage.clone(), id.clone());
        let body = ByteStream::new(body.boxed());
        async move { storage.append_upload(&name("a"), &id, 5, body).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    age(&fixture.path(&upload("a", &id, "data")), 2 * DAY);
    let purged = fixture
        .restarted()
        .purge_uploads(DAY)
        .await
        .expect("purged");
    assert_eq!(purged.sessions, 0);
    go_on.send(()).expect("it waits");
    assert_eq!(writer.await.expect("no panic").expect("appended"), 11);
}

#[tokio::test]
async fn a_tree_without_repositories_has_nothing_to_purge() {
    let fixture = Fixture::new();
    let purged = fixture.storage.purge_uploads(DAY).await.expect("purged");
    assert_eq!(purged.sessions, 0);
}
