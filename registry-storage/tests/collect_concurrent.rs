//! Pushes that reuse old blobs, beside collectors that remove them at once.
#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{name, push_blob, put, read_blob, sha256, tag};
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Digest, Manifest, Reference};
use registry_storage::FileSystem;
use registry_storage::collect::CollectOptions;

const PUSHES: usize = 60;
/// So few that each is garbage and in use all the time.
const BLOBS: usize = 6;

/// How a client comes by a blob.
#[derive(Clone, Copy)]
enum Way {
    Head,
    Mount,
    Upload,
}

fn content(blob: usize) -> Vec<u8> {
    format!("blob {blob}").into_bytes()
}

fn image(text: &str, blob: &Digest) -> Bytes {
    let descriptor =
        format!(r#"{{"mediaType":"application/octet-stream","digest":"{blob}","size":1}}"#);
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{descriptor},"layers":[],"annotations":{{"text":"{text}"}}}}"#
    ))
}

async fn upload(storage: &FileSystem, content: &[u8]) {
    let (name, digest) = (name("app"), sha256(content));
    loop {
        let id = storage.start_upload(&name, digest.algorithm()).await;
        let id = id.expect("started");
        let body = Bytes::copy_from_slice(content).into();
        let appended = storage.append_upload(&name, &id, 0, body).await;
        appended.expect("appended");
        match storage.finish_upload(&name, &id, &digest).await {
            Ok(()) => return,
            // Collected before it had its link.
            Err(StorageError::UploadUnknown) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Makes sure of a blob as a client does; the last way always works.
async fn bring(storage: &FileSystem, blob: usize, way: Way) {
    let digest = sha256(content(blob));
    let found = match way {
        Way::Head => storage.stat_blob(&name("app"), &digest).await.map(|_| ()),
        Way::Mount => {
            let (to, from) = (name("app"), name("pool"));
            storage.mount_blob(&to, &digest, Some(&from)).await
        }
        Way::Upload => Err(StorageError::BlobUnknown),
    };
    match found {
        Ok(()) => {}
        Err(StorageError::BlobUnknown) => {
            upload(storage, &content(blob)).await;
        }
        Err(error) => panic!("{error:?}"),
    }
}

async fn pull(storage: &FileSystem, text: &str) {
    let reference = Reference::Tag(tag(text));
    let manifest = storage
        .read_manifest(&name("app"), &reference)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let references = Manifest::references_of(&manifest.bytes).expect("a manifest");
    for blob in references.blobs {
        assert_eq!(sha256(read_blob(storage, "app", &blob).await), blob);
    }
}

async fn push_all(storage: FileSystem, writer: usize) {
    for round in 0..PUSHES {
        let blob = round % BLOBS;
        // One is kept, the others come and go.
        let tags = match blob {
            0 => format!("keep-{writer}-{round}"),
            _ => format!("moves-{writer}"),
        };
        let bytes = image(&format!("{writer} {round}"), &sha256(content(blob)));
        let mut way = [Way::Head, Way::Mount, Way::Upload][round % 3];
        loop {
            bring(&storage, blob, way).await;
            let mut put = put(&bytes, &[&tags]);
            put.requirements = Manifest::parse(None, &bytes).expect("one").requirements();
            match storage.put_manifest(&name("app"), put).await {
                Ok(()) => break,
                // Collected in between: there is no grace period.
                Err(StorageError::ContentUnknown { .. }) => way = Way::Upload,
                Err(error) => panic!("{error:?}"),
            }
        }
        pull(&storage, &tags).await;
    }
}

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
        push_blob(&storage, "pool", &content(blob)).await;
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
    for writer in 0..3 {
        for round in (0..PUSHES).step_by(BLOBS) {
            pull(&storage, &format!("keep-{writer}-{round}")).await;
        }
        pull(&storage, &format!("moves-{writer}")).await;
    }
    assert!(freed.load(Ordering::Relaxed) > 0, "nothing was ever freed");
}
