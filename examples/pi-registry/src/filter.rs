//! Steps before a service that each let a request go on, perhaps changed, or
//! answer it themselves.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use registry_spec::Body;
use tower_service::Service;

/// Decides about a request from its head alone.
pub trait Filter {
    /// The request as it goes on, or the answer to it.
    fn filter<B>(&self, request: Request<B>) -> ControlFlow<Response<Body>, Request<B>>;
}

/// A service with a filter before it.
#[derive(Clone, Debug)]
pub struct Filtered<F, S> {
    filter: F,
    inner: S,
}

impl<F, S> Filtered<F, S> {
    /// Puts a filter before a service.
    pub const fn new(filter: F, inner: S) -> Self {
        Self { filter, inner }
    }
}

impl<F, S, B, R> Service<Request<B>> for Filtered<F, S>
where
    F: Filter,
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Body>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = FilteredFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.filter.filter(request) {
            ControlFlow::Continue(request) => FilteredFuture {
                inner: Some(self.inner.call(request)),
                answer: None,
            },
            ControlFlow::Break(answer) => FilteredFuture {
                inner: None,
                answer: Some(answer),
            },
        }
    }
}

pin_project! {
    /// The future of a [`Filtered`] service.
    #[derive(Debug)]
    pub struct FilteredFuture<F> {
        // Exactly one of the two is there.
        #[pin]
        inner: Option<F>,
        answer: Option<Response<Body>>,
    }
}

impl<F, R, E> Future for FilteredFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Body>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => {
                let answer = this.answer.take();
                let answer = answer.expect("not polled after its end");
                Poll::Ready(Ok(answer.map(R::from)))
            }
        }
    }
}
