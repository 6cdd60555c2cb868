//! Signing in with tokens: of the built-in server, as docker does it, and of
//! somebody else's.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt as _;
use pi_registry::access_log::AccessLog;
use pi_registry::auth::Auth;
use pi_registry::certificates::tls_provider;
use pi_registry::config::Config;
use pi_registry::front::front;
use pi_registry::health::Health;
use pi_registry::https_only::HttpsOnly;
use pi_registry::pulls::PullNotes;
use pi_registry::serve::Transport;
use registry_auth::htpasswd::edit;
use registry_auth::token::{
    Algorithm, Issuer, IssuerOptions, PasswordVerifier, Rights, SigningKey,
};
use registry_spec::Body;
use registry_spec::auth::{Access, AuthError, Identity, Secret};
use registry_spec::storage::MemoryStorage;
use registry_tls::Reloading;
use registry_tls::issue::{Authority, AuthorityOptions, LeafOptions};
use registry_tls::rustls::{ServerConnection, Stream};
use registry_tls::server::ServerOptions;
use tempfile::TempDir;
use tower::ServiceExt as _;

const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A registry in memory.
struct Scratch {
    dir: TempDir,
    config: Config,
    storage: Arc<MemoryStorage>,
    auth: Auth,
}

/// An answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn challenge(&self) -> &str {
        let all: Vec<_> = self
            .headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .collect();
        assert!(all.len() < 2, "{all:?}");
        all.first()
            .map_or("", |value| value.to_str().expect("text"))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

impl Scratch {
    /// `DIR` in the configuration is a directory with the users alice and bob.
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for user in ["alice", "bob"] {
            edit::add(&dir.path().join("users"), user, "secret", 4).expect("added");
        }
        Self::within(dir, config)
    }

    fn within(dir: TempDir, config: &str) -> Self {
        let path = dir.path().join("c.yml");
        let root = dir.path().to_str().expect("UTF-8");
        fs::write(&path, config.replace("DIR", root)).expect("written");
        let config = Config::load(Some(&path), []).expect("valid");
        Self {
            auth: Auth::open(&config.auth).expect("usable"),
            storage: Arc::new(MemoryStorage::new()),
            config,
            dir,
        }
    }

    async fn send(&self, request: http::request::Builder) -> Reply {
        self.send_body(request, "").await
    }

    /// Through all that stands before the registry.
    async fn send_body(&self, request: http::request::Builder, body: &str) -> Reply {
        let app = pi_registry::app(
            &self.config,
            Arc::clone(&self.storage) as _,
            &self.auth,
            PullNotes::default(),
        );
        let health = Health::default();
        let log = AccessLog::off();
        let app = front(
            &self.config.http,
            &log,
            HttpsOnly::new(None),
            None,
            health,
            app,
        );
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let Ok(response) = app.oneshot(request).await;
        let (parts, body) = response.into_parts();
        let Ok(body) = body.collect().await else {
            panic!("a body");
        };
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_bytes().to_vec()).expect("text"),
        }
    }

    async fn status(&self, line: &str, authorization: Option<&str>) -> u16 {
        self.ask(line, authorization).await.status
    }

    async fn ask(&self, line: &str, authorization: Option<&str>) -> Reply {
        let (method, uri) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, "r.local:5000");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        self.send(request).await
    }

    /// A token of the built-in server.
    async fn token(&self, query: &str, authorization: Option<&str>) -> String {
        let line = format!("GET /token?service=pi-registry{query}");
        let reply = self.ask(&line, authorization).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        bearer(&reply.json())
    }
}

fn bearer(reply: &serde_json::Value) -> String {
    format!("Bearer {}", reply["token"].as_str().expect("a token"))
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

const SERVER: &str = "auth: {htpasswd: {path: DIR/users, realm: here}, anonymous: pull, tokenserver: {enabled: true}}";

#[tokio::test]
async fn docker_signs_in_and_pushes_and_everybody_pulls() {
    let registry = Scratch::new(SERVER);
    let challenge = "Bearer realm=\"http://r.local:5000/token\",service=\"pi-registry\"";
    let reply = registry.ask("GET /v2/", None).await;
    assert_eq!((reply.status, reply.challenge()), (401, challenge));

    // docker login.
    let right = basic("alice:secret");
    for wrong in ["alice:wrong", "carol:secret"] {
        let reply = registry
            .ask("GET /token?service=pi-registry", Some(&basic(wrong)))
            .await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.challenge(), "Basic realm=\"here\"");
    }
    let line = "GET /token?account=alice&client_id=docker&offline_token=true&service=pi-registry";
    let reply = registry.ask(line, Some(&right)).await.json();
    assert_eq!(reply["refresh_token"], serde_json::Value::Null);
    assert_eq!(
        registry.status("GET /v2/", Some(&bearer(&reply))).await,
        200
    );

    // docker push.
    let push = format!("POST /v2/a/blobs/uploads/?digest={DIGEST}");
    let reply = registry.ask(&push, None).await;
    let scope = "scope=\"repository:a:pull,push\"";
    assert!(reply.challenge().ends_with(scope), "{reply:?}");
    let scope = "&scope=repository:a:push,pull";
    let nobody = registry.token(scope, None).await;
    let alice = registry.token(scope, Some(&right)).await;
    let (method, uri) = push.split_once(' ').expect("two");
    for (token, expected) in [(&nobody, 401), (&alice, 201)] {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header(header::AUTHORIZATION, token);
        let request = request.header(header::CONTENT_LENGTH, "5");
        let reply = registry.send_body(request, "hello").await;
        assert_eq!(reply.status, expected, "{reply:?}");
    }

    // docker pull, with the token of nobody, and containerd's without.
    let pull = format!("GET /v2/a/blobs/{DIGEST}");
    for token in [Some(&*nobody), Some(&alice), None] {
        let reply = registry.ask(&pull, token).await;
        assert_eq!((reply.status, &*reply.body), (200, "hello"));
    }
    // A password that comes unasked.
    for (pair, expected) in [("bob:secret", 200), ("bob:wrong", 401)] {
        let reply = registry.ask("GET /v2/_catalog", Some(&basic(pair))).await;
        assert_eq!(reply.status, expected);
        assert_eq!(reply.challenge().starts_with("Bearer "), expected == 401);
    }
    let reply = registry.ask("GET /v2/", Some("Bearer x.y.z")).await;
    assert_eq!(reply.status, 401);
    assert!(reply.challenge().ends_with("error=\"invalid_token\""));
    assert_eq!(registry.status("GET /token/jwks", None).await, 200);
    assert_eq!(registry.status("GET /token/x", None).await, 404);
}

#[tokio::test]
async fn without_the_server_there_is_no_token() {
    for off in ["", ", tokenserver: {enabled: false}"] {
        let registry = Scratch::new(&format!("auth: {{htpasswd: {{path: DIR/users}}{off}}}"));
        assert_eq!(registry.status("GET /token", None).await, 404);
        let reply = registry.ask("GET /v2/", None).await;
        assert!(reply.challenge().starts_with("Basic "));
    }
}

#[tokio::test]
async fn rules_and_users_that_change_bind_tokens_that_are_out() {
    let rules = "rules: [{who: alice, repositories: a, actions: push}]";
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("rules"), rules).expect("written");
    for user in ["alice", "bob"] {
        edit::add(&dir.path().join("users"), user, "secret", 4).expect("added");
    }
    let registry = Scratch::within(
        dir,
        "auth: {htpasswd: {path: DIR/users}, policy: {path: DIR/rules}, tokenserver: }",
    );
    let scopes =
        "&scope=repository:a:pull,push&scope=repository:b:pull,push&scope=registry:catalog:*";
    let alice = registry.token(scopes, Some(&basic("alice:secret"))).await;
    let bob = registry.token(scopes, Some(&basic("bob:secret"))).await;
    let upload = |name: &str| format!("POST /v2/{name}/blobs/uploads/");
    for (name, token, expected) in [("a", &alice, 202), ("b", &alice, 401), ("a", &bob, 401)] {
        assert_eq!(registry.status(&upload(name), Some(token)).await, expected);
    }
    assert_eq!(registry.status("GET /v2/_catalog", Some(&alice)).await, 401);
    assert_eq!(registry.status("GET /v2/", Some(&bob)).await, 200);

    // The user goes, and with her what her token gave.
    let Scratch {
        dir,
        config,
        storage,
        auth,
    } = registry;
    let app = pi_registry::app(&config, storage, &auth, PullNotes::default());
    let status = async || {
        let request = Request::post("/v2/a/blobs/uploads/");
        let request = request.header(header::AUTHORIZATION, &alice);
        let request = request.body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        response.status().as_u16()
    };
    assert_eq!(status().await, 202);
    edit::remove(&dir.path().join("users"), "alice").expect("removed");
    tokio::time::pause();
    let follow = tokio::spawn(auth.follow_changes());
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(status().await, 401);
    follow.abort();
}

#[tokio::test]
async fn clients_are_sent_where_they_can_go() {
    let server = |http: &str, more: &str| {
        format!(
            "http: {{{http}}}\n\
             auth: {{htpasswd: {{path: DIR/users}}, tokenserver: {{enabled: true{more}}}}}"
        )
    };
    let peer = |address: &str| pi_registry::serve::Peer::Tcp(address.parse().expect("valid"));
    let (proxy, client) = (peer("127.0.0.1:1"), peer("192.0.2.1:1"));
    let forwarded = ("x-forwarded-proto", "https");
    for (http, more, path, peer, over, header, expected) in [
        (
            "",
            "",
            "/v2/",
            &client,
            Transport::Plain,
            None,
            "http://r.local:5000/token",
        ),
        (
            "",
            "",
            "/v2/",
            &client,
            Transport::Tls,
            None,
            "https://r.local:5000/token",
        ),
        (
            "",
            "",
            "/v2/",
            &proxy,
            Transport::Plain,
            Some(forwarded),
            "https://r.local:5000/token",
        ),
        (
            "",
            "",
            "/v2/",
            &client,
            Transport::Plain,
            Some(forwarded),
            "http://r.local:5000/token",
        ),
        (
            "",
            "",
            "/v2/",
            &client,
            Transport::Tls,
            Some(("x-forwarded-host", "evil")),
            "https://r.local:5000/token",
        ),
        (
            "prefix: /p/",
            "",
            "/p/v2/",
            &client,
            Transport::Tls,
            None,
            "https://r.local:5000/p/token",
        ),
        (
            "host: 'https://h/'",
            "",
            "/v2/",
            &client,
            Transport::Plain,
            None,
            "https://h/token",
        ),
        (
            "host: 'https://h/q', prefix: /p",
            "",
            "/p/v2/",
            &client,
            Transport::Plain,
            None,
            "https://h/q/p/token",
        ),
        (
            "host: 'https://h'",
            ", realm: 'https://t/x'",
            "/v2/",
            &client,
            Transport::Plain,
            None,
            "https://t/x",
        ),
    ] {
        let registry = Scratch::new(&server(http, more));
        let mut request = Request::get(path)
            .header(header::HOST, "r.local:5000")
            .extension(*peer)
            .extension(over);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let reply = registry.send(request).await;
        let challenge = format!("Bearer realm=\"{expected}\",service=\"pi-registry\"");
        assert_eq!(reply.challenge(), challenge, "{http}{more} {header:?}");
    }
    let registry = Scratch::new(&server("prefix: /p/", ""));
    for (path, expected) in [("/p/token", 200), ("/token", 404)] {
        assert_eq!(
            registry.status(&format!("GET {path}"), None).await,
            expected
        );
    }
    // What is no host is in no answer.
    let request = Request::get("/p/v2/").header(header::HOST, "a\"b");
    let reply = registry.send(request).await;
    let challenge = "Bearer realm=\"/p/token\",service=\"pi-registry\"";
    assert_eq!((reply.status, reply.challenge()), (401, challenge));
}

#[tokio::test]
async fn a_key_in_a_file_keeps_sign_ins_through_a_restart() {
    let config = "auth: {htpasswd: {path: DIR/users}, tokenserver: {key: DIR/key, refresh: true}}";
    let dir = tempfile::tempdir().expect("a directory");
    edit::add(&dir.path().join("users"), "alice", "secret", 4).expect("added");
    let key = SigningKey::generate(Algorithm::Es256).expect("a key");
    fs::write(dir.path().join("key"), key.to_pem().reveal()).expect("written");
    let registry = Scratch::within(dir, config);
    let line = "GET /token?service=pi-registry&offline_token=true";
    let reply = registry
        .ask(line, Some(&basic("alice:secret")))
        .await
        .json();
    let refresh = reply["refresh_token"]
        .as_str()
        .expect("asked for")
        .to_owned();

    let registry = Scratch::within(registry.dir, config);
    assert_eq!(
        registry.status("GET /v2/", Some(&bearer(&reply))).await,
        200
    );
    let form = format!(
        "grant_type=refresh_token&service=pi-registry&scope=repository:a:pull,push&refresh_token={refresh}"
    );
    let request =
        Request::post("/token").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let reply = registry.send_body(request, &form).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let upload = "POST /v2/a/blobs/uploads/";
    let token = bearer(&reply.json());
    assert_eq!(registry.status(upload, Some(&token)).await, 202);
}

/// Somebody else's token server, where everybody's password is `secret`.
#[derive(Debug)]
struct Elsewhere;

#[async_trait]
impl PasswordVerifier for Elsewhere {
    async fn verify(&self, name: &str, password: &Secret) -> Result<Option<Identity>, AuthError> {
        Ok((password.reveal() == "secret").then(|| Identity::user(name)))
    }
}

fn elsewhere(key: SigningKey, service: &str) -> Issuer {
    let rights: Arc<dyn Rights> = Arc::new(|who: &Identity, _: &Access| who.name().is_some());
    let options = IssuerOptions::new(service, "elsewhere");
    Issuer::new(options, key, Arc::new(Elsewhere), rights).expect("valid")
}

async fn token_of(issuer: &Issuer, scope: &str) -> String {
    let request = Request::get(format!("/token?scope={scope}"))
        .header(header::AUTHORIZATION, basic("carol:secret"))
        .body(Body::empty())
        .expect("a request");
    let reply = issuer.clone().oneshot(request).await.expect("infallible");
    let body = reply.into_body().collect().await.expect("in memory");
    bearer(&serde_json::from_slice(&body.to_bytes()).expect("JSON"))
}

fn with_jwks(jwks: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("jwks"), jwks).expect("written");
    dir
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).expect("a key")
}

const FOREIGN: &str =
    "realm: 'https://t.example/auth', service: r, issuer: elsewhere, jwks: DIR/jwks";

#[tokio::test]
async fn a_token_of_a_trusted_server_says_what_its_owner_may() {
    let ours = key();
    let config = format!("auth: {{token: {{{FOREIGN}}}}}");
    let registry = Scratch::within(with_jwks(&ours.to_jwks()), &config);
    let reply = registry.ask("GET /v2/a/manifests/v1", None).await;
    let challenge =
        "Bearer realm=\"https://t.example/auth\",service=\"r\",scope=\"repository:a:pull\"";
    assert_eq!((reply.status, reply.challenge()), (401, challenge));

    let issuer = elsewhere(ours, "r");
    let good = token_of(&issuer, "repository:a:pull").await;
    let other_key = token_of(&elsewhere(key(), "r"), "repository:a:pull").await;
    for (line, token, expected) in [
        ("GET /v2/", &good, 200),
        ("GET /v2/a/manifests/v1", &good, 404),
        ("GET /v2/b/manifests/v1", &good, 401),
        ("POST /v2/a/blobs/uploads/", &good, 401),
        ("GET /v2/", &other_key, 401),
        ("GET /v2/", &basic("carol:secret"), 401),
    ] {
        assert_eq!(registry.status(line, Some(token)).await, expected, "{line}");
    }
    assert_eq!(registry.status("GET /token", None).await, 404);
}

#[tokio::test]
async fn a_policy_takes_away_from_what_a_token_says() {
    let ours = key();
    let rules = "rules: [{who: carol, repositories: a, actions: [push]}]";
    let config = format!("auth: {{token: {{{FOREIGN}}}, policy: {{{rules}}}}}");
    let registry = Scratch::within(with_jwks(&ours.to_jwks()), &config);
    let issuer = elsewhere(ours, "r");
    let both = token_of(&issuer, "repository:a:pull,push+repository:b:pull,push").await;
    let pull = token_of(&issuer, "repository:a:pull").await;
    for (line, token, expected) in [
        ("GET /v2/", &both, 200),
        ("POST /v2/a/blobs/uploads/", &both, 202),
        ("POST /v2/b/blobs/uploads/", &both, 401),
        ("POST /v2/a/blobs/uploads/", &pull, 401),
    ] {
        assert_eq!(registry.status(line, Some(token)).await, expected, "{line}");
    }
}

#[tokio::test]
async fn autoredirect_sends_to_the_host_of_the_request() {
    for (more, path) in [("", "/auth/token"), (", autoredirectpath: /t", "/t")] {
        let config = format!("auth: {{token: {{{FOREIGN}, autoredirect: true{more}}}}}");
        let registry = Scratch::within(with_jwks(&key().to_jwks()), &config);
        let reply = registry.ask("GET /v2/", None).await;
        let expected = format!("Bearer realm=\"http://r.local:5000{path}\",service=\"r\"");
        assert_eq!(reply.challenge(), expected);
    }
}

#[tokio::test]
async fn changed_keys_are_in_force_soon_and_bad_ones_never() {
    let (first, second) = (key(), key());
    let (first_jwks, second_jwks) = (first.to_jwks(), second.to_jwks());
    let config = format!("auth: {{token: {{{FOREIGN}}}}}");
    let registry = Scratch::within(with_jwks(&first_jwks), &config);
    let first = token_of(&elsewhere(first, "r"), "").await;
    let second = token_of(&elsewhere(second, "r"), "").await;
    let Scratch {
        dir,
        config,
        storage,
        auth,
    } = registry;
    let app = pi_registry::app(&config, storage, &auth, PullNotes::default());
    let status = async |token: &str| {
        let request = Request::get("/v2/").header(header::AUTHORIZATION, token);
        let request = request.body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        response.status().as_u16()
    };
    tokio::time::pause();
    let follow = tokio::spawn(auth.follow_changes());
    let path = dir.path().join("jwks");
    let write = |path: &Path, text: &str| fs::write(path, text).expect("written");
    for (jwks, expected) in [
        (&*first_jwks, (200, 401)),
        (&second_jwks, (401, 200)),
        ("nonsense", (401, 200)),
        ("{\"keys\": []}", (401, 200)),
        (&first_jwks, (200, 401)),
    ] {
        write(&path, jwks);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(
            (status(&first).await, status(&second).await),
            expected,
            "{jwks}"
        );
    }
    follow.abort();
}

#[test]
fn keys_that_cannot_be_used_refuse_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().to_str().expect("UTF-8");
    edit::add(&dir.path().join("users"), "alice", "secret", 4).expect("added");
    fs::write(dir.path().join("bad"), "HUSH").expect("written");
    let token = "realm: 'https://t/', service: r, issuer: i";
    for (auth, expected) in [
        (
            format!("token: {{{token}, jwks: DIR/none}}"),
            "auth.token.jwks: cannot read DIR/none: ",
        ),
        (
            format!("token: {{{token}, jwks: DIR/bad}}"),
            "auth.token.jwks: DIR/bad: not a JWK set",
        ),
        (
            format!("token: {{{token}, rootcertbundle: DIR/none}}"),
            "auth.token.rootcertbundle: cannot read DIR/none: ",
        ),
        (
            format!("token: {{{token}, rootcertbundle: DIR/bad}}"),
            "auth.token.rootcertbundle: DIR/bad: no certificates",
        ),
        (
            "htpasswd: {path: DIR/users}, tokenserver: {key: DIR/none}".to_owned(),
            "auth.tokenserver.key: cannot read DIR/none: ",
        ),
        (
            "htpasswd: {path: DIR/users}, tokenserver: {key: DIR/bad}".to_owned(),
            "auth.tokenserver.key: DIR/bad: no key that signs tokens",
        ),
    ] {
        let path = dir.path().join("c.yml");
        let text = format!("auth: {{{auth}}}").replace("DIR", root);
        fs::write(&path, text).expect("written");
        let config = Config::load(Some(&path), []).expect("valid");
        let error = Auth::open(&config.auth).expect_err(expected).to_string();
        let expected = expected.replace("DIR", root);
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains('\n') && !error.contains("HUSH"), "{error}");
    }
}

/// Answers every request over TLS with the same text, from another thread, and
/// says where it listens.
fn https(dir: &Path, answer: String) -> std::net::SocketAddr {
    let authority = Authority::new(&AuthorityOptions::new("test")).expect("a CA");
    let host = "127.0.0.1".parse().expect("an address");
    let leaf = authority
        .issue(&LeafOptions::new(vec![host]))
        .expect("issued");
    let file = |name: &str, pem: &str| {
        fs::write(dir.join(name), pem).expect("written");
        dir.join(name)
    };
    file("ca.crt", &authority.certificate_pem());
    let options = ServerOptions::new(
        file("tls.crt", &leaf.certificate_pem),
        file("tls.key", leaf.key_pem.as_str()),
    );
    let served = Reloading::load(options, tls_provider()).expect("usable");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let mut tls = ServerConnection::new(served.config()).expect("a connection");
            let mut stream = Stream::new(&mut tls, &mut tcp);
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                request.push(byte[0]);
            }
            let length = answer.len();
            // Whoever is gone already needs no answer.
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}"
            );
        }
    });
    address
}

#[tokio::test]
async fn keys_at_a_url_are_fetched_over_trusted_https_alone() {
    let ours = key();
    let dir = tempfile::tempdir().expect("a directory");
    let address = https(dir.path(), ours.to_jwks());
    let token = token_of(&elsewhere(ours, "r"), "").await;
    let config = format!(
        "http: {{addr: '127.0.0.1:0'}}\nstorage: {{filesystem: {{rootdirectory: data}}}}\n\
         auth: {{token: {{realm: 'https://t/', service: r, issuer: elsewhere, \
         jwks: 'https://{address}/keys'}}}}\n"
    );
    fs::write(dir.path().join("c.yml"), config).expect("written");
    for (ca, told, expected) in [
        ("ca.crt", "1 keys of https://", "HTTP/1.1 200 "),
        ("none.crt", "cannot fetch https://", "HTTP/1.1 401 "),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pi-registry"))
            .args(["serve", "c.yml"])
            .current_dir(dir.path())
            .env_clear()
            .env("NO_COLOR", "1")
            .env("SSL_CERT_FILE", dir.path().join(ca))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (mut log, mut listens) = (String::new(), None);
        for line in lines.map_while(Result::ok) {
            let address = line.split_once("listens on http://").map(|(_, rest)| rest);
            let address = address.and_then(|rest| rest.split(',').next());
            listens = listens.or(address.map(str::to_owned));
            log = log + &line + "\n";
            if log.contains(told) && listens.is_some() {
                break;
            }
        }
        let answer = listens.map(|address| {
            let mut tcp = TcpStream::connect(address).expect("it listens");
            let request = format!(
                "GET /v2/ HTTP/1.1\r\nhost: r\r\nauthorization: {token}\r\n\
                 connection: close\r\n\r\n"
            );
            tcp.write_all(request.as_bytes()).expect("sent");
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).expect("text");
            answer
        });
        child.kill().expect("running");
        child.wait().expect("ended");
        assert!(log.contains(told), "{log}");
        let answer = answer.expect("it listens");
        assert!(answer.starts_with(expected), "{answer}");
    }
}
