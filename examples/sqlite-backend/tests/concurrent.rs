//! Two programs on one directory, each with many requests at once.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use common::*;
use futures_util::future::{join, join_all};
use registry_spec::storage::{Expected, Precondition, Storage, StorageError};
use registry_spec::types::{Algorithm, Reference};

/// Two that know nothing of each other but the directory.
fn two() -> (Dir, [sqlite_backend::SqliteStorage; 2]) {
    let dir = Dir::new();
    let storages = [dir.open(), dir.open()];
    (dir, storages)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_to_one_repository_are_all_kept() {
    let (_dir, storages) = two();
    let pushes = (0..40).map(|n| {
        let storage = &storages[n % 2];
        async move {
            let blob = push_blob(storage, "a", "shared").await.expect("is pushed");
            let put = manifest(&format!("number {n}"), &format!("t{n:02}"));
            let digest = put.digest;
            storage
                .put_manifest(&name("a"), put)
                .await
                .expect("is pushed");
            (blob, digest)
        }
    });
    let pushed = join_all(pushes).await;
    for storage in &storages {
        let tags = storage
            .list_tags(&name("a"), None, 100)
            .await
            .expect("exists");
        assert_eq!(tags.items.len(), pushed.len());
        for (tag, (blob, digest)) in tags.items.into_iter().zip(&pushed) {
            let stored = storage.read_manifest(&name("a"), &tag.into()).await;
            assert_eq!(stored.expect("is there").digest, *digest);
            assert_eq!(
                read_blob(storage, "a", blob).await.expect("is there"),
                b"shared"
            );
        }
    }
}

/// The last repository lets go of a blob while another gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_beside_the_last_delete_is_kept() {
    let (_dir, [one, other]) = two();
    let (a, b) = (name("a"), name("b"));
    for _ in 0..50 {
        let digest = push_blob(&one, "a", "hello").await.expect("is pushed");
        let id = other.start_upload(&b, Algorithm::Sha256).await;
        let id = id.expect("starts");
        let append = other.append_upload(&b, &id, 0, "hello".into()).await;
        append.expect("is in order");
        let (deleted, pushed) = join(
            one.delete_blob(&a, &digest),
            other.finish_upload(&b, &id, &digest),
        )
        .await;
        deleted.expect("is there");
        pushed.expect("is pushed");
        let content = read_blob(&one, "b", &digest).await.expect("is there");
        assert_eq!(content, b"hello");
        other.delete_blob(&b, &digest).await.expect("is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_conditional_pushes_one_wins() {
    let (_dir, storages) = two();
    let tag: Reference = "t".parse().expect("a tag");
    let pushes = (0..20).map(|n| {
        let mut put = manifest(&format!("number {n}"), "t");
        put.precondition = Some(Precondition::new(tag.clone(), Expected::Absent));
        let digest = put.digest;
        let storage = &storages[n % 2];
        async move { (digest, storage.put_manifest(&name("a"), put).await) }
    });
    let mut winners = Vec::new();
    for (digest, result) in join_all(pushes).await {
        match result {
            Ok(()) => winners.push(digest),
            Err(StorageError::PreconditionFailed) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let stored = storages[0].read_manifest(&name("a"), &tag).await;
    assert_eq!(winners, [stored.expect("is there").digest]);
}

/// Of two appends one takes effect, in whichever program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_to_one_session_never_mix() {
    let (_dir, [one, other]) = two();
    let name = name("a");
    for _ in 0..10 {
        let id = one
            .start_upload(&name, Algorithm::Sha256)
            .await
            .expect("starts");
        let (first, second) = join(
            one.append_upload(&name, &id, 0, "aaaa".into()),
            other.append_upload(&name, &id, 0, "bbbb".into()),
        )
        .await;
        let content = match (&first, &second) {
            (Ok(4), Err(StorageError::OutOfOrder { at: 0, offset: 4 })) => b"aaaa",
            (Err(StorageError::OutOfOrder { at: 0, offset: 4 }), Ok(4)) => b"bbbb",
            _ => panic!("{first:?}, {second:?}"),
        };
        let finish = other.finish_upload(&name, &id, &sha256(content)).await;
        finish.expect("one body alone");
    }
}
