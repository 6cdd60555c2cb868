//! Lists that are costly, or of which a store makes something odd.

use super::*;

#[tokio::test]
async fn tags_of_many_parts_cost_as_much_as_others() {
    let filled = Filled::new(1000);
    let parts = "x.y-z.".repeat(15);
    let mut tags = BTreeSet::new();
    for n in 0..1500 {
        let tag = format!("{n:04}-{parts}{n:04}-rc.{n}");
        let link = format!("repositories/a/_manifests/tags/{tag}/current/link");
        filled.put(&link, "x").await;
        tags.insert(tag);
    }
    let last = tags.last().expect("some").clone();
    let a = name("a");
    for (after, limit, most) in [
        (None, 1, 60),
        (None, 2000, 60),
        (Some("1400"), 50, 1),
        (Some(last.as_str()), 1, 2),
    ] {
        let after: Option<Tag> = after.map(|after| after.parse().expect("a tag"));
        let list = filled.storage.list_tags(&a, after.as_ref(), limit);
        let listed = list.await.expect("a list").items;
        let expected = tags.iter().map(String::as_str);
        let expected = expected.filter(|tag| after.as_ref().is_none_or(|a| *tag > a.as_str()));
        assert!(listed.iter().map(Tag::as_str).eq(expected.take(limit)));
        let asked = filled.asked();
        assert!(asked <= most, "{asked} for {limit} after {after:?}");
    }
}

#[tokio::test]
async fn a_list_goes_on_after_an_answer_that_holds_nothing() {
    let filled = Filled::new(3);
    let (storage, a) = (&filled.storage, name("a"));
    for tag in ["1", "1-a", "1-b", "2", "3"] {
        filled.put_manifest("a", Some(tag), MANIFEST).await;
    }
    let referrer = format!(
        r#"{},"subject":{{"mediaType":"{}","size":2,"digest":"{}"}}}}"#,
        MANIFEST.trim_end_matches('}'),
        MediaType::OCI_MANIFEST,
        Digest::of(Algorithm::Sha256, b"{}")
    );
    filled.put_manifest("a/b", Some("1"), &referrer).await;
    filled.lists.how.store(SLOWLY, Ordering::Relaxed);
    let tags = storage.list_tags(&a, None, 10).await.expect("a list");
    assert_eq!(tags.items.len(), 5);
    let tags = storage.list_tags(&name("c"), None, 10).await;
    assert!(matches!(tags, Err(StorageError::NameUnknown)));
    let names = storage.list_repositories(None, 10).await.expect("a list");
    assert_eq!(names.items, [a, name("a/b")]);
    let subject = Digest::of(Algorithm::Sha256, b"{}");
    let referrers = storage
        .list_referrers(&name("a/b"), &subject, None, 10)
        .await;
    assert_eq!(referrers.expect("a list").items.len(), 1);
    storage.probe().await.expect("all there");
}

#[tokio::test]
async fn keys_that_are_no_paths_hide_nothing() {
    let filled = Filled::beside(
        &[
            "repositories//x",
            "repositories/b/../x",
            "repositories/a/_manifests/tags/1//current/link",
            "repositories/a/_manifests/tags/4-a/current/link//",
        ],
        1000,
    );
    let storage = &filled.storage;
    let tags = ["1", "1-a", "2", "3", "4", "4-b", "5"];
    for tag in tags {
        filled.put_manifest("a", Some(tag), MANIFEST).await;
    }
    for name in ["b", "b/c", "c"] {
        filled.put_manifest(name, Some("1"), MANIFEST).await;
    }
    let listed = storage.list_tags(&name("a"), None, 10).await;
    let listed = listed.expect("a list").items;
    assert!(listed.iter().map(Tag::as_str).eq(tags), "{listed:?}");
    let names = storage.list_repositories(None, 10).await.expect("a list");
    assert_eq!(names.items, ["a", "b", "b/c", "c"].map(name));
}

#[tokio::test]
async fn a_store_that_begins_anyhow_is_not_listed_for_ever() {
    let filled = Filled::new(3);
    for tag in ["1", "2", "3", "4"] {
        filled.put_manifest("a", Some(tag), MANIFEST).await;
    }
    filled.lists.how.store(ANYHOW, Ordering::Relaxed);
    let listed = filled.storage.list_tags(&name("a"), None, 10).await;
    assert!(matches!(listed, Err(StorageError::Backend { .. })));
}
