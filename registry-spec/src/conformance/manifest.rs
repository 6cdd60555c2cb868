//! Clauses on manifests: end-3, end-7, end-9.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{manifest, name, push_blob, push_manifest, read_blob, referrer, sha256, tag, tagged};
use crate::storage::{Expected, Precondition, PutManifest, Storage, StorageError};
use crate::types::{Algorithm, Digest, MediaType, Reference};

/// By digest and by tag, to the byte.
pub async fn a_manifest_is_read_as_it_was_pushed(storage: &dyn Storage) {
    let name = name("a/b");
    let mut put = manifest("one");
    put.tags = vec![tag("v1")];
    let pushed = put.clone();
    storage.put_manifest(&name, put).await.expect("is pushed");
    for reference in [Reference::from(pushed.digest), tag("v1").into()] {
        let stored = storage
            .read_manifest(&name, &reference)
            .await
            .expect("is there");
        assert_eq!(stored.digest, pushed.digest);
        assert_eq!(stored.media_type, pushed.media_type);
        assert_eq!(stored.bytes, pushed.bytes);
    }
}

/// The type comes back, also of a document that does not state it.
pub async fn every_media_type_is_kept(storage: &dyn Storage) {
    let name = name("a");
    let stated =
        |media_type: &MediaType| format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}"}}"#);
    for (media_type, bytes) in [
        (MediaType::OCI_MANIFEST, stated(&MediaType::OCI_MANIFEST)),
        (MediaType::OCI_INDEX, stated(&MediaType::OCI_INDEX)),
        (
            MediaType::DOCKER_MANIFEST,
            stated(&MediaType::DOCKER_MANIFEST),
        ),
        (
            MediaType::DOCKER_MANIFEST_LIST,
            stated(&MediaType::DOCKER_MANIFEST_LIST),
        ),
        (
            MediaType::OCI_MANIFEST,
            r#"{"schemaVersion":2,"layers":[]}"#.to_owned(),
        ),
        (
            MediaType::OCI_INDEX,
            r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(),
        ),
    ] {
        let digest = sha256(&bytes);
        let put = PutManifest::new(digest, media_type.clone(), bytes.into());
        storage.put_manifest(&name, put).await.expect("is pushed");
        let stored = storage.read_manifest(&name, &digest.into()).await;
        assert_eq!(stored.expect("is there").media_type, media_type);
    }
}

/// By digest and by tag, in a repository that exists and in one that does not.
pub async fn a_missing_manifest_is_unknown(storage: &dyn Storage) {
    let known = name("a");
    push_manifest(storage, &known, "one", &["v1"]).await;
    let missing = sha256("something else");
    for name in [known, name("never/pushed")] {
        for reference in [Reference::from(missing), tag("v2").into()] {
            let read = storage.read_manifest(&name, &reference).await;
            assert!(
                matches!(read, Err(StorageError::ManifestUnknown)),
                "{read:?}"
            );
        }
        let delete = storage.delete_manifest(&name, &missing).await;
        assert!(
            matches!(delete, Err(StorageError::ManifestUnknown)),
            "{delete:?}"
        );
    }
}

/// Content is seen only where it was pushed.
pub async fn a_manifest_of_another_repository_is_unknown(storage: &dyn Storage) {
    let digest = push_manifest(storage, &name("a/b"), "one", &["v1"]).await;
    for other in ["a", "b", "a/b/c"] {
        let read = storage.read_manifest(&name(other), &digest.into()).await;
        assert!(
            matches!(read, Err(StorageError::ManifestUnknown)),
            "{other}: {read:?}"
        );
        assert_eq!(tagged(storage, &name(other), "v1").await, None);
    }
}

/// The same bytes may be both, and are deleted from each by itself.
pub async fn a_manifest_is_no_blob(storage: &dyn Storage) {
    let name = name("a");
    let put = manifest("both");
    let (digest, bytes) = (put.digest, put.bytes.clone());
    storage
        .put_manifest(&name, put.clone())
        .await
        .expect("is pushed");
    let stat = storage.stat_blob(&name, &digest).await;
    assert!(matches!(stat, Err(StorageError::BlobUnknown)), "{stat:?}");

    push_blob(storage, &name, &bytes).await;
    storage
        .delete_manifest(&name, &digest)
        .await
        .expect("is there");
    assert_eq!(read_blob(storage, &name, &digest).await, bytes);

    storage.put_manifest(&name, put).await.expect("is pushed");
    storage.delete_blob(&name, &digest).await.expect("is there");
    let read = storage.read_manifest(&name, &digest.into()).await;
    assert_eq!(read.expect("is there").bytes, bytes);
}

/// A tag tells the digest under which it was pushed; both may be there at once.
pub async fn a_manifest_keeps_the_algorithm_it_was_pushed_by(storage: &dyn Storage) {
    let name = name("a");
    let short = push_manifest(storage, &name, "one", &["by-sha256"]).await;
    let mut put = manifest("one");
    put.digest = Digest::of(Algorithm::Sha512, &put.bytes);
    put.tags = vec![tag("by-sha512")];
    let long = put.digest;
    storage.put_manifest(&name, put).await.expect("is pushed");
    assert_eq!(tagged(storage, &name, "by-sha256").await, Some(short));
    assert_eq!(tagged(storage, &name, "by-sha512").await, Some(long));

    storage
        .delete_manifest(&name, &short)
        .await
        .expect("is there");
    assert_eq!(tagged(storage, &name, "by-sha512").await, Some(long));
    assert_eq!(tagged(storage, &name, "by-sha256").await, None);
}

/// Content stays until it is deleted.
pub async fn a_tag_moves_and_the_old_manifest_stays(storage: &dyn Storage) {
    let name = name("a");
    let old = push_manifest(storage, &name, "old", &["latest"]).await;
    let new = push_manifest(storage, &name, "new", &["latest"]).await;
    assert_eq!(tagged(storage, &name, "latest").await, Some(new));
    let read = storage.read_manifest(&name, &old.into()).await;
    assert_eq!(read.expect("is there").digest, old);
    push_manifest(storage, &name, "old", &["latest"]).await;
    assert_eq!(tagged(storage, &name, "latest").await, Some(old));
}

/// Tags come along with a push.
pub async fn one_push_moves_several_tags(storage: &dyn Storage) {
    let name = name("a");
    let tags = ["1.2.3", "1.2", "1", "latest"];
    let digest = push_manifest(storage, &name, "one", &tags).await;
    for tag in tags {
        assert_eq!(tagged(storage, &name, tag).await, Some(digest), "{tag}");
    }
}

/// A client that retries is not punished for it.
pub async fn a_manifest_can_be_pushed_twice(storage: &dyn Storage) {
    let name = name("a");
    let first = push_manifest(storage, &name, "one", &["a"]).await;
    // The last time by digest alone, which takes nothing from the tags.
    for tags in [&["a", "b"][..], &[]] {
        let again = push_manifest(storage, &name, "one", tags).await;
        assert_eq!(first, again);
        assert_eq!(tagged(storage, &name, "a").await, Some(first));
        assert_eq!(tagged(storage, &name, "b").await, Some(first));
    }
}

/// At once, and nothing else with it.
pub async fn a_deleted_manifest_is_gone_with_its_tags(storage: &dyn Storage) {
    let name = name("a");
    let gone = push_manifest(storage, &name, "gone", &["a", "b"]).await;
    let kept = push_manifest(storage, &name, "kept", &["b", "c"]).await;
    storage
        .delete_manifest(&name, &gone)
        .await
        .expect("is there");
    let read = storage.read_manifest(&name, &gone.into()).await;
    assert!(
        matches!(read, Err(StorageError::ManifestUnknown)),
        "{read:?}"
    );
    assert_eq!(tagged(storage, &name, "a").await, None);
    assert_eq!(tagged(storage, &name, "b").await, Some(kept));
    assert_eq!(tagged(storage, &name, "c").await, Some(kept));
    let page = storage.list_tags(&name, None, 10).await.expect("exists");
    assert_eq!(page.items, [tag("b"), tag("c")]);
    let again = storage.delete_manifest(&name, &gone).await;
    assert!(
        matches!(again, Err(StorageError::ManifestUnknown)),
        "{again:?}"
    );
}

/// A tag that fell with its manifest does not rise with it.
pub async fn a_deleted_manifest_comes_back_without_its_tags(storage: &dyn Storage) {
    let name = name("a");
    let digest = push_manifest(storage, &name, "one", &["v1"]).await;
    storage
        .delete_manifest(&name, &digest)
        .await
        .expect("is there");
    push_manifest(storage, &name, "one", &[]).await;
    let read = storage.read_manifest(&name, &digest.into()).await;
    assert_eq!(read.expect("is there").digest, digest);
    assert_eq!(tagged(storage, &name, "v1").await, None);
}

/// And a push that it stops changes nothing.
pub async fn a_precondition_decides_over_a_push(storage: &dyn Storage) {
    let name = name("a");
    let one = manifest("one").digest;
    let two = manifest("two").digest;
    let steps = [
        ("one", Expected::Present, false),
        ("one", Expected::OneOf(vec![one]), false),
        ("one", Expected::Absent, true),
        ("two", Expected::Absent, false),
        ("two", Expected::NoneOf(vec![two, one]), false),
        ("two", Expected::OneOf(vec![two]), false),
        ("two", Expected::AbsentOr(two), false),
        ("two", Expected::OneOf(vec![two, one]), true),
        ("one", Expected::Present, true),
        ("two", Expected::NoneOf(vec![two]), true),
    ];
    let mut current = None;
    for (text, expected, holds) in steps {
        let mut put = manifest(text);
        put.tags = vec![tag("t")];
        put.precondition = Some(Precondition::new(tag("t").into(), expected.clone()));
        let digest = put.digest;
        match storage.put_manifest(&name, put).await {
            Ok(()) => {
                assert!(holds, "{expected:?}");
                current = Some(digest);
            }
            Err(StorageError::PreconditionFailed) => assert!(!holds, "{expected:?}"),
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(tagged(storage, &name, "t").await, current);
    }
    let mut put = manifest("by digest");
    put.precondition = Some(Precondition::new(put.digest.into(), Expected::Absent));
    let again = put.clone();
    storage.put_manifest(&name, put).await.expect("is new");
    let again = storage.put_manifest(&name, again).await;
    assert!(
        matches!(again, Err(StorageError::PreconditionFailed)),
        "{again:?}"
    );
}

/// Not the manifest, nor its tags, nor what its subject is referred to by.
pub async fn a_push_that_is_stopped_changes_nothing(storage: &dyn Storage) {
    let name = name("a/b");
    let subject = sha256("subject");
    let mut put = referrer("stopped", &subject);
    put.tags = vec![tag("t"), tag("u")];
    put.precondition = Some(Precondition::new(tag("t").into(), Expected::Present));
    let digest = put.digest;
    let push = storage.put_manifest(&name, put).await;
    assert!(
        matches!(push, Err(StorageError::PreconditionFailed)),
        "{push:?}"
    );
    let read = storage.read_manifest(&name, &digest.into()).await;
    assert!(
        matches!(read, Err(StorageError::ManifestUnknown)),
        "{read:?}"
    );
    for text in ["t", "u"] {
        assert_eq!(tagged(storage, &name, text).await, None);
    }
    let referrers = storage.list_referrers(&name, &subject, None, 10).await;
    assert_eq!(referrers.expect("a list").items, []);
    let repositories = storage.list_repositories(None, 10).await.expect("a list");
    assert_eq!(repositories.items, []);
}

/// The check and the push are one step.
pub async fn of_many_conditional_pushes_at_once_one_wins(storage: &dyn Storage) {
    let name = name("a");
    let pushes = (0..8).map(|n| {
        let mut put = manifest(&format!("number {n}"));
        put.tags = vec![tag("t")];
        put.precondition = Some(Precondition::new(tag("t").into(), Expected::Absent));
        let digest = put.digest;
        let name = &name;
        async move { (digest, storage.put_manifest(name, put).await) }
    });
    let mut winners = Vec::new();
    for (digest, result) in join_all(pushes).await {
        match result {
            Ok(()) => winners.push(digest),
            Err(StorageError::PreconditionFailed) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(tagged(storage, &name, "t").await, winners.pop());
}

/// The tag stands at one of them, which is whole.
pub async fn pushes_to_one_tag_at_once_leave_it_whole(storage: &dyn Storage) {
    let name = name("a");
    let pushes = (0..8).map(|n| {
        let mut put = manifest(&format!("number {n}"));
        put.tags = vec![tag("t")];
        let pushed: (Digest, Bytes) = (put.digest, put.bytes.clone());
        let name = &name;
        async move {
            storage.put_manifest(name, put).await.expect("is pushed");
            pushed
        }
    });
    let pushed = join_all(pushes).await;
    let stored = storage.read_manifest(&name, &tag("t").into()).await;
    let stored = stored.expect("is there");
    assert!(pushed.contains(&(stored.digest, stored.bytes)));
}
