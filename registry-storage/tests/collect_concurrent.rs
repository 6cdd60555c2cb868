//! Pushes that reuse old blobs, beside collectors that remove them at once.
#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::busy::{BLOBS, content, pull_all, push_all, upload};
use registry_storage::FileSystem;
use registry_storage::collect::CollectOptions;

async fn collect_all(root: Arc<Path>, stop: Arc<AtomicBool>, freed: Arc<AtomicU64>) {
    // As from another process.
    let storage = FileSystem::new(&*root);
    let mut options = CollectOptions::default();
    options.grace = Duration::ZERO;
    options.delete_untagged = true;
    while !stop.load(Ordering::Relaxed) {
        let report = storage.collect(options.clone(), |_| {}).await;
        let report = report.expect("collected");
        assert_eq!(report.problem_count, 0, "{:?}", report.problems);
        freed.fetch_add(report.blobs_removed.count, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_beside_collectors_is_whole() {
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let dir = dir.expect("a directory");
    let storage = FileSystem::new(dir.path());
    for blob in 0..BLOBS {
        upload(&storage, "pool", &content(blob)).await;
    }
    let (stop, freed) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let collectors: Vec<_> = (0..2)
        .map(|_| {
            let root = Arc::from(dir.path());
            tokio::spawn(collect_all(root, Arc::clone(&stop), Arc::clone(&freed)))
        })
        .collect();
    let writers: Vec<_> = (0..3)
        .map(|writer| tokio::spawn(push_all(storage.clone(), writer)))
        .collect();
    for writer in writers {
        writer.await.expect("pushed");
    }
    stop.store(true, Ordering::Relaxed);
    for collector in collectors {
        collector.await.expect("collected");
    }
    pull_all(&storage, 3).await;
    assert!(freed.load(Ordering::Relaxed) > 0, "nothing was ever freed");
}
