//! Clauses on the list of repositories: Docker's `_catalog`.

use bytes::Bytes;

use super::{name, push_blob, push_manifest};
use crate::storage::{Page, Storage};
use crate::types::{Algorithm, RepositoryName};

fn names(texts: &[&str]) -> Vec<RepositoryName> {
    texts.iter().map(|text| name(text)).collect()
}

async fn push_all(storage: &dyn Storage, texts: &[&str]) {
    for text in texts {
        push_manifest(storage, &name(text), "one", &["v1"]).await;
    }
}

/// A repository comes before those nested under it, and they before its neighbours.
pub async fn repositories_are_listed_in_order(storage: &dyn Storage) {
    push_all(
        storage,
        &["b", "a-b", "a/b/c", "a.b", "a/b", "a", "a/b-c", "0"],
    )
    .await;
    let page = storage.list_repositories(None, 100).await.expect("a list");
    let ordered = ["0", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b", "b"];
    assert_eq!(page, Page::new(names(&ordered), false));
}

/// Every repository once, and `after` need not exist.
pub async fn repositories_are_listed_in_pages(storage: &dyn Storage) {
    let all = ["a", "a/a", "a/b", "a/b/c", "a-b", "b/c/d", "b/d", "c"];
    push_all(storage, &all).await;
    for limit in [1, 3, 7, 8, 9] {
        let mut listed: Vec<RepositoryName> = Vec::new();
        loop {
            let page = storage
                .list_repositories(listed.last(), limit)
                .await
                .expect("a list");
            assert!(page.items.len() <= limit);
            assert_eq!(page.more, listed.len() + page.items.len() < all.len());
            listed.extend(page.items);
            if !page.more {
                break;
            }
        }
        assert_eq!(listed, names(&all), "in pages of {limit}");
    }
    for (after, expected) in [
        ("a/b/a", &["a/b/c", "a-b", "b/c/d", "b/d", "c"][..]),
        ("a/z", &["a-b", "b/c/d", "b/d", "c"]),
        ("b", &["b/c/d", "b/d", "c"]),
        ("c", &[]),
        ("z/z", &[]),
    ] {
        let page = storage.list_repositories(Some(&name(after)), 100).await;
        let expected = Page::new(names(expected), false);
        assert_eq!(page.expect("a list"), expected, "after {after}");
    }
}

/// Blobs and upload sessions alone make no repository that could be pulled from.
pub async fn a_repository_without_manifests_is_not_listed(storage: &dyn Storage) {
    push_blob(storage, &name("only/blobs"), &Bytes::from_static(b"x")).await;
    storage
        .start_upload(&name("only/uploads"), Algorithm::Sha256)
        .await
        .expect("starts");
    let page = storage.list_repositories(None, 100).await.expect("a list");
    assert_eq!(page, Page::new(vec![], false));
}

/// Without its tags, and without its manifests: it was pushed to.
pub async fn a_repository_stays_listed(storage: &dyn Storage) {
    let name = name("a/b");
    let digest = push_manifest(storage, &name, "one", &["v1"]).await;
    storage
        .delete_manifest(&name, &digest)
        .await
        .expect("is there");
    let page = storage.list_repositories(None, 10).await.expect("a list");
    assert_eq!(page.items, names(&["a/b"]));
    let tags = storage.list_tags(&name, None, 10).await.expect("exists");
    assert_eq!(tags, Page::new(vec![], false));
    let none = storage.list_repositories(None, 0).await.expect("a list");
    assert_eq!(none.items, []);
}
