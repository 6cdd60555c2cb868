//! Clauses on tags: end-8, end-9.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{name, push_blob, push_manifest, sha256, tag, tagged};
use crate::storage::{Page, Storage, StorageError};
use crate::types::Tag;

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| tag(text)).collect()
}

/// The order of bytes: upper case before `_` before lower case.
pub async fn tags_are_listed_in_order(storage: &dyn Storage) {
    let name = name("a/b");
    let unordered = ["b", "a.1", "_", "Z", "a", "a-1", "0", "a_1", "B"];
    push_manifest(storage, &name, "one", &unordered).await;
    let page = storage.list_tags(&name, None, 100).await.expect("exists");
    let ordered = ["0", "B", "Z", "_", "a", "a-1", "a.1", "a_1", "b"];
    assert_eq!(page, Page::new(tags(&ordered), false));
}

/// Every tag once, and `after` need not exist.
pub async fn tags_are_listed_in_pages(storage: &dyn Storage) {
    let name = name("a");
    let all: Vec<String> = (0..23).map(|n| format!("t{n:02}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    push_manifest(storage, &name, "one", &all).await;
    for limit in [1, 7, 22, 23, 24] {
        let mut listed = Vec::new();
        loop {
            let page = storage
                .list_tags(&name, listed.last(), limit)
                .await
                .expect("exists");
            assert!(page.items.len() <= limit);
            assert_eq!(page.more, listed.len() + page.items.len() < all.len());
            listed.extend(page.items);
            if !page.more {
                break;
            }
            assert!(
                listed.len().is_multiple_of(limit),
                "only the last page is short"
            );
        }
        assert_eq!(listed, tags(&all), "in pages of {limit}");
    }
    for (after, limit, expected, more) in [
        ("t20x", 10, &["t21", "t22"][..], false),
        ("s", 1, &["t00"], true),
        ("t22", 10, &[], false),
        ("zzz", 10, &[], false),
        ("t00", 0, &[], false),
    ] {
        let page = storage.list_tags(&name, Some(&tag(after)), limit).await;
        let expected = Page::new(tags(expected), more);
        assert_eq!(page.expect("exists"), expected, "after {after}");
    }
}

/// The one act that tells a repository from none.
pub async fn tags_of_an_unknown_repository_are_an_error(storage: &dyn Storage) {
    push_manifest(storage, &name("a/b"), "one", &["v1"]).await;
    push_blob(storage, &name("only/blobs"), &Bytes::from_static(b"x")).await;
    for unknown in ["a", "b", "a/b/c", "only/blobs"] {
        let list = storage.list_tags(&name(unknown), None, 10).await;
        assert!(matches!(list, Err(StorageError::NameUnknown)), "{list:?}");
    }
}

/// A tag is only a name.
pub async fn a_deleted_tag_leaves_its_manifest(storage: &dyn Storage) {
    let name = name("a");
    let digest = push_manifest(storage, &name, "one", &["v1", "v2"]).await;
    storage
        .delete_tag(&name, &tag("v1"))
        .await
        .expect("is there");
    assert_eq!(tagged(storage, &name, "v1").await, None);
    assert_eq!(tagged(storage, &name, "v2").await, Some(digest));
    let read = storage.read_manifest(&name, &digest.into()).await;
    assert_eq!(read.expect("is there").digest, digest);
    let page = storage.list_tags(&name, None, 10).await.expect("exists");
    assert_eq!(page.items, tags(&["v2"]));
    push_manifest(storage, &name, "one", &["v1"]).await;
    assert_eq!(tagged(storage, &name, "v1").await, Some(digest));
}

/// In a repository that exists, and in one that does not.
pub async fn a_missing_tag_cannot_be_deleted(storage: &dyn Storage) {
    let known = name("a");
    push_manifest(storage, &known, "one", &["v1"]).await;
    for name in [known, name("never/pushed")] {
        let delete = storage.delete_tag(&name, &tag("v2")).await;
        assert!(
            matches!(delete, Err(StorageError::ManifestUnknown)),
            "{delete:?}"
        );
    }
}

/// It was pushed to, so it is known.
pub async fn a_repository_without_tags_lists_none(storage: &dyn Storage) {
    let never = name("by/digest");
    let digest = push_manifest(storage, &never, "one", &[]).await;
    assert_ne!(digest, sha256(""));
    let emptied = name("emptied");
    push_manifest(storage, &emptied, "one", &["v1"]).await;
    storage
        .delete_tag(&emptied, &tag("v1"))
        .await
        .expect("is there");
    for name in [never, emptied] {
        let page = storage.list_tags(&name, None, 10).await.expect("exists");
        assert_eq!(page, Page::new(vec![], false), "{name}");
    }
}

/// Nor does one that is not there. A backend that cannot tell when a tag was
/// pushed lets none expire.
pub async fn a_tag_that_was_pushed_since_does_not_expire(storage: &dyn Storage) {
    /// Longer than the steps in which backends tell the time.
    const STEP: Duration = Duration::from_millis(1100);
    let (name, v1) = (name("a"), tag("v1"));
    for (name, tag) in [(&name, &v1), (&name, &tag("v2"))] {
        let expired = storage.expire_tag(name, tag, SystemTime::now()).await;
        assert!(!expired.expect("nothing to do"));
    }
    let digest = push_manifest(storage, &name, "one", &["v1", "v2"]).await;
    let first = storage.tag_pushed_at(&name, &v1).await.expect("is there");
    let Some(first) = first else {
        let expired = storage.expire_tag(&name, &v1, SystemTime::now()).await;
        assert!(!expired.expect("asked"));
        return;
    };
    std::thread::sleep(STEP);
    // To where it stands already: that is a push, too.
    push_manifest(storage, &name, "one", &["v1"]).await;
    let again = storage.tag_pushed_at(&name, &v1).await.expect("is there");
    let again = again.expect("as before");
    assert!(again > first, "{again:?} after {first:?}");
    assert!(!storage.expire_tag(&name, &v1, first).await.expect("asked"));
    assert_eq!(tagged(storage, &name, "v1").await, Some(digest));
    assert!(storage.expire_tag(&name, &v1, again).await.expect("asked"));
    assert_eq!(tagged(storage, &name, "v1").await, None);
    let gone = storage.tag_pushed_at(&name, &v1).await;
    assert!(
        matches!(gone, Err(StorageError::ManifestUnknown)),
        "{gone:?}"
    );
    assert!(!storage.expire_tag(&name, &v1, again).await.expect("asked"));
    assert_eq!(tagged(storage, &name, "v2").await, Some(digest));
    let read = storage.read_manifest(&name, &digest.into()).await;
    assert_eq!(read.expect("stays").digest, digest);
}
