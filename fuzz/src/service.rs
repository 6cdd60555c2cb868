//! A registry in memory, called without a socket or a runtime.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use registry_spec::storage::MemoryStorage;
use registry_spec::types::{Algorithm, Digest};
use registry_spec::{AllowAll, BoxError, Registry};
use serde_json::Value;
use tower_service::Service as _;

/// A repository that every target uses.
pub(crate) const NAME: &str = "a/b";

/// An empty registry that everybody may use.
pub(crate) fn registry() -> Registry {
    Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(AllowAll)).build()
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header that must be there, once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            panic!("not one {name} in {self:?}");
        };
        value.to_str().expect("text")
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Whether the body of a refusal has the form of the spec.
    fn explains_itself(&self) -> bool {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return false;
        };
        let error = &body["errors"][0];
        error["code"].is_string() && error["message"].is_string()
    }
}

/// The answer to a request, read to its end.
pub(crate) fn send<B>(registry: &Registry, request: Request<B>) -> Reply
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let response = registry.clone().call(request).now_or_never();
    let Ok(response) = response.expect("storage in memory never waits");
    let (parts, body) = response.into_parts();
    let announced = http_body::Body::size_hint(&body).exact();
    let body = body.collect().now_or_never();
    let body = body.expect("nor does its content").expect("a whole body");
    let reply = Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    };
    let length = reply.body.len() as u64;
    assert_eq!(announced, Some(length), "{reply:?}");
    if reply.status != StatusCode::NO_CONTENT {
        assert_eq!(reply.header("content-length"), length.to_string());
    }
    if reply.status.is_client_error() {
        assert!(reply.explains_itself(), "{reply:?}");
    }
    reply
}

/// A body whose length is known beforehand.
pub(crate) fn full(content: &[u8]) -> Full<Bytes> {
    Full::new(Bytes::copy_from_slice(content))
}

/// Pushes a blob in one request.
pub(crate) fn push_blob(registry: &Registry, content: &[u8]) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, content);
    let uri = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
    let request = Request::post(uri).body(full(content));
    send(registry, request.expect("a request")).expect(201);
    digest
}
