//! A registry with an htpasswd file and a policy, as clients see it.
//!
//! `team/app`, `public/app` and `secret/app` hold an image each.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use registry_auth::htpasswd::{Htpasswd, edit};
use registry_auth::policy::{Policed, Policy, PolicyBuilder, Right, Rule};
use registry_spec::storage::MemoryStorage;
use registry_spec::types::{Algorithm, Digest};
use registry_spec::{AllowAll, Deletes, Registry};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const USERS: [Option<&str>; 5] = [
    None,
    Some("reader"),
    Some("writer"),
    Some("other"),
    Some("admin"),
];

fn policy() -> Policy {
    use Right::{Catalog, Delete, Pull, Push};
    [
        (&["reader"][..], "team/**", &[Pull][..]),
        (&["group:writers"], "team/**", &[Push]),
        (&["other"], "other/**", &[Push, Delete]),
        (&["admin"], "**", &[Push, Delete]),
        (&["anonymous"], "public/**", &[Pull]),
        (&["reader", "group:writers", "admin"], "**", &[Catalog]),
    ]
    .into_iter()
    .map(|(who, repositories, rights)| {
        let who: Vec<_> = who.iter().map(|who| who.parse().expect("who")).collect();
        let repositories = repositories.parse().expect("a pattern");
        Rule::new(who, [repositories], rights.iter().copied())
    })
    .fold(
        Policy::builder().group("writers", ["writer"]),
        PolicyBuilder::rule,
    )
    .build()
    .expect("valid")
}

/// One for all tests, so that each password is hashed once.
fn users() -> Arc<Htpasswd> {
    static USERS_FILE: OnceLock<Arc<Htpasswd>> = OnceLock::new();
    let users = USERS_FILE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users");
        for user in USERS.into_iter().flatten() {
            edit::add(&path, user, "secret", 4).expect("added");
        }
        Arc::new(Htpasswd::load(&path, "test").expect("valid"))
    });
    Arc::clone(users)
}

/// A registry with some content.
struct Fixture {
    registry: Registry,
    /// The same content, open to everybody.
    open: Registry,
    manifest: Digest,
}

impl Fixture {
    async fn new() -> Self {
        let storage = Arc::new(MemoryStorage::new());
        let open = Registry::builder(Arc::clone(&storage) as _, Arc::new(AllowAll)).build();
        let registry = Registry::builder(storage, Arc::new(Policed::new(users(), policy())))
            .deletes(Deletes::all())
            .build();
        for repository in ["team/app", "public/app", "secret/app"] {
            for blob in [CONFIG, LAYER] {
                let uri = format!("/v2/{repository}/blobs/uploads/?digest={}", sha256(blob));
                assert_eq!(send(&open, "POST", &uri, None, blob).await.status, 201);
            }
            let uri = format!("/v2/{repository}/manifests/v1");
            assert_eq!(send(&open, "PUT", &uri, None, &image()).await.status, 201);
        }
        Self {
            registry,
            open,
            manifest: sha256(&image()),
        }
    }

    /// A request, in which `LAYER`, `MANIFEST` and `NONE` stand for digests,
    /// and `SESSION` for an upload to `team/app`.
    async fn ask(&self, line: &str, user: Option<&str>) -> Reply {
        let (method, uri) = line.split_once(' ').expect("a method and a path");
        let uri = uri
            .replace("LAYER", &sha256(LAYER).to_string())
            .replace("MANIFEST", &self.manifest.to_string())
            .replace("NONE", &sha256("none").to_string());
        let uri = if uri.contains("SESSION") {
            let start = "/v2/team/app/blobs/uploads/";
            let started = send(&self.open, "POST", start, None, "").await;
            let location = started.headers[header::LOCATION].to_str().expect("text");
            let session = location.rsplit('/').next().expect("an id");
            uri.replace("SESSION", session)
        } else {
            uri
        };
        let body = match method {
            "PUT" if uri.contains("/manifests/") => image(),
            "PATCH" | "PUT" | "POST" => LAYER.to_owned(),
            _ => String::new(),
        };
        let credentials = user.map(|user| basic(user, "secret"));
        send(&self.registry, method, &uri, credentials.as_deref(), &body).await
    }
}

const CONFIG: &str = "{}";
const LAYER: &str = "a layer";

fn image() -> String {
    let descriptor = |media_type: &str, content: &str| json!({ "mediaType": media_type, "digest": sha256(content), "size": content.len() });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", CONFIG),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", LAYER)],
    })
    .to_string()
}

fn sha256(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// Checks the shape of a refusal; `HEAD` has no body.
    fn check(&self, case: &str) {
        let challenges: Vec<_> = self
            .headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .collect();
        let code = match self.status.as_u16() {
            401 => {
                assert_eq!(challenges, ["Basic realm=\"test\""], "{case}");
                "UNAUTHORIZED"
            }
            403 => "DENIED",
            _ => "",
        };
        if self.status != StatusCode::UNAUTHORIZED {
            assert!(challenges.is_empty(), "{case}");
        }
        assert_eq!(
            self.headers["docker-distribution-api-version"],
            "registry/2.0"
        );
        if !code.is_empty() && !case.starts_with("HEAD") {
            assert_eq!(self.json()["errors"][0]["code"], code, "{case}");
        }
    }
}

async fn send(
    registry: &Registry,
    method: &str,
    uri: &str,
    credentials: Option<&str>,
    body: &str,
) -> Reply {
    let method: Method = method.parse().expect("a method");
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(credentials) = credentials {
        request = request.header(header::AUTHORIZATION, credentials);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned())));
    let request = request.expect("a request");
    let response = registry.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.expect("a whole body").to_bytes(),
    }
}

/// Each endpoint, and its status for anonymous, reader, writer, other, admin.
const ENDPOINTS: &[(&str, [u16; 5])] = &[
    ("GET /v2/", [401, 200, 200, 200, 200]),
    ("HEAD /v2/", [401, 200, 200, 200, 200]),
    ("GET /v2", [401, 200, 200, 200, 200]),
    ("GET /v2/_catalog", [401, 200, 200, 403, 200]),
    // Reading.
    ("GET /v2/team/app/manifests/v1", [401, 200, 200, 403, 200]),
    ("HEAD /v2/team/app/manifests/v1", [401, 200, 200, 403, 200]),
    (
        "GET /v2/team/app/manifests/MANIFEST",
        [401, 200, 200, 403, 200],
    ),
    ("GET /v2/team/app/manifests/none", [401, 404, 404, 403, 404]),
    (
        "HEAD /v2/team/app/manifests/none",
        [401, 404, 404, 403, 404],
    ),
    ("GET /v2/team/app/blobs/LAYER", [401, 200, 200, 403, 200]),
    ("HEAD /v2/team/app/blobs/LAYER", [401, 200, 200, 403, 200]),
    ("HEAD /v2/team/app/blobs/NONE", [401, 404, 404, 403, 404]),
    ("GET /v2/team/app/tags/list", [401, 200, 200, 403, 200]),
    ("GET /v2/team/none/tags/list", [401, 404, 404, 403, 404]),
    (
        "GET /v2/team/app/referrers/MANIFEST",
        [401, 200, 200, 403, 200],
    ),
    (
        "GET /v2/team/none/referrers/NONE",
        [401, 200, 200, 403, 200],
    ),
    // Uploading.
    (
        "POST /v2/team/app/blobs/uploads/",
        [401, 403, 202, 403, 202],
    ),
    (
        "POST /v2/team/app/blobs/uploads/?digest=LAYER",
        [401, 403, 201, 403, 201],
    ),
    (
        "PATCH /v2/team/app/blobs/uploads/SESSION",
        [401, 403, 202, 403, 202],
    ),
    (
        "PUT /v2/team/app/blobs/uploads/SESSION?digest=LAYER",
        [401, 403, 201, 403, 201],
    ),
    (
        "GET /v2/team/app/blobs/uploads/SESSION",
        [401, 403, 204, 403, 204],
    ),
    (
        "DELETE /v2/team/app/blobs/uploads/SESSION",
        [401, 403, 204, 403, 204],
    ),
    (
        "PATCH /v2/team/app/blobs/uploads/none",
        [401, 403, 404, 403, 404],
    ),
    (
        "GET /v2/team/app/blobs/uploads/none",
        [401, 403, 404, 403, 404],
    ),
    (
        "DELETE /v2/team/app/blobs/uploads/none",
        [401, 403, 404, 403, 404],
    ),
    // A session of another repository is none of this one's.
    (
        "PATCH /v2/other/app/blobs/uploads/SESSION",
        [401, 403, 403, 404, 404],
    ),
    (
        "GET /v2/other/app/blobs/uploads/SESSION",
        [401, 403, 403, 404, 404],
    ),
    (
        "PUT /v2/other/app/blobs/uploads/SESSION?digest=LAYER",
        [401, 403, 403, 404, 404],
    ),
    (
        "DELETE /v2/other/app/blobs/uploads/SESSION",
        [401, 403, 403, 404, 404],
    ),
    // Mounting: the source's rights make the difference between 201 and 202.
    (
        "POST /v2/team/new/blobs/uploads/?mount=LAYER&from=team/app",
        [401, 403, 201, 403, 201],
    ),
    (
        "POST /v2/team/new/blobs/uploads/?mount=LAYER&from=public/app",
        [401, 403, 201, 403, 201],
    ),
    (
        "POST /v2/team/new/blobs/uploads/?mount=LAYER&from=secret/app",
        [401, 403, 202, 403, 201],
    ),
    (
        "POST /v2/team/new/blobs/uploads/?mount=LAYER",
        [401, 403, 202, 403, 201],
    ),
    (
        "POST /v2/other/new/blobs/uploads/?mount=LAYER&from=team/app",
        [401, 403, 403, 202, 201],
    ),
    (
        "POST /v2/other/new/blobs/uploads/?mount=LAYER&from=public/app",
        [401, 403, 403, 201, 201],
    ),
    (
        "POST /v2/public/new/blobs/uploads/?mount=LAYER&from=team/app",
        [401, 403, 403, 403, 201],
    ),
    // Tagging.
    ("PUT /v2/team/app/manifests/v2", [401, 403, 201, 403, 201]),
    (
        "PUT /v2/team/app/manifests/MANIFEST?tag=a&tag=b",
        [401, 403, 201, 403, 201],
    ),
    (
        "PUT /v2/public/app/manifests/MANIFEST?tag=a",
        [401, 403, 403, 403, 201],
    ),
    // Deleting.
    (
        "DELETE /v2/team/app/manifests/v1",
        [401, 403, 403, 403, 202],
    ),
    (
        "DELETE /v2/team/app/manifests/none",
        [401, 403, 403, 403, 404],
    ),
    (
        "DELETE /v2/team/app/manifests/MANIFEST",
        [401, 403, 403, 403, 202],
    ),
    ("DELETE /v2/team/app/blobs/LAYER", [401, 403, 403, 403, 202]),
    // What is public: for whoever is signed in, too, whatever else they may.
    ("GET /v2/public/app/manifests/v1", [200, 200, 200, 200, 200]),
    (
        "HEAD /v2/public/app/manifests/none",
        [404, 404, 404, 404, 404],
    ),
    ("GET /v2/public/app/blobs/LAYER", [200, 200, 200, 200, 200]),
    ("GET /v2/public/app/tags/list", [200, 200, 200, 200, 200]),
    (
        "GET /v2/public/app/referrers/MANIFEST",
        [200, 200, 200, 200, 200],
    ),
    (
        "POST /v2/public/app/blobs/uploads/",
        [401, 403, 403, 403, 202],
    ),
    (
        "DELETE /v2/public/app/manifests/v1",
        [401, 403, 403, 403, 202],
    ),
    // The pattern `public/**` is not about `public` itself.
    ("GET /v2/public/manifests/v1", [401, 403, 403, 403, 404]),
    // Whoever asks what nobody can have is told so: it says nothing of content.
    ("GET /v2/team/app/none", [404, 404, 404, 404, 404]),
    ("POST /v2/team/app/manifests/v1", [405, 405, 405, 405, 405]),
    ("GET /v2/TEAM/manifests/v1", [400, 400, 400, 400, 400]),
];

#[tokio::test]
async fn every_endpoint_does_what_the_policy_says_for_everybody() {
    for (line, expected) in ENDPOINTS {
        for (user, expected) in USERS.into_iter().zip(expected) {
            let reply = Fixture::new().await.ask(line, user).await;
            let case = format!("{line} as {user:?}");
            assert_eq!(reply.status.as_u16(), *expected, "{case}: {reply:?}");
            reply.check(&case);
        }
    }
}

#[tokio::test]
async fn whoever_may_not_read_learns_nothing_of_what_there_is() {
    let fixture = Fixture::new().await;
    for (there, not_there) in [
        ("secret/app/manifests/v1", "secret/app/manifests/none"),
        ("secret/app/manifests/v1", "secret/none/manifests/v1"),
        ("secret/app/manifests/MANIFEST", "secret/app/manifests/NONE"),
        ("secret/app/blobs/LAYER", "secret/app/blobs/NONE"),
        ("secret/app/blobs/LAYER", "secret/none/blobs/LAYER"),
        ("secret/app/tags/list", "secret/none/tags/list"),
        (
            "secret/app/referrers/MANIFEST",
            "secret/none/referrers/NONE",
        ),
        (
            "secret/app/blobs/uploads/none",
            "secret/none/blobs/uploads/none",
        ),
        (
            "secret/app/blobs/uploads/?mount=LAYER&from=team/app",
            "secret/none/blobs/uploads/?mount=NONE&from=no",
        ),
    ] {
        for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
            for user in [None, Some("reader"), Some("writer"), Some("other")] {
                let there = fixture.ask(&format!("{method} /v2/{there}"), user).await;
                let not_there = fixture
                    .ask(&format!("{method} /v2/{not_there}"), user)
                    .await;
                assert_eq!(there, not_there, "{method} as {user:?}");
                assert!(there.status.is_client_error(), "{method} as {user:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_mount_reveals_nothing_of_a_source_that_may_not_be_read() {
    let fixture = Fixture::new().await;
    // Where the session is differs each time; nothing else does.
    let comparable = |mut reply: Reply| {
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        for name in ["location", "docker-upload-uuid"] {
            assert!(reply.headers.remove(name).is_some(), "{name}");
        }
        reply
    };
    let start = "POST /v2/team/new/blobs/uploads/";
    let plain = comparable(fixture.ask(start, Some("writer")).await);
    for query in [
        "mount=LAYER&from=secret/app",
        "mount=NONE&from=secret/app",
        "mount=LAYER&from=secret/none",
        "mount=LAYER",
        "mount=NONE",
    ] {
        let reply = fixture
            .ask(&format!("{start}?{query}"), Some("writer"))
            .await;
        assert_eq!(comparable(reply), plain, "{query}");
    }
    let blob = "HEAD /v2/team/new/blobs/LAYER";
    assert_eq!(fixture.ask(blob, Some("writer")).await.status, 404);
}

#[tokio::test]
async fn a_blob_is_read_only_through_a_repository_that_holds_it() {
    let fixture = Fixture::new().await;
    let blob = sha256("only in secret");
    let uri = format!("/v2/secret/app/blobs/uploads/?digest={blob}");
    let pushed = send(&fixture.open, "POST", &uri, None, "only in secret").await;
    assert_eq!(pushed.status, 201);
    for (line, user) in [
        ("GET /v2/public/app/blobs", None),
        ("GET /v2/team/app/blobs", Some("reader")),
        ("GET /v2/team/app/blobs", Some("admin")),
        ("GET /v2/public/app/manifests", None),
    ] {
        let reply = fixture.ask(&format!("{line}/{blob}"), user).await;
        assert_eq!(reply.status, 404, "{line} as {user:?}");
    }
    // Nor does a manifest give what its pusher could not read.
    let uri = "/v2/team/app/manifests/stolen";
    let manifest = image().replace(&sha256(LAYER).to_string(), &blob.to_string());
    let credentials = basic("writer", "secret");
    let reply = send(&fixture.registry, "PUT", uri, Some(&credentials), &manifest).await;
    assert_eq!(reply.json()["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn the_catalog_lists_what_the_caller_may_pull() {
    let fixture = Fixture::new().await;
    for (user, expected) in [
        ("reader", json!(["public/app", "team/app"])),
        ("admin", json!(["public/app", "secret/app", "team/app"])),
    ] {
        let reply = fixture.ask("GET /v2/_catalog", Some(user)).await;
        assert_eq!(reply.json()["repositories"], expected, "{user}");
        let reply = fixture.ask("GET /v2/_catalog?n=1", Some(user)).await;
        assert_eq!(
            reply.json()["repositories"],
            json!(["public/app"]),
            "{user}"
        );
        let link = reply.headers[header::LINK].to_str().expect("text");
        assert!(!link.contains("secret"), "{link}");
    }
}

#[tokio::test]
async fn only_no_credentials_at_all_are_anonymous() {
    let fixture = Fixture::new().await;
    let uri = "/v2/public/app/manifests/v1";
    for (credentials, expected) in [
        ("Basic Og==".to_owned(), 200),
        (basic("reader", "wrong"), 401),
        (basic("nobody", "secret"), 401),
        (basic("anonymous", "secret"), 401),
        ("Basic !".to_owned(), 401),
        ("Bearer x.y.z".to_owned(), 401),
        ("Negotiate x".to_owned(), 401),
    ] {
        let reply = send(&fixture.registry, "GET", uri, Some(&credentials), "").await;
        assert_eq!(reply.status.as_u16(), expected, "{credentials}");
        reply.check(&credentials);
        let base = send(&fixture.registry, "GET", "/v2/", Some(&credentials), "").await;
        assert_eq!(base.status, 401, "{credentials}");
    }
}
