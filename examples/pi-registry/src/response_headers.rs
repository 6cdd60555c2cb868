//! `http.headers`: what is added to every response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

/// Headers that are part of the protocol: a fixed value would be wrong in
/// most responses. Caching and CORS are the operator's to decide.
const OWN: &[&str] = &[
    "accept-ranges",
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "docker-content-digest",
    "docker-upload-uuid",
    "etag",
    "link",
    "location",
    "oci-filters-applied",
    "oci-subject",
    "oci-tag",
    "range",
    "retry-after",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// A header of `http.headers` cannot be set. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("http.headers has {name}, which is the registry's to set: remove it")]
#[non_exhaustive]
pub struct OwnHeader {
    /// The header.
    pub name: HeaderName,
}

/// Headers for every response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHeaders {
    headers: Arc<HeaderMap>,
}

impl ResponseHeaders {
    /// These headers, in place of what a response has under the same names.
    ///
    /// # Errors
    /// When one of them is part of the protocol.
    pub fn new(headers: HeaderMap) -> Result<Self, OwnHeader> {
        if let Some(name) = headers.keys().find(|name| OWN.contains(&name.as_str())) {
            return Err(OwnHeader { name: name.clone() });
        }
        let headers = Arc::new(headers);
        Ok(Self { headers })
    }

    /// What they are.
    #[must_use]
    pub fn as_map(&self) -> &HeaderMap {
        &self.headers
    }

    /// The service with these headers in its responses.
    pub fn wrap<S>(&self, inner: S) -> Headed<S> {
        let headers = self.clone();
        Headed { inner, headers }
    }

    fn set(&self, response: &mut HeaderMap) {
        for name in self.headers.keys() {
            response.remove(name);
            for value in self.headers.get_all(name) {
                response.append(name, value.clone());
            }
        }
    }
}

/// A service whose responses have more headers.
#[derive(Clone, Debug)]
pub struct Headed<S> {
    inner: S,
    headers: ResponseHeaders,
}

impl<S, A, B> Service<Request<A>> for Headed<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = HeadedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        HeadedFuture {
            inner: self.inner.call(request),
            headers: self.headers.clone(),
        }
    }
}

pin_project! {
    /// The future of a [`Headed`] service.
    #[derive(Debug)]
    pub struct HeadedFuture<F> {
        #[pin]
        inner: F,
        headers: ResponseHeaders,
    }
}

impl<F, B, E> Future for HeadedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        this.headers.set(response.headers_mut());
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("valid");
            map.append(name, value.parse().expect("valid"));
        }
        map
    }

    #[test]
    fn headers_are_set_and_not_doubled() {
        let configured = map(&[
            ("x-frame", "a"),
            ("x-frame", "b"),
            ("cache-control", "no-cache"),
        ]);
        let headers = ResponseHeaders::new(configured.clone()).expect("allowed");
        let mut response = map(&[
            ("x-frame", "old"),
            ("cache-control", "max-age=1"),
            ("etag", "e"),
        ]);
        headers.set(&mut response);
        let mut expected = configured;
        expected.insert("etag", "e".parse().expect("valid"));
        assert_eq!(response, expected);
    }

    #[test]
    fn what_the_registry_must_set_itself_is_refused() {
        for name in [
            "Content-Length",
            "Location",
            "Docker-Content-Digest",
            "WWW-Authenticate",
        ] {
            let error = ResponseHeaders::new(map(&[(name, "x")])).expect_err(name);
            let line = error.to_string();
            assert!(line.contains(&name.to_lowercase()), "{line}");
        }
    }
}
