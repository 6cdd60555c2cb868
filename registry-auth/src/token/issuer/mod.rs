//! The token endpoint.

#[cfg(feature = "htpasswd")]
mod htpasswd;
mod parameters;
mod refresh;
mod reply;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use http::{Method, Request, Response};
use registry_spec::auth::{
    Access, AuthError, Challenge, ChallengeError, Credentials, Identity, Secret,
};
use registry_spec::{Body, BoxError};
use serde_json::json;

use self::parameters::{Parameters, SignIn};
use self::refresh::RefreshTokens;
use self::reply::{Refusal, TokenReply};
use super::scope::{self, Scope};
use super::signing_key::SigningKey;

pub use self::reply::IssuerFailure;

/// How much earlier than now a token holds, for clocks that are behind.
const BACKDATED: u64 = 30;

/// Knows who has which password: [`Htpasswd`](crate::htpasswd::Htpasswd), or a
/// directory of one's own.
#[async_trait]
pub trait PasswordVerifier: Send + Sync + 'static {
    /// Who it is; `None` if the password is wrong or there is no such user,
    /// which should take the same time.
    ///
    /// # Errors
    /// [`AuthError::TooManyRequests`] (429) and [`AuthError::Backend`] (500)
    /// when it cannot be decided; the others count as `None`.
    async fn verify(
        &self,
        username: &str,
        password: &Secret,
    ) -> Result<Option<Identity>, AuthError>;

    /// Something that changes whenever this user's password does, such as its
    /// hash; `None` if there is no such user any more. Refresh tokens are bound
    /// to it. It does not leave the process.
    ///
    /// By default `None`: nobody gets refresh tokens.
    ///
    /// # Errors
    /// As [`Self::verify`].
    async fn revision(&self, identity: &Identity) -> Result<Option<Secret>, AuthError> {
        let _ = identity;
        Ok(None)
    }
}

/// Knows who may do what. A closure will do:
///
/// ```
/// use registry_auth::token::Rights;
/// use registry_spec::auth::{Access, Action, Identity};
///
/// /// Everyone may pull, and who has signed in may do everything.
/// fn rights() -> impl Rights {
///     |identity: &Identity, access: &Access| {
///         identity.name().is_some()
///             || matches!(access, Access::Repository { actions: [Action::Pull], .. })
///     }
/// }
/// # rights();
/// ```
pub trait Rights: Send + Sync + 'static {
    /// Whether somebody may. Asked for each action by itself.
    fn allows(&self, identity: &Identity, access: &Access) -> bool;
}

impl<F> Rights for F
where
    F: Fn(&Identity, &Access) -> bool + Send + Sync + 'static,
{
    fn allows(&self, identity: &Identity, access: &Access) -> bool {
        self(identity, access)
    }
}

/// What an [`Issuer`] is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuerOptions {
    /// The registry's name, in the `aud` of tokens.
    pub service: String,
    /// The issuer's name, in the `iss` of tokens.
    pub issuer: String,
    /// Shown to people who are asked for a password. Default: the service.
    pub realm: String,
    /// The path of the endpoint. Default: `/token`.
    pub path: String,
    /// The path of the public keys. Default: `/token/jwks`.
    pub jwks_path: String,
    /// How long tokens hold. Default: 5 minutes; docker keeps one through a
    /// whole push, but only its beginnings of requests count. At least 60 s:
    /// clients take shorter ones for that long.
    pub lifetime: Duration,
    /// Whether `POST` works (OAuth 2). Default: yes; containerd tries it
    /// first, and falls back. Without it nobody gets refresh tokens.
    pub post: bool,
    /// Whether refresh tokens are given to clients that ask. Default: yes.
    /// Docker then keeps one in the place of the password, so turn this off
    /// where the signing key does not survive a restart.
    pub refresh_tokens: bool,
    /// How long refresh tokens hold. Default: until the password is changed or
    /// the user removed; an end would stop a cluster's pulls on a day that
    /// nobody remembers.
    pub refresh_lifetime: Option<Duration>,
}

impl IssuerOptions {
    /// With every default.
    #[must_use]
    pub fn new(service: &str, issuer: &str) -> Self {
        Self {
            service: service.to_owned(),
            issuer: issuer.to_owned(),
            realm: service.to_owned(),
            path: "/token".to_owned(),
            jwks_path: "/token/jwks".to_owned(),
            lifetime: Duration::from_secs(5 * 60),
            post: true,
            refresh_tokens: true,
            refresh_lifetime: None,
        }
    }
}

/// Why an [`Issuer`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// Issuer or service is empty.
    #[error("issuer and service must not be empty")]
    Empty,
    /// A path does not begin with a slash, or both are the same.
    #[error("the paths of tokens and keys must begin with a slash and differ")]
    Path,
    /// Tokens would hold too short.
    #[error("tokens must hold for 60 seconds at least")]
    Lifetime,
    /// A challenge cannot be written.
    #[error("a challenge cannot be written")]
    Challenge {
        /// Why not.
        #[source]
        source: ChallengeError,
    },
}

/// Gives tokens to those who sign in, and to anybody for what everybody may.
/// See the [module](super) for requests and replies.
#[derive(Clone)]
pub struct Issuer(Arc<Shared>);

struct Shared {
    options: IssuerOptions,
    key: SigningKey,
    refresh: RefreshTokens,
    users: Arc<dyn PasswordVerifier>,
    rights: Arc<dyn Rights>,
}

impl Issuer {
    /// Signs with `key`, for `users` and their `rights`.
    ///
    /// # Errors
    /// Any [`IssuerError`]: the options are not as they must be.
    pub fn new(
        options: IssuerOptions,
        key: SigningKey,
        users: Arc<dyn PasswordVerifier>,
        rights: Arc<dyn Rights>,
    ) -> Result<Self, IssuerError> {
        if options.service.is_empty() || options.issuer.is_empty() {
            return Err(IssuerError::Empty);
        }
        let paths = [&options.path, &options.jwks_path];
        if !paths.iter().all(|path| path.starts_with('/')) || paths[0] == paths[1] {
            return Err(IssuerError::Path);
        }
        if options.lifetime < Duration::from_secs(60) {
            return Err(IssuerError::Lifetime);
        }
        Challenge::basic(&options.realm)
            .to_header()
            .map_err(|source| IssuerError::Challenge { source })?;
        Ok(Self(Arc::new(Shared {
            refresh: RefreshTokens::new(&key, &options),
            options,
            key,
            users,
            rights,
        })))
    }

    /// Whether requests to this path are the issuer's; others it answers 404.
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        path == self.0.options.path || path == self.0.options.jwks_path
    }

    /// The key that it signs with.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.0.key
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("options", &self.0.options)
            .field("key", &self.0.key)
            .finish_non_exhaustive()
    }
}

impl<B> tower_service::Service<Request<B>> for Issuer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let (request, body) = request.into_parts();
            let response = match shared.respond(&request, body).await {
                Ok(response) => response,
                Err(refusal) => refusal.into_response(&shared.options.realm),
            };
            Ok(response)
        })
    }
}

impl Shared {
    /// One request, start to end.
    async fn respond<B>(&self, request: &Parts, body: B) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        let path = request.uri.path();
        if path == self.options.jwks_path {
            return match request.method {
                Method::GET => Ok(reply::keys(self.key.to_jwks())),
                _ => Err(Refusal::Method { allow: "GET" }),
            };
        }
        if path != self.options.path {
            return Err(Refusal::Path);
        }
        let parameters = match request.method {
            Method::GET => {
                let query = request.uri.query().unwrap_or_default();
                Parameters::of_get(query, Credentials::from_headers(&request.headers))?
            }
            Method::POST if self.options.post => {
                Parameters::of_post(&parameters::form(request, body).await?)?
            }
            _ if self.options.post => return Err(Refusal::Method { allow: "GET, POST" }),
            _ => return Err(Refusal::Method { allow: "GET" }),
        };
        let service = parameters.service.as_ref();
        if service.is_some_and(|service| *service != self.options.service) {
            return Err(Refusal::Service);
        }
        self.answer(parameters).await
    }

    async fn answer(&self, parameters: Parameters) -> Result<Response<Body>, Refusal> {
        let Parameters {
            sign_in,
            scopes,
            offline,
            is_post,
            ..
        } = parameters;
        let now = seconds(SystemTime::now());
        let (identity, refresh_token) = match sign_in {
            SignIn::Anonymous => (Identity::anonymous(), None),
            SignIn::Password { username, password } => {
                let identity = self.identify(&username, &password).await?;
                let refresh = if offline {
                    self.refresh.make(&*self.users, &identity, now).await?
                } else {
                    None
                };
                // It may have been changed since, and the old password must
                // not be worth a refresh token that is bound to the new one.
                if refresh.is_some() && self.identify(&username, &password).await? != identity {
                    return Err(Refusal::Credentials);
                }
                (identity, refresh)
            }
            SignIn::Refresh(token) => {
                let identity = self.refresh.verify(&*self.users, &token, now).await?;
                let identity = identity.ok_or(Refusal::Credentials)?;
                (identity, Some(token).filter(|_| offline))
            }
        };
        let asked = Scope::parse_all(scopes.iter().map(String::as_str));
        let access = scope::grant(&asked, |access| self.rights.allows(&identity, access));
        let expires_in = self.options.lifetime.as_secs();
        let claims = json!({
            "iss": self.options.issuer,
            "sub": identity.name().unwrap_or_default(),
            "aud": self.options.service,
            "iat": now,
            "nbf": now.saturating_sub(BACKDATED),
            "exp": now.saturating_add(expires_in),
            "jti": random_id()?,
            "access": access,
        });
        let token = self.key.sign(&claims).map_err(Refusal::failed)?;
        let reply = TokenReply {
            access_token: &token,
            token: &token,
            expires_in,
            issued_at: humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(now))
                .to_string(),
            scope: is_post.then(|| scope::text(&access)),
            refresh_token: refresh_token.as_ref().map(Secret::reveal),
        };
        reply.into_response()
    }

    async fn identify(&self, username: &str, password: &Secret) -> Result<Identity, Refusal> {
        let identity = self.users.verify(username, password).await?;
        identity.ok_or(Refusal::Credentials)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// One that nobody can guess or meet again.
fn random_id() -> Result<String, Refusal> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(Refusal::failed)?;
    Ok(BASE64URL_NOPAD.encode(&id))
}
