//! The service of a configuration: the registry, `/` for probes, and the token
//! server, where there is one.
//!
//! `/v2` is answered as `/v2/` is, with 200 or 401. Distribution redirects,
//! but some clients and probes that call it follow no redirect, and some drop
//! their credentials on the way.

use std::ops::ControlFlow;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use registry_spec::{
    Body, Deletes, Event, Failure, Limits, Observer, Registry, Storage, Validation,
};

use crate::auth::{Auth, WithIssuer};
use crate::client_certificate::ClientCertificate;
use crate::config::Config;
use crate::failures::LogFailures;
use crate::filter::{Filter, Filtered};
use crate::pulls::PullNotes;

/// The whole service of a configuration over its storage. `pulls` are told of.
#[must_use]
pub fn app(
    config: &Config,
    storage: Arc<dyn Storage>,
    auth: &Auth,
    pulls: PullNotes,
) -> Filtered<Probe, Filtered<ClientCertificate, WithIssuer<Registry>>> {
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
    let mut limits = Limits::default();
    limits.catalog_items = config.limits.catalog;
    limits.tag_items = config.limits.tags;
    let observers = Observers {
        failures: LogFailures::new(&config.storage.driver, Arc::clone(&storage)),
        pulls,
    };
    let registry = Registry::builder(storage, auth.authorizer())
        .deletes(deletes)
        .validation(validation)
        .limits(limits)
        .read_only(config.storage.read_only)
        .observer(Arc::new(observers))
        .build();
    let tls = config.http.tls.as_ref();
    let certificate = ClientCertificate::new(tls.is_some_and(|tls| tls.requires_client()));
    Filtered::new(Probe, Filtered::new(certificate, auth.wrap(registry)))
}

/// Who is told of what happens.
#[derive(Debug)]
struct Observers {
    failures: LogFailures,
    pulls: PullNotes,
}

impl Observer for Observers {
    fn event(&self, event: &Event<'_>) {
        self.failures.event(event);
        self.pulls.event(event.repository, &event.kind);
    }

    fn failure(&self, failure: &Failure<'_>) {
        self.failures.failure(failure);
    }
}

/// Answers by itself what must work without credentials: `GET /` and `HEAD /`,
/// the probe of container platforms, and `OPTIONS` below `/v2`, by which a
/// browser asks whether another site's page may call. What it may is said by
/// `http.headers`. Everything else goes on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Probe;

impl Filter for Probe {
    fn filter<B>(&self, request: Request<B>) -> ControlFlow<Response<Body>, Request<B>> {
        let path = request.uri().path();
        match *request.method() {
            Method::GET | Method::HEAD if path == "/" => ControlFlow::Break(alive()),
            Method::OPTIONS if path == "/v2" || path.starts_with("/v2/") => {
                ControlFlow::Break(options())
            }
            _ => ControlFlow::Continue(request),
        }
    }
}

fn options() -> Response<Body> {
    const ALLOW: HeaderValue =
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, ALLOW);
    response
}

fn alive() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

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
        let response = Filtered::new(Probe, teapot)
            .oneshot(request.expect("valid"))
            .await;
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
    async fn a_browser_may_ask_without_credentials() {
        for path in ["/v2", "/v2/", "/v2/_catalog"] {
            let response = status(Method::OPTIONS, path).await;
            assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
            assert!(response.headers().contains_key(header::ALLOW));
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
