//! An upload goes on after a restart, whatever has become of its hash state.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use common::*;
use registry_spec::storage::{ByteStream, Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, Hasher, UploadId};
use serde_json::{Value, json};

/// A session that holds `hello `, begun with `algorithm`.
async fn begun(fixture: &Fixture, algorithm: Algorithm) -> UploadId {
    let id = fixture
        .storage
        .start_upload(&name("a"), algorithm)
        .await
        .expect("started");
    fixture
        .storage
        .append_upload(&name("a"), &id, 0, "hello ".into())
        .await
        .expect("appended");
    id
}

/// Goes on from `offset`, which is what the session must stand at, with the
/// rest of `hello world`, and finishes.
async fn goes_on(fixture: &Fixture, id: &UploadId, offset: usize, digest: &Digest) {
    let storage = fixture.restarted();
    let stands_at = storage.stat_upload(&name("a"), id).await.expect("open");
    assert_eq!(stands_at, offset as u64);
    let rest = &"hello world"[offset..];
    let reached = storage
        .append_upload(&name("a"), id, stands_at, rest.into())
        .await
        .expect("appended");
    assert_eq!(reached, 11);
    let storage = fixture.restarted();
    storage
        .finish_upload(&name("a"), id, digest)
        .await
        .expect("finished");
    assert_eq!(read_blob(&storage, "a", digest).await, b"hello world");
}

fn state_file(id: &UploadId) -> String {
    upload("a", id, "hashstate.json")
}

fn state(fixture: &Fixture, id: &UploadId) -> Value {
    let bytes = fs::read(fixture.path(&state_file(id))).expect("a state");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn append_to_data(fixture: &Fixture, id: &UploadId, bytes: &[u8]) {
    OpenOptions::new()
        .append(true)
        .open(fixture.path(&upload("a", id, "data")))
        .and_then(|mut file| file.write_all(bytes))
        .expect("written");
}

/// A state that claims to be of other bytes.
fn of_other_bytes(algorithm: Algorithm) -> Value {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(b"HELLO ");
    json!(hasher.save())
}

#[tokio::test]
async fn with_its_state() {
    for algorithm in Algorithm::ALL {
        let fixture = Fixture::new();
        let id = begun(&fixture, algorithm).await;
        let saved = state(&fixture, &id);
        assert_eq!(saved["offset"], 6);
        assert_eq!(saved["algorithm"], algorithm.as_str());
        goes_on(&fixture, &id, 6, &Digest::of(algorithm, b"hello world")).await;
    }
}

#[tokio::test]
async fn a_state_is_taken_up_and_not_hashed_again() {
    // Shown by what it does to the digest.
    let fixture = Fixture::new();
    let id = begun(&fixture, Algorithm::Sha256).await;
    let mut saved = state(&fixture, &id);
    saved["state"] = of_other_bytes(Algorithm::Sha256);
    fixture.write(&state_file(&id), saved.to_string());
    let storage = fixture.restarted();
    let finish = storage
        .finish_upload(&name("a"), &id, &sha256("hello "))
        .await;
    assert!(
        matches!(finish, Err(StorageError::DigestMismatch { actual }) if actual == sha256("HELLO ")),
        "{finish:?}"
    );
}

#[tokio::test]
async fn without_a_state() {
    let fixture = Fixture::new();
    let id = begun(&fixture, Algorithm::Sha256).await;
    fixture.remove(&state_file(&id));
    goes_on(&fixture, &id, 6, &sha256("hello world")).await;
}

#[tokio::test]
async fn with_a_state_that_cannot_be_read() {
    for broken in ["", "{", "\0\0\0\0", "{}", r#"{"offset":"six"}"#, "[1,2]"] {
        let fixture = Fixture::new();
        let id = begun(&fixture, Algorithm::Sha256).await;
        fixture.write(&state_file(&id), broken);
        goes_on(&fixture, &id, 6, &sha256("hello world")).await;
    }
    // A directory, even.
    let fixture = Fixture::new();
    let id = begun(&fixture, Algorithm::Sha256).await;
    fixture.remove(&state_file(&id));
    fixture.create_dir(&state_file(&id));
    goes_on(&fixture, &id, 6, &sha256("hello world")).await;
}

#[tokio::test]
async fn with_a_state_of_another_boot_or_version_or_form() {
    for (field, value) in [
        ("boot", json!("6f1c9b7e-0000-4000-8000-000000000000")),
        ("version", json!("0.0.0")),
        ("algorithm", json!("sha512")),
        ("offset", json!(7)),
        ("state", json!([1, 2, 3])),
    ] {
        let fixture = Fixture::new();
        let id = begun(&fixture, Algorithm::Sha256).await;
        let mut saved = state(&fixture, &id);
        // Believed, it would spoil the digest.
        saved["state"] = of_other_bytes(Algorithm::Sha256);
        saved[field] = value;
        fixture.write(&state_file(&id), saved.to_string());
        goes_on(&fixture, &id, 6, &sha256("hello world")).await;
    }
}

#[tokio::test]
async fn with_a_state_of_another_algorithm_than_the_digest() {
    for (began, ended) in [
        (Algorithm::Sha512, Algorithm::Sha256),
        (Algorithm::Sha256, Algorithm::Sha512),
    ] {
        let fixture = Fixture::new();
        let id = begun(&fixture, began).await;
        goes_on(&fixture, &id, 6, &Digest::of(ended, b"hello world")).await;
    }
}

#[tokio::test]
async fn with_data_that_is_longer_than_the_state() {
    // The process was killed between writing and saving.
    let fixture = Fixture::new();
    let id = begun(&fixture, Algorithm::Sha256).await;
    append_to_data(&fixture, &id, b"wor");
    goes_on(&fixture, &id, 9, &sha256("hello world")).await;
    let id = begun(&fixture, Algorithm::Sha256).await;
    append_to_data(&fixture, &id, b"world");
    goes_on(&fixture, &id, 11, &sha256("hello world")).await;
}

#[tokio::test]
async fn with_data_that_is_shorter_than_the_state() {
    let fixture = Fixture::new();
    let id = begun(&fixture, Algorithm::Sha256).await;
    fixture.write(&upload("a", &id, "data"), "hel");
    goes_on(&fixture, &id, 3, &sha256("hello world")).await;
}

#[tokio::test]
async fn a_session_that_distribution_began() {
    let fixture = Fixture::new();
    let id: UploadId = "0198f5a2-4c1e-7000-8000-2b3c4d5e6f70"
        .parse()
        .expect("an id");
    fixture.write(&upload("a", &id, "startedat"), "2025-08-29T10:00:00Z");
    fixture.write(&upload("a", &id, "data"), "hello ");
    fixture.write(&upload("a", &id, "hashstates/sha256/6"), "sha\x03opaque");
    goes_on(&fixture, &id, 6, &sha256("hello world")).await;
    assert!(
        !fixture
            .path(&format!("repositories/a/_uploads/{id}"))
            .exists()
    );
}

#[tokio::test]
async fn a_session_is_dated_as_distribution_dates_it() {
    let fixture = Fixture::new();
    let id = begun(&fixture, Algorithm::Sha256).await;
    let text = fs::read_to_string(fixture.path(&upload("a", &id, "startedat"))).expect("dated");
    // 2006-01-02T15:04:05Z
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z");
}

#[tokio::test]
async fn a_hash_that_was_computed_again_is_kept() {
    let fixture = Fixture::new();
    let id = begun(&fixture, Algorithm::Sha256).await;
    fixture.remove(&state_file(&id));
    // Not one byte, as of a client that gave up meanwhile.
    let reached = fixture
        .storage
        .append_upload(&name("a"), &id, 6, ByteStream::empty())
        .await
        .expect("appended");
    assert_eq!(reached, 6);
    assert_eq!(state(&fixture, &id)["offset"], 6);
}
