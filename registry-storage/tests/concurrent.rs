//! Several requests, and several processes, on one tree at once. Each
//! `FileSystem` value stands for a process: they share nothing but the files.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use futures_util::future::{join_all, select_all};
use futures_util::stream;
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, Expected, Precondition, Storage, StorageError};
use registry_spec::types::Algorithm;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_appends_at_one_offset_one_takes_effect() {
    let fixture = Fixture::new();
    for round in 0..10 {
        let id = fixture
            .storage
            .start_upload(&name("a"), Algorithm::Sha256)
            .await
            .expect("started");
        let appends = ["a", "b"].map(|letter| {
            let (storage, id) = (fixture.restarted(), id.clone());
            let body = Bytes::from(letter.repeat(300_000 + round));
            tokio::spawn(
                async move { storage.append_upload(&name("a"), &id, 0, body.into()).await },
            )
        });
        let results = join_all(appends).await;
        let won: Vec<bool> = results
            .iter()
            .map(|result| match result.as_ref().expect("no panic") {
                Ok(_) => true,
                Err(StorageError::OutOfOrder { at: 0, .. }) => false,
                Err(error) => panic!("{error:?}"),
            })
            .collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let letter = if won[0] { "a" } else { "b" };
        fixture
            .storage
            .finish_upload(&name("a"), &id, &sha256(letter.repeat(300_000 + round)))
            .await
            .expect("one body alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_pushes_of_one_blob_all_succeed() {
    let fixture = Fixture::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let pushes = (0..16).map(|n| {
        let (storage, bytes) = (fixture.restarted(), bytes.clone());
        tokio::spawn(async move {
            let repository = format!("r{}", n % 4);
            let digest = push_blob(&storage, &repository, &bytes).await;
            assert!(read_blob(&storage, &repository, &digest).await == bytes);
        })
    });
    for push in join_all(pushes).await {
        push.expect("pushed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_is_finished_once() {
    let fixture = Fixture::new();
    let id = fixture
        .storage
        .start_upload(&name("a"), Algorithm::Sha256)
        .await
        .expect("started");
    fixture
        .storage
        .append_upload(&name("a"), &id, 0, "hello".into())
        .await
        .expect("appended");
    let finishes = (0..8).map(|_| {
        let (storage, id) = (fixture.restarted(), id.clone());
        tokio::spawn(async move {
            storage
                .finish_upload(&name("a"), &id, &sha256("hello"))
                .await
        })
    });
    let mut finished = 0;
    for result in join_all(finishes).await {
        match result.expect("no panic") {
            Ok(()) => finished += 1,
            Err(StorageError::UploadUnknown) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(finished, 1);
    assert!(is_blob(&fixture.storage, "a", &sha256("hello")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_conditional_pushes_one_wins() {
    let fixture = Fixture::new();
    let mut current = None;
    for round in 0..5 {
        let pushes = (0..8).map(|n| {
            let storage = fixture.restarted();
            let mut put = put(&image(&format!("{round}-{n}")), &["latest"]);
            let expected = match current {
                Some(digest) => Expected::OneOf(vec![digest]),
                None => Expected::Absent,
            };
            put.precondition = Some(Precondition::new(tag("latest").into(), expected));
            tokio::spawn(async move {
                let digest = put.digest;
                let result = storage.put_manifest(&name("a"), put).await;
                (digest, result)
            })
        });
        let mut winners = Vec::new();
        for push in join_all(pushes).await {
            match push.expect("no panic") {
                (digest, Ok(())) => winners.push(digest),
                (digest, Err(StorageError::PreconditionFailed)) => {
                    // Nothing of it is in the repository.
                    let read = fixture
                        .storage
                        .read_manifest(&name("a"), &digest.into())
                        .await;
                    assert!(matches!(read, Err(StorageError::ManifestUnknown)));
                }
                (_, Err(error)) => panic!("{error:?}"),
            }
        }
        assert_eq!(winners.len(), 1);
        current = Some(winners[0]);
        assert_eq!(tagged(&fixture.storage, "a", "latest").await, current);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_deletes_and_untaggings_of_one_tag_leave_it_whole() {
    let fixture = Fixture::new();
    let images: Vec<Bytes> = (0..4).map(|n| image(&n.to_string())).collect();
    let tasks = (0..24).map(|n| {
        let (storage, image) = (fixture.restarted(), images[n % images.len()].clone());
        tokio::spawn(async move {
            let result = match n % 3 {
                0 => storage.put_manifest(&name("a"), put(&image, &["v1"])).await,
                1 => storage.delete_tag(&name("a"), &tag("v1")).await,
                _ => storage.delete_manifest(&name("a"), &sha256(&image)).await,
            };
            match result {
                Ok(()) | Err(StorageError::ManifestUnknown) => {}
                Err(error) => panic!("{error:?}"),
            }
            // A reader sees one of the images or none.
            tagged(&storage, "a", "v1").await
        })
    });
    let digests: Vec<_> = images.iter().map(sha256).collect();
    for task in join_all(tasks).await {
        if let Some(digest) = task.expect("no failure") {
            assert!(digests.contains(&digest));
        }
    }
    // Not one tag at a manifest that is gone.
    let left = fixture.path("repositories/a/_manifests/tags/v1/current/link");
    assert_eq!(
        left.exists(),
        tagged(&fixture.storage, "a", "v1").await.is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tag_that_moves_is_never_absent() {
    let fixture = Fixture::new();
    push_manifest(&fixture.storage, "a", &image("0"), &["v1"]).await;
    let storage = fixture.restarted();
    let mover = tokio::spawn(async move {
        for n in 1..30 {
            let old = sha256(image(&(n - 1).to_string()));
            push_manifest(&storage, "a", &image(&n.to_string()), &["v1"]).await;
            storage
                .delete_manifest(&name("a"), &old)
                .await
                .expect("deleted");
        }
    });
    while !mover.is_finished() {
        assert!(tagged(&fixture.storage, "a", "v1").await.is_some());
        assert_eq!(tags(&fixture.storage, "a").await, ["v1"]);
    }
    mover.await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_stalled_pushes_than_threads_stop_neither_pulls_nor_pushes() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = push_blob(storage, "a", b"layer").await;
    push_manifest(storage, "a", &image("x"), &["v1"]).await;
    let pushes: Vec<_> = (0..600)
        .map(|_| {
            let storage = storage.clone();
            tokio::spawn(async move {
                let id = storage
                    .start_upload(&name("a"), Algorithm::Sha256)
                    .await
                    .expect("started");
                let stalled = ByteStream::new(stream::pending::<Result<Bytes, BoxError>>());
                let _ = storage.append_upload(&name("a"), &id, 0, stalled).await;
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pull = async {
        assert_eq!(read_blob(storage, "a", &digest).await, b"layer");
        assert!(tagged(storage, "a", "v1").await.is_some());
    };
    tokio::time::timeout(Duration::from_secs(20), pull)
        .await
        .expect("served");
    let push = push_blob(storage, "a", b"another layer");
    tokio::time::timeout(Duration::from_secs(20), push)
        .await
        .expect("pushed");
    for push in &pushes {
        push.abort();
    }
}

#[test]
fn who_waits_for_a_session_occupies_no_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let fixture = Fixture::new();
        let digest = push_blob(&fixture.storage, "a", b"layer").await;
        let id = fixture
            .storage
            .start_upload(&name("a"), Algorithm::Sha256)
            .await
            .expect("started");
        // As another process holds it.
        let data = std::fs::File::open(fixture.path(&upload("a", &id, "data"))).expect("opened");
        data.lock().expect("locked");
        let waiting: Vec<_> = (0..8)
            .map(|n| {
                let (storage, id) = (fixture.storage.clone(), id.clone());
                tokio::spawn(async move {
                    match n % 2 {
                        0 => storage
                            .append_upload(&name("a"), &id, 0, "x".into())
                            .await
                            .map(|_| ()),
                        _ => storage.finish_upload(&name("a"), &id, &sha256("x")).await,
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let pull = read_blob(&fixture.storage, "a", &digest);
        let pulled = tokio::time::timeout(Duration::from_secs(1), pull).await;
        assert_eq!(pulled.expect("in time"), b"layer");
        for result in join_all(waiting).await {
            let result = result.expect("no panic");
            assert!(
                matches!(result, Err(StorageError::OutOfOrder { offset: 0, .. })),
                "{result:?}"
            );
        }
    });
}

#[tokio::test]
async fn changes_that_wait_for_one_repository_do_not_stop_others() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    push_manifest(storage, "busy", &image("x"), &["v1"]).await;
    // As another process holds it.
    let lock = std::fs::File::open(fixture.path("repositories/busy/_referrers/lock"));
    let lock = lock.expect("opened");
    lock.lock().expect("locked");
    let waiting: Vec<_> = (0..100)
        .map(|n| {
            let storage = storage.clone();
            let image = image(&n.to_string());
            tokio::spawn(async move { push_manifest(&storage, "busy", &image, &[]).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Some name may share the place of the busy one, but not all of these do.
    let pushes = ["a", "b", "c", "d"].map(|repository| {
        Box::pin(async move { push_manifest(storage, repository, &image("x"), &["v1"]).await })
    });
    tokio::time::timeout(Duration::from_secs(20), select_all(pushes))
        .await
        .expect("one is served");
    drop(lock);
    for push in join_all(waiting).await {
        push.expect("put");
    }
}
