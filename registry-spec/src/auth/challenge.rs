//! The `WWW-Authenticate` line of a 401.

use http::HeaderValue;

use super::{Access, AuthRequest};

/// How to sign in: one scheme, on one line.
///
/// Clients disagree on everything about this line but its simplest form, so a
/// challenge is always exactly one scheme with every value quoted, in the
/// order realm, service, scope, error. Two schemes at once break docker and oras.
///
/// ```
/// use registry_spec::auth::Challenge;
///
/// let challenge = Challenge::basic("Registry Realm");
/// assert_eq!(challenge.to_header()?, r#"Basic realm="Registry Realm""#);
/// # Ok::<(), registry_spec::auth::ChallengeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Challenge {
    /// With a user name and a password.
    Basic {
        /// What is shown to a person who is asked to sign in.
        realm: String,
    },
    /// With a token, fetched at `realm`.
    Bearer {
        /// The absolute URL of the token endpoint.
        realm: String,
        /// The name of this registry there.
        service: String,
        /// The scopes needed, joined by spaces; may be empty.
        scope: String,
        /// Why a token that was sent does not do: `invalid_token` or
        /// `insufficient_scope`. Must be absent when none was sent.
        error: Option<&'static str>,
    },
}

impl Challenge {
    /// Asks for a user name and a password.
    #[must_use]
    pub fn basic(realm: &str) -> Self {
        Self::Basic {
            realm: realm.to_owned(),
        }
    }

    /// Asks for a token of the scope that `request` needs and wants.
    #[must_use]
    pub fn bearer(
        realm: &str,
        service: &str,
        request: &AuthRequest<'_>,
        error: Option<&'static str>,
    ) -> Self {
        let scopes: Vec<String> = [Some(request.access), request.wanted]
            .into_iter()
            .flatten()
            .filter_map(Access::scope)
            .map(|scope| scope.to_string())
            .collect();
        Self::Bearer {
            realm: realm.to_owned(),
            service: service.to_owned(),
            scope: scopes.join(" "),
            error,
        }
    }

    /// The value of the `WWW-Authenticate` header.
    ///
    /// # Errors
    /// [`ChallengeError`] when a value holds a quote, a backslash or a
    /// character that no header may hold. Check at start, not per request.
    pub fn to_header(&self) -> Result<HeaderValue, ChallengeError> {
        let line = match self {
            Self::Basic { realm } => format!(r#"Basic realm="{}""#, plain(realm)?),
            Self::Bearer {
                realm,
                service,
                scope,
                error,
            } => {
                let mut line = format!(
                    r#"Bearer realm="{}",service="{}""#,
                    plain(realm)?,
                    plain(service)?
                );
                if !scope.is_empty() {
                    line += &format!(r#",scope="{}""#, plain(scope)?);
                }
                if let Some(error) = error {
                    line += &format!(r#",error="{}""#, plain(error)?);
                }
                line
            }
        };
        HeaderValue::try_from(line).map_err(|_| ChallengeError)
    }
}

/// Escapes exist, and clients do not undo them.
fn plain(value: &str) -> Result<&str, ChallengeError> {
    if value.contains(['"', '\\']) {
        return Err(ChallengeError);
    }
    Ok(value)
}

/// A value of a challenge cannot be written into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("realm and service must not hold quotes, backslashes or control characters")]
#[non_exhaustive]
pub struct ChallengeError;

#[cfg(test)]
mod tests {
    use http::Extensions;

    use super::*;
    use crate::auth::Credentials;

    #[test]
    fn a_bearer_challenge_names_what_is_needed_and_wanted() {
        let access = Access::push("a".parse().expect("valid"));
        let from = Access::pull("b".parse().expect("valid"));
        let extensions = Extensions::new();
        let mut request = AuthRequest::new(&Credentials::Anonymous, &access, &extensions);
        request.wanted = Some(&from);
        let challenge = Challenge::bearer("https://r.example/token", "r", &request, None);
        assert_eq!(
            challenge.to_header().expect("plain"),
            r#"Bearer realm="https://r.example/token",service="r",scope="repository:a:pull,push repository:b:pull""#
        );
    }

    #[test]
    fn the_base_challenge_has_no_scope() {
        let extensions = Extensions::new();
        let request = AuthRequest::new(&Credentials::Anonymous, &Access::Base, &extensions);
        let challenge = Challenge::bearer("https://r", "r", &request, Some("invalid_token"));
        assert_eq!(
            challenge.to_header().expect("plain"),
            r#"Bearer realm="https://r",service="r",error="invalid_token""#
        );
    }

    #[test]
    fn values_that_would_break_the_line_are_refused() {
        for realm in ["a\"b", "a\\b", "a\r\nSet-Cookie: x"] {
            assert_eq!(Challenge::basic(realm).to_header(), Err(ChallengeError));
        }
    }
}
