//! Manifests over the service: end-3, end-7, end-9.

mod support;

use http::Method;
use registry_spec::types::{Algorithm, Digest, MediaType};
use registry_spec::{Deletes, Validation};
use serde_json::{Value, json};
use support::{
    builder, descriptor, get, image, push_blob, push_image, push_manifest, put_manifest, registry,
    send, sha256,
};

#[tokio::test]
async fn a_manifest_is_pulled_as_it_was_pushed() {
    let registry = registry();
    push_blob(&registry, "a/b", "{}").await;
    push_blob(&registry, "a/b", "layer").await;
    let bytes = format!("\n {} \t", image("layer"));
    let digest = sha256(&bytes);
    let pushed = put_manifest(&registry, "a/b", "v1", bytes.clone())
        .await
        .expect(201);
    assert_eq!(
        pushed.header("location"),
        format!("/v2/a/b/manifests/{digest}")
    );
    assert_eq!(pushed.header("docker-content-digest"), digest.to_string());
    for (reference, cache) in [
        ("v1".to_owned(), "no-cache"),
        (digest.to_string(), "public, max-age=31536000, immutable"),
    ] {
        let uri = format!("/v2/a/b/manifests/{reference}");
        let reply = get(&registry, &uri).await.expect(200);
        assert_eq!(reply.body, bytes);
        for (name, value) in [
            ("content-type", MediaType::OCI_MANIFEST.as_str()),
            ("content-length", &bytes.len().to_string()),
            ("docker-content-digest", &digest.to_string()),
            ("etag", &format!("\"{digest}\"")),
            ("cache-control", cache),
        ] {
            assert_eq!(reply.header(name), value);
        }
        let head = send(&registry, Method::HEAD, &uri, &[], "")
            .await
            .expect(200);
        assert_eq!(head.headers, reply.headers);
        assert!(head.body.is_empty());
        let same = [("if-none-match", reply.header("etag"))];
        send(&registry, Method::GET, &uri, &same, "")
            .await
            .expect(304);
    }
}

#[tokio::test]
async fn containerd_may_ask_for_a_range_of_a_manifest() {
    let registry = registry();
    push_image(&registry, "a", "layer", "v1").await;
    let headers = [("range", "bytes=0-"), ("accept", "text/html")];
    send(&registry, Method::GET, "/v2/a/manifests/v1", &headers, "")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_missing_manifest_is_manifest_unknown() {
    let registry = registry();
    for reference in ["v1".to_owned(), sha256("x").to_string()] {
        let reply = get(&registry, &format!("/v2/a/manifests/{reference}")).await;
        assert_eq!(reply.error(), (404, "MANIFEST_UNKNOWN".into()));
    }
}

#[tokio::test]
async fn tags_come_along_with_a_push_by_digest() {
    let registry = registry();
    push_image(&registry, "a", "layer", "v0").await;
    let bytes = image("layer").to_string();
    let digest = Digest::of(Algorithm::Sha512, bytes.as_bytes());
    let reply = put_manifest(
        &registry,
        "a",
        &format!("{digest}?tag=1.2&tag=1&tag=latest"),
        bytes,
    )
    .await;
    let reply = reply.expect(201);
    let tags: Vec<&str> = reply
        .headers
        .get_all("oci-tag")
        .iter()
        .map(|tag| tag.to_str().expect("text"))
        .collect();
    assert_eq!(tags, ["1.2", "1", "latest"]);
    assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    for tag in tags {
        let reply = get(&registry, &format!("/v2/a/manifests/{tag}"))
            .await
            .expect(200);
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    }
}

#[tokio::test]
async fn regctl_gives_another_digest_besides_a_tag() {
    let registry = registry();
    push_image(&registry, "a", "layer", "v0").await;
    let bytes = image("layer").to_string();
    let digest = Digest::of(Algorithm::Sha512, bytes.as_bytes());
    put_manifest(
        &registry,
        "a",
        &format!("v1?digest={digest}"),
        bytes.clone(),
    )
    .await
    .expect(201);
    let reply = get(&registry, "/v2/a/manifests/v1").await.expect(200);
    assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    let wrong = Digest::of(Algorithm::Sha512, b"other");
    let reply = put_manifest(&registry, "a", &format!("v1?digest={wrong}"), bytes).await;
    assert_eq!(reply.error(), (400, "DIGEST_INVALID".into()));
}

#[tokio::test]
async fn what_a_manifest_references_must_be_there() {
    let registry = registry();
    push_blob(&registry, "a", "{}").await;
    let reply = put_manifest(&registry, "a", "v1", image("layer").to_string()).await;
    assert_eq!(reply.error(), (404, "MANIFEST_BLOB_UNKNOWN".into()));
    let missing = &reply.json()["errors"][0]["detail"]["missing"];
    assert_eq!(*missing, json!([sha256("layer")]));
    get(&registry, "/v2/a/manifests/v1").await.expect(404);

    // In another repository it does not count.
    push_blob(&registry, "b", "layer").await;
    put_manifest(&registry, "a", "v1", image("layer").to_string())
        .await
        .expect(404);
    push_blob(&registry, "a", "layer").await;
    put_manifest(&registry, "a", "v1", image("layer").to_string())
        .await
        .expect(201);
}

fn index(children: Vec<Value>) -> Value {
    json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": children })
}

#[tokio::test]
async fn the_children_of_an_index_are_manifests_or_blobs() {
    let registry = registry();
    let child = image("layer").to_string();
    push_image(&registry, "a", "layer", "v1").await;
    push_blob(&registry, "a", "cache layer").await;
    let children = vec![
        descriptor(MediaType::OCI_MANIFEST.as_str(), &child),
        descriptor("application/vnd.oci.image.layer.v1.tar+zstd", "cache layer"),
    ];
    push_manifest(&registry, "a", &index(children), "cache").await;
    let stranger = index(vec![descriptor(
        MediaType::OCI_MANIFEST.as_str(),
        "stranger",
    )]);
    let reply = put_manifest(&registry, "a", "v2", stranger.to_string()).await;
    assert_eq!(reply.error(), (404, "MANIFEST_BLOB_UNKNOWN".into()));
}

#[tokio::test]
async fn sparse_validation_accepts_what_is_not_there() {
    let registry = builder().validation(Validation::Sparse).build();
    put_manifest(&registry, "a", "v1", image("layer").to_string())
        .await
        .expect(201);
}

#[tokio::test]
async fn many_missing_references_are_not_all_named() {
    let layers: Vec<Value> = (0..2000)
        .map(|n| descriptor("application/vnd.oci.image.layer.v1.tar", &n.to_string()))
        .collect();
    let mut manifest = image("layer");
    manifest["layers"] = json!(layers);
    let reply = put_manifest(&registry(), "a", "v1", manifest.to_string())
        .await
        .expect(404);
    assert!(reply.body.len() < 4096);
}

#[tokio::test]
async fn what_is_not_a_manifest_is_manifest_invalid() {
    let registry = registry();
    for bytes in [
        "",
        "{}",
        "[]",
        "not json",
        r#"{"schemaVersion":1}"#,
        "\u{0}",
    ] {
        let reply = put_manifest(&registry, "a", "v1", bytes).await;
        assert_eq!(reply.error(), (400, "MANIFEST_INVALID".into()), "{bytes:?}");
    }
    let uri = "/v2/a/manifests/v1";
    for content_type in [
        "application/json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        MediaType::OCI_INDEX.as_str(),
        "not a type",
    ] {
        let headers = [("content-type", content_type)];
        let reply = send(
            &registry,
            Method::PUT,
            uri,
            &headers,
            image("x").to_string(),
        )
        .await;
        assert_eq!(
            reply.error(),
            (400, "MANIFEST_INVALID".into()),
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_is_quoted_only_in_part() {
    let bytes = format!(r#"{{"schemaVersion":"{}"}}"#, "\u{7f}".repeat(1_000_000));
    let reply = put_manifest(&registry(), "a", "v1", bytes)
        .await
        .expect(400);
    assert!(reply.body.len() < 4096, "{} bytes", reply.body.len());
}

#[tokio::test]
async fn parameters_of_a_content_type_are_ignored() {
    let registry = registry();
    push_image(&registry, "a", "layer", "v0").await;
    let sent = format!("{}; charset=utf-8", MediaType::OCI_MANIFEST);
    let headers = [("content-type", sent.as_str())];
    let uri = "/v2/a/manifests/v1";
    send(
        &registry,
        Method::PUT,
        uri,
        &headers,
        image("layer").to_string(),
    )
    .await
    .expect(201);
    let reply = get(&registry, uri).await;
    assert_eq!(
        reply.header("content-type"),
        MediaType::OCI_MANIFEST.as_str()
    );
}

#[tokio::test]
async fn a_digest_that_does_not_fit_is_refused() {
    let registry = registry();
    push_image(&registry, "a", "layer", "v0").await;
    for digest in [
        sha256("other").to_string(),
        "sha256:baddigeststring".into(),
        "md5:00".into(),
    ] {
        let reply = put_manifest(&registry, "a", &digest, image("layer").to_string()).await;
        assert_eq!(reply.error(), (400, "DIGEST_INVALID".into()), "{digest}");
    }
}

#[tokio::test]
async fn a_manifest_of_exactly_the_limit_is_accepted() {
    const LIMIT: usize = 4_194_304;
    let registry = registry();
    push_image(&registry, "a", "layer", "v0").await;
    let mut bytes = image("layer").to_string();
    bytes += &" ".repeat(LIMIT - bytes.len());
    put_manifest(&registry, "a", "big", bytes.clone())
        .await
        .expect(201);
    assert_eq!(get(&registry, "/v2/a/manifests/big").await.body, bytes);
    bytes.push(' ');
    let reply = put_manifest(&registry, "a", "big", bytes).await;
    assert_eq!(reply.error(), (413, "SIZE_INVALID".into()));
}

#[tokio::test]
async fn a_manifest_too_large_is_refused_also_without_a_length() {
    use bytes::Bytes;
    use futures_util::stream;
    let registry = registry();
    let chunks = (0..5).map(|_| {
        let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
        Ok::<_, registry_spec::BoxError>(http_body::Frame::data(chunk))
    });
    let body = http_body_util::StreamBody::new(stream::iter(chunks));
    let request = http::Request::put("/v2/a/manifests/v1")
        .body(body)
        .expect("a request");
    let reply = support::reply(&registry, request).await;
    assert_eq!(reply.error(), (413, "SIZE_INVALID".into()));
}

#[tokio::test]
async fn conditions_decide_over_a_push() {
    let registry = registry();
    let one = push_image(&registry, "a", "one", "v1").await;
    push_image(&registry, "a", "two", "v2").await;
    let uri = "/v2/a/manifests/v1";
    let etag = format!("\"{one}\"");
    for (name, value, text, status) in [
        ("if-none-match", "*", "two", 412),
        ("if-match", "\"other\"", "two", 412),
        ("if-match", etag.as_str(), "two", 201),
        ("if-match", etag.as_str(), "one", 412),
        ("if-match", "*", "one", 201),
    ] {
        let manifest = image(text).to_string();
        let reply = send(&registry, Method::PUT, uri, &[(name, value)], manifest).await;
        assert_eq!(reply.status, status, "{name}: {value}");
    }
    let headers = [("if-none-match", "*")];
    let fresh = "/v2/a/manifests/fresh";
    send(
        &registry,
        Method::PUT,
        fresh,
        &headers,
        image("one").to_string(),
    )
    .await
    .expect(201);
}

#[tokio::test]
async fn a_deleted_tag_leaves_the_manifest_and_a_deleted_manifest_takes_its_tags() {
    let registry = registry();
    let digest = push_image(&registry, "a", "layer", "v1").await;
    put_manifest(&registry, "a", "v2", image("layer").to_string())
        .await
        .expect(201);
    let delete = |uri: String| {
        let registry = registry.clone();
        async move { send(&registry, Method::DELETE, &uri, &[], "").await }
    };
    delete("/v2/a/manifests/v1".into()).await.expect(202);
    get(&registry, "/v2/a/manifests/v1").await.expect(404);
    get(&registry, "/v2/a/manifests/v2").await.expect(200);
    delete(format!("/v2/a/manifests/{digest}"))
        .await
        .expect(202);
    get(&registry, "/v2/a/manifests/v2").await.expect(404);
    get(&registry, &format!("/v2/a/manifests/{digest}"))
        .await
        .expect(404);
    for reference in ["v1".to_owned(), digest.to_string()] {
        let reply = delete(format!("/v2/a/manifests/{reference}")).await;
        assert_eq!(reply.error(), (404, "MANIFEST_UNKNOWN".into()));
    }
}

#[tokio::test]
async fn each_kind_of_delete_can_be_switched_off_by_itself() {
    let mut only_tags = Deletes::none();
    only_tags.tags = true;
    let mut only_manifests = Deletes::none();
    only_manifests.manifests = true;
    for (deletes, by_tag, by_digest) in [
        (Deletes::none(), 405, 405),
        (only_tags, 202, 405),
        (only_manifests, 405, 202),
    ] {
        let registry = builder().deletes(deletes).build();
        let digest = push_image(&registry, "a", "layer", "v1").await;
        for (reference, status) in [("v1".to_owned(), by_tag), (digest.to_string(), by_digest)] {
            let uri = format!("/v2/a/manifests/{reference}");
            let reply = send(&registry, Method::DELETE, &uri, &[], "")
                .await
                .expect(status);
            if status == 405 {
                assert_eq!(reply.error(), (405, "UNSUPPORTED".into()));
                assert_eq!(reply.header("allow"), "GET, HEAD, PUT");
            }
        }
    }
}
