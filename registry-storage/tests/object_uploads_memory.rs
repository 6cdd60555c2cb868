//! How much memory upload sessions in object stores take.

#![cfg(feature = "object-store")]

mod object_store_wrapper;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use object_store::memory::InMemory;
use object_store_wrapper::Wrapper;
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, Storage};
use registry_spec::types::{Algorithm, Digest, RepositoryName, UploadId};
use registry_storage::ObjectStorage;
use registry_storage::object::Bucket;
use tokio::time::{Instant, sleep};

fn name() -> RepositoryName {
    "a/b".parse().expect("valid")
}

async fn start(storage: &ObjectStorage) -> UploadId {
    let id = storage.start_upload(&name(), Algorithm::Sha256).await;
    id.expect("a session starts")
}

const LARGE: usize = 256 * 1024;
const CHUNK: usize = 16 * 1024;
/// What may be received without a permit, and what a server hands over at once.
const FREE: usize = 128 * 1024 + CHUNK;

/// Pieces of `len` bytes, each counted when it is taken.
fn counted(len: usize, taken: &Arc<AtomicUsize>) -> ByteStream {
    let taken = Arc::clone(taken);
    ByteStream::new(stream::iter(0..len / CHUNK).map(move |_| {
        taken.fetch_add(CHUNK, Ordering::Relaxed);
        Ok::<_, BoxError>(Bytes::from(vec![7; CHUNK]))
    }))
}

#[tokio::test(start_paused = true)]
async fn many_appends_share_the_memory() {
    let wrapper = Arc::new(Wrapper::new(Arc::new(InMemory::new())));
    wrapper.slow_down(Duration::from_millis(10));
    let storage = ObjectStorage::builder(Bucket::new(Arc::clone(&wrapper) as _))
        .part_size(LARGE)
        .upload_memory(4 * LARGE)
        .build();
    let (count, len) = (20, 8 * LARGE);
    let taken = Arc::new(AtomicUsize::new(0));
    let peak = Arc::new(AtomicUsize::new(0));
    let watcher = tokio::spawn({
        let (wrapper, taken, peak) = (Arc::clone(&wrapper), Arc::clone(&taken), Arc::clone(&peak));
        async move {
            loop {
                let held = taken
                    .load(Ordering::Relaxed)
                    .saturating_sub(wrapper.written());
                peak.fetch_max(held, Ordering::Relaxed);
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let pushes = (0..count).map(|_| async {
        let id = start(&storage).await;
        let body = counted(len, &taken);
        let reached = storage.append_upload(&name(), &id, 0, body).await;
        assert_eq!(reached.expect("is in order"), len as u64);
    });
    join_all(pushes).await;
    watcher.abort();
    let peak = peak.load(Ordering::Relaxed);
    assert!(peak >= 2 * LARGE, "{peak}: nothing was measured");
    assert!(peak <= 4 * LARGE + count * FREE, "{peak}");
}

#[tokio::test(start_paused = true)]
async fn clients_that_send_little_make_way_for_others() {
    let storage = ObjectStorage::builder(Bucket::new(Arc::new(InMemory::new())))
        .part_size(LARGE)
        .upload_memory(2 * LARGE)
        .build();
    let sent = LARGE - CHUNK;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let id = start(&storage).await;
        let (storage, session) = (storage.clone(), id.clone());
        let rest = stream::once(async {
            sleep(Duration::from_secs(100)).await;
            Ok::<_, BoxError>(Bytes::from(vec![7; LARGE]))
        });
        let taken = Arc::default();
        let body = ByteStream::new(counted(sent, &taken).chain(rest));
        let append = async move { storage.append_upload(&name(), &session, 0, body).await };
        slow.push((id, tokio::spawn(append)));
        while taken.load(Ordering::Relaxed) < sent {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let began = Instant::now();
    let id = start(&storage).await;
    let taken = Arc::default();
    let body = counted(4 * LARGE, &taken);
    let append = storage.append_upload(&name(), &id, 0, body).await;
    append.expect("is in order");
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(5),
        "{waited:?}: nobody was in the way"
    );
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    for (id, append) in slow {
        let offset = append.await.expect("ends").expect("was not disturbed");
        assert_eq!(offset, (sent + LARGE) as u64);
        let digest = Digest::of(Algorithm::Sha256, &vec![7; sent + LARGE]);
        let finish = storage.finish_upload(&name(), &id, &digest).await;
        finish.expect("has that digest");
    }
}
