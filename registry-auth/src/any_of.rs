//! Several ways to sign in, behind one challenge.

use std::sync::Arc;

use async_trait::async_trait;
use registry_spec::Authorizer;
use registry_spec::auth::{AuthError, AuthRequest, Grant};

/// Grants what the first of several authorizers grants.
///
/// They are asked one after the other. If none grants, one refusal is told:
///
/// | of the refusals | is told |
/// |---|---|
/// | any that could not decide | the first such: whoever is right must not be told otherwise |
/// | else any challenge | the first: two schemes at once break docker and oras |
/// | else | `Denied`, also when there is no authorizer at all |
///
/// So put the one whose challenge clients shall see first, and let the others
/// answer [`AuthError::Denied`] to what is not for them:
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use registry_auth::any_of::AnyOf;
/// use registry_auth::htpasswd::Htpasswd;
/// use registry_spec::Authorizer;
/// use registry_spec::auth::{AuthError, AuthRequest, Grant, Identity};
///
/// /// What a layer of one's own has found out about the connection.
/// #[derive(Clone)]
/// struct Unit(String);
///
/// #[derive(Debug)]
/// struct ByUnit;
///
/// #[async_trait]
/// impl Authorizer for ByUnit {
///     async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
///         let unit = request.extensions.get::<Unit>().ok_or(AuthError::Denied)?;
///         Ok(Grant::all(Identity::user(&unit.0)))
///     }
/// }
///
/// fn ways(users: Arc<Htpasswd>) -> AnyOf {
///     AnyOf::new([users as _, Arc::new(ByUnit) as _])
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct AnyOf(Vec<Arc<dyn Authorizer>>);

impl AnyOf {
    /// In the order in which they are asked.
    pub fn new(authorizers: impl IntoIterator<Item = Arc<dyn Authorizer>>) -> Self {
        Self(authorizers.into_iter().collect())
    }
}

#[async_trait]
impl Authorizer for AnyOf {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        let mut refusal = AuthError::Denied;
        for authorizer in &self.0 {
            match authorizer.authorize(request).await {
                Ok(grant) => return Ok(grant),
                Err(error) if weight(&error) > weight(&refusal) => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

/// Of two refusals, the heavier is told.
const fn weight(error: &AuthError) -> u8 {
    match error {
        AuthError::Denied => 0,
        AuthError::Challenge(_) => 1,
        // Too many, a failure, and whatever else there will be.
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Extensions;
    use registry_spec::auth::{Access, Challenge, Credentials, Identity};

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Says {
        Yes(&'static str),
        Challenge(&'static str),
        Denied,
        TooMany,
        Failure,
    }

    #[async_trait]
    impl Authorizer for Says {
        async fn authorize(&self, _: &AuthRequest<'_>) -> Result<Grant, AuthError> {
            Err(match self {
                Self::Yes(name) => return Ok(Grant::all(Identity::user(name))),
                Self::Challenge(realm) => AuthError::Challenge(Challenge::basic(realm)),
                Self::Denied => AuthError::Denied,
                Self::TooMany => AuthError::TooManyRequests {
                    retry_after: Duration::from_secs(1),
                },
                Self::Failure => AuthError::Backend {
                    source: "down".into(),
                },
            })
        }
    }

    #[tokio::test]
    async fn the_first_grant_counts_and_else_the_refusal_that_misleads_nobody() {
        use Says::{Challenge, Denied, Failure, TooMany, Yes};
        for (ways, expected) in [
            (&[Yes("a"), Yes("b")][..], "user a"),
            (&[Denied, Yes("b")], "user b"),
            (&[Challenge("x"), Yes("b")], "user b"),
            (&[Failure, Yes("b")], "user b"),
            (&[Denied, Challenge("x"), Challenge("y")], "challenge x"),
            (&[Challenge("x"), TooMany, Failure], "too many"),
            (&[Failure, Challenge("x")], "failure"),
            (&[Denied, Denied], "denied"),
            (&[], "denied"),
        ] {
            let any = AnyOf::new(ways.iter().map(|&way| Arc::new(way) as _));
            let extensions = Extensions::new();
            let request = AuthRequest::new(&Credentials::Anonymous, &Access::Base, &extensions);
            let said = match any.authorize(&request).await {
                Ok(grant) => format!("user {}", grant.identity()),
                Err(AuthError::Challenge(registry_spec::auth::Challenge::Basic { realm })) => {
                    format!("challenge {realm}")
                }
                Err(AuthError::Denied) => "denied".to_owned(),
                Err(AuthError::TooManyRequests { .. }) => "too many".to_owned(),
                Err(_) => "failure".to_owned(),
            };
            assert_eq!(said, expected, "{ways:?}");
        }
    }
}
