//! Clauses on acts whose futures are dropped: the client is gone, and the
//! server no longer waits.
//!
//! Each is dropped after some number of polls, so that a backend which waits
//! in several places is stopped in each. One that hands its work to another
//! thread may still be at it afterwards.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::{name, push_blob, push_manifest, read_blob, referrer, sha256, tag, tagged, yield_now};
use crate::storage::{Storage, StorageError};
use crate::types::Algorithm;

/// More than a backend is likely to wait for.
const POLLS: usize = 12;

/// Polls a future so often at most, and drops it.
async fn drop_after<F: Future>(polls: usize, future: F) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return;
        }
        yield_now().await;
    }
}

/// Never half of either: a session can still be finished, a blob is whole.
pub async fn a_finish_that_is_dropped_leaves_a_session_or_a_blob(storage: &dyn Storage) {
    let name = name("a");
    for polls in 0..POLLS {
        let content = Bytes::from(format!("dropped after {polls} polls"));
        let digest = sha256(&content);
        let id = storage
            .start_upload(&name, Algorithm::Sha256)
            .await
            .expect("starts");
        storage
            .append_upload(&name, &id, 0, content.clone().into())
            .await
            .expect("is in order");
        drop_after(polls, storage.finish_upload(&name, &id, &digest)).await;
        let mut tries = 0;
        while let Err(error) = storage.finish_upload(&name, &id, &digest).await {
            match error {
                // Finished after all, or given up as a whole.
                StorageError::UploadUnknown => break,
                StorageError::OutOfOrder { .. } if tries < 100 => tries += 1,
                error => panic!("the session cannot be finished: {error:?}"),
            }
            // Without a runtime of its own, the suite has no other clock.
            thread::sleep(Duration::from_millis(20));
        }
        match storage.stat_blob(&name, &digest).await {
            Ok(_) => assert_eq!(read_blob(storage, &name, &digest).await, content),
            Err(StorageError::BlobUnknown) => {}
            Err(error) => panic!("{error:?}"),
        }
        // Nothing that is left over hinders another push.
        push_blob(storage, &name, &content).await;
        assert_eq!(read_blob(storage, &name, &digest).await, content);
    }
}

/// A tag never stands at what is not there, and the push can be repeated.
pub async fn a_push_that_is_dropped_is_whole_or_nothing(storage: &dyn Storage) {
    for polls in 0..POLLS {
        let name = name(&format!("a/{polls}"));
        let subject = sha256("subject");
        let mut put = referrer("dropped", &subject);
        put.tags = vec![tag("t")];
        let pushed = put.clone();
        drop_after(polls, storage.put_manifest(&name, put.clone())).await;
        match storage.read_manifest(&name, &tag("t").into()).await {
            Ok(stored) => assert_eq!(stored.bytes, pushed.bytes),
            Err(StorageError::ManifestUnknown) => {}
            Err(error) => panic!("{error:?}"),
        }
        storage
            .put_manifest(&name, put)
            .await
            .expect("is pushed again");
        assert_eq!(tagged(storage, &name, "t").await, Some(pushed.digest));
        let referrers = storage.list_referrers(&name, &subject, None, 10).await;
        assert_eq!(referrers.expect("a list").items, [pushed.digest]);
    }
}

/// A tag never outlives its manifest, and the delete can be repeated.
pub async fn a_delete_that_is_dropped_is_whole_or_nothing(storage: &dyn Storage) {
    for polls in 0..POLLS {
        let name = name(&format!("a/{polls}"));
        let digest = push_manifest(storage, &name, "one", &["t"]).await;
        drop_after(polls, storage.delete_manifest(&name, &digest)).await;
        match storage.delete_manifest(&name, &digest).await {
            Ok(()) | Err(StorageError::ManifestUnknown) => {}
            Err(error) => panic!("{error:?}"),
        }
        // By whichever of the two.
        let read = storage.read_manifest(&name, &digest.into()).await;
        assert!(
            matches!(read, Err(StorageError::ManifestUnknown)),
            "{read:?}"
        );
        assert_eq!(tagged(storage, &name, "t").await, None);
    }
}
