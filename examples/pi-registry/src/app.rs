//! The service of a configuration: the registry, and `/` for probes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Method, Request, Response, header};
use pin_project_lite::pin_project;
use registry_spec::{
    AllowAll, Body, Deletes, Event, Failure, Observer, Registry, Storage, Validation,
};
use tower_service::Service;

use crate::config::Config;
use crate::logging::chain;

/// The whole service of a configuration over its storage.
#[must_use]
pub fn app(config: &Config, storage: Arc<dyn Storage>) -> App<Registry> {
    let deletes = if config.storage.deletes {
        Deletes::all()
    } else {
        Deletes::none()
    };
    let validation = if config.validation {
        Validation::Full
    } else {
        Validation::Sparse
    };
    // Open access is what the configuration asks for: a start with any other
    // `auth` than none is refused.
    let registry = Registry::builder(storage, Arc::new(AllowAll))
        .deletes(deletes)
        .validation(validation)
        .observer(Arc::new(LogFailures))
        .build();
    App::new(registry)
}

/// Answers `GET /` and `HEAD /` by itself: the probe of container platforms,
/// which must work before and whatever the storage does, and without
/// credentials. Everything else goes to the service inside.
#[derive(Clone, Debug)]
pub struct App<S> {
    inner: S,
}

impl<S> App<S> {
    /// Puts the probe's answer before a service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<B>> for App<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AppFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let probe =
            request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
        if probe {
            AppFuture { inner: None }
        } else {
            let inner = Some(self.inner.call(request));
            AppFuture { inner }
        }
    }
}

pin_project! {
    /// The future of [`App`].
    #[derive(Debug)]
    pub struct AppFuture<F> {
        // `None` for a probe.
        #[pin]
        inner: Option<F>,
    }
}

impl<F, E> Future for AppFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => Poll::Ready(Ok(alive())),
        }
    }
}

fn alive() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// Writes the registry's own failures into the log: clients are told nothing
/// but that there was one.
#[derive(Debug)]
struct LogFailures;

impl Observer for LogFailures {
    fn event(&self, event: &Event<'_>) {
        tracing::debug!(repository = %event.repository, kind = ?event.kind, "done");
    }

    fn failure(&self, failure: &Failure<'_>) {
        tracing::error!(
            method = %failure.method,
            path = failure.path,
            error = chain(failure.cause),
            "request failed"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::StatusCode;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// What the app answers before a service that says 418 to everything.
    async fn status(method: Method, path: &str) -> Response<Body> {
        let teapot = service_fn(|_: Request<()>| async {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            Ok::<_, Infallible>(response)
        });
        let request = Request::builder().method(method).uri(path).body(());
        let response = App::new(teapot).oneshot(request.expect("valid")).await;
        response.expect("infallible")
    }

    #[tokio::test]
    async fn the_root_is_a_probe() {
        for method in [Method::GET, Method::HEAD] {
            for path in ["/", "/?x=y"] {
                let response = status(method.clone(), path).await;
                assert_eq!(response.status(), StatusCode::OK, "{method} {path}");
                assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
            }
        }
    }

    #[tokio::test]
    async fn everything_else_is_the_registrys() {
        for (method, path) in [
            (Method::POST, "/"),
            (Method::GET, "/v2/"),
            (Method::GET, "//"),
            (Method::GET, "/index.html"),
        ] {
            let response = status(method.clone(), path).await;
            assert_eq!(
                response.status(),
                StatusCode::IM_A_TEAPOT,
                "{method} {path}"
            );
        }
    }
}
