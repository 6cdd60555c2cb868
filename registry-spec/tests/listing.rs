//! Lists over the service: end-8, end-12, and the catalog.

mod support;

use std::sync::Arc;

use http::Method;
use registry_spec::storage::MemoryStorage;
use registry_spec::types::{Digest, MediaType, Tag};
use registry_spec::{AllowAll, Limits, Registry};
use serde_json::{Value, json};
use support::faulty::Faulty;
use support::{
    Reply, builder, descriptor, get, image, push_blob, push_image, push_manifest, put_manifest,
    registry, send, sha256,
};

/// The target of `Link: <target>; rel="next"`.
fn next(reply: &Reply) -> Option<String> {
    let link = reply.headers.get("link")?.to_str().expect("text");
    let target = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    Some(target.to_owned())
}

/// Every item of a list, page by page.
async fn all_pages(registry: &Registry, uri: &str, key: &str) -> Vec<Value> {
    let mut uri = uri.to_owned();
    let mut items = Vec::new();
    for _ in 0..100 {
        let reply = get(registry, &uri).await.expect(200);
        items.extend(reply.json()[key].as_array().expect("a list").clone());
        match next(&reply) {
            Some(target) => uri = target,
            None => return items,
        }
    }
    panic!("the list has no end");
}

#[tokio::test]
async fn tags_are_listed_in_order_and_in_pages() {
    let registry = registry();
    push_image(&registry, "a/b", "layer", "b").await;
    for tag in ["c", "a", "B"] {
        put_manifest(&registry, "a/b", tag, image("layer").to_string())
            .await
            .expect(201);
    }
    let reply = get(&registry, "/v2/a/b/tags/list").await.expect(200);
    assert_eq!(
        reply.json(),
        json!({ "name": "a/b", "tags": ["B", "a", "b", "c"] })
    );
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(next(&reply), None);

    for (query, tags, link) in [
        (
            "n=2",
            json!(["B", "a"]),
            Some("/v2/a/b/tags/list?last=a&n=2"),
        ),
        ("n=2&last=a", json!(["b", "c"]), None),
        ("last=a", json!(["b", "c"]), None),
        ("last=ab", json!(["b", "c"]), None),
        ("n=0", json!([]), None),
        ("n=99999999999999999999", json!(["B", "a", "b", "c"]), None),
    ] {
        let reply = get(&registry, &format!("/v2/a/b/tags/list?{query}"))
            .await
            .expect(200);
        assert_eq!(reply.json()["tags"], tags, "{query}");
        assert_eq!(next(&reply).as_deref(), link, "{query}");
    }
}

#[tokio::test]
async fn a_page_is_never_longer_than_the_limit() {
    let mut limits = Limits::default();
    limits.tag_items = 2;
    let registry = builder().limits(limits).build();
    push_image(&registry, "a", "layer", "1").await;
    for tag in ["2", "3", "4", "5"] {
        put_manifest(&registry, "a", tag, image("layer").to_string())
            .await
            .expect(201);
    }
    for query in ["", "?n=10000"] {
        let reply = get(&registry, &format!("/v2/a/tags/list{query}"))
            .await
            .expect(200);
        assert_eq!(reply.json()["tags"], json!(["1", "2"]));
    }
    let all = all_pages(&registry, "/v2/a/tags/list", "tags").await;
    assert_eq!(json!(all), json!(["1", "2", "3", "4", "5"]));
}

#[tokio::test]
async fn tags_of_an_unknown_repository_are_name_unknown() {
    let reply = get(&registry(), "/v2/never/pushed/tags/list").await;
    assert_eq!(reply.error(), (404, "NAME_UNKNOWN".into()));
}

#[tokio::test]
async fn the_catalog_is_listed_in_order_and_in_pages() {
    let registry = registry();
    for name in ["b", "a/b", "a", "a-b"] {
        push_image(&registry, name, "layer", "v1").await;
    }
    push_blob(&registry, "only/blobs", "x").await;
    let reply = get(&registry, "/v2/_catalog").await.expect(200);
    assert_eq!(
        reply.json(),
        json!({ "repositories": ["a", "a/b", "a-b", "b"] })
    );
    let reply = get(&registry, "/v2/_catalog?n=2").await.expect(200);
    assert_eq!(next(&reply).as_deref(), Some("/v2/_catalog?last=a%2Fb&n=2"));
    let all = all_pages(&registry, "/v2/_catalog?n=1", "repositories").await;
    assert_eq!(json!(all), json!(["a", "a/b", "a-b", "b"]));
}

fn referrer(subject: &Digest, artifact_type: &str, note: &str) -> Value {
    let mut manifest = image("layer");
    manifest["artifactType"] = json!(artifact_type);
    manifest["annotations"] = json!({ "note": note });
    manifest["subject"] =
        json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": subject, "size": 1 });
    manifest
}

async fn digests(registry: &Registry, uri: &str) -> Vec<String> {
    let found = all_pages(registry, uri, "manifests").await;
    found
        .iter()
        .map(|descriptor| descriptor["digest"].as_str().expect("a digest").to_owned())
        .collect()
}

#[tokio::test]
async fn an_empty_list_of_referrers_is_an_index_even_in_an_unknown_repository() {
    let uri = format!("/v2/never/pushed/referrers/{}", sha256("x"));
    let reply = get(&registry(), &uri).await.expect(200);
    assert_eq!(reply.header("content-type"), MediaType::OCI_INDEX.as_str());
    assert_eq!(
        reply.json(),
        json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [] })
    );
}

#[tokio::test]
async fn a_referrer_is_described_and_its_subject_confirmed() {
    let registry = registry();
    let subject = push_image(&registry, "a", "layer", "v1").await;
    let manifest = referrer(&subject, "application/vnd.example+json", "note").to_string();
    let digest = sha256(&manifest);
    let pushed = put_manifest(&registry, "a", &digest.to_string(), manifest.clone()).await;
    assert_eq!(
        pushed.expect(201).header("oci-subject"),
        subject.to_string()
    );
    let reply = get(&registry, &format!("/v2/a/referrers/{subject}"))
        .await
        .expect(200);
    assert_eq!(
        reply.json()["manifests"],
        json!([{
            "mediaType": MediaType::OCI_MANIFEST,
            "digest": digest,
            "size": manifest.len(),
            "artifactType": "application/vnd.example+json",
            "annotations": { "note": "note" },
        }])
    );
    let uri = format!("/v2/a/manifests/{digest}");
    send(&registry, Method::DELETE, &uri, &[], "")
        .await
        .expect(202);
    assert!(
        digests(&registry, &format!("/v2/a/referrers/{subject}"))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn referrers_are_filtered_by_type_and_paged() {
    let registry = registry();
    let subject = push_image(&registry, "a", "layer", "v1").await;
    let mut wanted = Vec::new();
    for n in 0..7 {
        let kind = ["a/wanted+x", "a/other"][n % 2];
        let manifest = referrer(&subject, kind, &n.to_string());
        let digest = push_manifest(&registry, "a", &manifest, &format!("r{n}")).await;
        if kind == "a/wanted+x" {
            wanted.push(digest.to_string());
        }
    }
    wanted.sort();
    let uri = format!("/v2/a/referrers/{subject}");
    assert_eq!(digests(&registry, &uri).await.len(), 7);
    for query in [
        "artifactType=a%2Fwanted%2Bx",
        "artifactType=a/wanted+x&n=1",
        "n=3&artifactType=a%2Fwanted%2Bx",
    ] {
        let reply = get(&registry, &format!("{uri}?{query}")).await.expect(200);
        assert_eq!(reply.header("oci-filters-applied"), "artifactType");
        assert_eq!(
            digests(&registry, &format!("{uri}?{query}")).await,
            wanted,
            "{query}"
        );
    }
    assert!(
        digests(&registry, &format!("{uri}?artifactType=none"))
            .await
            .is_empty()
    );
    assert!(digests(&registry, &format!("{uri}?n=0")).await.is_empty());
}

#[tokio::test]
async fn a_long_list_of_referrers_is_paged_by_its_size() {
    const PAGE: usize = 10_000;
    let mut limits = Limits::default();
    limits.referrers_bytes = PAGE;
    let registry = builder().limits(limits).build();
    let subject = push_image(&registry, "a", "layer", "v1").await;
    let mut all = Vec::new();
    for n in 0..9 {
        // The last is larger than a whole page.
        let note = n.to_string().repeat(if n == 8 { 2 * PAGE } else { 3000 });
        let manifest = referrer(&subject, "a/b", &note);
        all.push(
            push_manifest(&registry, "a", &manifest, &format!("r{n}"))
                .await
                .to_string(),
        );
    }
    all.sort();
    let uri = format!("/v2/a/referrers/{subject}");
    assert_eq!(digests(&registry, &uri).await, all);
    let first = get(&registry, &uri).await;
    assert!(next(&first).is_some());
}

#[tokio::test]
async fn what_the_fallback_tag_lists_is_merged_in() {
    // Of a storage that an older program filled, only the tag tells.
    let storage = Arc::new(Faulty(MemoryStorage::new(), None));
    let registry = Registry::builder(storage, Arc::new(AllowAll)).build();
    let subject = push_image(&registry, "a", "layer", "v1").await;
    let mut listed = Vec::new();
    let mut expected = Vec::new();
    for n in 0..3 {
        let manifest = referrer(&subject, "a/b", &n.to_string());
        let digest = push_manifest(&registry, "a", &manifest, &format!("r{n}")).await;
        listed.push(descriptor(
            MediaType::OCI_MANIFEST.as_str(),
            &manifest.to_string(),
        ));
        expected.push(digest.to_string());
    }
    // An index can claim what it likes: this one refers to nothing.
    push_image(&registry, "a", "stranger", "stranger").await;
    let stranger = image("stranger").to_string();
    listed.push(descriptor(MediaType::OCI_MANIFEST.as_str(), &stranger));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": listed,
    });
    let tag = Tag::referrers_fallback(&subject);
    push_manifest(&registry, "a", &index, tag.as_str()).await;
    expected.sort();
    for query in ["", "?n=1", "?artifactType=a/b&n=2"] {
        let uri = format!("/v2/a/referrers/{subject}{query}");
        assert_eq!(digests(&registry, &uri).await, expected, "{query}");
    }
    // One that was deleted since is not made up for.
    let gone = expected.remove(1);
    let uri = format!("/v2/a/manifests/{gone}");
    send(&registry, Method::DELETE, &uri, &[], "")
        .await
        .expect(202);
    let uri = format!("/v2/a/referrers/{subject}");
    assert_eq!(digests(&registry, &uri).await, expected);
}

/// Filtering must not make one request read everything there is.
#[tokio::test]
async fn a_filter_that_lets_little_through_is_paged_too() {
    let registry = registry();
    let subject = push_image(&registry, "a", "layer", "v1").await;
    for n in 0..1100 {
        let manifest = referrer(&subject, "a/b", &n.to_string()).to_string();
        let digest = sha256(&manifest).to_string();
        put_manifest(&registry, "a", &digest, manifest)
            .await
            .expect(201);
    }
    let rare = push_manifest(&registry, "a", &referrer(&subject, "a/rare", ""), "rare").await;
    let uri = format!("/v2/a/referrers/{subject}?artifactType=a/rare");
    assert!(next(&get(&registry, &uri).await).is_some());
    assert_eq!(digests(&registry, &uri).await, [rare.to_string()]);
}
