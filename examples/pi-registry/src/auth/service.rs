//! The token server before the registry.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use registry_auth::token::{Issuer, IssuerFailure};
use registry_spec::{Body, BoxError};
use tower_service::Service;

use crate::logging::chain;

/// Answers the paths of the token server, where there is one, and lets a
/// service answer the others.
#[derive(Clone, Debug)]
pub struct WithIssuer<S> {
    issuer: Option<Issuer>,
    inner: S,
}

impl<S> WithIssuer<S> {
    pub(crate) const fn new(issuer: Option<Issuer>, inner: S) -> Self {
        Self { issuer, inner }
    }
}

impl<S, B> Service<Request<B>> for WithIssuer<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = WithIssuerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match &mut self.issuer {
            Some(issuer) if issuer.serves(request.uri().path()) => WithIssuerFuture::Issuer {
                answer: issuer.call(request),
            },
            _ => WithIssuerFuture::Inner {
                inner: self.inner.call(request),
            },
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

pin_project! {
    /// The future of a [`WithIssuer`].
    #[project = Projected]
    pub enum WithIssuerFuture<F> {
        /// The token server's.
        Issuer { answer: Answer },
        /// The registry's.
        Inner { #[pin] inner: F },
    }
}

impl<F> Future for WithIssuerFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Inner { inner } => inner.poll(cx),
            Projected::Issuer { answer } => {
                let response = ready!(answer.as_mut().poll(cx));
                if let Ok(response) = &response
                    && let Some(failure) = response.extensions().get::<IssuerFailure>()
                {
                    tracing::error!(error = chain(failure), "no token was given");
                }
                Poll::Ready(response)
            }
        }
    }
}
