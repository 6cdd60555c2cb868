//! What signing in costs with each request: `cargo bench -p registry-auth`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use criterion::{BatchSize, Criterion};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use registry_auth::htpasswd::{self, Htpasswd};
use registry_auth::token::{
    Algorithm, Issuer, IssuerOptions, Realm, SigningKey, Verifier, VerifierOptions,
};
use registry_spec::auth::{Access, Identity, Secret};
use tower::ServiceExt as _;

const USER: &str = "alice";
const PASSWORD: &str = "correct horse battery staple";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users");
    // What is remembered costs the same, however dear the first time was.
    htpasswd::edit::add(&path, USER, PASSWORD, htpasswd::MIN_COST).expect("written");
    let users = Arc::new(Htpasswd::load(&path, "registry").expect("readable"));
    passwords(&mut criterion, &users);
    tokens(&mut criterion, &users);
    criterion.final_summary();
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

fn passwords(criterion: &mut Criterion, users: &Htpasswd) {
    let password = Secret::new(PASSWORD.to_owned());
    let first = runtime().block_on(users.verify(USER, &password));
    assert!(first.expect("checked").is_some());
    criterion.bench_function("password, remembered", |bencher| {
        bencher.iter(|| {
            let verify = users.verify(black_box(USER), black_box(&password));
            verify.now_or_never().expect("waits for nothing")
        });
    });
}

fn tokens(criterion: &mut Criterion, users: &Arc<Htpasswd>) {
    let mut group = criterion.benchmark_group("token");
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let issuer = issuer(algorithm, users);
        let token = runtime().block_on(token(&issuer));
        let realm = Realm::fixed("https://registry.example/token");
        let options = VerifierOptions::new(realm, "registry", "issuer");
        let keys = issuer.key().public();
        let verifier = Verifier::new(options, keys.clone()).expect("valid");
        let verify = || {
            let verified = verifier.verify(black_box(&token), SystemTime::now());
            verified.expect("a good token")
        };
        group.bench_function(format!("{algorithm:?}, new"), |bencher| {
            // New keys forget what was found of tokens.
            bencher.iter_batched(
                || verifier.set_keys(keys.clone()),
                |()| verify(),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("{algorithm:?}, remembered"), |bencher| {
            bencher.iter(verify);
        });
    }
}

fn issuer(algorithm: Algorithm, users: &Arc<Htpasswd>) -> Issuer {
    let key = SigningKey::generate(algorithm).expect("random");
    let rights = |_: &Identity, _: &Access| true;
    let options = IssuerOptions::new("registry", "issuer");
    Issuer::new(options, key, Arc::clone(users) as _, Arc::new(rights)).expect("valid")
}

async fn token(issuer: &Issuer) -> String {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let request = http::Request::get("/token?service=registry&scope=repository:team/app:pull,push")
        .header("authorization", format!("Basic {basic}"))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("valid");
    let reply = issuer.clone().oneshot(request).await.expect("infallible");
    assert_eq!(reply.status(), 200);
    let body = reply.into_body().collect().await.expect("a body");
    let reply: serde_json::Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    reply["token"].as_str().expect("a token").to_owned()
}
