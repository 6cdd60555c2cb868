//! What a client says of itself in `Authorization`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use crate::types::{Algorithm, Digest};

/// The credentials of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// None were sent.
    Anonymous,
    /// A user name and a password, not yet checked.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token, not yet checked.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// Some were sent and cannot be read: another scheme, broken base64, two
    /// headers. Never as good as none: an authorizer answers with a challenge.
    Unreadable,
}

/// A password or token: can be compared and revealed, is never printed.
#[derive(Clone, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself. What is done with it must not reach a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Compares digests, so that the time it takes says nothing of how far a guess
/// was right.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let digest = |secret: &Self| Digest::of(Algorithm::Sha256, secret.0.as_bytes());
        digest(self) == digest(other)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Credentials {
    /// Reads the `Authorization` header ([RFC 9110, 11.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.2)).
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Self::Anonymous;
        };
        if values.next().is_some() {
            return Self::Unreadable;
        }
        value
            .to_str()
            .ok()
            .and_then(Self::from_value)
            .unwrap_or(Self::Unreadable)
    }

    fn from_value(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        let rest = rest.trim_start();
        if rest.is_empty() || rest.contains(' ') {
            return None;
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer {
                token: Secret::new(rest.to_owned()),
            });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        // Podman and the conformance suite send an empty pair for "no credentials".
        if username.is_empty() && password.is_empty() {
            return Some(Self::Anonymous);
        }
        Some(Self::Basic {
            username: username.to_owned(),
            password: Secret::new(password.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Credentials {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().expect("a header"));
        }
        Credentials::from_headers(&headers)
    }

    #[test]
    fn the_forms_that_clients_send_are_read() {
        let basic = Credentials::Basic {
            username: "user".into(),
            password: Secret::new("pass:word".into()),
        };
        assert_eq!(read(&[]), Credentials::Anonymous);
        assert_eq!(read(&["Basic Og=="]), Credentials::Anonymous);
        assert_eq!(read(&["Basic dXNlcjpwYXNzOndvcmQ="]), basic);
        assert_eq!(read(&["basic   dXNlcjpwYXNzOndvcmQ="]), basic);
        let token = Secret::new("a.b.c".into());
        assert_eq!(read(&["BEARER a.b.c"]), Credentials::Bearer { token });
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_anonymous() {
        for values in [
            &["Basic"][..],
            &["Basic "],
            &["Basic !!!"],
            &["Basic dXNlcg=="],
            &["Basic dXNlcjpwYXNzOndvcmQ= junk"],
            &["Bearer a b"],
            &["Digest x"],
            &["Basic Og==", "Basic Og=="],
        ] {
            assert_eq!(read(values), Credentials::Unreadable, "{values:?}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let printed = format!("{:?}", read(&["Basic dXNlcjpwYXNzOndvcmQ="]));
        assert!(!printed.contains("pass:word"), "{printed}");
    }
}
