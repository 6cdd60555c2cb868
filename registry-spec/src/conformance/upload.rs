//! Clauses on upload sessions: end-4 to end-6, end-13, end-14.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all, select};
use futures_util::{StreamExt, stream};

use super::{chunked, name, push_blob, push_blob_as, read_blob, sha256, until};
use crate::BoxError;
use crate::storage::{ByteStream, Storage, StorageError};
use crate::types::{Algorithm, Digest, RepositoryName, UploadId};

async fn start(storage: &dyn Storage, name: &RepositoryName) -> UploadId {
    storage
        .start_upload(name, Algorithm::Sha256)
        .await
        .expect("a session starts")
}

async fn offset(storage: &dyn Storage, name: &RepositoryName, id: &UploadId) -> u64 {
    storage
        .stat_upload(name, id)
        .await
        .expect("the session is open")
}

async fn is_gone(storage: &dyn Storage, name: &RepositoryName, id: &UploadId) {
    let unknown = |result: Result<u64, StorageError>| {
        assert!(
            matches!(result, Err(StorageError::UploadUnknown)),
            "{result:?}"
        );
    };
    unknown(storage.stat_upload(name, id).await);
    unknown(storage.append_upload(name, id, 0, "x".into()).await);
    unknown(storage.append_upload(name, id, 1, "x".into()).await);
    unknown(storage.cancel_upload(name, id).await.map(|()| 0));
    let finish = storage.finish_upload(name, id, &sha256("")).await;
    unknown(finish.map(|()| 0));
}

/// Each session has a name of its own.
pub async fn a_session_starts_at_zero(storage: &dyn Storage) {
    let name = name("a/b");
    let (first, second) = (start(storage, &name).await, start(storage, &name).await);
    assert_ne!(first, second);
    assert_eq!(offset(storage, &name, &first).await, 0);
}

/// Each append goes on where the one before it ended.
pub async fn chunks_add_up(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    let mut at = 0;
    for chunk in ["hello", ", ", "world"] {
        let reached = storage
            .append_upload(&name, &id, at, chunk.into())
            .await
            .expect("is in order");
        assert_eq!(reached, at + chunk.len() as u64);
        assert_eq!(offset(storage, &name, &id).await, reached);
        at = reached;
    }
    let digest = sha256("hello, world");
    storage
        .finish_upload(&name, &id, &digest)
        .await
        .expect("has that digest");
    assert_eq!(read_blob(storage, &name, &digest).await, "hello, world");
}

/// An append without bytes is one all the same.
pub async fn an_empty_append_changes_nothing(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    for at in [0, 0, 3, 3] {
        let offset = offset(storage, &name, &id).await;
        if at > offset {
            storage
                .append_upload(&name, &id, offset, "abc".into())
                .await
                .expect("is in order");
        }
        let reached = storage
            .append_upload(&name, &id, at, ByteStream::empty())
            .await;
        assert_eq!(reached.expect("is in order"), at);
    }
    storage
        .finish_upload(&name, &id, &sha256("abc"))
        .await
        .expect("has that digest");
}

/// Ahead of the offset or behind it; and the session lives on.
pub async fn a_chunk_at_another_offset_is_refused(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    storage
        .append_upload(&name, &id, 0, "abc".into())
        .await
        .expect("is in order");
    for wrong in [0, 2, 4, 1 << 40] {
        let append = storage.append_upload(&name, &id, wrong, "xyz".into()).await;
        assert!(
            matches!(append, Err(StorageError::OutOfOrder { at, offset: 3 }) if at == wrong),
            "{append:?}"
        );
    }
    assert_eq!(offset(storage, &name, &id).await, 3);
    storage
        .append_upload(&name, &id, 3, "def".into())
        .await
        .expect("is in order");
    storage
        .finish_upload(&name, &id, &sha256("abcdef"))
        .await
        .expect("has that digest");
}

/// For every act on sessions.
pub async fn an_unknown_session_is_unknown(storage: &dyn Storage) {
    is_gone(storage, &name("a"), &UploadId::random()).await;
    start(storage, &name("a")).await;
    is_gone(storage, &name("a"), &UploadId::random()).await;
}

/// Another repository does not know it.
pub async fn a_session_belongs_to_its_repository(storage: &dyn Storage) {
    let (mine, other) = (name("a"), name("b"));
    let id = start(storage, &mine).await;
    is_gone(storage, &other, &id).await;
    assert_eq!(offset(storage, &mine, &id).await, 0);
}

/// Bytes that were only appended are no blob.
pub async fn a_blob_is_unseen_before_its_session_ends(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    storage
        .append_upload(&name, &id, 0, "abc".into())
        .await
        .expect("is in order");
    let digest = sha256("abc");
    let stat = storage.stat_blob(&name, &digest).await;
    assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
    let mount = storage.mount_blob(&super::name("b"), &digest, None).await;
    assert!(matches!(mount, Err(StorageError::BlobUnknown)), "{mount:?}");
}

/// Nothing becomes visible, and the session is gone.
pub async fn a_wrong_digest_is_refused(storage: &dyn Storage) {
    let name = name("a");
    for claimed in [sha256("abd"), Digest::of(Algorithm::Sha512, b"abd")] {
        let id = start(storage, &name).await;
        storage
            .append_upload(&name, &id, 0, "abc".into())
            .await
            .expect("is in order");
        let finish = storage.finish_upload(&name, &id, &claimed).await;
        let true_digest = Digest::of(claimed.algorithm(), b"abc");
        assert!(
            matches!(finish, Err(StorageError::DigestMismatch { actual }) if actual == true_digest),
            "{finish:?}"
        );
        for digest in [claimed, true_digest] {
            let stat = storage.stat_blob(&name, &digest).await;
            assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
        }
        is_gone(storage, &name, &id).await;
    }
}

/// It became a blob.
pub async fn a_finished_session_is_gone(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    storage
        .finish_upload(&name, &id, &sha256(""))
        .await
        .expect("has that digest");
    is_gone(storage, &name, &id).await;
}

/// Its bytes are no blob, whatever their digest.
pub async fn a_cancelled_session_is_gone(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    storage
        .append_upload(&name, &id, 0, "abc".into())
        .await
        .expect("is in order");
    storage.cancel_upload(&name, &id).await.expect("is open");
    is_gone(storage, &name, &id).await;
    let stat = storage.stat_blob(&name, &sha256("abc")).await;
    assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");
}

/// The algorithm given at the start is a guess.
pub async fn a_digest_of_another_algorithm_is_accepted(storage: &dyn Storage) {
    let name = name("a");
    for guess in Algorithm::ALL {
        for algorithm in Algorithm::ALL {
            let id = storage.start_upload(&name, guess).await.expect("starts");
            let mut at = 0;
            for chunk in ["ab", "c"] {
                at = storage
                    .append_upload(&name, &id, at, chunk.into())
                    .await
                    .expect("is in order");
            }
            let digest = Digest::of(algorithm, b"abc");
            storage
                .finish_upload(&name, &id, &digest)
                .await
                .expect("has that digest");
            assert_eq!(read_blob(storage, &name, &digest).await, "abc");
        }
    }
}

/// What the session holds then is a beginning of what was sent.
pub async fn a_body_that_fails_leaves_the_session_usable(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    let broken = stream::iter([
        Ok(Bytes::from_static(b"abc")),
        Err::<_, BoxError>("connection reset".into()),
    ]);
    let append = storage
        .append_upload(&name, &id, 0, ByteStream::new(broken))
        .await;
    assert!(
        matches!(append, Err(StorageError::Body { .. })),
        "{append:?}"
    );
    go_on(storage, &name, &id, Bytes::from_static(b"abcdef")).await;
}

/// The client is gone in the middle of a chunk, and the server drops the request.
pub async fn a_dropped_append_leaves_the_session_usable(storage: &dyn Storage) {
    let name = name("a");
    let content: Bytes = (0..=255).cycle().take(300_000).collect();
    let id = start(storage, &name).await;
    let stalled = Arc::new(AtomicBool::new(false));
    let stalls = {
        let stalled = Arc::clone(&stalled);
        stream::once(async move {
            stalled.store(true, Ordering::Release);
            pending().await
        })
    };
    let first = Ok::<_, BoxError>(content.slice(..200_000));
    let body = ByteStream::new(stream::iter([first]).chain(stalls));
    let append = storage.append_upload(&name, &id, 0, body);
    drop(select(append, pin!(until(&stalled))).await);
    go_on(storage, &name, &id, content).await;
}

/// Of two that begin at one offset, at most one takes effect there.
pub async fn two_appends_at_once_never_mix(storage: &dyn Storage) {
    let name = name("a");
    for round in 0..4 {
        let id = start(storage, &name).await;
        let bodies = ["a", "b"].map(|letter| {
            let chunk = Bytes::from(letter.repeat(10_000 + round));
            chunked(std::iter::repeat_n(chunk, 10))
        });
        let appends = bodies.map(|body| storage.append_upload(&name, &id, 0, body));
        let results = join_all(appends).await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert!(won <= 1, "{results:?}");
        for result in &results {
            let refused = matches!(result, Ok(_) | Err(StorageError::OutOfOrder { .. }));
            assert!(refused, "{result:?}");
        }
        if let Some(winner) = results.iter().position(Result::is_ok) {
            let content = ["a", "b"][winner].repeat((10_000 + round) * 10);
            storage
                .finish_upload(&name, &id, &sha256(content))
                .await
                .expect("one body alone");
        }
    }
}

/// Either the session ends, and the append fails, or it goes on.
pub async fn finishing_beside_an_append_never_mixes(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    let (stalled, go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let rest = {
        let (stalled, go) = (Arc::clone(&stalled), Arc::clone(&go));
        stream::once(async move {
            stalled.store(true, Ordering::Release);
            until(&go).await;
            Ok::<_, BoxError>(Bytes::from_static(b"def"))
        })
    };
    let first = stream::iter([Ok(Bytes::from_static(b"abc"))]);
    let append = storage.append_upload(&name, &id, 0, ByteStream::new(first.chain(rest)));
    let digest = sha256("abc");
    let finish = async {
        until(&stalled).await;
        let result = storage.finish_upload(&name, &id, &digest).await;
        go.store(true, Ordering::Release);
        result
    };
    let (appended, finished) = join(append, finish).await;
    match finished {
        Ok(()) => {
            assert!(appended.is_err(), "{appended:?}");
            assert_eq!(read_blob(storage, &name, &digest).await, "abc");
        }
        // It had not got so far.
        Err(StorageError::DigestMismatch { .. }) => {
            assert!(appended.is_err(), "{appended:?}");
            is_gone(storage, &name, &id).await;
        }
        Err(StorageError::OutOfOrder { .. }) => {
            assert_eq!(appended.expect("was not disturbed"), 6);
            storage
                .finish_upload(&name, &id, &sha256("abcdef"))
                .await
                .expect("has that digest");
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// One of the two ends it, and the other finds it busy or gone.
pub async fn a_session_finished_twice_at_once_ends_once(storage: &dyn Storage) {
    let name = name("a");
    let id = start(storage, &name).await;
    storage
        .append_upload(&name, &id, 0, "abc".into())
        .await
        .expect("is in order");
    let digest = sha256("abc");
    let finish = || storage.finish_upload(&name, &id, &digest);
    let (one, other) = join(finish(), finish()).await;
    let ((Ok(()), Err(lost)) | (Err(lost), Ok(()))) = (&one, &other) else {
        panic!("{one:?}, {other:?}");
    };
    assert!(
        matches!(
            lost,
            StorageError::UploadUnknown | StorageError::OutOfOrder { .. }
        ),
        "{lost:?}"
    );
    assert_eq!(read_blob(storage, &name, &digest).await, "abc");
    let gone = storage.stat_upload(&name, &id).await;
    assert!(matches!(gone, Err(StorageError::UploadUnknown)), "{gone:?}");
}

/// Small artifacts share their config, and are pushed in parallel.
pub async fn one_blob_pushed_many_times_at_once_is_kept(storage: &dyn Storage) {
    let name = name("a");
    let content = Bytes::from_static(b"{}");
    let digest = sha256(&content);
    let pushes = (0..8).map(|_| push_blob_as(storage, &name, &content, &digest));
    for push in join_all(pushes).await {
        push.expect("every push succeeds");
    }
    assert_eq!(read_blob(storage, &name, &digest).await, content);
    // And once more, now that it is there.
    push_blob(storage, &name, &content).await;
}

/// Completes `content` from wherever the session stands.
async fn go_on(storage: &dyn Storage, name: &RepositoryName, id: &UploadId, content: Bytes) {
    // A writer that was just dropped may still be putting away what it got.
    let mut tries = 0;
    loop {
        let at = offset(storage, name, id).await;
        let rest = content.slice(usize::try_from(at).expect("within the content")..);
        match storage.append_upload(name, id, at, rest.into()).await {
            Ok(reached) => {
                assert_eq!(reached, content.len() as u64);
                break;
            }
            Err(StorageError::OutOfOrder { .. }) if tries < 100 => {
                tries += 1;
                // Without a runtime of its own, the suite has no other clock.
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("the session does not go on: {error:?}"),
        }
    }
    let digest = sha256(&content);
    storage
        .finish_upload(name, id, &digest)
        .await
        .expect("has that digest");
    assert!(read_blob(storage, name, &digest).await == content);
}
