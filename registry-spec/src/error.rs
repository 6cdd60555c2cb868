//! The wire's errors: the only place where a failure becomes a status.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::auth::AuthError;
use crate::body::Body;
use crate::storage::{LengthMismatch, StorageError};
use crate::types::{DigestError, ManifestError, NameError, ReferenceError, TagError};
use crate::{BoxError, header as names};

/// When clients of an unavailable registry should come back, in seconds.
const RETRY_AFTER: u64 = 5;

/// The codes of the spec's
/// [error table](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// code-1: blob unknown to registry.
    BlobUnknown,
    /// code-2: blob upload invalid.
    BlobUploadInvalid,
    /// code-3: blob upload unknown to registry.
    BlobUploadUnknown,
    /// code-4: provided digest did not match uploaded content.
    DigestInvalid,
    /// code-5: manifest references a manifest or blob unknown to registry.
    ManifestBlobUnknown,
    /// code-6: manifest invalid.
    ManifestInvalid,
    /// code-7: manifest unknown to registry.
    ManifestUnknown,
    /// code-8: invalid repository name.
    NameInvalid,
    /// code-9: repository name not known to registry.
    NameUnknown,
    /// code-10: provided length did not match content length.
    SizeInvalid,
    /// code-11: authentication required.
    Unauthorized,
    /// code-12: requested access to the resource is denied.
    Denied,
    /// code-13: the operation is unsupported.
    Unsupported,
    /// code-14: too many requests.
    TooManyRequests,
    /// Outside the table, which ends at client errors: the registry failed.
    Unknown,
    /// Outside the table, too: the registry is out of order for a while.
    Unavailable,
}

impl ErrorCode {
    /// The code's text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unknown => "UNKNOWN",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The status that goes with the code where the endpoint has no other.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestBlobUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A failure, as the client will see it.
///
/// ```
/// use registry_spec::{Error, ErrorCode};
///
/// let response = Error::new(ErrorCode::Denied, "this registry is closed on Sundays").into_response();
/// assert_eq!(response.status(), 403);
/// ```
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: ErrorCode,
    message: Cow<'static, str>,
    detail: Option<Value>,
    headers: HeaderMap,
    /// What went wrong inside: for the log, not for the client.
    cause: Option<BoxError>,
}

impl Error {
    /// An error with the code's own status.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            status: code.status(),
            code,
            message: message.into(),
            detail: None,
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// A failure of the registry itself (500): says nothing about it to the
    /// client, and keeps `cause` for the log.
    #[must_use]
    pub fn internal(cause: impl Into<BoxError>) -> Self {
        let mut error = Self::new(ErrorCode::Unknown, "the registry failed, see its log");
        error.0.cause = Some(cause.into());
        error
    }

    /// A registry that cannot serve for a while (503, `Retry-After`): says no
    /// more about it to the client, and keeps `cause` for the log.
    #[must_use]
    pub fn unavailable(cause: impl Into<BoxError>) -> Self {
        let mut error = Self::new(
            ErrorCode::Unavailable,
            "the registry is unavailable, try again",
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        error.0.cause = Some(cause.into());
        error
    }

    /// A registry without room for what is pushed (507): says no more about it
    /// to the client, and keeps `cause` for the log.
    #[must_use]
    pub fn full(cause: impl Into<BoxError>) -> Self {
        let message = "the registry has no room for this: its disk is full, see its log";
        let mut error = Self::new(ErrorCode::Unavailable, message)
            .with_status(StatusCode::INSUFFICIENT_STORAGE);
        error.0.cause = Some(cause.into());
        error
    }

    /// The same error with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same error with a `detail` that a client can read.
    #[must_use]
    pub(crate) fn with_detail(mut self, detail: Value) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// The same error with one more response header.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The response's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What went wrong inside the registry, if it was that.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// The response, with the spec's JSON body.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let Parts {
            status,
            code,
            message,
            detail,
            headers,
            ..
        } = *self.0;
        let mut error = json!({ "code": code.as_str(), "message": message });
        if let Some(detail) = detail {
            error["detail"] = detail;
        }
        let body = json!({ "errors": [error] }).to_string();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, names::JSON);
        headers.insert(header::CACHE_CONTROL, names::NO_STORE);
        *response.body_mut() = Body::from(body);
        response
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let code = match &error {
            StorageError::NameUnknown => ErrorCode::NameUnknown,
            StorageError::BlobUnknown => ErrorCode::BlobUnknown,
            StorageError::ManifestUnknown => ErrorCode::ManifestUnknown,
            StorageError::UploadUnknown => ErrorCode::BlobUploadUnknown,
            StorageError::DigestMismatch { .. } => ErrorCode::DigestInvalid,
            StorageError::OutOfOrder { .. } => {
                return Self::new(ErrorCode::BlobUploadInvalid, error.to_string())
                    .with_status(StatusCode::RANGE_NOT_SATISFIABLE);
            }
            StorageError::ContentUnknown { missing } => {
                return Self::new(ErrorCode::ManifestBlobUnknown, error.to_string())
                    .with_detail(json!({ "missing": missing }));
            }
            // The table has no code for it; it is a form of refusing the manifest.
            StorageError::PreconditionFailed => {
                return Self::new(ErrorCode::ManifestInvalid, error.to_string())
                    .with_status(StatusCode::PRECONDITION_FAILED);
            }
            // DENIED, after which docker does not try again; but not 403, which
            // some clients tell without the message, as a matter of rights.
            StorageError::TagImmutable { .. } => {
                return Self::new(ErrorCode::Denied, error.to_string())
                    .with_status(StatusCode::CONFLICT);
            }
            StorageError::Body { source } if source.is::<LengthMismatch>() => {
                return Self::new(ErrorCode::SizeInvalid, source.to_string());
            }
            StorageError::Body { .. } => ErrorCode::BlobUploadInvalid,
            StorageError::Full { .. } => return Self::full(error),
            StorageError::Unavailable { .. } => return Self::unavailable(error),
            StorageError::Backend { .. } => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Challenge(challenge) => match challenge.to_header() {
                Ok(line) => Self::new(ErrorCode::Unauthorized, "authentication required")
                    .with_header(header::WWW_AUTHENTICATE, line),
                Err(broken) => Self::internal(broken),
            },
            // Not the text of distribution: docker takes an error that has it
            // for one that may pass, and tries for most of a minute.
            AuthError::Denied => Self::new(ErrorCode::Denied, "this user has no right to do that"),
            AuthError::TooManyRequests { retry_after } => {
                let seconds = HeaderValue::from(retry_after.as_secs().max(1));
                Self::new(ErrorCode::TooManyRequests, error.to_string())
                    .with_header(header::RETRY_AFTER, seconds)
            }
            AuthError::Backend { .. } => Self::internal(error),
        }
    }
}

impl From<ManifestError> for Error {
    fn from(error: ManifestError) -> Self {
        /// In characters.
        const MOST_QUOTED: usize = 200;
        let message = match &error {
            // The source quotes what it does not like, however long that is.
            ManifestError::Malformed { source } => {
                let reason = source.to_string();
                let quoted: String = reason.chars().take(MOST_QUOTED).collect();
                format!("{error}: {quoted}")
            }
            _ => error.to_string(),
        };
        Self::new(ErrorCode::ManifestInvalid, message)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::new(ErrorCode::NameInvalid, error.to_string())
    }
}

impl From<DigestError> for Error {
    fn from(error: DigestError) -> Self {
        Self::new(ErrorCode::DigestInvalid, error.to_string())
    }
}

impl From<TagError> for Error {
    fn from(error: TagError) -> Self {
        Self::new(ErrorCode::ManifestInvalid, error.to_string())
    }
}

impl From<ReferenceError> for Error {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Tag(error) => error.into(),
            ReferenceError::Digest(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_inside_is_kept_for_the_log_and_hidden_from_the_client() {
        let error = Error::from(StorageError::Backend {
            backend: "filesystem",
            source: "/secret/path: No space left".into(),
        });
        let cause = error.cause().expect("kept").source().expect("its source");
        assert!(cause.to_string().contains("/secret/path"));
        assert!(!error.to_string().contains("secret"));
        assert_eq!(error.into_response().status(), 500);
    }

    #[test]
    fn a_full_backend_is_507_and_told_as_that_alone() {
        let error = Error::from(StorageError::full("filesystem", "/secret/path: 3 bytes"));
        let cause = error.cause().expect("kept").source().expect("its source");
        assert!(cause.to_string().contains("/secret/path"));
        assert!(error.to_string().contains("disk is full"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.into_response().status(), 507);
    }

    #[test]
    fn an_unavailable_backend_is_503_and_hidden_too() {
        let error = Error::from(StorageError::Unavailable {
            backend: "object store",
            source: "secret-bucket: connection refused".into(),
        });
        let cause = error.cause().expect("kept").source().expect("its source");
        assert!(cause.to_string().contains("secret-bucket"));
        assert!(!error.to_string().contains("secret"));
        let response = error.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    }

    #[test]
    fn too_many_sign_ins_are_told_when_to_come_back() {
        for (millis, seconds) in [(0, "1"), (400, "1"), (5000, "5")] {
            let retry_after = std::time::Duration::from_millis(millis);
            let error = Error::from(AuthError::TooManyRequests { retry_after });
            assert_eq!(error.code(), ErrorCode::TooManyRequests);
            let response = error.into_response();
            assert_eq!(response.status(), 429);
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }
}
