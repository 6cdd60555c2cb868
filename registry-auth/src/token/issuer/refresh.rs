//! Refresh tokens: what a client keeps in the place of a password.
//!
//! ```text
//! base64url({"sub","service","iat","jti"}) . base64url(HMAC(key, first part . revision))
//! ```
//!
//! Nothing is stored. The key is derived from the signing key; the revision is
//! that of the user's password ([`PasswordVerifier::revision`]), so that a new
//! password, or none, ends all of a user's tokens. Of two parts and without a
//! signature, none can be taken for an access token, here or by any other
//! registry.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use registry_spec::auth::{Identity, Secret};
use serde::{Deserialize, Serialize};

use super::super::crypto::hmac;
use super::super::signing_key::SigningKey;
use super::reply::Refusal;
use super::{IssuerOptions, PasswordVerifier, random_id};

pub(super) struct RefreshTokens {
    key: hmac::Key,
    service: String,
    enabled: bool,
    lifetime: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    sub: String,
    service: String,
    iat: u64,
    /// No two tokens are the same.
    jti: String,
}

impl RefreshTokens {
    pub(super) fn new(key: &SigningKey, options: &IssuerOptions) -> Self {
        Self {
            key: key.derive(b"refresh tokens"),
            service: options.service.clone(),
            enabled: options.refresh_tokens && options.post,
            lifetime: options.refresh_lifetime,
        }
    }

    /// `None` for whom there is no such token.
    pub(super) async fn make(
        &self,
        users: &dyn PasswordVerifier,
        identity: &Identity,
        now: u64,
    ) -> Result<Option<Secret>, Refusal> {
        let Some(name) = identity.name().filter(|_| self.enabled) else {
            return Ok(None);
        };
        let Some(revision) = users.revision(identity).await? else {
            return Ok(None);
        };
        let content = Content {
            sub: name.to_owned(),
            service: self.service.clone(),
            iat: now,
            jti: random_id()?,
        };
        let content = serde_json::to_vec(&content).map_err(Refusal::failed)?;
        let content = BASE64URL_NOPAD.encode(&content);
        let tag = hmac::sign(&self.key, message(&content, &revision).as_bytes());
        let tag = BASE64URL_NOPAD.encode(tag.as_ref());
        Ok(Some(Secret::new(format!("{content}.{tag}"))))
    }

    /// Whose token it is; `None` if it does not hold.
    pub(super) async fn verify(
        &self,
        users: &dyn PasswordVerifier,
        token: &Secret,
        now: u64,
    ) -> Result<Option<Identity>, Refusal> {
        let Some((content, tag, read)) = read(token.reveal()).filter(|_| self.enabled) else {
            return Ok(None);
        };
        let identity = Identity::user(&read.sub);
        let Some(revision) = users.revision(&identity).await? else {
            return Ok(None);
        };
        // Compares in constant time.
        let message = message(content, &revision);
        let genuine = hmac::verify(&self.key, message.as_bytes(), &tag).is_ok();
        let fresh = self
            .lifetime
            .is_none_or(|lifetime| now < read.iat.saturating_add(lifetime.as_secs()));
        let holds = genuine && fresh && read.service == self.service;
        Ok(holds.then_some(identity))
    }
}

fn read(token: &str) -> Option<(&str, Vec<u8>, Content)> {
    let (content, tag) = token.split_once('.')?;
    let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
    let bytes = BASE64URL_NOPAD.decode(content.as_bytes()).ok()?;
    Some((content, tag, serde_json::from_slice(&bytes).ok()?))
}

/// The first part has no dots, so that nothing can be moved between the two.
fn message(content: &str, revision: &Secret) -> String {
    format!("{content}.{}", revision.reveal())
}
