//! A tree as a crash leaves it in the middle of each write, and requests that
//! end in the middle of theirs. (The crash after each single step is tested
//! beside the code, where the steps can be stopped.)

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use futures_util::{StreamExt, stream};
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, Storage, StorageError};
use registry_spec::types::{Algorithm, UploadId};

/// The files that a push of a tagged manifest writes, in their order.
fn files_of_a_put(digest: &registry_spec::types::Digest) -> [String; 4] {
    [
        data(digest),
        revision("a", digest),
        tag_file("a", "v1", &format!("index/{}/link", pair(digest))),
        tag_file("a", "v1", "current/link"),
    ]
}

#[tokio::test]
async fn a_manifest_is_there_once_its_link_is_and_tagged_once_current_is() {
    let image = image("x");
    let digest = sha256(&image);
    for (written, _) in files_of_a_put(&digest).iter().enumerate() {
        for half_written in ["", "half a file"] {
            let fixture = Fixture::new();
            let storage = &fixture.storage;
            let files = files_of_a_put(&digest);
            for file in &files[..written] {
                let is_data = file.ends_with("data");
                let link = digest.to_string();
                fixture.write(file, if is_data { &image } else { link.as_bytes() });
            }
            // The next one was being written beside its place.
            fixture.write(&format!("{}.1a2b.tmp", files[written]), half_written);

            let read = storage.read_manifest(&name("a"), &digest.into()).await;
            match written {
                0 | 1 => assert!(matches!(read, Err(StorageError::ManifestUnknown))),
                _ => assert_eq!(read.expect("linked").bytes, image),
            }
            assert_eq!(tagged(storage, "a", "v1").await, None);
            match storage.list_tags(&name("a"), None, ALL).await {
                Ok(page) => assert_eq!(page.items, []),
                Err(error) => assert!(matches!(error, StorageError::NameUnknown)),
            }

            push_manifest(storage, "a", &image, &["v1"]).await;
            assert_eq!(tagged(storage, "a", "v1").await, Some(digest));
            assert_eq!(tags(storage, "a").await, ["v1"]);
        }
    }
}

#[tokio::test]
async fn a_blob_is_there_once_its_link_is() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = sha256("layer");
    // Moved, not linked; the session lacks its data.
    let id = UploadId::random();
    fixture.write(&upload("a", &id, "startedat"), "2025-08-29T10:00:00Z");
    fixture.write(&data(&digest), "layer");
    assert!(!is_blob(storage, "a", &digest).await);
    let finish = storage.finish_upload(&name("a"), &id, &digest).await;
    assert!(
        matches!(finish, Err(StorageError::UploadUnknown)),
        "{finish:?}"
    );
    push_blob(storage, "a", b"layer").await;
    assert_eq!(read_blob(storage, "a", &digest).await, b"layer");
}

#[tokio::test]
async fn a_session_that_was_only_just_begun_is_unknown() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let id = UploadId::random();
    fixture.create_dir(&format!("repositories/a/_uploads/{id}"));
    let stat = storage.stat_upload(&name("a"), &id).await;
    assert!(matches!(stat, Err(StorageError::UploadUnknown)), "{stat:?}");
    let append = storage.append_upload(&name("a"), &id, 0, "x".into()).await;
    assert!(
        matches!(append, Err(StorageError::UploadUnknown)),
        "{append:?}"
    );
}

#[tokio::test]
async fn a_stale_tag_shows_again_only_with_its_manifest() {
    // Distribution deletes a manifest by its link, and may die before the tags.
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = fixture.foreign_manifest("a", &image("x"), &["v1"]);
    fixture.remove(&revision("a", &digest));
    assert_eq!(tagged(storage, "a", "v1").await, None);
    assert_eq!(tags(storage, "a").await, [""; 0]);
    // It can be untagged all the same.
    storage
        .delete_tag(&name("a"), &tag("v1"))
        .await
        .expect("deleted");
    push_manifest(storage, "a", &image("x"), &[]).await;
    assert_eq!(tags(storage, "a").await, [""; 0]);
}

fn content(len: usize) -> Bytes {
    (0..=250).cycle().take(len).collect()
}

/// A body that gives `bytes` in chunks of 1000 and then never ends.
fn stalling(bytes: &Bytes) -> ByteStream {
    let chunks: Vec<Result<Bytes, BoxError>> = bytes
        .chunks(1000)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    ByteStream::new(stream::iter(chunks).chain(stream::pending()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_append_leaves_a_session_that_goes_on_where_it_says() {
    let fixture = Fixture::new();
    let (repository, content) = (name("a"), content(3_000_000));
    for round in 0..20 {
        // Other values, as if each request came to another process.
        let (first, second) = (fixture.restarted(), fixture.restarted());
        let id = first
            .start_upload(&name("a"), Algorithm::Sha256)
            .await
            .expect("started");
        let append = first.append_upload(&repository, &id, 0, stalling(&content));
        let _ = tokio::time::timeout(Duration::from_millis(round), append).await;
        let at = second.stat_upload(&name("a"), &id).await.expect("open");
        let rest = content.slice(usize::try_from(at).expect("small")..);
        let reached = second
            .append_upload(&name("a"), &id, at, rest.into())
            .await
            .expect("goes on where it says");
        assert_eq!(reached, content.len() as u64);
        second
            .finish_upload(&name("a"), &id, &sha256(&content))
            .await
            .expect("finished");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_fails_leaves_what_was_written() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let id = storage
        .start_upload(&name("a"), Algorithm::Sha256)
        .await
        .expect("started");
    let chunks = [Ok(content(100_000)), Err("connection reset")];
    let append = storage
        .append_upload(&name("a"), &id, 0, ByteStream::new(stream::iter(chunks)))
        .await;
    assert!(
        matches!(&append, Err(StorageError::Body { source }) if source.to_string() == "connection reset"),
        "{append:?}"
    );
    let at = storage.stat_upload(&name("a"), &id).await.expect("open");
    assert_eq!(at, 100_000);
    storage
        .finish_upload(&name("a"), &id, &sha256(content(100_000)))
        .await
        .expect("finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_written_to_refuses_others_and_survives_them() {
    let fixture = Fixture::new();
    let storage = fixture.restarted();
    let id = storage
        .start_upload(&name("a"), Algorithm::Sha256)
        .await
        .expect("started");
    let writer = tokio::spawn({
        let (storage, id) = (storage.clone(), id.clone());
        async move {
            let slow = stream::iter(0..30).then(|_| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, BoxError>(Bytes::from_static(b"0123456789"))
            });
            storage
                .append_upload(&name("a"), &id, 0, ByteStream::new(slow))
                .await
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let other = fixture.restarted();
    let busy = other.append_upload(&name("a"), &id, 0, "x".into()).await;
    assert!(
        matches!(busy, Err(StorageError::OutOfOrder { at: 0, offset }) if offset > 0 && offset < 300),
        "{busy:?}"
    );
    assert_eq!(writer.await.expect("no panic").expect("appended"), 300);
    let digest = sha256("0123456789".repeat(30));
    other
        .finish_upload(&name("a"), &id, &digest)
        .await
        .expect("finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_cancelled_under_its_writer_is_gone_for_it_too() {
    let fixture = Fixture::new();
    let storage = fixture.restarted();
    let id = storage
        .start_upload(&name("a"), Algorithm::Sha256)
        .await
        .expect("started");
    let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
    let body = stream::iter([Ok::<_, BoxError>(Bytes::from_static(b"hello"))]).chain(stream::once(
        async move {
            let _ = wait.await;
            Ok(Bytes::from_static(b" world"))
        },
    ));
    let writer = tokio::spawn({
        let (storage, id) = (storage.clone(), id.clone());
        async move {
            storage
                .append_upload(&name("a"), &id, 0, ByteStream::new(body))
                .await
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    fixture
        .restarted()
        .cancel_upload(&name("a"), &id)
        .await
        .expect("cancelled");
    go_on.send(()).expect("it waits");
    let append = writer.await.expect("no panic");
    assert!(
        matches!(append, Err(StorageError::UploadUnknown)),
        "{append:?}"
    );
    assert!(!fixture.path(&upload("a", &id, "")).exists());
}

#[tokio::test]
async fn an_append_to_a_cancelled_session_ends_before_its_body() {
    let fixture = Fixture::new();
    let storage = fixture.restarted();
    let id = storage
        .start_upload(&name("a"), Algorithm::Sha256)
        .await
        .expect("started");
    let endless = stream::repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<_, BoxError>(Bytes::from_static(b"hello"))
    });
    let writer = tokio::spawn({
        let (storage, id) = (storage.clone(), id.clone());
        async move {
            storage
                .append_upload(&name("a"), &id, 0, ByteStream::new(endless))
                .await
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    storage
        .cancel_upload(&name("a"), &id)
        .await
        .expect("cancelled");
    let append = tokio::time::timeout(Duration::from_secs(10), writer).await;
    let append = append.expect("ended").expect("no panic");
    assert!(
        matches!(append, Err(StorageError::UploadUnknown)),
        "{append:?}"
    );
}

#[tokio::test]
async fn an_append_dropped_while_its_client_is_silent_saves_its_hash() {
    let fixture = Fixture::new();
    let id = fixture
        .storage
        .start_upload(&name("a"), Algorithm::Sha256)
        .await
        .expect("started");
    let repository = name("a");
    let append = fixture
        .storage
        .append_upload(&repository, &id, 0, stalling(&content(700_000)));
    let _ = tokio::time::timeout(Duration::from_millis(500), append).await;
    let state = fixture.path(&upload("a", &id, "hashstate.json"));
    let is_saved = || {
        let text = fs::read_to_string(&state).expect("a state");
        text.contains(r#""offset":700000"#)
    };
    for _ in 0..500 {
        if is_saved() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_saved());
}

#[tokio::test]
async fn a_tag_whose_delete_died_is_cleared_away() {
    let fixture = Fixture::new();
    push_manifest(&fixture.storage, "a", &image("x"), &["v1"]).await;
    fixture.remove(&tag_file("a", "v1", "current/link"));
    let delete = fixture.storage.delete_tag(&name("a"), &tag("v1")).await;
    assert!(
        matches!(delete, Err(StorageError::ManifestUnknown)),
        "{delete:?}"
    );
    assert!(!fixture.path(&tag_file("a", "v1", "")).exists());
}

#[tokio::test]
async fn a_file_cut_short_under_a_reader_fails_the_stream() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let content = content(1_000_000);
    let digest = push_blob(storage, "a", &content).await;
    let mut blob = storage
        .read_blob(&name("a"), &digest, None)
        .await
        .expect("opened");
    let first = blob.content.next().await.expect("a chunk").expect("read");
    assert_eq!(first, content.slice(..first.len()));
    let file = fs::OpenOptions::new()
        .write(true)
        .open(fixture.path(&data(&digest)))
        .expect("opened");
    file.set_len(500_000).expect("cut");
    let mut read = first.len();
    let error = loop {
        match blob.content.next().await.expect("not a clean end") {
            Ok(chunk) => read += chunk.len(),
            Err(error) => break error,
        }
    };
    assert!(read <= 500_000);
    let io = error
        .downcast_ref::<StorageError>()
        .and_then(std::error::Error::source)
        .and_then(std::error::Error::source)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .expect("an I/O error below");
    assert_eq!(io.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(
        blob.content.next().await.is_none(),
        "an error is the last item"
    );
}

#[tokio::test]
async fn a_reader_keeps_the_bytes_it_opened_while_they_are_replaced_or_deleted() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let content = content(700_000);
    let digest = push_blob(storage, "a", &content).await;
    let blob = storage
        .read_blob(&name("a"), &digest, Some(1..699_999))
        .await
        .expect("opened");
    push_blob(storage, "a", &content).await;
    storage
        .delete_blob(&name("a"), &digest)
        .await
        .expect("deleted");
    assert_eq!(blob.size, 700_000);
    let read = collect(blob.content).await.expect("read");
    assert!(read == content[1..699_999]);
}
