//! Upload sessions in object stores: several replicas, and failures.

#![cfg(feature = "object-store")]

mod object_store_wrapper;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use object_store_wrapper::Wrapper;
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, RepositoryName, UploadId};
use registry_storage::ObjectStorage;
use registry_storage::object::Bucket;
use tokio::time::{Instant, sleep, timeout};

const PART: usize = 1000;

fn replica(store: Arc<dyn ObjectStore>) -> ObjectStorage {
    ObjectStorage::builder(Bucket::new(store))
        .part_size(PART)
        .build()
}

fn name() -> RepositoryName {
    "a/b".parse().expect("valid")
}

fn content(len: usize) -> Bytes {
    (0..len)
        .map(|at| (at * 31 + at / 251).to_le_bytes()[0])
        .collect()
}

fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

async fn start(storage: &ObjectStorage) -> UploadId {
    let id = storage.start_upload(&name(), Algorithm::Sha256).await;
    id.expect("a session starts")
}

/// A body that begins with `content` and then never goes on.
fn stalled(content: Bytes) -> ByteStream {
    let first = stream::iter([Ok::<_, BoxError>(content)]);
    ByteStream::new(first.chain(stream::pending()))
}

async fn read(storage: &ObjectStorage, digest: &Digest) -> Bytes {
    let blob = storage.read_blob(&name(), digest, None).await;
    let chunks: Vec<Bytes> = blob
        .expect("the blob opens")
        .content
        .try_collect()
        .await
        .expect("the blob reads");
    chunks.concat().into()
}

async fn keys(store: &dyn ObjectStore) -> Vec<String> {
    let objects: Vec<_> = store.list(None).try_collect().await.expect("lists");
    objects
        .into_iter()
        .map(|object| object.location.to_string())
        .collect()
}

fn session_key(id: &UploadId) -> Path {
    Path::from(format!(
        "docker/registry/v2/repositories/a/b/_uploads/{id}/session"
    ))
}

async fn session_text(store: &dyn ObjectStore, id: &UploadId) -> String {
    let got = store.get(&session_key(id)).await.expect("is there");
    let bytes = got.bytes().await.expect("reads");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn claimed(store: &dyn ObjectStore, id: &UploadId) {
    while session_text(store, id).await.contains(r#""writer":null"#) {
        sleep(Duration::from_millis(1)).await;
    }
}

fn is_out_of_order(result: &Result<u64, StorageError>, at: u64) -> bool {
    matches!(result, Err(StorageError::OutOfOrder { offset, .. }) if *offset == at)
}

#[tokio::test]
async fn replicas_take_turns() {
    let store = Arc::new(InMemory::new());
    let replicas = [0, 1].map(|_| replica(Arc::clone(&store) as _));
    let whole = content(10 * PART + 1);
    for chunk in [1, 333, PART, 2 * PART + 500] {
        let id = start(&replicas[0]).await;
        let mut at = 0;
        for (index, chunk) in whole.chunks(chunk).enumerate() {
            let turn = &replicas[index % 2];
            let body = Bytes::copy_from_slice(chunk).into();
            let reached = turn.append_upload(&name(), &id, at, body).await;
            at = reached.expect("is in order");
            let seen = replicas[(index + 1) % 2].stat_upload(&name(), &id).await;
            assert_eq!(seen.expect("is known"), at);
        }
        let digest = sha256(&whole);
        let finished = replicas[1].finish_upload(&name(), &id, &digest).await;
        finished.expect("has that digest");
        assert!(read(&replicas[0], &digest).await == whole);
        assert!(
            !keys(&*store)
                .await
                .iter()
                .any(|key| key.contains("_uploads"))
        );
        replicas[0]
            .delete_blob(&name(), &digest)
            .await
            .expect("is there");
        let data = keys(&*store).await;
        for key in data {
            store.delete(&Path::from(key)).await.expect("is there");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_lives_keeps_its_session() {
    let store = Arc::new(InMemory::new());
    let [one, other] = [0, 1].map(|_| replica(Arc::clone(&store) as _));
    let id = start(&one).await;
    let writer = tokio::spawn({
        let (one, id) = (one.clone(), id.clone());
        let body = ByteStream::new(stream::iter([Ok::<_, BoxError>(content(2500))]).chain(
            stream::once(async {
                sleep(Duration::from_secs(120)).await;
                Ok(Bytes::from_static(b"end"))
            }),
        ));
        async move { one.append_upload(&name(), &id, 0, body).await }
    });
    claimed(&*store, &id).await;
    for _ in 0..3 {
        let began = Instant::now();
        let at = other.stat_upload(&name(), &id).await.expect("is known");
        let append = other.append_upload(&name(), &id, at, "x".into()).await;
        assert!(
            matches!(append, Err(StorageError::OutOfOrder { .. })),
            "{append:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(8));
        let finish = other.finish_upload(&name(), &id, &sha256(b"")).await;
        assert!(
            matches!(finish, Err(StorageError::OutOfOrder { .. })),
            "{finish:?}"
        );
    }
    assert_eq!(
        writer.await.expect("ends").expect("was not disturbed"),
        2503
    );
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_dead_writer_goes_on_elsewhere() {
    let store = Arc::new(InMemory::new());
    let wrapper = Arc::new(Wrapper::new(Arc::clone(&store)));
    let (dead, heir) = (
        replica(Arc::clone(&wrapper) as _),
        replica(Arc::clone(&store) as _),
    );
    let whole = content(6 * PART + 10);
    let id = start(&dead).await;
    dead.append_upload(&name(), &id, 0, whole.slice(..300).into())
        .await
        .expect("is in order");
    let mut writer = tokio::spawn({
        let (dead, id, body) = (dead.clone(), id.clone(), stalled(whole.slice(300..3500)));
        async move { dead.append_upload(&name(), &id, 300, body).await }
    });
    claimed(&*store, &id).await;
    wrapper.freeze(true);
    let at = heir.stat_upload(&name(), &id).await.expect("is known");
    assert!(at >= 300, "what was acknowledged is there");
    let rest = whole.slice(usize::try_from(at).expect("small")..);
    let began = Instant::now();
    let append = heir.append_upload(&name(), &id, at, rest.into()).await;
    assert_eq!(append.expect("is in order"), whole.len() as u64);
    assert!(
        began.elapsed() >= Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // The dead one wakes up: it writes nothing more.
    wrapper.freeze(false);
    let result = timeout(Duration::from_secs(30), &mut writer).await;
    let result = result.expect("ends by itself").expect("does not panic");
    assert!(is_out_of_order(&result, whole.len() as u64), "{result:?}");
    let digest = sha256(&whole);
    heir.finish_upload(&name(), &id, &digest)
        .await
        .expect("has that digest");
    assert!(read(&heir, &digest).await == whole);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_elsewhere_ends_an_append() {
    let store = Arc::new(InMemory::new());
    let [one, other] = [0, 1].map(|_| replica(Arc::clone(&store) as _));
    let id = start(&one).await;
    let writer = tokio::spawn({
        let (one, id, body) = (one.clone(), id.clone(), stalled(content(2500)));
        async move { one.append_upload(&name(), &id, 0, body).await }
    });
    claimed(&*store, &id).await;
    other.cancel_upload(&name(), &id).await.expect("is known");
    let result = writer.await.expect("does not panic");
    assert!(
        matches!(result, Err(StorageError::UploadUnknown)),
        "{result:?}"
    );
}

#[tokio::test]
async fn what_a_dropped_request_sent_is_kept() {
    let storage = replica(Arc::new(InMemory::new()));
    let whole = content(5 * PART + 77);
    for sent in [1, PART - 1, PART, PART + 1, 4 * PART + 5] {
        let id = start(&storage).await;
        let (name, body) = (name(), stalled(whole.slice(..sent)));
        let append = storage.append_upload(&name, &id, 0, body);
        assert!(timeout(Duration::from_millis(50), append).await.is_err());
        // It waits for what the dropped one puts aside.
        let rest = whole.slice(sent..);
        let append = storage
            .append_upload(&name, &id, sent as u64, rest.into())
            .await;
        assert_eq!(append.expect("is in order"), whole.len() as u64);
        let finish = storage.finish_upload(&name, &id, &sha256(&whole)).await;
        finish.expect("has that digest");
    }
}

#[tokio::test]
async fn what_a_failing_body_brought_is_kept() {
    let storage = replica(Arc::new(InMemory::new()));
    let whole = content(5 * PART);
    let id = start(&storage).await;
    let mut at = 0;
    for sent in [10, PART - 10, 1, 2 * PART, 999] {
        let body = stream::iter([
            Ok(whole.slice(at..at + sent)),
            Err::<_, BoxError>("connection reset".into()),
        ]);
        let body = ByteStream::new(body);
        let append = storage.append_upload(&name(), &id, at as u64, body).await;
        assert!(
            matches!(append, Err(StorageError::Body { .. })),
            "{append:?}"
        );
        at += sent;
        let offset = storage.stat_upload(&name(), &id).await;
        assert_eq!(offset.expect("is known"), at as u64);
    }
    let finish = storage
        .finish_upload(&name(), &id, &sha256(&whole[..at]))
        .await;
    finish.expect("has that digest");
}

/// Whatever request fails, before or after it was done, the push can go on.
#[tokio::test(start_paused = true)]
async fn a_push_goes_on_after_any_failure_of_the_store() {
    for len in [500, 2500, 3 * PART] {
        for answer_lost in [false, true] {
            for failing in 1.. {
                let store = Arc::new(InMemory::new());
                let wrapper = Arc::new(Wrapper::new(Arc::clone(&store)));
                let storage = replica(Arc::clone(&wrapper) as _);
                wrapper.fail(failing, answer_lost);
                let whole = content(len);
                push(&storage, &whole).await;
                let other = replica(Arc::clone(&store) as _);
                assert!(read(&other, &sha256(&whole)).await == whole);
                assert_eq!(blobs(&*store).await, 1);
                if !wrapper.has_failed() {
                    assert!(failing > 8, "no request was made to fail");
                    break;
                }
            }
        }
    }
}

async fn blobs(store: &dyn ObjectStore) -> usize {
    let keys = keys(store).await;
    keys.iter().filter(|key| key.contains("/blobs/")).count()
}

/// As a patient client does it.
async fn push(storage: &ObjectStorage, whole: &Bytes) {
    let digest = sha256(whole);
    let id = loop {
        match storage.start_upload(&name(), Algorithm::Sha256).await {
            Ok(id) => break id,
            Err(error) => assert!(is_failure(&error), "{error:?}"),
        }
    };
    for end in [whole.len() / 3, whole.len()] {
        loop {
            let at = match storage.stat_upload(&name(), &id).await {
                Ok(at) => usize::try_from(at).expect("small"),
                Err(error) => {
                    assert!(is_failure(&error), "{error:?}");
                    continue;
                }
            };
            let body = whole.slice(at..end.max(at)).into();
            match storage.append_upload(&name(), &id, at as u64, body).await {
                Ok(_) => break,
                Err(StorageError::OutOfOrder { .. }) => {}
                Err(error) => assert!(is_failure(&error), "{error:?}"),
            }
        }
    }
    loop {
        match storage.finish_upload(&name(), &id, &digest).await {
            Ok(()) => break,
            Err(StorageError::OutOfOrder { .. }) => {}
            Err(error) => assert!(is_failure(&error), "{error:?}"),
        }
    }
}

fn is_failure(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Unavailable { .. } | StorageError::Backend { .. }
    )
}

/// As another version leaves it.
#[tokio::test]
async fn a_hash_that_cannot_be_used_is_computed_anew() {
    let store = Arc::new(InMemory::new());
    let storage = replica(Arc::clone(&store) as _);
    for (first, rest) in [(300, 200), (300, 3000), (2500, 10), (2500, 3000)] {
        for mismatch in [false, true] {
            let whole = content(first + rest);
            let id = start(&storage).await;
            storage
                .append_upload(&name(), &id, 0, whole.slice(..first).into())
                .await
                .expect("is in order");
            let key = session_key(&id);
            let got = store.get(&key).await.expect("is there");
            let bytes = got.bytes().await.expect("reads");
            let end = bytes
                .iter()
                .position(|byte| *byte == b'\n')
                .expect("a line");
            let line = String::from_utf8(bytes[..end].to_vec()).expect("text");
            let ours = format!(r#""version":"{}""#, env!("CARGO_PKG_VERSION"));
            assert!(line.contains(&ours), "{line}");
            let line = line.replace(&ours, r#""version":"0.0.0""#);
            let bytes = [line.as_bytes(), &bytes[end..]].concat();
            store.put(&key, bytes.into()).await.expect("is written");

            storage
                .append_upload(&name(), &id, first as u64, whole.slice(first..).into())
                .await
                .expect("is in order");
            let digest = sha256(if mismatch { b"another" } else { &whole });
            let finish = storage.finish_upload(&name(), &id, &digest).await;
            if mismatch {
                let actual = sha256(&whole);
                assert!(
                    matches!(finish, Err(StorageError::DigestMismatch { actual: told }) if told == actual),
                    "{finish:?}"
                );
                assert!(
                    !keys(&*store)
                        .await
                        .iter()
                        .any(|key| key.contains("_uploads"))
                );
            } else {
                finish.expect("has that digest");
                assert!(read(&storage, &digest).await == whole);
            }
        }
    }
}

#[tokio::test]
async fn old_sessions_are_purged() {
    let store = Arc::new(InMemory::new());
    let storage = replica(Arc::clone(&store) as _);
    let (tail, parts, finished) = (
        start(&storage).await,
        start(&storage).await,
        start(&storage).await,
    );
    for (id, len) in [(&tail, 300), (&parts, 2500), (&finished, 1500)] {
        let body = content(len).into();
        let append = storage.append_upload(&name(), id, 0, body).await;
        append.expect("is in order");
    }
    let digest = sha256(&content(1500));
    let finish = storage.finish_upload(&name(), &finished, &digest).await;
    finish.expect("has that digest");
    // What Distribution leaves.
    let theirs = "docker/registry/v2/repositories/a/b/_uploads/0/startedat";
    store
        .put(&theirs.into(), "2020-01-01T00:00:00Z".into())
        .await
        .expect("is written");
    sleep(Duration::from_millis(1100)).await;
    let young = start(&storage).await;

    let age = Duration::from_secs(1);
    let stale = storage.stale_uploads(age).await.expect("counts");
    assert_eq!((stale.sessions, stale.bytes), (3, 2800 + 20));
    let purged = storage.purge_uploads(age).await.expect("purges");
    assert_eq!(purged, stale);
    for id in [&tail, &parts] {
        let stat = storage.stat_upload(&name(), id).await;
        assert!(matches!(stat, Err(StorageError::UploadUnknown)), "{stat:?}");
    }
    storage.stat_upload(&name(), &young).await.expect("is kept");
    let left = keys(&*store).await;
    let left: Vec<_> = left.iter().filter(|key| key.contains("_uploads")).collect();
    assert!(
        left.iter().all(|key| key.contains(young.as_str())),
        "{left:?}"
    );
    assert!(read(&storage, &digest).await == content(1500));
}

/// The names of many parts are longer than what is usually read of a session.
#[tokio::test]
async fn a_session_may_have_many_parts() {
    let storage = ObjectStorage::builder(Bucket::new(Arc::new(InMemory::new())))
        .part_size(10)
        .build();
    let whole = content(6000);
    let id = start(&storage).await;
    let mut at = 0;
    for chunk in whole.chunks(1999) {
        let body = Bytes::copy_from_slice(chunk).into();
        let append = storage.append_upload(&name(), &id, at, body).await;
        at = append.expect("is in order");
        assert_eq!(
            storage.stat_upload(&name(), &id).await.expect("is known"),
            at
        );
    }
    let finish = storage.finish_upload(&name(), &id, &sha256(&whole)).await;
    finish.expect("has that digest");
    assert!(read(&storage, &sha256(&whole)).await == whole);
}

#[tokio::test]
async fn an_upload_of_more_parts_than_a_store_takes_fails_and_is_no_outage() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let storage = replica(Arc::clone(&store));
    let id = start(&storage).await;
    let name = name();
    let append = storage.append_upload(&name, &id, 0, content(PART + 1).into());
    append.await.expect("is in order");
    // As if it had gone on for long.
    let text = session_text(&*store, &id).await;
    let (header, tail) = text.split_once('\n').expect("a header");
    let mut header: serde_json::Value = serde_json::from_str(header).expect("a header");
    let (parts, bytes) = (9_999, 9_999 * PART as u64);
    header["multipart"]["parts"] = vec!["x"; parts].into();
    header["multipart"]["bytes"] = bytes.into();
    header["offset"] = (bytes + tail.len() as u64).into();
    let session = format!("{header}\n{tail}");
    let key = session_key(&id);
    let put = store.put(&key, session.into());
    put.await.expect("in memory");

    let at = bytes + tail.len() as u64;
    let append = storage.append_upload(&name, &id, at, content(10).into());
    let at = append.await.expect("fits into the last part");
    let append = storage.append_upload(&name, &id, at, content(PART).into());
    let error = append.await.expect_err("does not");
    assert!(matches!(error, StorageError::Backend { .. }), "{error:?}");
}
