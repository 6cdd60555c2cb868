//! A registry that is not at the root of its host, or is switched to read-only.

mod support;

use http::{Method, Request};
use http_body_util::Full;
use registry_spec::types::{Algorithm, Digest};
use registry_spec::{BaseUrl, Registry};
use support::{
    builder, get, image, push_blob, push_image, put_manifest, registry, reply, send, sha256,
};

/// Every `Location` and `Link` that the registry writes.
async fn urls(registry: &Registry) -> Vec<String> {
    let mut urls = Vec::new();
    let start = send(registry, Method::POST, "/v2/a/blobs/uploads/", &[], "").await;
    let location = start.expect(202).header("location").to_owned();
    let upload = &location[location.find("/v2/").expect("a path of ours")..];
    for (method, range) in [
        (Method::PATCH, "0-4"),
        (Method::PATCH, "7-9"),
        (Method::GET, ""),
    ] {
        let headers = [("content-range", range)];
        let body = if range == "0-4" { "layer" } else { "xyz" };
        let headers = if range.is_empty() { &[][..] } else { &headers };
        let reply = send(registry, method, upload, headers, body).await;
        urls.push(reply.header("location").to_owned());
    }
    let layer = sha256("layer");
    let uri = format!("{upload}?digest={layer}");
    let put = send(registry, Method::PUT, &uri, &[], "").await.expect(201);
    urls.push(put.header("location").to_owned());
    push_blob(registry, "a", "{}").await;
    for name in ["b", "a"] {
        let uri = format!("/v2/{name}/blobs/uploads/?mount={layer}&from=a");
        let mount = send(registry, Method::POST, &uri, &[], "")
            .await
            .expect(201);
        urls.push(mount.header("location").to_owned());
    }
    for tag in ["1", "2"] {
        let pushed = put_manifest(registry, "a", tag, image("layer").to_string()).await;
        urls.push(pushed.expect(201).header("location").to_owned());
    }
    push_image(registry, "b", "layer", "1").await;
    for list in ["a/tags/list?n=1", "_catalog?n=1"] {
        let reply = get(registry, &format!("/v2/{list}")).await.expect(200);
        urls.push(reply.header("link").trim_start_matches('<').to_owned());
    }
    urls
}

#[tokio::test]
async fn every_url_begins_with_the_base() {
    for (base, before) in [
        ("", "/v2/"),
        ("/images", "/images/v2/"),
        ("https://r.example:8443/x", "https://r.example:8443/x/v2/"),
    ] {
        let registry = builder().base_url(base.parse().expect(base)).build();
        for url in urls(&registry).await {
            assert!(url.starts_with(before), "{url} in {base:?}");
        }
    }
}

#[tokio::test]
async fn a_request_may_bring_its_own_base() {
    let base: BaseUrl = "https://r.example".parse().expect("valid");
    let request = Request::post("/v2/a/blobs/uploads/")
        .extension(base)
        .body(Full::<bytes::Bytes>::default())
        .expect("a request");
    let reply = reply(&registry(), request).await.expect(202);
    let location = reply.header("location");
    assert!(
        location.starts_with("https://r.example/v2/a/blobs/uploads/"),
        "{location}"
    );
}

#[tokio::test]
async fn a_read_only_registry_refuses_everything_but_pulls() {
    let registry = builder().read_only(true).build();
    let digest = Digest::of(Algorithm::Sha256, b"x");
    for (method, uri) in [
        (Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (Method::PATCH, "/v2/a/blobs/uploads/x".to_owned()),
        (
            Method::PUT,
            format!("/v2/a/blobs/uploads/x?digest={digest}"),
        ),
        (Method::DELETE, "/v2/a/blobs/uploads/x".to_owned()),
        (Method::PUT, "/v2/a/manifests/v1".to_owned()),
        (Method::DELETE, "/v2/a/manifests/v1".to_owned()),
        (Method::DELETE, format!("/v2/a/blobs/{digest}")),
    ] {
        let reply = send(&registry, method.clone(), &uri, &[], "{}").await;
        assert_eq!(reply.error(), (405, "UNSUPPORTED".into()), "{method} {uri}");
        assert_eq!(reply.header("allow"), "GET, HEAD");
    }
    get(&registry, "/v2/").await.expect(200);
    get(&registry, "/v2/_catalog").await.expect(200);
    get(&registry, "/v2/a/manifests/v1").await.expect(404);
}
