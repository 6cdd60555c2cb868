//! Blobs over the service: end-2, end-10.

mod support;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use registry_spec::storage::MemoryStorage;
use registry_spec::{AllowAll, Deletes, Registry};
use support::faulty::Faulty;
use support::{builder, get, push_blob, registry, send, sha256};

const CONTENT: &str = "0123456789";

fn without_date(mut headers: HeaderMap) -> HeaderMap {
    headers.remove("date");
    headers
}

#[tokio::test]
async fn a_blob_is_pulled_with_every_header_that_clients_look_at() {
    let registry = registry();
    let digest = push_blob(&registry, "a/b", CONTENT).await;
    let reply = get(&registry, &format!("/v2/a/b/blobs/{digest}"))
        .await
        .expect(200);
    assert_eq!(reply.body, CONTENT);
    for (name, value) in [
        ("content-length", "10"),
        ("content-type", "application/octet-stream"),
        ("docker-content-digest", &digest.to_string()),
        ("docker-distribution-api-version", "registry/2.0"),
        ("etag", &format!("\"{digest}\"")),
        ("accept-ranges", "bytes"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(reply.header(name), value);
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let registry = registry();
    let digest = push_blob(&registry, "a", CONTENT).await;
    let present = format!("/v2/a/blobs/{digest}");
    let missing = format!("/v2/a/blobs/{}", sha256("missing"));
    for uri in [
        present,
        missing,
        "/v2/a/blobs/x".to_owned(),
        "/v2/".to_owned(),
    ] {
        let get = get(&registry, &uri).await;
        let head = send(&registry, Method::HEAD, &uri, &[], "").await;
        assert_eq!(head.status, get.status, "{uri}");
        assert_eq!(
            without_date(head.headers),
            without_date(get.headers),
            "{uri}"
        );
        assert!(head.body.is_empty());
    }
}

#[tokio::test]
async fn head_of_a_missing_blob_is_404_without_a_body() {
    let uri = format!("/v2/never/pushed/blobs/{}", sha256("x"));
    let reply = send(&registry(), Method::HEAD, &uri, &[], "")
        .await
        .expect(404);
    assert!(reply.body.is_empty());
}

#[tokio::test]
async fn a_missing_blob_is_blob_unknown() {
    let reply = get(&registry(), &format!("/v2/a/blobs/{}", sha256("x"))).await;
    assert_eq!(reply.error(), (404, "BLOB_UNKNOWN".into()));
}

#[tokio::test]
async fn one_range_is_answered_with_its_bytes() {
    let registry = registry();
    let digest = push_blob(&registry, "a", CONTENT).await;
    let uri = format!("/v2/a/blobs/{digest}");
    for (range, body, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=3-5", "345", "bytes 3-5/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
    ] {
        let reply = send(&registry, Method::GET, &uri, &[("range", range)], "")
            .await
            .expect(206);
        assert_eq!(reply.body, body, "{range}");
        assert_eq!(reply.header("content-range"), content_range);
        assert_eq!(reply.header("content-length"), body.len().to_string());
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    }
    for range in ["bytes=10-", "bytes=5-3", "bytes=-0", "bytes=x-y"] {
        let reply = send(&registry, Method::GET, &uri, &[("range", range)], "").await;
        assert_eq!(reply.error(), (416, "SIZE_INVALID".into()), "{range}");
        assert_eq!(reply.header("content-range"), "bytes */10");
    }
    let reply = send(&registry, Method::GET, &uri, &[("range", "lines=1-2")], "").await;
    assert_eq!(reply.expect(200).body, CONTENT);
}

#[tokio::test]
async fn several_ranges_are_answered_in_parts() {
    let registry = registry();
    let digest = push_blob(&registry, "a", CONTENT).await;
    let uri = format!("/v2/a/blobs/{digest}");
    let reply = send(
        &registry,
        Method::GET,
        &uri,
        &[("range", "bytes=0-1,4-4,-2")],
        "",
    )
    .await;
    let reply = reply.expect(206);
    let boundary = reply
        .header("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a multipart type");
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    let body = std::str::from_utf8(&reply.body).expect("text");
    let body = body
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .expect("the closing boundary");
    let parts: Vec<&str> = body.split(&format!("\r\n--{boundary}\r\n")).collect();
    let lines = |range| {
        format!("content-type: application/octet-stream\r\ncontent-range: bytes {range}/10\r\n\r\n")
    };
    assert_eq!(
        parts,
        [
            String::new(),
            lines("0-1") + "01",
            lines("4-4") + "4",
            lines("8-9") + "89",
        ]
    );
}

#[tokio::test]
async fn too_many_ranges_are_refused_and_not_answered_in_part() {
    let registry = registry();
    let digest = push_blob(&registry, "a", &"x".repeat(5000)).await;
    let uri = format!("/v2/a/blobs/{digest}");
    for (count, status) in [(1024, 206), (1025, 400)] {
        let range = format!("bytes={}", vec!["1-1"; count].join(","));
        let reply = send(&registry, Method::GET, &uri, &[("range", &range)], "").await;
        assert_eq!(reply.status, status, "{count} ranges");
    }
}

#[tokio::test]
async fn an_empty_blob_is_sent_whole_whatever_the_range() {
    let registry = registry();
    let digest = push_blob(&registry, "a", "").await;
    let uri = format!("/v2/a/blobs/{digest}");
    for headers in [&[][..], &[("range", "bytes=0-")]] {
        let reply = send(&registry, Method::GET, &uri, headers, "")
            .await
            .expect(200);
        assert_eq!(reply.header("content-length"), "0");
    }
}

#[tokio::test]
async fn conditions_decide_whether_and_how_a_blob_is_sent() {
    let registry = registry();
    let digest = push_blob(&registry, "a", CONTENT).await;
    let uri = format!("/v2/a/blobs/{digest}");
    let etag = format!("\"{digest}\"");
    for method in [Method::GET, Method::HEAD] {
        let reply = send(&registry, method, &uri, &[("if-none-match", &etag)], "").await;
        let reply = reply.expect(304);
        assert!(reply.body.is_empty());
        assert_eq!(reply.header("etag"), etag);
    }
    let reply = send(
        &registry,
        Method::GET,
        &uri,
        &[("if-none-match", "\"other\"")],
        "",
    )
    .await;
    assert_eq!(reply.expect(200).body, CONTENT);

    let ranged = |if_range: &str| {
        [
            ("range".to_owned(), "bytes=0-1".to_owned()),
            ("if-range".to_owned(), if_range.to_owned()),
        ]
    };
    for (if_range, status) in [
        (etag.as_str(), 206),
        ("\"other\"", 200),
        ("Tue, 24 Nov 2026 19:00:00 GMT", 200),
    ] {
        let headers = ranged(if_range);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        send(&registry, Method::GET, &uri, &headers, "")
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn a_missing_blob_is_unknown_also_to_conditional_requests() {
    let uri = format!("/v2/a/blobs/{}", sha256("x"));
    for header in [("if-none-match", "*"), ("range", "bytes=0-1")] {
        let reply = send(&registry(), Method::GET, &uri, &[header], "").await;
        assert_eq!(reply.error(), (404, "BLOB_UNKNOWN".into()));
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_at_once() {
    let registry = registry();
    let digest = push_blob(&registry, "a", CONTENT).await;
    let uri = format!("/v2/a/blobs/{digest}");
    let reply = send(&registry, Method::DELETE, &uri, &[], "")
        .await
        .expect(202);
    assert_eq!(reply.header("content-length"), "0");
    get(&registry, &uri).await.expect(404);
    let again = send(&registry, Method::DELETE, &uri, &[], "").await;
    assert_eq!(again.error(), (404, "BLOB_UNKNOWN".into()));
}

#[tokio::test]
async fn deletes_can_be_switched_off() {
    let registry = builder().deletes(Deletes::none()).build();
    let digest = push_blob(&registry, "a", CONTENT).await;
    let uri = format!("/v2/a/blobs/{digest}");
    let reply = send(&registry, Method::DELETE, &uri, &[], "").await;
    assert_eq!(reply.error(), (405, "UNSUPPORTED".into()));
    assert_eq!(reply.header("allow"), "GET, HEAD");
    get(&registry, &uri).await.expect(200);
}

#[tokio::test]
async fn a_storage_may_send_clients_elsewhere_for_a_blob() {
    let url = HeaderValue::from_static("https://store.example/blob?signature=x");
    let storage = Arc::new(Faulty(MemoryStorage::new(), Some(url)));
    let registry = Registry::builder(storage, Arc::new(AllowAll)).build();
    let digest = push_blob(&registry, "a", CONTENT).await;
    let uri = format!("/v2/a/blobs/{digest}");

    let reply = get(&registry, &uri).await.expect(307);
    assert_eq!(
        reply.header("location"),
        "https://store.example/blob?signature=x"
    );
    assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(reply.body.is_empty());
    // What is small, or not there, is answered here.
    let head = send(&registry, Method::HEAD, &uri, &[], "")
        .await
        .expect(200);
    assert_eq!(head.header("content-length"), "10");
    let none_match = ("if-none-match", &*format!("\"{digest}\""));
    send(&registry, Method::GET, &uri, &[none_match], "")
        .await
        .expect(304);
    get(&registry, &format!("/v2/b/blobs/{digest}"))
        .await
        .expect(404);
}
