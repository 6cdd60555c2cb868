//! A registry in memory, called without a socket.

#![allow(dead_code, reason = "each file of tests uses its own part of this")]

pub(crate) mod faulty;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use registry_spec::storage::MemoryStorage;
use registry_spec::types::{Algorithm, Digest, MediaType};
use registry_spec::{AllowAll, Event, EventKind, Failure, Observer, Registry, RegistryBuilder};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A registry that everybody may use, with the defaults.
pub(crate) fn registry() -> Registry {
    builder().build()
}

pub(crate) fn builder() -> RegistryBuilder {
    Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(AllowAll))
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header that must be there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// Status and code of an error, after checking that its shape is the spec's.
    pub(crate) fn error(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        let errors = body["errors"].as_array().expect("a list of errors");
        let error = errors.first().expect("at least one");
        assert!(error["message"].is_string());
        let code = error["code"].as_str().expect("a code");
        assert!(code.bytes().all(|c| c.is_ascii_uppercase() || c == b'_'));
        (self.status.as_u16(), code.to_owned())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

/// A request: `send(&registry, Method::GET, "/v2/", &[], "")`.
pub(crate) async fn send(
    registry: &Registry,
    method: Method,
    uri: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    reply(registry, request).await
}

pub(crate) async fn reply<B>(registry: &Registry, request: Request<B>) -> Reply
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<registry_spec::BoxError>,
{
    let response = registry.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let announced = http_body::Body::size_hint(&body).exact();
    let body = body.collect().await.expect("a whole body").to_bytes();
    assert_eq!(announced, Some(body.len() as u64));
    Reply {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

pub(crate) fn sha256(content: impl AsRef<[u8]>) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_ref())
}

pub(crate) async fn get(registry: &Registry, uri: &str) -> Reply {
    send(registry, Method::GET, uri, &[], "").await
}

/// Pushes a blob in one request.
pub(crate) async fn push_blob(registry: &Registry, name: &str, content: &str) -> Digest {
    let digest = sha256(content);
    let uri = format!("/v2/{name}/blobs/uploads/?digest={digest}");
    send(registry, Method::POST, &uri, &[], content.to_owned())
        .await
        .expect(201);
    digest
}

/// Opens an upload session and returns its `Location`.
pub(crate) async fn start_upload(registry: &Registry, name: &str) -> String {
    let uri = format!("/v2/{name}/blobs/uploads/");
    let reply = send(registry, Method::POST, &uri, &[], "")
        .await
        .expect(202);
    reply.header("location").to_owned()
}

pub(crate) fn descriptor(media_type: &str, content: &str) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(content), "size": content.len() })
}

/// An image whose config and one layer are `text`'s.
pub(crate) fn image(text: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", "{}"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", text)],
    })
}

/// Pushes [`image`] with its blobs, and returns the manifest's digest.
pub(crate) async fn push_image(registry: &Registry, name: &str, text: &str, tag: &str) -> Digest {
    push_blob(registry, name, "{}").await;
    push_blob(registry, name, text).await;
    push_manifest(registry, name, &image(text), tag).await
}

pub(crate) async fn push_manifest(
    registry: &Registry,
    name: &str,
    manifest: &Value,
    tag: &str,
) -> Digest {
    let bytes = manifest.to_string();
    let digest = sha256(&bytes);
    put_manifest(registry, name, tag, bytes).await.expect(201);
    digest
}

pub(crate) async fn put_manifest(
    registry: &Registry,
    name: &str,
    reference: &str,
    bytes: impl Into<Bytes>,
) -> Reply {
    let uri = format!("/v2/{name}/manifests/{reference}");
    send(registry, Method::PUT, &uri, &[], bytes).await
}

/// Remembers what it is told.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) events: Mutex<Vec<EventKind>>,
    pub(crate) failures: Mutex<Vec<String>>,
}

impl Observer for Recorder {
    fn event(&self, event: &Event<'_>) {
        let kind = event.kind.clone();
        self.events.lock().expect("no panic").push(kind);
    }

    fn failure(&self, failure: &Failure<'_>) {
        let source = failure.cause.source().map(ToString::to_string);
        let line = format!(
            "{} {}: {}: {source:?}",
            failure.method, failure.path, failure.cause
        );
        self.failures.lock().expect("no panic").push(line);
    }
}
