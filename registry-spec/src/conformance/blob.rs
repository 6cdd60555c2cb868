//! Clauses on blobs: end-2, end-10, end-11.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::join;

use super::{chunked, collect, name, push_blob, push_blob_as, read_blob, sha256};
use crate::storage::{Storage, StorageError};
use crate::types::{Algorithm, Digest};

const HELLO: Bytes = Bytes::from_static(b"hello, world");

/// What was pushed is what is read, and its length is known beforehand.
pub async fn a_pushed_blob_is_read_whole(storage: &dyn Storage) {
    let name = name("a/b");
    let digest = push_blob(storage, &name, &HELLO).await;
    let size = storage.stat_blob(&name, &digest).await.expect("is there");
    assert_eq!(size, HELLO.len() as u64);
    assert_eq!(read_blob(storage, &name, &digest).await, HELLO);
}

/// A range's end is exclusive, and the whole blob's length is told with it.
pub async fn a_range_of_a_blob_is_read(storage: &dyn Storage) {
    let name = name("a");
    let digest = push_blob(storage, &name, &HELLO).await;
    for (start, end) in [(0_usize, 1_usize), (0, 12), (4, 9), (11, 12), (5, 5)] {
        let blob = storage
            .read_blob(&name, &digest, Some(start as u64..end as u64))
            .await
            .expect("is there");
        assert_eq!(blob.size, HELLO.len() as u64);
        let expected = HELLO.slice(start..end);
        assert_eq!(collect(blob.content).await, expected, "{start}..{end}");
    }
}

/// A blob may have no bytes at all.
pub async fn an_empty_blob_is_kept(storage: &dyn Storage) {
    let name = name("a");
    let digest = push_blob(storage, &name, &Bytes::new()).await;
    assert_eq!(
        storage.stat_blob(&name, &digest).await.expect("is there"),
        0
    );
    assert_eq!(read_blob(storage, &name, &digest).await, Bytes::new());
}

/// Chunks of odd sizes, several megabytes in all, whole and in part.
pub async fn a_large_blob_is_read_as_it_was_pushed(storage: &dyn Storage) {
    const SIZES: [usize; 6] = [1, 65_537, 1_000_000, 3, 2_000_000, 131_072];
    let name = name("a");
    let mut byte = 0_u8;
    let chunks: Vec<Bytes> = SIZES
        .iter()
        .map(|size| {
            let next = || {
                byte = byte.wrapping_mul(31).wrapping_add(7);
                byte
            };
            std::iter::repeat_with(next).take(*size).collect()
        })
        .collect();
    let content = Bytes::from(chunks.concat());
    let id = storage
        .start_upload(&name, Algorithm::Sha256)
        .await
        .expect("starts");
    let reached = storage
        .append_upload(&name, &id, 0, chunked(chunks))
        .await
        .expect("is appended");
    assert_eq!(reached, content.len() as u64);
    let digest = sha256(&content);
    storage
        .finish_upload(&name, &id, &digest)
        .await
        .expect("has that digest");
    assert!(read_blob(storage, &name, &digest).await == content);
    let part = storage
        .read_blob(&name, &digest, Some(65_000..1_200_000))
        .await
        .expect("is there");
    assert!(collect(part.content).await == content.slice(65_000..1_200_000));
}

/// In a repository that exists, and in one that does not.
pub async fn a_missing_blob_is_unknown(storage: &dyn Storage) {
    let (name, other) = (name("a"), name("never/pushed"));
    push_blob(storage, &name, &HELLO).await;
    let missing = sha256("something else");
    for name in [&name, &other] {
        let stat = storage.stat_blob(name, &missing).await;
        assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
        let read = storage.read_blob(name, &missing, None).await;
        assert!(matches!(read, Err(StorageError::BlobUnknown)), "{read:?}");
        let delete = storage.delete_blob(name, &missing).await;
        assert!(
            matches!(delete, Err(StorageError::BlobUnknown)),
            "{delete:?}"
        );
    }
}

/// Content is seen only where it was pushed or mounted, nested names or not.
pub async fn a_blob_of_another_repository_is_unknown(storage: &dyn Storage) {
    let digest = push_blob(storage, &name("a/b"), &HELLO).await;
    for other in ["a", "b", "a/b/c"] {
        let stat = storage.stat_blob(&name(other), &digest).await;
        assert!(
            matches!(stat, Err(StorageError::BlobUnknown)),
            "{other}: {stat:?}"
        );
    }
}

/// Each algorithm's digest names the content by itself.
pub async fn a_blob_is_kept_under_its_sha512(storage: &dyn Storage) {
    let name = name("a");
    let digest = Digest::of(Algorithm::Sha512, &HELLO);
    push_blob_as(storage, &name, &HELLO, &digest)
        .await
        .expect("is pushed");
    assert_eq!(read_blob(storage, &name, &digest).await, HELLO);
}

/// And is deleted from each by itself.
pub async fn a_blob_under_two_digests_is_two_blobs(storage: &dyn Storage) {
    let name = name("a");
    let short = push_blob(storage, &name, &HELLO).await;
    let long = Digest::of(Algorithm::Sha512, &HELLO);
    push_blob_as(storage, &name, &HELLO, &long)
        .await
        .expect("is pushed");
    storage.delete_blob(&name, &short).await.expect("is there");
    let stat = storage.stat_blob(&name, &short).await;
    assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
    assert_eq!(read_blob(storage, &name, &long).await, HELLO);
}

/// Without moving bytes; the source keeps it.
pub async fn a_blob_is_mounted_from_another_repository(storage: &dyn Storage) {
    let (from, to) = (name("from"), name("to/this"));
    let digest = push_blob(storage, &from, &HELLO).await;
    for _ in 0..2 {
        storage
            .mount_blob(&to, &digest, Some(&from))
            .await
            .expect("is mounted, also when it is there already");
    }
    assert_eq!(read_blob(storage, &to, &digest).await, HELLO);
    storage.delete_blob(&from, &digest).await.expect("is there");
    assert_eq!(read_blob(storage, &to, &digest).await, HELLO);
}

/// Without a source, any repository will do.
pub async fn a_blob_is_mounted_from_anywhere(storage: &dyn Storage) {
    let (from, to) = (name("from"), name("to"));
    let digest = push_blob(storage, &from, &HELLO).await;
    storage
        .mount_blob(&to, &digest, None)
        .await
        .expect("is mounted");
    assert_eq!(read_blob(storage, &to, &digest).await, HELLO);
}

/// A source that does not hold the blob is no source.
pub async fn what_is_not_there_is_not_mounted(storage: &dyn Storage) {
    let (holder, empty, to) = (name("holder"), name("empty"), name("to"));
    let digest = push_blob(storage, &holder, &HELLO).await;
    let deleted = push_blob(storage, &holder, &Bytes::from_static(b"deleted")).await;
    storage
        .delete_blob(&holder, &deleted)
        .await
        .expect("is there");
    let missing = sha256("something else");
    for (digest, from) in [
        (&digest, Some(&empty)),
        (&deleted, Some(&holder)),
        (&missing, Some(&holder)),
        (&missing, None),
    ] {
        let mount = storage.mount_blob(&to, digest, from).await;
        assert!(matches!(mount, Err(StorageError::BlobUnknown)), "{mount:?}");
        let stat = storage.stat_blob(&to, digest).await;
        assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
    }
}

/// What was acknowledged as deleted is not seen again.
pub async fn a_deleted_blob_is_unknown_at_once(storage: &dyn Storage) {
    let name = name("a");
    let digest = push_blob(storage, &name, &HELLO).await;
    storage.delete_blob(&name, &digest).await.expect("is there");
    let stat = storage.stat_blob(&name, &digest).await;
    assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
    let again = storage.delete_blob(&name, &digest).await;
    assert!(matches!(again, Err(StorageError::BlobUnknown)), "{again:?}");
}

/// A delete concerns one repository.
pub async fn a_deleted_blob_stays_in_other_repositories(storage: &dyn Storage) {
    let (a, b) = (name("a"), name("b"));
    let digest = push_blob(storage, &a, &HELLO).await;
    push_blob(storage, &b, &HELLO).await;
    storage.delete_blob(&a, &digest).await.expect("is there");
    assert_eq!(read_blob(storage, &b, &digest).await, HELLO);
}

/// A delete leaves nothing behind that hinders a push.
pub async fn a_deleted_blob_can_be_pushed_again(storage: &dyn Storage) {
    let name = name("a");
    let digest = push_blob(storage, &name, &HELLO).await;
    storage.delete_blob(&name, &digest).await.expect("is there");
    push_blob(storage, &name, &HELLO).await;
    assert_eq!(read_blob(storage, &name, &digest).await, HELLO);
}

/// A backend that removes bytes which no repository has any more finds out in
/// time that one has them again.
pub async fn a_push_beside_the_last_delete_is_kept(storage: &dyn Storage) {
    let (a, b) = (name("a"), name("b"));
    for round in 0..20 {
        let content = Bytes::from(format!("round {round}"));
        let digest = push_blob(storage, &a, &content).await;
        let id = storage
            .start_upload(&b, Algorithm::Sha256)
            .await
            .expect("starts");
        storage
            .append_upload(&b, &id, 0, content.clone().into())
            .await
            .expect("is appended");
        let finish = storage.finish_upload(&b, &id, &digest);
        let (deleted, pushed) = join(storage.delete_blob(&a, &digest), finish).await;
        deleted.expect("is there");
        pushed.expect("is pushed");
        assert_eq!(read_blob(storage, &b, &digest).await, content);
        // A mount may come too late, but not half.
        let mount = storage.mount_blob(&a, &digest, Some(&b));
        let (deleted, mounted) = join(storage.delete_blob(&b, &digest), mount).await;
        deleted.expect("is there");
        match mounted {
            Ok(()) => assert_eq!(read_blob(storage, &a, &digest).await, content),
            Err(StorageError::BlobUnknown) => {
                let stat = storage.stat_blob(&a, &digest).await;
                assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What was opened is read to its end, or fails; it never ends early.
pub async fn a_read_outlives_a_delete_or_fails(storage: &dyn Storage) {
    let name = name("a");
    let content: Bytes = (0..=255).cycle().take(1_000_000).collect();
    let digest = push_blob(storage, &name, &content).await;
    let mut blob = storage
        .read_blob(&name, &digest, None)
        .await
        .expect("is there");
    let mut read = BytesMut::new();
    if let Some(chunk) = blob.content.next().await {
        read.extend_from_slice(&chunk.expect("is still there"));
    }
    storage.delete_blob(&name, &digest).await.expect("is there");
    let mut failed = false;
    while let Some(chunk) = blob.content.next().await {
        match chunk {
            Ok(chunk) => read.extend_from_slice(&chunk),
            Err(_) => failed = true,
        }
    }
    assert!(failed || read == content);
}
