//! What the token endpoint answers.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use registry_spec::auth::{AuthError, Challenge};
use registry_spec::{Body, BoxError};
use serde::Serialize;
use serde_json::json;

/// A token, given (200).
#[derive(Serialize)]
pub(super) struct TokenReply<'a> {
    /// The same twice: clients look for one or the other.
    pub(super) token: &'a str,
    pub(super) access_token: &'a str,
    pub(super) expires_in: u64,
    pub(super) issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<&'a str>,
}

impl TokenReply<'_> {
    pub(super) fn into_response(self) -> Result<Response<Body>, Refusal> {
        let body = serde_json::to_string(&self).map_err(Refusal::failed)?;
        Ok(json_response(StatusCode::OK, body))
    }
}

/// The public keys (200).
pub(super) fn keys(jwks: String) -> Response<Body> {
    let mut response = json_response(StatusCode::OK, jwks);
    let fresh = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, fresh);
    response
}

/// No token.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Not the endpoint's (404).
    Path,
    /// Of its methods none (405): containerd and buildkit then try another.
    Method { allow: &'static str },
    /// Not as it must be (400).
    Request(&'static str),
    /// A way to sign in that there is not (400).
    GrantType,
    /// For somebody else's registry (400).
    Service,
    /// The form is too long (413).
    TooLong,
    /// Wrong or unreadable (401). Not 400, on which buildkit would give up.
    Credentials,
    /// Not now (429).
    Busy { retry_after: Duration },
    /// It could not be decided (500).
    Failed(BoxError),
}

impl Refusal {
    pub(super) fn failed(error: impl Into<BoxError>) -> Self {
        Self::Failed(error.into())
    }

    pub(super) fn into_response(self, realm: &str) -> Response<Body> {
        let (status, code, oauth, message) = match &self {
            Self::Path => (
                StatusCode::NOT_FOUND,
                "UNSUPPORTED",
                "invalid_request",
                "no such path",
            ),
            Self::Method { .. } => (
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "invalid_request",
                "the method is not supported here",
            ),
            Self::Request(message) => (
                StatusCode::BAD_REQUEST,
                "UNSUPPORTED",
                "invalid_request",
                *message,
            ),
            Self::GrantType => (
                StatusCode::BAD_REQUEST,
                "UNSUPPORTED",
                "unsupported_grant_type",
                "expected grant_type password or refresh_token",
            ),
            Self::Service => (
                StatusCode::BAD_REQUEST,
                "DENIED",
                "invalid_request",
                "tokens for this service are not given here",
            ),
            Self::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "SIZE_INVALID",
                "invalid_request",
                "the form is too long",
            ),
            Self::Credentials => (
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "invalid_grant",
                "incorrect username or password",
            ),
            Self::Busy { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                "temporarily_unavailable",
                "too many sign-ins at once",
            ),
            Self::Failed(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "UNKNOWN",
                "server_error",
                "the token could not be made",
            ),
        };
        // Docker prints the first of `errors`; `error` is that of OAuth 2.
        let body = json!({
            "errors": [{"code": code, "message": message}],
            "error": oauth,
            "error_description": message,
        });
        let mut response = json_response(status, body.to_string());
        let header = match &self {
            Self::Credentials => {
                let challenge = Challenge::basic(realm).to_header();
                Some((
                    header::WWW_AUTHENTICATE,
                    challenge.expect("checked by Issuer::new"),
                ))
            }
            Self::Method { allow } => Some((header::ALLOW, HeaderValue::from_static(allow))),
            Self::Busy { retry_after } => {
                let seconds = retry_after.as_secs().max(1);
                Some((header::RETRY_AFTER, HeaderValue::from(seconds)))
            }
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        if let Self::Failed(cause) = self {
            let failure = IssuerFailure(cause.into());
            response.extensions_mut().insert(failure);
        }
        response
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Challenge(_) | AuthError::Denied => Self::Credentials,
            AuthError::TooManyRequests { retry_after } => Self::Busy { retry_after },
            error => Self::failed(error),
        }
    }
}

/// Why an [`Issuer`](super::Issuer) answered 500: among the response's
/// extensions, for the server's log. The client is not told.
#[derive(Clone, Debug)]
pub struct IssuerFailure(Arc<dyn Error + Send + Sync>);

impl fmt::Display for IssuerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token could not be made")
    }
}

impl Error for IssuerFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

fn json_response(status: StatusCode, body: String) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}
