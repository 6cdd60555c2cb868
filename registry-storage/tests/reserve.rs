//! Pushes onto a small disk, of which some is to be left free.

#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::*;
use futures_util::future::join_all;
use futures_util::stream;
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, Storage, StorageError};
use registry_spec::types::Algorithm;
use registry_storage::FileSystem;
use registry_storage::filesystem::Reserve;

/// Set to the directory of the small disk in the process that has it.
const DISK: &str = "REGISTRY_STORAGE_TEST_DISK";
const MIB: u64 = 1024 * 1024;
const RESERVE: u64 = 16 * MIB;
/// Longer than a look at the disk is believed.
const FORGOTTEN: Duration = Duration::from_millis(600);

/// Runs this test again where a disk of 64 MiB is mounted, which only that
/// process sees and which goes with it.
fn on_a_small_disk(test: &str, body: impl AsyncFnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(DISK) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(body(&PathBuf::from(dir)));
        return;
    }
    let private = ["--map-root-user", "--mount"];
    let can = Command::new("unshare").args(private).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user may not mount anything");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new("unshare")
        .args(private)
        .args(["sh", "-c"])
        .arg(r#"mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@""#)
        .arg(dir.path())
        .arg(std::env::current_exe().expect("a path"))
        .args(["--exact", test, "--nocapture"])
        .env(DISK, dir.path())
        .output()
        .expect("started");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}");
}

fn free(dir: &Path) -> u64 {
    let disk = rustix::fs::statvfs(dir).expect("a file system");
    disk.f_bavail * disk.f_frsize
}

/// Leaves that much free, as another program might.
fn fill(dir: &Path, leave: u64) {
    let file = fs::File::create(dir.join("filler")).expect("created");
    let bytes = free(dir).checked_sub(leave).expect("more is free");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("room");
}

fn storage(dir: &Path) -> FileSystem {
    FileSystem::new(dir).reserve(Reserve::new(RESERVE, 100))
}

/// A body of unknown length that tells `least` how little was free meanwhile.
fn endless(dir: &Path, least: &Arc<AtomicU64>) -> ByteStream {
    let (dir, least) = (dir.to_path_buf(), Arc::clone(least));
    ByteStream::new(stream::repeat_with(move || {
        least.fetch_min(free(&dir), Ordering::Relaxed);
        Ok::<_, BoxError>(Bytes::from_static(&[7; 65_536]))
    }))
}

#[test]
fn pushes_at_once_leave_the_reserve_alone() {
    on_a_small_disk("pushes_at_once_leave_the_reserve_alone", async |dir| {
        /// For what the file system keeps beside the bytes.
        const SLACK: u64 = MIB;
        let storage = storage(dir);
        let least = Arc::new(AtomicU64::new(u64::MAX));
        let pushes = (0..8).map(|_| async {
            let repository = name("a");
            let id = storage.start_upload(&repository, Algorithm::Sha256).await;
            let id = id.expect("room");
            let body = endless(dir, &least);
            let result = storage.append_upload(&repository, &id, 0, body).await;
            assert!(
                matches!(result, Err(StorageError::Full { .. })),
                "{result:?}"
            );
            let result = storage.stat_upload(&repository, &id).await;
            assert!(
                matches!(result, Err(StorageError::UploadUnknown)),
                "{result:?}"
            );
        });
        join_all(pushes).await;
        let least = least.load(Ordering::Relaxed);
        assert!(least > RESERVE - SLACK, "{least}");
        assert!(least < RESERVE + 8 * MIB, "nothing came near it: {least}");
        // What they held is free again, and so there is room.
        assert!(free(dir) > 60 * MIB, "{}", free(dir));
        push_blob(&storage, "a", &[1; 4 << 20]).await;
    });
}

#[test]
fn an_announced_push_is_refused_before_its_first_byte() {
    on_a_small_disk(
        "an_announced_push_is_refused_before_its_first_byte",
        async |dir| {
            let storage = storage(dir);
            let repository = name("a");
            for (announced, fits) in [(49 * MIB, false), (8 * MIB, true)] {
                let id = storage.start_upload(&repository, Algorithm::Sha256).await;
                let id = id.expect("room");
                let asked = Arc::new(AtomicU64::new(0));
                let counter = Arc::clone(&asked);
                let mut left = announced / 65_536;
                let body = stream::poll_fn(move |_| {
                    counter.fetch_add(1, Ordering::Relaxed);
                    let chunk =
                        (left > 0).then_some(Ok::<_, BoxError>(Bytes::from_static(&[7; 65_536])));
                    left = left.saturating_sub(1);
                    chunk.into()
                });
                let body = ByteStream::new(body).with_length(announced);
                let result = storage.append_upload(&repository, &id, 0, body).await;
                if fits {
                    assert_eq!(result.expect("room"), announced);
                    continue;
                }
                let error = result.expect_err("no room");
                assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
                assert_eq!(asked.load(Ordering::Relaxed), 0);
                let source = std::error::Error::source(&error).expect("a reason");
                let told = format!("of which {RESERVE} are reserved: {announced} more do not fit");
                assert!(source.to_string().ends_with(&told), "{source}");
            }
        },
    );
}

#[test]
fn what_is_there_is_served_completed_and_deleted_on_a_full_disk() {
    on_a_small_disk(
        "what_is_there_is_served_completed_and_deleted_on_a_full_disk",
        async |dir| {
            let storage = storage(dir);
            let repository = name("a");
            let layer = push_blob(&storage, "a", b"layer").await;
            let old = push_manifest(&storage, "a", &image("old"), &["old", "older"]).await;
            let is_full =
                |result: &Result<_, StorageError>| matches!(result, Err(StorageError::Full { .. }));

            fill(dir, RESERVE - MIB);
            tokio::time::sleep(FORGOTTEN).await;
            let start = storage.start_upload(&repository, Algorithm::Sha256).await;
            assert!(is_full(&start.map(drop)));
            // Of an image whose layers have arrived.
            push_manifest(&storage, "a", &image("new"), &["new"]).await;
            storage
                .mount_blob(&name("b"), &layer, Some(&repository))
                .await
                .expect("only a link");

            fill(dir, RESERVE / 4 - MIB);
            tokio::time::sleep(FORGOTTEN).await;
            let newer = put(&image("newer"), &["new"]);
            assert!(is_full(
                &storage.put_manifest(&repository, newer.clone()).await
            ));
            // Nothing but a tag moves.
            push_manifest(&storage, "a", &image("old"), &["again"]).await;
            push_manifest(&storage, "b", &image("old"), &["elsewhere"]).await;
            storage
                .delete_tag(&repository, &tag("again"))
                .await
                .expect("deleted");
            assert_eq!(read_blob(&storage, "b", &layer).await, b"layer");
            assert_eq!(tagged(&storage, "a", "old").await, Some(old));

            fill(dir, 0);
            storage
                .delete_tag(&repository, &tag("older"))
                .await
                .expect("deleted");
            storage
                .delete_manifest(&repository, &old)
                .await
                .expect("deleted");
            assert_eq!(tags(&storage, "a").await, ["new"]);

            fs::remove_file(dir.join("filler")).expect("removed");
            push_blob(&storage, "a", b"another layer").await;
            storage.put_manifest(&repository, newer).await.expect("put");
        },
    );
}

#[test]
fn without_a_reserve_a_full_disk_is_told_as_the_same() {
    on_a_small_disk(
        "without_a_reserve_a_full_disk_is_told_as_the_same",
        async |dir| {
            let storage = FileSystem::new(dir).reserve(Reserve::none());
            let repository = name("a");
            let least = Arc::new(AtomicU64::new(u64::MAX));
            let id = storage.start_upload(&repository, Algorithm::Sha256).await;
            let id = id.expect("room");
            let body = endless(dir, &least);
            let result = storage.append_upload(&repository, &id, 0, body).await;
            assert!(
                matches!(result, Err(StorageError::Full { .. })),
                "{result:?}"
            );
            assert!(least.load(Ordering::Relaxed) < MIB);
            assert!(free(dir) > 60 * MIB, "the session is gone");
        },
    );
}
