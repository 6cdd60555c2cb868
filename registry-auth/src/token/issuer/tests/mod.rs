//! The token endpoint, asked as clients ask.

mod clients;
mod refresh;

use std::sync::Mutex;

use http::{StatusCode, header, request};
use http_body_util::{BodyExt as _, Full, StreamBody};
use registry_spec::auth::Action;
use serde_json::Value;
use tower::ServiceExt as _;

use super::super::{Algorithm, Realm, TokenError, Verifier, VerifierOptions};
use super::*;

/// Alice, whose password can be changed, and bad days.
struct Users {
    password: Mutex<Option<&'static str>>,
}

#[async_trait]
impl PasswordVerifier for Users {
    async fn verify(&self, name: &str, password: &Secret) -> Result<Option<Identity>, AuthError> {
        match name {
            "busy" => Err(AuthError::TooManyRequests {
                retry_after: Duration::from_millis(10),
            }),
            "broken" => Err(AuthError::Backend {
                source: "the directory at 10.0.0.1 is gone".into(),
            }),
            name => {
                let right = *self.password.lock().expect("unpoisoned") == Some(password.reveal());
                Ok((right && name == "alice").then(|| Identity::user(name)))
            }
        }
    }

    async fn revision(&self, identity: &Identity) -> Result<Option<Secret>, AuthError> {
        let password = *self.password.lock().expect("unpoisoned");
        let password = password.filter(|_| identity.name() == Some("alice"));
        Ok(password.map(|password| Secret::new(password.to_owned())))
    }
}

/// Everybody may pull `public`; alice may do all but delete.
fn rights(identity: &Identity, access: &Access) -> bool {
    match access {
        Access::Repository { name, actions } => match identity.name() {
            Some(_) => !actions.contains(&Action::Delete),
            None => name.as_str() == "public" && *actions == [Action::Pull],
        },
        _ => identity.name().is_some(),
    }
}

struct Server {
    issuer: Issuer,
    users: Arc<Users>,
    verifier: Verifier,
}

fn server_with(change: impl FnOnce(&mut IssuerOptions)) -> Server {
    let users = Arc::new(Users {
        password: Mutex::new(Some("secret")),
    });
    let key = SigningKey::generate(Algorithm::EdDsa).expect("random");
    let options = VerifierOptions::new(Realm::fixed("https://r/token"), "r.example", "issuer");
    let verifier = Verifier::new(options, key.public()).expect("valid");
    let mut options = IssuerOptions::new("r.example", "issuer");
    change(&mut options);
    let issuer = Issuer::new(options, key, Arc::clone(&users) as _, Arc::new(rights));
    Server {
        issuer: issuer.expect("valid"),
        users,
        verifier,
    }
}

fn server() -> Server {
    server_with(|_| {})
}

struct Reply {
    status: StatusCode,
    headers: http::HeaderMap,
    failure: Option<IssuerFailure>,
    json: Value,
}

const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";

impl Server {
    async fn send<B>(&self, request: Request<B>) -> Reply
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let response = self
            .issuer
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (mut head, body) = response.into_parts();
        let body = body.collect().await.expect("in memory").to_bytes();
        assert_eq!(head.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(head.headers[header::CONTENT_LENGTH], body.len().to_string());
        Reply {
            status: head.status,
            headers: head.headers,
            failure: head.extensions.remove(),
            json: serde_json::from_slice(&body).expect("JSON"),
        }
    }

    async fn get(&self, query: &str, authorization: &str) -> Reply {
        let mut request = Request::get(format!("/token?{query}"));
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.send(request.body(Full::default()).expect("a request"))
            .await
    }

    async fn post(&self, form: &str) -> Reply {
        let form = Bytes::copy_from_slice(form.as_bytes());
        let request = form_request().body(Full::new(form));
        self.send(request.expect("a request")).await
    }

    /// What the reply's token grants; its claims as they are.
    fn access(&self, reply: &Reply) -> Value {
        assert_eq!(reply.status, 200, "{}", reply.json);
        assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(reply.json["token"], reply.json["access_token"]);
        let token = reply.json["token"].as_str().expect("a token");
        let verified = self
            .verifier
            .verify(token, SystemTime::now())
            .expect("good");
        let claims = claims(token);
        assert_eq!(
            verified.identity().name().unwrap_or_default(),
            claims["sub"]
        );
        claims["access"].clone()
    }
}

fn form_request() -> request::Builder {
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    Request::post("/token").header(header::CONTENT_TYPE, kind)
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("claims");
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base64");
    serde_json::from_slice(&claims).expect("JSON")
}

fn entry(name: &str, actions: &[&str]) -> Value {
    json!({"type": "repository", "name": name, "actions": actions})
}

#[tokio::test]
async fn who_somebody_is_says_the_password_alone() {
    let server = server();
    let query = "account=admin&service=r.example&scope=repository:a:pull";
    let reply = server.get(query, ALICE).await;
    assert_eq!(
        claims(reply.json["token"].as_str().expect("a token"))["sub"],
        "alice"
    );
    let reply = server.get(query, "").await;
    assert_eq!(server.access(&reply), json!([]));
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_not_told() {
    let server = server();
    for authorization in [
        "Basic YWxpY2U6d3Jvbmc=",
        "Basic Ym9iOnNlY3JldA==",
        "Basic !",
        "Bearer a.b.c",
        "Digest x",
    ] {
        let reply = server.get("service=r.example", authorization).await;
        assert_eq!(reply.status, 401, "{authorization}");
        let challenge = &reply.headers[header::WWW_AUTHENTICATE];
        assert_eq!(challenge, r#"Basic realm="r.example""#);
        assert_eq!(reply.json["errors"][0]["code"], "UNAUTHORIZED");
        assert_eq!(reply.json["error"], "invalid_grant");
    }
    let long = format!("grant_type=password&padding={}", "x".repeat(9000));
    for (form, status, error) in [
        (
            "grant_type=password&username=alice&password=wrong",
            401,
            "invalid_grant",
        ),
        (
            "grant_type=password&username=&password=",
            401,
            "invalid_grant",
        ),
        (
            "grant_type=refresh_token&refresh_token=a.b",
            401,
            "invalid_grant",
        ),
        (
            "grant_type=refresh_token&refresh_token=",
            401,
            "invalid_grant",
        ),
        ("grant_type=refresh_token", 400, "invalid_request"),
        ("grant_type=password&username=alice", 400, "invalid_request"),
        (
            "grant_type=authorization_code",
            400,
            "unsupported_grant_type",
        ),
        ("", 400, "invalid_request"),
        ("%%%&&==\u{0}", 400, "invalid_request"),
        (
            "grant_type=password&grant_type=refresh_token",
            400,
            "invalid_request",
        ),
        (
            "grant_type=password&username=alice&password=secret&service=other",
            400,
            "invalid_request",
        ),
        (&long, 413, "invalid_request"),
    ] {
        let reply = server.post(form).await;
        assert_eq!(reply.status, status, "{form}");
        assert_eq!(reply.json["error"], error, "{form}");
    }
    let reply = server.get("service=other", "").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json["errors"][0]["code"]),
        (400, &"DENIED".into())
    );
    let form = "grant_type=password&username=alice&password=secret";
    let json = Request::post("/token").header(header::CONTENT_TYPE, "application/json");
    let reply = server
        .send(json.body(Full::new(Bytes::from(form))).expect("a request"))
        .await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn other_paths_and_methods_are_not_the_endpoints() {
    let server = server_with(|options| options.post = false);
    for (method, path, status, allow) in [
        ("POST", "/token", 405, Some("GET")),
        ("PUT", "/token", 405, Some("GET")),
        ("POST", "/token/jwks", 405, Some("GET")),
        ("GET", "/token/", 404, None),
        ("GET", "/v2/", 404, None),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        let reply = server.send(request).await;
        assert_eq!(reply.status, status, "{method} {path}");
        let told = reply
            .headers
            .get(header::ALLOW)
            .map(|value| value.to_str().expect("text"));
        assert_eq!(told, allow);
    }
    // Where it could not be used, there is no refresh token.
    let reply = server.get("offline_token=true", ALICE).await;
    assert!(reply.json.get("refresh_token").is_none());
}

#[tokio::test]
async fn failures_are_told_to_the_server_alone() {
    let server = server();
    let reply = server.get("", "Basic YnVzeTp4").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers[header::RETRY_AFTER]),
        (429, &"1".parse().expect("a header"))
    );
    let reply = server.get("", "Basic YnJva2VuOng=").await;
    assert_eq!(reply.status, 500);
    assert!(!reply.json.to_string().contains("10.0.0.1"));
    let failure = reply.failure.expect("for the log");
    let cause = std::error::Error::source(&failure).expect("a cause");
    let cause = cause.source().expect("its cause").to_string();
    assert_eq!(cause, "the directory at 10.0.0.1 is gone");
}

#[tokio::test]
async fn the_public_key_is_all_that_another_registry_needs() {
    let server = server();
    let request = Request::get("/token/jwks").body(Full::<Bytes>::default());
    let reply = server.send(request.expect("a request")).await;
    assert_eq!(reply.status, 200);
    let mut keys = super::super::Keys::new();
    keys.add_jwks("jwks", reply.json.to_string().as_bytes())
        .expect("a set");
    server.verifier.set_keys(keys);
    let reply = server.get("scope=repository:a:pull", ALICE).await;
    assert_eq!(server.access(&reply), json!([entry("a", &["pull"])]));
}

#[tokio::test]
async fn many_scopes_still_make_a_token_that_is_taken() {
    let server = server();
    let name = "a".repeat(200);
    let scopes: Vec<String> = (0..200)
        .map(|at| format!("scope=repository:{name}{at}:pull,push"))
        .collect();
    let reply = server.get(&scopes.join("&"), ALICE).await;
    let granted = server.access(&reply);
    assert!(granted.as_array().is_some_and(|granted| granted.len() > 10));
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let outcome = |change: fn(&mut IssuerOptions)| {
        let mut options = IssuerOptions::new("r.example", "issuer");
        change(&mut options);
        let key = SigningKey::generate(Algorithm::Es256).expect("random");
        let users = Users {
            password: Mutex::new(None),
        };
        Issuer::new(options, key, Arc::new(users), Arc::new(rights)).map(drop)
    };
    assert_eq!(outcome(|_| {}), Ok(()));
    assert_eq!(
        outcome(|options| options.service.clear()),
        Err(IssuerError::Empty)
    );
    assert_eq!(
        outcome(|options| options.path = "token".into()),
        Err(IssuerError::Path)
    );
    assert_eq!(
        outcome(|options| options.path = options.jwks_path.clone()),
        Err(IssuerError::Path)
    );
    let short = outcome(|options| options.lifetime = Duration::from_secs(59));
    assert_eq!(short, Err(IssuerError::Lifetime));
    let quoted = outcome(|options| options.realm = "\"".into());
    assert!(matches!(quoted, Err(IssuerError::Challenge { .. })));
}
