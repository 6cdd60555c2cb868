//! The form of a token: three parts, of which two are JSON
//! ([RFC 7515](https://www.rfc-editor.org/rfc/rfc7515#section-7.1),
//! [RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::access::AccessEntry;
use super::algorithm::Algorithm;
use super::error::TokenError;
use super::jwk::Jwk;

/// Longest token that is looked at, in bytes. A real one has one or two
/// thousand; with certificates some more.
pub const LONGEST_TOKEN: usize = 16 * 1024;

/// A token as it was sent: readable, and not yet to be believed.
///
/// ```
/// use registry_auth::token::{Token, TokenError};
///
/// assert_eq!(Token::parse("a.b").err(), Some(TokenError::Form));
/// ```
pub struct Token<'a> {
    pub(super) header: Header,
    pub(super) claims: Claims,
    /// What was signed: header, dot, claims.
    pub(super) message: &'a str,
    pub(super) signature: Vec<u8>,
}

/// Says nothing of the token's content.
impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("algorithm", &self.header.alg)
            .finish_non_exhaustive()
    }
}

/// The header. Where keys could be fetched (`jku`, `x5u`) is never looked at;
/// a member that comes twice fails it.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default, deserialize_with = "present")]
    pub(super) kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) jwk: Option<Jwk>,
    #[serde(default, deserialize_with = "present")]
    pub(super) x5c: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    /// Extensions that must be understood; none is.
    #[serde(default)]
    crit: Option<Present>,
}

/// What the token says. `null` is not the same as nothing, but for lists: Go
/// writes an empty one so.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    pub(super) iss: String,
    #[serde(default)]
    pub(super) sub: String,
    #[serde(default)]
    pub(super) aud: Audience,
    pub(super) exp: i64,
    #[serde(default, deserialize_with = "present")]
    pub(super) nbf: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    pub(super) iat: Option<i64>,
    #[serde(default)]
    access: Option<Vec<AccessEntry>>,
}

impl Claims {
    pub(super) fn access(&self) -> &[AccessEntry] {
        self.access.as_deref().unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audience {
    pub(super) fn includes(&self, service: &str) -> bool {
        match self {
            Self::One(one) => one == service,
            Self::Many(many) => many.iter().any(|one| one == service),
        }
    }
}

/// A member is there, whatever it is.
pub(super) struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(value).map(|_| Self)
    }
}

/// Unlike that of `Option`, refuses `null`.
fn present<'de, D, T>(value: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(value).map(Some)
}

impl<'a> Token<'a> {
    /// Reads a token without checking that anybody has signed it.
    ///
    /// # Errors
    /// * [`TokenError::TooLong`], [`TokenError::Form`]: it is no token.
    /// * [`TokenError::Header`], [`TokenError::Claims`]: a part cannot be read.
    /// * [`TokenError::Critical`]: it asks for an extension.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::TooLong);
        }
        if token.bytes().filter(|&byte| byte == b'.').count() != 2 {
            return Err(TokenError::Form);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Form)?;
        let header: Header = json(header).ok_or(TokenError::Header)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let typ = header.typ.as_deref();
        if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenError::Header);
        }
        let claims = json(claims).ok_or(TokenError::Claims)?;
        let signature = BASE64URL_NOPAD
            .decode(signature.as_bytes())
            .map_err(|_| TokenError::Form)?;
        Ok(Self {
            header,
            claims,
            message,
            signature,
        })
    }

    pub(super) fn algorithm(&self) -> Result<Algorithm, TokenError> {
        let algorithm = self.header.alg.parse();
        algorithm.map_err(|_| TokenError::Algorithm)
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
    // serde would read a list as the members of an object in their order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(&bytes).ok()
}
