//! The suite that every storage backend runs: one function per clause of
//! [`Storage`]'s contract.
//!
//! Feature `conformance`. The macro makes one test of each clause, so that a
//! failure names both the clause and the backend; it needs `tokio` with its
//! macros and the multi-threaded runtime among the backend's dev-dependencies.
//!
//! ```
//! # use registry_spec::storage::MemoryStorage;
//! mod memory {
//! #   use super::MemoryStorage;
//!     // A fresh storage for each clause, and what must live as long as it.
//!     registry_spec::storage_conformance!((MemoryStorage::new(), ()));
//! }
//! # fn main() {}
//! ```

#![expect(
    clippy::missing_panics_doc,
    reason = "a clause panics where the storage breaks it: that is what it is for"
)]

pub mod blob;
pub mod dropped;
pub mod manifest;
pub mod referrers;
pub mod repository;
pub mod tag;
pub mod upload;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::BoxError;
use crate::storage::{ByteStream, PutManifest, Storage, StorageError};
use crate::types::{Algorithm, Digest, MediaType, RepositoryName, Tag};

/// Makes a test of every clause, for the storage that `$make` evaluates to:
/// `(storage, guard)`, where the guard (a temporary directory, say) is dropped
/// after the clause.
#[macro_export]
macro_rules! storage_conformance {
    ($make:expr) => {
        $crate::storage_conformance! { @tests $make;
            blob::a_pushed_blob_is_read_whole
            blob::a_range_of_a_blob_is_read
            blob::an_empty_blob_is_kept
            blob::a_large_blob_is_read_as_it_was_pushed
            blob::a_missing_blob_is_unknown
            blob::a_blob_of_another_repository_is_unknown
            blob::a_blob_is_kept_under_its_sha512
            blob::a_blob_under_two_digests_is_two_blobs
            blob::a_blob_is_mounted_from_another_repository
            blob::a_blob_is_mounted_from_anywhere
            blob::what_is_not_there_is_not_mounted
            blob::a_deleted_blob_is_unknown_at_once
            blob::a_deleted_blob_stays_in_other_repositories
            blob::a_deleted_blob_can_be_pushed_again
            blob::a_push_beside_the_last_delete_is_kept
            blob::a_read_outlives_a_delete_or_fails
            upload::a_session_starts_at_zero
            upload::chunks_add_up
            upload::an_empty_append_changes_nothing
            upload::a_chunk_at_another_offset_is_refused
            upload::an_unknown_session_is_unknown
            upload::a_session_belongs_to_its_repository
            upload::a_blob_is_unseen_before_its_session_ends
            upload::a_wrong_digest_is_refused
            upload::a_finished_session_is_gone
            upload::a_cancelled_session_is_gone
            upload::a_digest_of_another_algorithm_is_accepted
            upload::a_body_that_fails_leaves_the_session_usable
            upload::a_dropped_append_leaves_the_session_usable
            upload::two_appends_at_once_never_mix
            upload::finishing_beside_an_append_never_mixes
            upload::a_session_finished_twice_at_once_ends_once
            upload::one_blob_pushed_many_times_at_once_is_kept
            manifest::a_manifest_is_read_as_it_was_pushed
            manifest::every_media_type_is_kept
            manifest::a_missing_manifest_is_unknown
            manifest::a_manifest_of_another_repository_is_unknown
            manifest::a_manifest_is_no_blob
            manifest::a_manifest_keeps_the_algorithm_it_was_pushed_by
            manifest::a_tag_moves_and_the_old_manifest_stays
            manifest::one_push_moves_several_tags
            manifest::a_manifest_can_be_pushed_twice
            manifest::a_deleted_manifest_is_gone_with_its_tags
            manifest::a_deleted_manifest_comes_back_without_its_tags
            manifest::a_precondition_decides_over_a_push
            manifest::a_push_that_is_stopped_changes_nothing
            manifest::of_many_conditional_pushes_at_once_one_wins
            manifest::pushes_to_one_tag_at_once_leave_it_whole
            tag::tags_are_listed_in_order
            tag::tags_are_listed_in_pages
            tag::tags_of_an_unknown_repository_are_an_error
            tag::a_deleted_tag_leaves_its_manifest
            tag::a_missing_tag_cannot_be_deleted
            tag::a_repository_without_tags_lists_none
            tag::a_tag_that_was_pushed_since_does_not_expire
            referrers::referrers_are_listed_in_order_and_in_pages
            referrers::an_unknown_subject_has_no_referrers
            referrers::the_subject_need_not_exist
            referrers::a_referrer_pushed_twice_is_listed_once
            referrers::a_deleted_referrer_is_not_listed
            referrers::a_deleted_subject_keeps_its_referrers
            referrers::referrers_belong_to_one_repository
            repository::repositories_are_listed_in_order
            repository::repositories_are_listed_in_pages
            repository::a_repository_without_manifests_is_not_listed
            repository::a_repository_stays_listed
            dropped::a_finish_that_is_dropped_leaves_a_session_or_a_blob
            dropped::a_push_that_is_dropped_is_whole_or_nothing
            dropped::a_delete_that_is_dropped_is_whole_or_nothing
        }
    };
    (@tests $make:expr; $($resource:ident :: $clause:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $clause() {
                let (storage, _guard) = $make;
                $crate::conformance::$resource::$clause(&storage).await;
            }
        )*
    };
}

fn name(text: &str) -> RepositoryName {
    text.parse().expect("the suite's names are valid")
}

fn tag(text: &str) -> Tag {
    text.parse().expect("the suite's tags are valid")
}

fn sha256(content: impl AsRef<[u8]>) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_ref())
}

/// A body of several chunks, between which others get their turn.
fn chunked(chunks: impl IntoIterator<Item = Bytes>) -> ByteStream {
    let chunks: Vec<Result<Bytes, BoxError>> = chunks.into_iter().map(Ok).collect();
    ByteStream::new(stream::iter(chunks).then(|chunk| async {
        yield_now().await;
        chunk
    }))
}

/// Pushes a blob by its sha256.
async fn push_blob(storage: &dyn Storage, name: &RepositoryName, content: &Bytes) -> Digest {
    let digest = sha256(content);
    push_blob_as(storage, name, content, &digest)
        .await
        .expect("the blob is pushed");
    digest
}

async fn push_blob_as(
    storage: &dyn Storage,
    name: &RepositoryName,
    content: &Bytes,
    digest: &Digest,
) -> Result<(), StorageError> {
    let id = storage.start_upload(name, digest.algorithm()).await?;
    storage
        .append_upload(name, &id, 0, content.clone().into())
        .await?;
    storage.finish_upload(name, &id, digest).await
}

async fn read_blob(storage: &dyn Storage, name: &RepositoryName, digest: &Digest) -> Bytes {
    let blob = storage
        .read_blob(name, digest, None)
        .await
        .expect("the blob opens");
    let content = collect(blob.content).await;
    assert_eq!(blob.size, content.len() as u64);
    content
}

async fn collect(content: ByteStream) -> Bytes {
    let chunks: Vec<Bytes> = content.try_collect().await.expect("the blob reads");
    chunks.concat().into()
}

/// Lets other futures of the task run.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until another future of the task has raised the flag.
async fn until(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        yield_now().await;
    }
}

/// A manifest that says `text`, as a backend would be handed it.
fn manifest(text: &str) -> PutManifest {
    let bytes = Bytes::from(format!(
        "{{\"schemaVersion\": 2,\n\t\"mediaType\": \"{}\",\n\t\"annotations\": {{\"text\": \"{text}\"}} }}\n",
        MediaType::OCI_MANIFEST
    ));
    PutManifest::new(sha256(&bytes), MediaType::OCI_MANIFEST, bytes)
}

/// The same, referring to `subject` in the way that a reader of the bytes sees it.
fn referrer(text: &str, subject: &Digest) -> PutManifest {
    let empty = sha256("{}");
    let bytes = Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{manifest}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[],"subject":{{"mediaType":"{manifest}","digest":"{subject}","size":1}},"annotations":{{"text":"{text}"}}}}"#,
        manifest = MediaType::OCI_MANIFEST
    ));
    let mut put = PutManifest::new(sha256(&bytes), MediaType::OCI_MANIFEST, bytes);
    put.subject = Some(*subject);
    put
}

/// Pushes [`manifest`] with its tags.
async fn push_manifest(
    storage: &dyn Storage,
    name: &RepositoryName,
    text: &str,
    tags: &[&str],
) -> Digest {
    let mut put = manifest(text);
    put.tags = tags.iter().map(|text| tag(text)).collect();
    let digest = put.digest;
    storage
        .put_manifest(name, put)
        .await
        .expect("the manifest is pushed");
    digest
}

/// What a tag stands at.
async fn tagged(storage: &dyn Storage, name: &RepositoryName, text: &str) -> Option<Digest> {
    match storage.read_manifest(name, &tag(text).into()).await {
        Ok(stored) => Some(stored.digest),
        Err(StorageError::ManifestUnknown) => None,
        Err(error) => panic!("reading {name}:{text} failed: {error:?}"),
    }
}
