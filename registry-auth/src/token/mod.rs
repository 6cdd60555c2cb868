//! Signing in with a token: checking those of any issuer ([`Verifier`]), and
//! an issuer of one's own ([`Issuer`]).
//!
//! ```text
//! client            registry (Verifier)                token endpoint (Issuer)
//!   |-- GET /v2/ ------->|
//!   |<- 401 Bearer realm, service, scope
//!   |-- GET realm?service&scope, with a password or none -->|
//!   |<------------------------- {"token": …, "expires_in": …}
//!   |-- GET /v2/, Bearer token -->|
//!   |<- 200
//! ```
//!
//! This is what docker needs to pull without a password and to push with one:
//! it takes a challenge for a password as a reason to fail, and a token that
//! everybody may have as none.
//!
//! # What a verifier answers
//!
//! | a request comes with | answer |
//! |---|---|
//! | a good token that grants what is needed | let in |
//! | a good token of too little scope | 401, `error="insufficient_scope"` |
//! | a bad or expired token | 401, `error="invalid_token"` |
//! | anything else | 401 without `error` |
//!
//! # What a verifier checks
//!
//! | | rule |
//! |---|---|
//! | form | at most 16 KiB, two dots, base64url without padding |
//! | `alg` | one of [`VerifierOptions::algorithms`], and that of the key's own type: never `none` or `HS256` |
//! | `typ`, `crit` | `JWT` or absent; absent |
//! | key | by `x5c`, else `jwk`, else `kid`; without any of them the only key that is trusted |
//! | `x5c` | at most four certificates; the first leads to one of [`Keys::add_certificates`] or is one; it and those between hold now; each may sign what it has signed |
//! | `jwk` | has the thumbprint of a trusted key |
//! | `jku`, `x5u` | not looked at: nothing is ever fetched |
//! | `iss`, `aud` | exactly the issuer; the service, or a list with it |
//! | `exp`, `nbf`, `iat` | `exp` must be there; all are whole numbers; clocks may differ by a minute |
//! | `access` | exact names; the action `*` is all actions; `null` is an empty list |
//! | `sub` | who it is; empty for anonymous |
//!
//! The catalog needs `registry:catalog:*`, and then lists every repository, as
//! distribution does, unless [`Verifier::limited_by`] says who may see which.
//!
//! A good token is remembered for as long as it holds, by its SHA-256, so that
//! its signature is computed once. It cannot be revoked but by
//! [`Verifier::limited_by`]: issuers give tokens that hold for minutes.
//!
//! # What an issuer answers
//!
//! | request | reply |
//! |---|---|
//! | `GET /token?service=…&scope=…`, Basic credentials or none | 200 and a token |
//! | … `&offline_token=true`, with credentials | the same, and a refresh token |
//! | `POST /token`, form with `grant_type=password` | the same; `access_type=offline` for a refresh token |
//! | `POST /token`, form with `grant_type=refresh_token` | the same, without a password |
//! | wrong password, refresh token that does not hold | 401 and a Basic challenge |
//! | another service, a broken form | 400 |
//! | `GET /token/jwks` | the public key |
//!
//! A token grants what of the request's scopes is allowed ([`Rights`]), also
//! nothing: unknown scopes are no mistake, because containerd asks for those
//! of other registries too.
//!
#![cfg_attr(feature = "htpasswd", doc = "```")]
#![cfg_attr(not(feature = "htpasswd"), doc = "```ignore")]
//! use std::sync::Arc;
//! use http::{Request, header};
//! use registry_auth::htpasswd::{self, Htpasswd};
//! use registry_auth::token::{
//!     Algorithm, Issuer, IssuerOptions, Realm, SigningKey, Verifier, VerifierOptions,
//! };
//! use registry_spec::auth::{Access, Action, Identity};
//! use registry_spec::{Registry, storage::MemoryStorage};
//! use tower::ServiceExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), registry_spec::BoxError> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("htpasswd");
//! # htpasswd::edit::add(&path, "alice", "correct horse", 4)?;
//! let users = Arc::new(Htpasswd::load(&path, "my registry")?);
//! let rights = |identity: &Identity, access: &Access| {
//!     let pulls = matches!(access, Access::Repository { actions: [Action::Pull], .. });
//!     identity.name().is_some() || pulls
//! };
//! let key = SigningKey::generate(Algorithm::Es256)?;
//!
//! let realm = Realm::fixed("https://registry.example/token");
//! let options = VerifierOptions::new(realm, "registry.example", "registry.example");
//! let verifier = Verifier::new(options, key.public())?;
//! let options = IssuerOptions::new("registry.example", "registry.example");
//! let issuer = Issuer::new(options, key, users, Arc::new(rights))?;
//! let registry =
//!     Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(verifier)).build();
//!
//! // A server sends to the issuer what it serves, and the rest to the registry.
//! let question = Request::get("/token?service=registry.example&scope=repository:app:pull")
//!     .body(http_body_util::Empty::new())?;
//! assert!(issuer.serves(question.uri().path()));
//! let reply = issuer.oneshot(question).await?.into_body();
//! let reply = http_body_util::BodyExt::collect(reply).await?.to_bytes();
//! let reply: serde_json::Value = serde_json::from_slice(&reply)?;
//! let token = reply["token"].as_str().expect("a token");
//!
//! let pull = Request::get("/v2/app/tags/list")
//!     .header(header::AUTHORIZATION, format!("Bearer {token}"))
//!     .body(http_body_util::Empty::new())?;
//! assert_eq!(registry.oneshot(pull).await?.status(), 404, "let in, and not there");
//! # Ok(()) }
//! ```
//!
//! # Keys of another issuer
//!
//! A file is read with [`Keys`]; when it changes, [`Verifier::set_keys`] takes
//! over new ones. So it is with keys at a URL: this crate has no HTTP client,
//! and [`Verifier::unknown_key`] shows the loop around one.
//!
//! # Refresh tokens
//!
//! Docker asks for one when it signs in, and then keeps it in the place of the
//! password. One is bound to its user and service, and ends with a change of
//! the password, with the user, or with the signing key. Nothing is stored, so
//! there is no list of them, and one by itself cannot be revoked.

mod access;
mod algorithm;
mod cache;
mod chain;
mod crypto;
mod error;
mod issuer;
mod jwk;
mod jwt;
mod keys;
mod origin;
mod public_key;
mod scope;
mod signing_key;
#[cfg(test)]
mod tests;
mod verifier;

pub use algorithm::{Algorithm, AlgorithmError};
pub use error::TokenError;
pub use issuer::{Issuer, IssuerError, IssuerFailure, IssuerOptions, PasswordVerifier, Rights};
pub use jwt::{LONGEST_TOKEN, Token};
pub use keys::{KeyWarning, Keys, KeysError};
pub use origin::{Origin, Realm};
pub use public_key::KeyProblem;
pub use scope::Scope;
pub use signing_key::{SigningKey, SigningKeyError};
pub use verifier::{Verified, Verifier, VerifierError, VerifierOptions};
