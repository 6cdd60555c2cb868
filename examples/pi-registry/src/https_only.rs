//! Answers by itself what comes as plain HTTP to the TLS port, and hands out
//! the CA there, where that is wanted.
//!
//! | request | answer |
//! |---|---|
//! | `GET /ca.crt`, with or without TLS, where `http.tls.publishca` is set | the CA's certificate in PEM |
//! | anything without TLS | 400 that names the `https` URL |
//!
//! The CA comes without TLS too, since whoever needs it cannot verify anything
//! yet. It is public, and whoever fetches it compares its fingerprint.

use std::ops::ControlFlow;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use registry_spec::{Body, Error, ErrorCode};
use tokio::sync::watch;

use crate::filter::Filter;
use crate::public_url;
use crate::serve::Transport;

/// Where the CA's certificate is.
pub const CA_PATH: &str = "/ca.crt";

/// Lets pass what came over TLS, and everything where there is no TLS.
#[derive(Clone, Debug)]
pub struct HttpsOnly {
    ca: Option<watch::Receiver<Bytes>>,
}

impl HttpsOnly {
    /// Publishes a CA, in PEM, where there is one.
    #[must_use]
    pub const fn new(ca: Option<watch::Receiver<Bytes>>) -> Self {
        Self { ca }
    }
}

impl Filter for HttpsOnly {
    fn filter<B>(&self, request: Request<B>) -> ControlFlow<Response<Body>, Request<B>> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if reads
            && request.uri().path() == CA_PATH
            && let Some(ca) = &self.ca
        {
            return ControlFlow::Break(certificate(ca.borrow().clone()));
        }
        if request.extensions().get() == Some(&Transport::PlainInsteadOfTls) {
            return ControlFlow::Break(use_https(&request));
        }
        ControlFlow::Continue(request)
    }
}

fn certificate(pem: Bytes) -> Response<Body> {
    const TYPE: HeaderValue = HeaderValue::from_static("application/x-pem-file");
    const NAME: HeaderValue = HeaderValue::from_static("attachment; filename=\"ca.crt\"");
    let mut response = Response::new(Body::from(pem));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TYPE);
    headers.insert(header::CONTENT_DISPOSITION, NAME);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn use_https<B>(request: &Request<B>) -> Response<Body> {
    let path = request.uri().path();
    let message = match public_url::host(request) {
        Some(host) => format!("only HTTPS is spoken here: use https://{host}{path}"),
        None => "only HTTPS is spoken here: use an https:// URL".to_owned(),
    };
    let mut response = Error::new(ErrorCode::Unsupported, message)
        .with_status(StatusCode::BAD_REQUEST)
        .into_response();
    // Its next request would be no better.
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn answer(filter: &HttpsOnly, path: &str, over: Transport) -> Option<(u16, String)> {
        let mut request = Request::builder()
            .uri(path)
            .header(header::HOST, "r.local:5000")
            .body(())
            .expect("valid");
        request.extensions_mut().insert(over);
        match filter.filter(request) {
            ControlFlow::Continue(_) => None,
            ControlFlow::Break(response) => {
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.expect("in memory");
                let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
                Some((status, text))
            }
        }
    }

    #[tokio::test]
    async fn plain_http_is_told_where_to_go() {
        let filter = HttpsOnly::new(None);
        for path in ["/", "/v2/", "/ca.crt"] {
            for over in [Transport::Plain, Transport::Tls] {
                assert_eq!(answer(&filter, path, over).await, None, "{path}");
            }
            let (status, text) = answer(&filter, path, Transport::PlainInsteadOfTls)
                .await
                .expect("an answer");
            assert_eq!(status, 400);
            assert!(
                text.contains(&format!("use https://r.local:5000{path}\"")),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn a_published_ca_can_be_had_by_every_way() {
        let (_sender, ca) = watch::channel(Bytes::from_static(b"PEM"));
        let filter = HttpsOnly::new(Some(ca));
        for over in [Transport::PlainInsteadOfTls, Transport::Tls] {
            let found = answer(&filter, CA_PATH, over).await;
            assert_eq!(found, Some((200, "PEM".to_owned())), "{over:?}");
        }
        assert_eq!(answer(&filter, "/v2/", Transport::Tls).await, None);
    }
}
