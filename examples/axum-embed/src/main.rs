//! Somebody's web service that also accepts `docker push`.
//!
//! The registry sits beside the service's own routes, asks the service's own
//! users for their passwords, and tells it of each push:
//!
//! ```text
//! GET /pushes    what was pushed lately, as JSON: a route of the service
//! /v2/...        the registry
//! ```
//!
//! Each user may pull everything, and push to repositories under their name:
//!
//! ```text
//! USERS=alice:secret ADDR=127.0.0.1:8080 cargo run -p axum-embed
//! docker login -u alice localhost:8080
//! docker push localhost:8080/alice/app
//! curl localhost:8080/pushes
//! ```

use std::collections::{HashMap, VecDeque};
use std::env;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use registry_spec::auth::{
    Access, Action, AuthError, AuthRequest, Challenge, Credentials, Grant, Identity, Secret,
};
use registry_spec::{Authorizer, Event, EventKind, Failure, Observer, Registry, Storage};
use registry_storage::FileSystem;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let users = Users::parse(&setting("USERS", ""))?;
    let storage = FileSystem::new(setting("DATA", "registry-data"));
    let listener = tokio::net::TcpListener::bind(setting("ADDR", "127.0.0.1:8080")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(Arc::new(storage), users)).await?;
    Ok(())
}

/// The whole service, as a router that tests can call without a port.
fn app(storage: Arc<dyn Storage>, users: Users) -> Router {
    let pushes = Arc::new(Pushes::default());
    let registry = Registry::builder(storage, Arc::new(users))
        .observer(Arc::clone(&pushes) as Arc<dyn Observer>)
        .build();
    Router::new()
        .route("/pushes", get(recent_pushes))
        .route_service("/v2", registry.clone())
        .route_service("/v2/", registry.clone())
        .route_service("/v2/{*path}", registry)
        .with_state(pushes)
}

async fn recent_pushes(State(pushes): State<Arc<Pushes>>) -> Json<serde_json::Value> {
    let recent = pushes.recent.lock().unwrap_or_else(PoisonError::into_inner);
    Json(serde_json::json!({ "pushes": *recent }))
}

/// The service's users and their passwords.
#[derive(Debug)]
struct Users(HashMap<String, Secret>);

impl Users {
    /// `name:password`, separated by spaces.
    fn parse(text: &str) -> Result<Self, String> {
        text.split_whitespace()
            .map(|pair| {
                let (name, password) = pair
                    .split_once(':')
                    .ok_or("USERS is written name:password name:password")?;
                Ok((name.to_owned(), Secret::new(password.to_owned())))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[async_trait]
impl Authorizer for Users {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        let Credentials::Basic { username, password } = request.credentials else {
            return Err(AuthError::Challenge(Challenge::basic("axum-embed")));
        };
        if self.0.get(username) != Some(password) {
            return Err(AuthError::Challenge(Challenge::basic("axum-embed")));
        }
        let user = username.clone();
        let grant = Grant::new(Identity::user(username), move |access| match access {
            Access::Base | Access::Catalog => true,
            Access::Repository { name, actions } => {
                *actions == [Action::Pull] || name.components().next() == Some(&user)
            }
            Access::EveryRepository { actions } => *actions == [Action::Pull],
            _ => false,
        });
        if grant.allows(request.access) {
            Ok(grant)
        } else {
            Err(AuthError::Denied)
        }
    }
}

/// What was pushed lately.
#[derive(Debug, Default)]
struct Pushes {
    recent: Mutex<VecDeque<String>>,
}

impl Observer for Pushes {
    fn event(&self, event: &Event<'_>) {
        const KEPT: usize = 100;
        if let EventKind::ManifestPushed { digest, tags, .. } = &event.kind {
            let (who, repository) = (event.identity, event.repository);
            let tags: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
            let line = format!("{who} pushed {repository}@{digest} as {tags:?}");
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.push_front(line);
            recent.truncate(KEPT);
        }
    }

    fn failure(&self, failure: &Failure<'_>) {
        let mut line = format!("{} {}: {}", failure.method, failure.path, failure.cause);
        let mut source = failure.cause.source();
        while let Some(cause) = source {
            line += &format!(": {cause}");
            source = cause.source();
        }
        eprintln!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request, Response, StatusCode, header};
    use base64::Engine as _;
    use http_body_util::BodyExt as _;
    use registry_spec::storage::MemoryStorage;
    use registry_spec::types::{Algorithm, Digest, MediaType};
    use tower::ServiceExt as _;

    use super::*;

    fn service() -> Router {
        let users = Users::parse("alice:secret bob:hush").expect("two users");
        app(Arc::new(MemoryStorage::new()), users)
    }

    async fn call(
        service: &Router,
        user: &str,
        method: Method,
        uri: &str,
        body: &str,
    ) -> Response<Body> {
        let credentials = base64::engine::general_purpose::STANDARD.encode(user);
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, format!("Basic {credentials}"))
            .body(Body::from(body.to_owned()))
            .expect("a request");
        service.clone().oneshot(request).await.expect("infallible")
    }

    async fn push(service: &Router, user: &str, repository: &str) -> StatusCode {
        let config = Digest::of(Algorithm::Sha256, b"{}");
        let uri = format!("/v2/{repository}/blobs/uploads/?digest={config}");
        let response = call(service, user, Method::POST, &uri, "{}").await;
        if response.status() != StatusCode::CREATED {
            return response.status();
        }
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
            "layers": [],
        });
        let uri = format!("/v2/{repository}/manifests/v1");
        let response = call(service, user, Method::PUT, &uri, &manifest.to_string()).await;
        response.status()
    }

    #[tokio::test]
    async fn a_push_shows_up_in_the_services_own_route() {
        let service = service();
        let status = push(&service, "alice:secret", "alice/app").await;
        assert_eq!(status, StatusCode::CREATED);
        let response = call(&service, "", Method::GET, "/pushes", "").await;
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        assert!(text.contains("alice pushed alice/app@sha256:"), "{text}");
    }

    #[tokio::test]
    async fn users_push_only_under_their_name_and_pull_everything() {
        let service = service();
        push(&service, "alice:secret", "alice/app").await;
        let status = push(&service, "bob:hush", "alice/app").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let uri = "/v2/alice/app/manifests/v1";
        for (user, status) in [
            ("bob:hush", StatusCode::OK),
            ("bob:wrong", StatusCode::UNAUTHORIZED),
            (":", StatusCode::UNAUTHORIZED),
        ] {
            let response = call(&service, user, Method::GET, uri, "").await;
            assert_eq!(response.status(), status, "{user}");
        }
    }

    #[tokio::test]
    async fn the_base_path_asks_for_credentials_with_and_without_a_slash() {
        for uri in ["/v2", "/v2/"] {
            let request = Request::get(uri).body(Body::empty()).expect("a request");
            let response = service().oneshot(request).await.expect("infallible");
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            let challenge = &response.headers()[header::WWW_AUTHENTICATE];
            assert_eq!(challenge, "Basic realm=\"axum-embed\"");
        }
    }
}
