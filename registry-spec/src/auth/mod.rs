//! Who may do what: the trait that decides, and what it is asked.
//!
//! ```text
//! Route::access -> AuthRequest { credentials, access, wanted } -> Authorizer -> Grant | AuthError
//! ```
//!
//! An authorizer of one's own fits on a page:
//!
//! ```
//! use async_trait::async_trait;
//! use registry_spec::auth::{
//!     Access, Action, AuthError, AuthRequest, Authorizer, Challenge, Credentials, Grant, Identity,
//!     Secret,
//! };
//!
//! /// Everyone may pull; whoever knows the password may do everything.
//! #[derive(Debug)]
//! struct OnePassword(Secret);
//!
//! #[async_trait]
//! impl Authorizer for OnePassword {
//!     async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
//!         let challenge = || AuthError::Challenge(Challenge::basic("my registry"));
//!         match request.credentials {
//!             Credentials::Basic { username, password } if *password == self.0 => {
//!                 Ok(Grant::all(Identity::user(username)))
//!             }
//!             // Docker learns how to sign in only from `/v2/`, so that asks
//!             // for credentials although pulling needs none.
//!             Credentials::Anonymous if *request.access != Access::Base => {
//!                 let pulls = Grant::new(Identity::anonymous(), |access: &Access| {
//!                     matches!(access, Access::Repository { actions: [Action::Pull], .. })
//!                 });
//!                 if pulls.allows(request.access) { Ok(pulls) } else { Err(challenge()) }
//!             }
//!             _ => Err(challenge()),
//!         }
//!     }
//! }
//! ```

mod challenge;
mod credentials;
mod scope;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Extensions;

use crate::BoxError;

pub use challenge::{Challenge, ChallengeError};
pub use credentials::{Credentials, Secret};
pub use scope::{Access, Action, Scope};

/// Decides what a request may do.
#[async_trait]
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Grants or refuses a request. A grant must allow at least
    /// `request.access`: the registry asks it again, and refuses with 403 if not.
    ///
    /// # Errors
    /// * [`AuthError::Challenge`]: credentials are missing, wrong, expired or
    ///   of too little scope (401).
    /// * [`AuthError::Denied`]: these credentials are good, and do not suffice (403).
    /// * [`AuthError::TooManyRequests`]: not now (429).
    /// * [`AuthError::Backend`]: it could not be decided (500).
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError>;
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: Authorizer + ?Sized> Authorizer for Arc<T> {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        (**self).authorize(request).await
    }
}

/// What an [`Authorizer`] is asked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AuthRequest<'a> {
    /// What the client says of itself.
    pub credentials: &'a Credentials,
    /// What the request needs.
    pub access: &'a Access,
    /// What it could use besides: a mount's source, which is every repository
    /// where the client names none. Belongs into the scope of a challenge.
    /// Lacking it is no reason for one, unless the next credentials will have
    /// it: without it the registry begins an upload.
    pub wanted: Option<&'a Access>,
    /// The request's extensions: what the server's layers know of the
    /// connection, such as a client certificate.
    pub extensions: &'a Extensions,
}

impl<'a> AuthRequest<'a> {
    /// A question without wanted access.
    #[must_use]
    pub const fn new(
        credentials: &'a Credentials,
        access: &'a Access,
        extensions: &'a Extensions,
    ) -> Self {
        Self {
            credentials,
            access,
            wanted: None,
            extensions,
        }
    }
}

/// Who asked, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(Option<Arc<str>>);

impl Identity {
    /// Nobody in particular.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self(None)
    }

    /// A user who has proven to be `name`.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self(Some(name.into()))
    }

    /// The user's name; `None` for anonymous.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("anonymous"))
    }
}

/// What one caller may do, for as long as one request takes.
#[derive(Clone)]
pub struct Grant {
    identity: Identity,
    /// `None` allows everything.
    allows: Option<Arc<Rule>>,
}

type Rule = dyn Fn(&Access) -> bool + Send + Sync;

impl Grant {
    /// Allows what `allows` says.
    pub fn new(
        identity: Identity,
        allows: impl Fn(&Access) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            identity,
            allows: Some(Arc::new(allows)),
        }
    }

    /// Allows everything.
    #[must_use]
    pub const fn all(identity: Identity) -> Self {
        Self {
            identity,
            allows: None,
        }
    }

    /// Whom it was given to.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it covers `access`.
    #[must_use]
    pub fn allows(&self, access: &Access) -> bool {
        self.allows.as_ref().is_none_or(|allows| allows(access))
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why an [`Authorizer`] gave no grant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Sign in, or sign in better (401 with code-11 `UNAUTHORIZED`).
    #[error("authentication required")]
    Challenge(Challenge),
    /// The caller is known and may not (403 with code-12 `DENIED`).
    #[error("requested access to the resource is denied")]
    Denied,
    /// Too many are being decided at once (429 with code-14
    /// `TOOMANYREQUESTS`). Not a challenge: whose password is right must not be
    /// told that it is wrong.
    #[error("too many sign-ins at once")]
    TooManyRequests {
        /// When to ask again; told to the client in whole seconds, at least one.
        retry_after: Duration,
    },
    /// It could not be decided. Logged with its sources, never shown (500).
    #[error("authorization failed")]
    Backend {
        /// What happened.
        #[source]
        source: BoxError,
    },
}

/// Lets everybody do everything: an open registry.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "there is nothing to add to openness"
)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        Ok(Grant::all(Identity::anonymous()))
    }
}
