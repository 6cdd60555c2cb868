//! One file per resource; a handler turns a route into acts of storage, and
//! what came of them into a response.

pub(crate) mod base;
pub(crate) mod blob;
pub(crate) mod manifest;
pub(crate) mod referrers;
pub(crate) mod tag;
pub(crate) mod upload;

mod conditional;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::Grant;
use crate::base_url::BaseUrl;
use crate::body::Body;
use crate::error::{Error, ErrorCode};
use crate::header as names;
use crate::observer::{Event, EventKind};
use crate::service::Shared;
use crate::storage::Storage;
use crate::types::{Digest, RepositoryName};

/// What every handler knows of its request.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) grant: &'a Grant,
    pub(crate) request: &'a Parts,
}

impl Call<'_> {
    fn storage(&self) -> &Arc<dyn Storage> {
        &self.shared.storage
    }

    fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// Only the headers will be sent.
    fn is_head(&self) -> bool {
        self.request.method == Method::HEAD
    }

    /// Tells the observer, after the fact.
    fn observe(&self, repository: &RepositoryName, kind: EventKind) {
        self.shared.observer.event(&Event {
            repository,
            identity: self.grant.identity(),
            kind,
            headers: &self.request.headers,
            extensions: &self.request.extensions,
        });
    }

    /// The headers of content that its digest names, and so never changes.
    /// Whoever sends credentials may have needed them to get this far: to a
    /// proxy in front, if not to us.
    fn immutable(&self, headers: &mut HeaderMap) {
        let sent_credentials = self.headers().contains_key(header::AUTHORIZATION);
        if self.grant.identity().name().is_none() && !sent_credentials {
            headers.insert(header::CACHE_CONTROL, names::IMMUTABLE);
        } else {
            headers.insert(header::CACHE_CONTROL, names::IMMUTABLE_PRIVATE);
            headers.insert(header::VARY, HeaderValue::from_static("authorization"));
        }
    }

    /// A URL of this registry, as this client must write it.
    fn url(&self, path: fmt::Arguments<'_>) -> String {
        let asked = self.request.extensions.get::<BaseUrl>();
        let base = asked.unwrap_or(&self.shared.base_url);
        format!("{base}/v2/{path}")
    }

    /// 201 for a blob, with where it is (end-4b, end-6, end-11).
    fn blob_created(&self, name: &RepositoryName, digest: &Digest) -> Response<Body> {
        let mut response = empty(StatusCode::CREATED);
        let headers = response.headers_mut();
        headers.insert(
            header::LOCATION,
            value(self.url(format_args!("{name}/blobs/{digest}"))),
        );
        headers.insert(names::DOCKER_CONTENT_DIGEST, value(digest.to_string()));
        response
    }

    /// Adds the `Link` to the next page of a list.
    fn link_next(
        &self,
        response: &mut Response<Body>,
        path: fmt::Arguments<'_>,
        query: &[(&str, Option<String>)],
    ) {
        /// Everything but what RFC 3986 calls unreserved.
        const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'.')
            .remove(b'_')
            .remove(b'~');
        let mut target = self.url(path);
        let mut separator = '?';
        for (key, parameter) in query {
            if let Some(parameter) = parameter {
                let encoded = utf8_percent_encode(parameter, ENCODED);
                write!(target, "{separator}{key}={encoded}").expect("strings take any text");
                separator = '&';
            }
        }
        let link = value(format!("<{target}>; rel=\"next\""));
        response.headers_mut().insert(header::LINK, link);
    }

    /// How many items a page of a list gets. Too many are never an error:
    /// updaters ask for 10 000 and follow `Link`.
    fn page_size(&self, asked: Option<usize>, most: usize) -> usize {
        asked.map_or(most, |n| n.min(most))
    }
}

/// A response of nothing but headers.
fn empty(status: StatusCode) -> Response<Body> {
    /// As many as most answers have: a map that grows makes all of it anew.
    const HEADERS: usize = 12;
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(HEADERS);
    *response.status_mut() = status;
    response
}

/// A JSON document, `Content-Type` and all.
fn json(
    content_type: HeaderValue,
    document: &impl serde::Serialize,
) -> Result<Response<Body>, Error> {
    let bytes = serde_json::to_vec(document).map_err(Error::internal)?;
    let mut response = Response::new(Body::empty());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    *response.body_mut() = Body::from(bytes);
    Ok(response)
}

/// For text of our own making: names, digests, numbers.
fn value(text: impl Into<String>) -> HeaderValue {
    HeaderValue::try_from(text.into())
        .expect("the protocol's grammars allow only header characters")
}

/// 405, where configuration rules out what the path could do.
fn switched_off(what: &str, allowed: &'static str) -> Error {
    Error::new(
        ErrorCode::Unsupported,
        format!("deleting {what} is switched off in this registry"),
    )
    .with_header(header::ALLOW, HeaderValue::from_static(allowed))
}
