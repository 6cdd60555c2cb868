//! An upload whose disk is full in the middle of a batch.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::error::Error as _;
use std::io;
use std::process::Command;

use bytes::Bytes;
use common::*;
use futures_util::stream;
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, Storage, StorageError};
use registry_spec::types::Algorithm;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Set in the process that has the limit, which must have no other tests.
const LIMITED: &str = "REGISTRY_STORAGE_TEST_LIMITED";

#[test]
fn an_upload_goes_on_after_what_a_full_disk_took() {
    if std::env::var_os(LIMITED).is_none() {
        // A program that does not ignore this signal dies of its limit.
        let output = Command::new("sh")
            .args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#])
            .arg(std::env::current_exe().expect("a path"))
            .args(["--exact", "an_upload_goes_on_after_what_a_full_disk_took"])
            .env(LIMITED, "1")
            .output()
            .expect("started");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(fill_and_go_on());
}

/// No file may have more than `bytes`.
fn limit(bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    setrlimit(Resource::Fsize, limit).expect("may be less");
}

async fn fill_and_go_on() {
    // Within a page, a chunk and a batch.
    const ROOM: u64 = 1_000_001;

    let fixture = Fixture::new();
    let repository = name("a");
    let content: Bytes = (0..=250).cycle().take(3_000_000).collect();
    let id = fixture
        .storage
        .start_upload(&repository, Algorithm::Sha256)
        .await
        .expect("started");
    let append = async |at: u64| {
        let rest = content.slice(usize::try_from(at).expect("small")..);
        let chunks: Vec<_> = rest
            .chunks(1000)
            .map(|chunk| Ok::<_, BoxError>(Bytes::copy_from_slice(chunk)))
            .collect();
        let body = ByteStream::new(stream::iter(chunks));
        let storage = fixture.restarted();
        storage.append_upload(&repository, &id, at, body).await
    };
    limit(Some(ROOM));
    for at in [0, ROOM] {
        let error = append(at).await.expect_err("no room");
        let kind = error
            .source()
            .and_then(std::error::Error::source)
            .and_then(|source| source.downcast_ref::<io::Error>())
            .map(io::Error::kind);
        assert!(matches!(error, StorageError::Backend { .. }), "{error:?}");
        assert_eq!(kind, Some(io::ErrorKind::FileTooLarge));
        let reached = fixture.restarted().stat_upload(&repository, &id).await;
        assert_eq!(reached.expect("open"), ROOM);
    }
    limit(None);
    assert_eq!(append(ROOM).await.expect("room"), content.len() as u64);
    let digest = sha256(&content);
    fixture
        .restarted()
        .finish_upload(&repository, &id, &digest)
        .await
        .expect("finished");
    assert!(read_blob(&fixture.storage, "a", &digest).await == content);
}
