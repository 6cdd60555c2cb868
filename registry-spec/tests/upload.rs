//! Uploads over the service: end-4 to end-6, end-11, end-13, end-14.

mod support;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body_util::StreamBody;
use registry_spec::BoxError;
use registry_spec::types::{Algorithm, Digest};
use support::{Reply, get, push_blob, registry, reply, send, sha256, start_upload};

#[track_caller]
fn stands_at(reply: &Reply, location: &str, range: &str) {
    assert_eq!(reply.header("location"), location);
    assert_eq!(reply.header("range"), range);
    let id = location.rsplit('/').next().expect("an id");
    assert_eq!(reply.header("docker-upload-uuid"), id);
}

#[tokio::test]
async fn docker_pushes_in_one_chunk_without_length_or_range() {
    let registry = registry();
    let location = start_upload(&registry, "a/b").await;
    assert!(location.starts_with("/v2/a/b/blobs/uploads/"));
    let chunks = ["hello, ", "world"].map(|chunk| {
        Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(chunk.as_bytes())))
    });
    let request = Request::patch(&location)
        .body(StreamBody::new(stream::iter(chunks)))
        .expect("a request");
    let patched = reply(&registry, request).await.expect(202);
    stands_at(&patched, &location, "0-11");
    assert_eq!(patched.header("content-length"), "0");

    let digest = sha256("hello, world");
    let put = send(
        &registry,
        Method::PUT,
        &format!("{location}?digest={digest}"),
        &[],
        "",
    )
    .await;
    let put = put.expect(201);
    assert_eq!(put.header("location"), format!("/v2/a/b/blobs/{digest}"));
    assert_eq!(put.header("docker-content-digest"), digest.to_string());
    assert_eq!(
        get(&registry, put.header("location"))
            .await
            .expect(200)
            .body,
        "hello, world"
    );
    get(&registry, &location).await.expect(404);
}

#[tokio::test]
async fn containerd_pushes_the_whole_in_the_closing_put() {
    let registry = registry();
    let location = start_upload(&registry, "a").await;
    let digest = sha256("hello");
    let uri = format!("{location}?digest={digest}");
    send(&registry, Method::PUT, &uri, &[], "hello")
        .await
        .expect(201);
    assert_eq!(
        get(&registry, &format!("/v2/a/blobs/{digest}")).await.body,
        "hello"
    );
}

#[tokio::test]
async fn chunks_with_ranges_are_placed_where_they_say() {
    let registry = registry();
    let location = start_upload(&registry, "a").await;
    let status = get(&registry, &location).await.expect(204);
    stands_at(&status, &location, "0-0");
    for (range, chunk, held) in [
        ("0-2", "abc", "0-2"),
        ("bytes 3-4/*", "de", "0-4"),
        ("bytes=5-5", "f", "0-5"),
    ] {
        let headers = [("content-range", range)];
        let reply = send(&registry, Method::PATCH, &location, &headers, chunk)
            .await
            .expect(202);
        stands_at(&reply, &location, held);
    }
    for method in [Method::PATCH, Method::PUT] {
        let uri = format!("{location}?digest={}", sha256("x"));
        for range in ["0-2", "7-9"] {
            let headers = [("content-range", range)];
            let reply = send(&registry, method.clone(), &uri, &headers, "xyz").await;
            assert_eq!(reply.error(), (416, "BLOB_UPLOAD_INVALID".into()));
            stands_at(&reply, &location, "0-5");
        }
    }
    stands_at(
        &get(&registry, &location).await.expect(204),
        &location,
        "0-5",
    );
    let uri = format!("{location}?digest={}", sha256("abcdefghi"));
    send(
        &registry,
        Method::PUT,
        &uri,
        &[("content-range", "6-8")],
        "ghi",
    )
    .await
    .expect(201);
}

#[tokio::test]
async fn a_chunk_must_be_as_long_as_it_says() {
    let registry = registry();
    let location = start_upload(&registry, "a").await;
    let headers = [("content-range", "0-4")];
    let reply = send(&registry, Method::PATCH, &location, &headers, "abc").await;
    assert_eq!(reply.error(), (400, "SIZE_INVALID".into()));
    let headers = [("content-length", "5")];
    let reply = send(&registry, Method::PATCH, &location, &headers, "abc").await;
    assert_eq!(reply.error(), (400, "SIZE_INVALID".into()));
    for range in ["", "x", "5-3", "bytes", "0-99999999999999999999999"] {
        let headers = [("content-range", range)];
        let reply = send(&registry, Method::PATCH, &location, &headers, "abc").await;
        let (status, _) = reply.error();
        assert_eq!(status, 400, "{range}");
    }
}

#[tokio::test]
async fn an_empty_chunk_is_one_too() {
    let registry = registry();
    let location = start_upload(&registry, "a").await;
    let reply = send(&registry, Method::PATCH, &location, &[], "")
        .await
        .expect(202);
    stands_at(&reply, &location, "0-0");
    let uri = format!("{location}?digest={}", sha256(""));
    send(&registry, Method::PUT, &uri, &[], "")
        .await
        .expect(201);
}

#[tokio::test]
async fn a_single_post_uploads_the_whole() {
    let registry = registry();
    for digest in Algorithm::ALL.map(|algorithm| Digest::of(algorithm, b"hello")) {
        let uri = format!("/v2/a/blobs/uploads/?digest={digest}");
        let reply = send(&registry, Method::POST, &uri, &[], "hello")
            .await
            .expect(201);
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
        assert_eq!(
            get(&registry, reply.header("location"))
                .await
                .expect(200)
                .body,
            "hello"
        );
    }
    let uri = format!("/v2/a/blobs/uploads/?digest={}", sha256("other"));
    let reply = send(&registry, Method::POST, &uri, &[], "hello").await;
    assert_eq!(reply.error(), (400, "DIGEST_INVALID".into()));
}

#[tokio::test]
async fn the_closing_digest_may_be_of_any_algorithm() {
    let registry = registry();
    for query in ["", "?digest-algorithm=sha512", "?digest-algorithm=sha256"] {
        let uri = format!("/v2/a/blobs/uploads/{query}");
        let start = send(&registry, Method::POST, &uri, &[], "")
            .await
            .expect(202);
        let location = start.header("location").to_owned();
        send(&registry, Method::PATCH, &location, &[], "hello")
            .await
            .expect(202);
        let digest = Digest::of(Algorithm::Sha512, b"hello");
        let put = send(
            &registry,
            Method::PUT,
            &format!("{location}?digest={digest}"),
            &[],
            "",
        )
        .await;
        assert_eq!(
            put.expect(201).header("docker-content-digest"),
            digest.to_string()
        );
    }
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_the_blob_is_not_there() {
    let registry = registry();
    let location = start_upload(&registry, "a").await;
    let wrong = sha256("other");
    let uri = format!("{location}?digest={wrong}");
    let reply = send(&registry, Method::PUT, &uri, &[], "hello").await;
    assert_eq!(reply.error(), (400, "DIGEST_INVALID".into()));
    for digest in [wrong, sha256("hello")] {
        get(&registry, &format!("/v2/a/blobs/{digest}"))
            .await
            .expect(404);
    }
}

#[tokio::test]
async fn a_cancelled_upload_is_unknown() {
    let registry = registry();
    let location = start_upload(&registry, "a").await;
    send(&registry, Method::DELETE, &location, &[], "")
        .await
        .expect(204);
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let reply = send(&registry, method, &location, &[], "x").await;
        assert_eq!(reply.error(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    }
    let uri = format!("{location}?digest={}", sha256(""));
    let reply = send(&registry, Method::PUT, &uri, &[], "").await;
    assert_eq!(reply.error(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
}

#[tokio::test]
async fn a_blob_is_mounted_with_and_without_a_source() {
    let registry = registry();
    let digest = push_blob(&registry, "from", "hello").await;
    for (to, query) in [
        ("x", format!("mount={digest}&from=from")),
        ("y", format!("mount={digest}")),
    ] {
        let uri = format!("/v2/{to}/blobs/uploads/?{query}");
        let reply = send(&registry, Method::POST, &uri, &[], "")
            .await
            .expect(201);
        assert_eq!(reply.header("location"), format!("/v2/{to}/blobs/{digest}"));
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
        assert_eq!(
            get(&registry, reply.header("location"))
                .await
                .expect(200)
                .body,
            "hello"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_mounted_becomes_an_upload() {
    let registry = registry();
    let digest = push_blob(&registry, "from", "hello").await;
    let missing = sha256("missing");
    for query in [
        format!("mount={missing}&from=from"),
        format!("mount={digest}&from=never/pushed"),
        format!("mount={missing}"),
        format!("mount={missing}&from=from&digest={missing}"),
        "from=from&origin=x".to_owned(),
    ] {
        let uri = format!("/v2/a/blobs/uploads/?{query}");
        let reply = send(&registry, Method::POST, &uri, &[], "")
            .await
            .expect(202);
        let location = reply.header("location").to_owned();
        stands_at(&reply, &location, "0-0");
        let uri = format!("{location}?digest={}", sha256("anything"));
        send(&registry, Method::PUT, &uri, &[], "anything")
            .await
            .expect(201);
    }
}

#[tokio::test]
async fn a_content_type_means_nothing_to_an_upload() {
    let registry = registry();
    let uri = format!("/v2/a/blobs/uploads/?digest={}", sha256("digest=x"));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    send(&registry, Method::POST, &uri, &headers, "digest=x")
        .await
        .expect(201);
}
