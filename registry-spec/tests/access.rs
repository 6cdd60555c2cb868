//! Who is let in, what is told to whom, and what happens when things break.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use registry_spec::auth::{
    Access, Action, AuthError, AuthRequest, Challenge, Credentials, Grant, Identity,
};
use registry_spec::storage::MemoryStorage;
use registry_spec::{AllowAll, Authorizer, EventKind, Registry, Storage};
use serde_json::json;
use support::faulty::Faulty;
use support::{Recorder, Reply, get, image, push_blob, push_image, put_manifest, send, sha256};
use tower::ServiceExt as _;

/// `user` may pull and push below `mine/`, `root` everything, anonymous nothing.
#[derive(Debug)]
struct Mine;

#[async_trait]
impl Authorizer for Mine {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        let Credentials::Basic { username, .. } = request.credentials else {
            let challenge = Challenge::bearer("https://r.example/token", "r", request, None);
            return Err(AuthError::Challenge(challenge));
        };
        Ok(match username.as_str() {
            "root" => Grant::all(Identity::user("root")),
            "broken" => {
                return Err(AuthError::Backend {
                    source: "secret database".into(),
                });
            }
            _ => Grant::new(Identity::user(username), |access| match access {
                Access::Base | Access::Catalog => true,
                Access::Repository { name, actions } => {
                    name.components().next() == Some("mine") && !actions.contains(&Action::Delete)
                }
                _ => false,
            }),
        })
    }
}

// The base64 of `user:x`, `root:x`, `broken:x`.
const USER: (&str, &str) = ("authorization", "Basic dXNlcjp4");
const ROOT: (&str, &str) = ("authorization", "Basic cm9vdDp4");
const BROKEN: (&str, &str) = ("authorization", "Basic YnJva2VuOng=");

/// Two repositories, of which `user` may see one.
async fn closed() -> (Registry, Arc<MemoryStorage>) {
    let storage = Arc::new(MemoryStorage::new());
    let open =
        Registry::builder(Arc::clone(&storage) as Arc<dyn Storage>, Arc::new(AllowAll)).build();
    push_image(&open, "mine/app", "my layer", "v1").await;
    push_image(&open, "other/app", "their layer", "v1").await;
    let closed =
        Registry::builder(Arc::clone(&storage) as Arc<dyn Storage>, Arc::new(Mine)).build();
    (closed, storage)
}

async fn as_user(registry: &Registry, method: Method, uri: &str) -> Reply {
    send(registry, method, uri, &[USER], "").await
}

#[tokio::test]
async fn every_endpoint_asks_for_credentials_by_itself() {
    let (registry, _) = closed().await;
    let digest = sha256("x");
    for (method, uri, scope) in [
        (Method::GET, "/v2/".to_owned(), None),
        (Method::GET, "/v2".to_owned(), None),
        (
            Method::GET,
            "/v2/_catalog".to_owned(),
            Some("registry:catalog:*"),
        ),
        (
            Method::HEAD,
            format!("/v2/a/blobs/{digest}"),
            Some("repository:a:pull"),
        ),
        (
            Method::GET,
            "/v2/a/manifests/v1".to_owned(),
            Some("repository:a:pull"),
        ),
        (
            Method::GET,
            "/v2/a/tags/list".to_owned(),
            Some("repository:a:pull"),
        ),
        (
            Method::GET,
            format!("/v2/a/referrers/{digest}"),
            Some("repository:a:pull"),
        ),
        (
            Method::POST,
            "/v2/a/blobs/uploads/".to_owned(),
            Some("repository:a:pull,push"),
        ),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?mount={digest}&from=b"),
            Some("repository:a:pull,push repository:b:pull"),
        ),
        (
            Method::PATCH,
            "/v2/a/blobs/uploads/x".to_owned(),
            Some("repository:a:pull,push"),
        ),
        (
            Method::GET,
            "/v2/a/blobs/uploads/x".to_owned(),
            Some("repository:a:pull,push"),
        ),
        (
            Method::PUT,
            format!("/v2/a/blobs/uploads/x?digest={digest}"),
            Some("repository:a:pull,push"),
        ),
        (
            Method::DELETE,
            "/v2/a/blobs/uploads/x".to_owned(),
            Some("repository:a:push"),
        ),
        (
            Method::PUT,
            "/v2/a/manifests/v1".to_owned(),
            Some("repository:a:pull,push"),
        ),
        (
            Method::DELETE,
            "/v2/a/manifests/v1".to_owned(),
            Some("repository:a:delete"),
        ),
        (
            Method::DELETE,
            format!("/v2/a/blobs/{digest}"),
            Some("repository:a:delete"),
        ),
    ] {
        for header in [
            ("accept", "*/*"),
            ("authorization", "Basic Og=="),
            ("authorization", "Basic !"),
        ] {
            let reply = send(&registry, method.clone(), &uri, &[header], "")
                .await
                .expect(401);
            let scope = scope.map_or(String::new(), |scope| format!(",scope=\"{scope}\""));
            assert_eq!(
                reply.header("www-authenticate"),
                format!("Bearer realm=\"https://r.example/token\",service=\"r\"{scope}"),
            );
            assert_eq!(
                reply.header("docker-distribution-api-version"),
                "registry/2.0"
            );
            assert_eq!(reply.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn a_grant_that_does_not_cover_the_request_is_denied() {
    let (registry, _) = closed().await;
    let reply = as_user(&registry, Method::GET, "/v2/other/app/manifests/v1").await;
    assert_eq!(reply.error(), (403, "DENIED".into()));
    let reply = as_user(&registry, Method::DELETE, "/v2/mine/app/manifests/v1").await;
    assert_eq!(reply.error(), (403, "DENIED".into()));
    as_user(&registry, Method::GET, "/v2/mine/app/manifests/v1")
        .await
        .expect(200);
}

#[tokio::test]
async fn the_catalog_shows_only_what_the_caller_may_pull() {
    let (registry, _) = closed().await;
    for query in ["", "?n=1"] {
        let reply = as_user(&registry, Method::GET, &format!("/v2/_catalog{query}"))
            .await
            .expect(200);
        assert_eq!(reply.json(), json!({ "repositories": ["mine/app"] }));
        let link = reply
            .headers
            .get("link")
            .map(|link| link.to_str().expect("text"));
        assert!(link.is_none_or(|link| !link.contains("other")), "{link:?}");
    }
    let reply = send(&registry, Method::GET, "/v2/_catalog", &[ROOT], "").await;
    assert_eq!(
        reply.json(),
        json!({ "repositories": ["mine/app", "other/app"] })
    );
}

#[tokio::test]
async fn a_mount_without_rights_on_its_source_tells_nothing() {
    let (registry, _) = closed().await;
    let theirs = sha256("their layer");
    let missing = sha256("missing");
    for query in [
        format!("mount={theirs}&from=other/app"),
        format!("mount={missing}&from=other/app"),
        format!("mount={theirs}"),
        format!("mount={missing}"),
    ] {
        let uri = format!("/v2/mine/new/blobs/uploads/?{query}");
        as_user(&registry, Method::POST, &uri).await.expect(202);
        let uri = format!("/v2/mine/new/blobs/{theirs}");
        as_user(&registry, Method::GET, &uri).await.expect(404);
    }
    let mine = sha256("my layer");
    let uri = format!("/v2/mine/new/blobs/uploads/?mount={mine}&from=mine/app");
    as_user(&registry, Method::POST, &uri).await.expect(201);
    let uri = format!("/v2/mine/new/blobs/uploads/?mount={theirs}");
    send(&registry, Method::POST, &uri, &[ROOT], "")
        .await
        .expect(201);
}

#[tokio::test]
async fn what_took_credentials_to_read_is_cached_in_private() {
    let (registry, _) = closed().await;
    let uri = format!("/v2/mine/app/blobs/{}", sha256("my layer"));
    let reply = as_user(&registry, Method::GET, &uri).await.expect(200);
    assert_eq!(
        reply.header("cache-control"),
        "private, max-age=31536000, immutable"
    );
    assert_eq!(reply.header("vary"), "authorization");
}

#[tokio::test]
async fn credentials_meant_for_a_proxy_in_front_make_the_answer_private() {
    let registry = support::registry();
    let digest = push_blob(&registry, "a", "layer").await;
    let uri = format!("/v2/a/blobs/{digest}");
    for (headers, cache) in [
        (&[][..], "public, max-age=31536000, immutable"),
        (&[USER], "private, max-age=31536000, immutable"),
    ] {
        let reply = send(&registry, Method::GET, &uri, headers, "")
            .await
            .expect(200);
        assert_eq!(reply.header("cache-control"), cache);
    }
}

#[tokio::test]
async fn a_failure_inside_is_told_once_and_only_to_the_observer() {
    let recorder = Arc::new(Recorder::default());
    let registry = Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(Mine))
        .observer(Arc::clone(&recorder) as Arc<_>)
        .build();
    let reply = send(&registry, Method::GET, "/v2/a/tags/list?n=1", &[BROKEN], "").await;
    assert_eq!(reply.error(), (500, "UNKNOWN".into()));
    assert!(!String::from_utf8_lossy(&reply.body).contains("secret"));
    let failures = recorder.failures.lock().expect("no panic");
    assert_eq!(
        *failures,
        ["GET /v2/a/tags/list: authorization failed: Some(\"secret database\")"]
    );
}

#[tokio::test]
async fn the_observer_is_told_of_everything_that_happened() {
    let recorder = Arc::new(Recorder::default());
    let registry = Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(AllowAll))
        .observer(Arc::clone(&recorder) as Arc<_>)
        .build();
    let layer = push_blob(&registry, "a", "layer").await;
    push_blob(&registry, "a", "{}").await;
    put_manifest(&registry, "a", "v1", image("layer").to_string())
        .await
        .expect(201);
    let uri = format!("/v2/b/blobs/uploads/?mount={layer}&from=a");
    send(&registry, Method::POST, &uri, &[], "")
        .await
        .expect(201);
    get(&registry, &format!("/v2/a/blobs/{layer}"))
        .await
        .expect(200);
    send(&registry, Method::HEAD, "/v2/a/manifests/v1", &[], "")
        .await
        .expect(200);
    get(&registry, "/v2/a/manifests/v1").await.expect(200);
    get(&registry, "/v2/a/manifests/v2").await.expect(404);
    send(&registry, Method::DELETE, "/v2/a/manifests/v1", &[], "")
        .await
        .expect(202);
    let events = recorder.events.lock().expect("no panic");
    assert!(
        matches!(
            events.as_slice(),
            [
                EventKind::BlobPushed { .. },
                EventKind::BlobPushed { .. },
                EventKind::ManifestPushed { .. },
                EventKind::BlobMounted { .. },
                EventKind::BlobPulled { size: 5, .. },
                EventKind::ManifestProbed { .. },
                EventKind::ManifestPulled { .. },
                EventKind::TagDeleted { .. },
            ]
        ),
        "{events:?}"
    );
}

/// Requests that no client of good will sends: each gets a 4xx in the spec's
/// shape, whatever the route.
#[tokio::test]
async fn malformed_requests_are_client_errors_on_every_route() {
    let (_, storage) = closed().await;
    let registry = Registry::builder(storage, Arc::new(AllowAll)).build();
    let digest = sha256("x");
    let names = [
        "A",
        "a//b",
        "-a",
        "a/",
        "..",
        "a%2fb",
        "a%00",
        "%ff",
        "a%",
        &"a/".repeat(200),
    ];
    let tags = [
        "%20",
        ".x",
        "a%2fb",
        "%00",
        &"x".repeat(129),
        "sha256:",
        "sha256:zz",
        "md5:00",
        ":",
    ];
    let digests = [
        "",
        "x",
        "sha256",
        "sha256:",
        "sha256:00",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "%00",
    ];
    let ids = ["", "..", "a.b", "%2e%2e", "%00", &"x".repeat(129)];
    let mut uris = Vec::new();
    for name in names {
        for rest in [
            "tags/list",
            "manifests/v1",
            "blobs/uploads/",
            "blobs/uploads/x",
        ] {
            uris.push(format!("/v2/{name}/{rest}"));
        }
        uris.push(format!("/v2/{name}/blobs/{digest}"));
        uris.push(format!("/v2/{name}/referrers/{digest}"));
    }
    uris.extend(tags.map(|tag| format!("/v2/a/manifests/{tag}")));
    for bad in digests {
        uris.push(format!("/v2/a/blobs/{bad}"));
        uris.push(format!("/v2/a/referrers/{bad}"));
    }
    uris.extend(ids.map(|id| format!("/v2/a/blobs/uploads/{id}?digest={digest}")));
    uris.extend(
        ["n=-1", "n=x", "n=1.5", "last=%00", "last=a%20b"]
            .map(|q| format!("/v2/mine/app/tags/list?{q}")),
    );
    uris.extend(
        [
            "/",
            "/v1/",
            "/v2/x",
            "/v2/a/b/c",
            "/v2/_catalog/x",
            "/v2/_catalog?n=-1",
        ]
        .map(str::to_owned),
    );
    let headers: [&[(&str, &str)]; 3] = [
        &[],
        &[
            ("range", "bytes=9-1"),
            ("content-range", "x"),
            ("content-type", "x y"),
        ],
        &[
            ("content-length", "x"),
            ("if-match", "\\"),
            ("authorization", "x"),
        ],
    ];
    for uri in &uris {
        for method in [
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            for headers in headers {
                let reply = send(&registry, method.clone(), uri, headers, "{").await;
                assert!(reply.status.is_client_error(), "{method} {uri}: {reply:?}");
                if method != Method::HEAD {
                    reply.error();
                }
            }
        }
    }
}

/// A body that breaks off must not look complete, and the operator must know.
#[tokio::test]
async fn a_blob_that_cannot_be_read_to_its_end_fails_the_body() {
    let recorder = Arc::new(Recorder::default());
    let storage = Faulty(MemoryStorage::new(), None);
    let registry = Registry::builder(Arc::new(storage), Arc::new(AllowAll))
        .observer(Arc::clone(&recorder) as Arc<_>)
        .build();
    let digest = push_blob(&registry, "a", "0123456789").await;
    for range in ["", "bytes=0-8", "bytes=0-1,4-6"] {
        let request = Request::get(format!("/v2/a/blobs/{digest}"))
            .header("range", range)
            .body(Full::<bytes::Bytes>::default())
            .expect("a request");
        let response = registry.clone().oneshot(request).await.expect("infallible");
        assert!(response.status().is_success());
        assert!(response.into_body().collect().await.is_err(), "{range}");
    }
    let failures = recorder.failures.lock().expect("no panic");
    assert_eq!(failures.len(), 3, "{failures:?}");
    let place = format!("GET /v2/a/blobs/{digest}: the content ended");
    assert!(
        failures.iter().all(|line| line.starts_with(&place)),
        "{failures:?}"
    );
}
