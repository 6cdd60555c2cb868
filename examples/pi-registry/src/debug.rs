//! `http.debug`: a second listener, for those who run the registry.
//!
//! | path | answer |
//! |---|---|
//! | `/debug/health` | 200 `{}`, or 503 and the checks that fail, with the reasons |
//! | `http.debug.prometheus.path`, where enabled | the metrics |
//!
//! It speaks plain HTTP without authentication, as Prometheus and the kubelet
//! expect, and never serves the registry.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::task::{Context, Poll};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use registry_spec::Body;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::health::Health;
use crate::metrics::Metrics;
use crate::serve::{self, Listener, Options};

/// Those who watch are few, and must not take the registry's open files.
const CONNECTIONS: usize = 64;

/// The service of the debug listener.
#[derive(Clone, Debug)]
pub struct DebugServer {
    health: Health,
    /// With the path where they are.
    metrics: Option<(String, Metrics)>,
}

impl DebugServer {
    /// Tells of health, and of metrics at a path.
    #[must_use]
    pub const fn new(health: Health, metrics: Option<(String, Metrics)>) -> Self {
        Self { health, metrics }
    }

    /// Serves on the runtime of the caller, until what is returned is dropped:
    /// whoever watches the registry sees it to its end.
    pub fn spawn(self, listener: Listener) -> DebugListener {
        tracing::info!("debug server listens on http://{}", listener.bound());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let options = Options {
                connections: CONNECTIONS,
                ..Options::default()
            };
            serve::serve(listener, None, self, options, pending(), pending()).await;
        });
        DebugListener { _task: task }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        let metrics = self.metrics.as_ref().filter(|(at, _)| at == path);
        if metrics.is_none() && path != "/debug/health" {
            return text(StatusCode::NOT_FOUND, "text/plain", "not found\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut response = text(status, "text/plain", "GET or HEAD\n");
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        match metrics {
            Some((_, metrics)) => match metrics.text() {
                Ok(metrics) => text(StatusCode::OK, "text/plain; version=0.0.4", metrics),
                Err(error) => text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "text/plain",
                    format!("{error}\n"),
                ),
            },
            None => self.health(),
        }
    }

    fn health(&self) -> Response<Body> {
        let failing = self.health.failing();
        let status = if failing.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = serde_json::json!(failing).to_string();
        text(status, "application/json", body)
    }
}

/// The debug listener at work; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the listener ends when this is dropped"]
pub struct DebugListener {
    _task: JoinSet<()>,
}

impl<B> Service<Request<B>> for DebugServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<String>) -> Response<Body> {
    let body: String = body.into();
    let length = body.len();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
