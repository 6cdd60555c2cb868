//! Tokens of the registry's callers, checked.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use registry_spec::Authorizer;
use registry_spec::auth::{
    Access, Action, AuthError, AuthRequest, Challenge, ChallengeError, Credentials, Grant, Identity,
};
use tokio::sync::Notify;

use super::access::{EVERY_REPOSITORY, Granted};
use super::algorithm::Algorithm;
use super::cache::Cache;
use super::chain;
use super::crypto::sha256;
use super::error::TokenError;
use super::issuer::Rights;
use super::jwt::{LONGEST_TOKEN, Token};
use super::keys::{Keys, TrustedKey};
use super::origin::Realm;

/// What a [`Verifier`] is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifierOptions {
    /// Where clients are sent for a token.
    pub realm: Realm,
    /// The registry's name at the issuer, and in a token's `aud`.
    pub service: String,
    /// The issuer's name, in a token's `iss`.
    pub issuer: String,
    /// How tokens may be signed. Default: [`Algorithm::ALL`].
    pub algorithms: Vec<Algorithm>,
    /// How far the clocks of issuer and registry may differ. Default: 60 s, as
    /// in distribution.
    pub leeway: Duration,
}

impl VerifierOptions {
    /// With every default.
    #[must_use]
    pub fn new(realm: Realm, service: &str, issuer: &str) -> Self {
        Self {
            realm,
            service: service.to_owned(),
            issuer: issuer.to_owned(),
            algorithms: Algorithm::ALL.to_vec(),
            leeway: Duration::from_secs(60),
        }
    }
}

/// Lets in who brings a token of a trusted issuer. See the
/// [module](super) for what is checked.
pub struct Verifier {
    options: VerifierOptions,
    limits: Option<Arc<dyn Rights>>,
    /// Whether the issuer grants by the same rights.
    issuer_agrees: bool,
    trusted: RwLock<Arc<Trusted>>,
    unknown_key: Notify,
}

/// New keys begin with an empty cache, in one step.
struct Trusted {
    keys: Keys,
    cache: Cache,
}

/// What a token is worth.
#[derive(Clone)]
pub struct Verified {
    identity: Identity,
    granted: Arc<Granted>,
    /// In seconds since 1970, with leeway.
    pub(super) until: i64,
}

impl Verified {
    /// Whom it was given to: its `sub`; anonymous if that is empty.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it grants this.
    #[must_use]
    pub fn allows(&self, access: &Access) -> bool {
        self.granted.allows(access)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Trusts the tokens of these keys.
    ///
    /// # Errors
    /// * [`VerifierError::NoKeys`], [`VerifierError::NoAlgorithms`]: no token
    ///   could ever be good. Where keys come later, from a server that cannot
    ///   be reached yet, see [`Self::without_keys`].
    /// * [`VerifierError::Empty`]: issuer or service is empty.
    /// * [`VerifierError::Realm`]: no URL, or no path of one.
    /// * [`VerifierError::Challenge`]: realm or service has quotes.
    pub fn new(options: VerifierOptions, keys: Keys) -> Result<Self, VerifierError> {
        if keys.is_empty() {
            return Err(VerifierError::NoKeys);
        }
        let verifier = Self::without_keys(options)?;
        verifier.set_keys(keys);
        Ok(verifier)
    }

    /// Trusts no token until [`Self::set_keys`] brings keys.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn without_keys(options: VerifierOptions) -> Result<Self, VerifierError> {
        if options.algorithms.is_empty() {
            return Err(VerifierError::NoAlgorithms);
        }
        if options.issuer.is_empty() || options.service.is_empty() {
            return Err(VerifierError::Empty);
        }
        if !options.realm.is_usable() {
            return Err(VerifierError::Realm);
        }
        options
            .realm
            .check(&options.service)
            .map_err(|source| VerifierError::Challenge { source })?;
        let trusted = Trusted {
            keys: Keys::new(),
            cache: Cache::default(),
        };
        Ok(Self {
            options,
            limits: None,
            issuer_agrees: false,
            trusted: RwLock::new(Arc::new(trusted)),
            unknown_key: Notify::new(),
        })
    }

    /// Grants nothing that `rights` do not allow, whatever a token says: where
    /// issuer and registry are one, a change of the rights then holds at once,
    /// and the catalog shows everybody what they may pull.
    ///
    /// Signing in (`/v2/`) is allowed to every token: docker does it with one
    /// that grants nothing.
    #[must_use]
    pub fn limited_by(mut self, rights: Arc<dyn Rights>) -> Self {
        self.limits = Some(rights);
        self
    }

    /// As [`limited_by`](Self::limited_by), for an [`Issuer`](super::Issuer)
    /// that grants by the same rights.
    ///
    /// A mount whose token says nothing of its source, which the caller may
    /// pull from, is then challenged for it: the next token will say so. Of an
    /// issuer that may refuse it, the same challenge would come again and
    /// again, so there such a mount becomes an upload. A mount that names no
    /// source is asked for the scope `repository:*:pull`, which no other issuer
    /// knows.
    #[must_use]
    pub fn of_issuer_with(self, rights: Arc<dyn Rights>) -> Self {
        let issuer_agrees = true;
        let limited = self.limited_by(rights);
        Self {
            issuer_agrees,
            ..limited
        }
    }

    /// Trusts these keys from now on, and no others. What was found of tokens
    /// before is forgotten.
    pub fn set_keys(&self, keys: Keys) {
        let trusted = Trusted {
            keys,
            cache: Cache::default(),
        };
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trusted);
    }

    /// Waits until a token names a key that is not known: a reason to fetch
    /// keys anew. Anybody can make up such a token, so wait some time between
    /// one fetch and the next.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use registry_auth::token::{Keys, Verifier};
    /// # async fn fetch() -> Result<Vec<u8>, Box<dyn std::error::Error>> { Ok(Vec::new()) }
    /// # async fn sleep(_: Duration) {}
    /// # async fn either<A, B>(_: A, _: B) {}
    /// async fn follow(verifier: &Verifier) {
    ///     loop {
    ///         let mut keys = Keys::new();
    ///         // A failure keeps the old keys.
    ///         if let Ok(json) = fetch().await
    ///             && keys.add_jwks("https://login.example/keys", &json).is_ok()
    ///         {
    ///             verifier.set_keys(keys);
    ///         }
    ///         sleep(Duration::from_secs(30)).await;
    ///         either(verifier.unknown_key(), sleep(Duration::from_secs(3600))).await;
    ///     }
    /// }
    /// ```
    pub async fn unknown_key(&self) {
        self.unknown_key.notified().await;
    }

    /// What a token is worth at a time.
    ///
    /// # Errors
    /// Any [`TokenError`]: nothing.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Verified, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::TooLong);
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // Not locked for longer: new keys would wait for signatures.
        let trusted = Arc::clone(&self.trusted.read().unwrap_or_else(PoisonError::into_inner));
        let fingerprint = sha256(token.as_bytes());
        if let Some(verified) = trusted.cache.get(&fingerprint, now) {
            return Ok(verified);
        }
        let checked = self.check(&trusted.keys, token, now);
        match &checked {
            Ok(verified) => trusted.cache.put(fingerprint, verified, now),
            Err(TokenError::UnknownKey) => self.unknown_key.notify_one(),
            Err(_) => {}
        }
        checked
    }

    fn check(&self, keys: &Keys, token: &str, now: u64) -> Result<Verified, TokenError> {
        let token = Token::parse(token)?;
        let algorithm = token.algorithm()?;
        if !self.options.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        let key_until = verify_signature(keys, &token, algorithm, now)?;
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let leeway = i64::try_from(self.options.leeway.as_secs()).unwrap_or(i64::MAX);
        let claims = &token.claims;
        if claims.iss != self.options.issuer {
            return Err(TokenError::Issuer);
        }
        if !claims.aud.includes(&self.options.service) {
            return Err(TokenError::Audience);
        }
        let until = claims.exp.saturating_add(leeway).min(key_until);
        if until <= now {
            return Err(TokenError::Expired);
        }
        let begins = [claims.nbf, claims.iat].into_iter().flatten().max();
        if begins.is_some_and(|begins| begins > now.saturating_add(leeway)) {
            return Err(TokenError::NotYet);
        }
        Ok(Verified {
            identity: match claims.sub.as_str() {
                "" => Identity::anonymous(),
                sub => Identity::user(sub),
            },
            granted: Arc::new(Granted::new(claims.access())),
            until,
        })
    }

    fn challenge(&self, request: &AuthRequest<'_>, error: Option<&'static str>) -> AuthError {
        let realm = self.options.realm.of(request);
        let service = &self.options.service;
        let mut challenge = Challenge::bearer(&realm, service, request, error);
        if self.issuer_agrees
            && let Some(Access::EveryRepository { .. }) = request.wanted
            && let Challenge::Bearer { scope, .. } = &mut challenge
        {
            *scope += &format!(" repository:{EVERY_REPOSITORY}:pull");
        }
        AuthError::Challenge(challenge)
    }
}

/// Finds the key that the token names, and checks the signature with it. The
/// answer says until when the key holds.
///
/// A key or certificate in the token itself proves nothing by itself; and
/// where the token names a key in one way, that way is not left for another.
fn verify_signature(
    keys: &Keys,
    token: &Token<'_>,
    algorithm: Algorithm,
    now: u64,
) -> Result<i64, TokenError> {
    let signed_with =
        |key: &TrustedKey| key.verify(algorithm, token.message.as_bytes(), &token.signature);
    let header = &token.header;
    if let Some(x5c) = &header.x5c {
        let leaf = chain::verify(keys, x5c, now).ok_or(TokenError::Chain)?;
        if !signed_with(&leaf.key.into()) {
            return Err(TokenError::Signature);
        }
        return Ok(leaf.until);
    }
    let name = match &header.jwk {
        // Its own `kid` may be anything; which key it is, it says itself.
        Some(jwk) => {
            let (key, _) = jwk.read().map_err(|_| TokenError::UnknownKey)?;
            Some(key.thumbprint())
        }
        None => header.kid.clone(),
    };
    let candidates: Vec<&TrustedKey> = match &name {
        Some(name) => keys.named(name).collect(),
        None => keys.only().into_iter().collect(),
    };
    if candidates.is_empty() {
        return Err(TokenError::UnknownKey);
    }
    if !candidates.into_iter().any(signed_with) {
        return Err(TokenError::Signature);
    }
    Ok(i64::MAX)
}

#[async_trait]
impl Authorizer for Verifier {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        let Credentials::Bearer { token } = request.credentials else {
            // An `error` would speak of a token, and none came.
            return Err(self.challenge(request, None));
        };
        let verified = self
            .verify(token.reveal(), SystemTime::now())
            .map_err(|_| self.challenge(request, Some("invalid_token")))?;
        let Verified {
            identity, granted, ..
        } = verified;
        // Who may have the catalog may see every name in it.
        let lists = *request.access == Access::Catalog;
        let limits = self.limits.clone();
        let issuer_agrees = self.issuer_agrees;
        let caller = identity.clone();
        let grant = Grant::new(identity.clone(), move |access: &Access| {
            let limited = || match &limits {
                Some(rights) => *access != Access::Base && !rights.allows(&caller, access),
                None => false,
            };
            let every = || issuer_agrees && granted.allows_every(access);
            (granted.allows(access) || every() || (lists && is_pull(access))) && !limited()
        });
        let would_get = |wanted: &Access| {
            let rights = self.limits.as_ref().filter(|_| issuer_agrees);
            rights.is_some_and(|rights| rights.allows(&identity, wanted))
        };
        let lacks = |wanted: &Access| !grant.allows(wanted) && would_get(wanted);
        if !grant.allows(request.access) || request.wanted.is_some_and(lacks) {
            return Err(self.challenge(request, Some("insufficient_scope")));
        }
        Ok(grant)
    }
}

fn is_pull(access: &Access) -> bool {
    matches!(
        access,
        Access::Repository {
            actions: [Action::Pull],
            ..
        }
    )
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Why a [`Verifier`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// No key is trusted.
    #[error("no key of the token issuer is given: every token would be refused")]
    NoKeys,
    /// No algorithm is allowed.
    #[error("no signing algorithm is allowed: every token would be refused")]
    NoAlgorithms,
    /// Issuer or service is empty.
    #[error("issuer and service must not be empty")]
    Empty,
    /// The realm is no absolute URL, or the path of one does not begin with a
    /// slash.
    #[error("expected a realm such as https://tokens.example/token, or a path such as /auth/token")]
    Realm,
    /// A challenge cannot be written.
    #[error("a challenge cannot be written")]
    Challenge {
        /// Why not.
        #[source]
        source: ChallengeError,
    },
}
