//! A policy over an authorizer that knows who signs in.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use registry_spec::Authorizer;
use registry_spec::auth::{Access, AuthError, AuthRequest, Credentials, Grant, Identity};

use super::Policy;

/// The policy in force. Clones share it, so that one can replace it for all.
#[derive(Clone, Debug)]
pub struct CurrentPolicy(Arc<RwLock<Arc<Policy>>>);

impl CurrentPolicy {
    /// To begin with.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policy))))
    }

    /// The policy as it is now.
    #[must_use]
    pub fn get(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in force, for requests that begin from now on.
    pub fn replace(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

impl From<Policy> for CurrentPolicy {
    fn from(policy: Policy) -> Self {
        Self::new(policy)
    }
}

/// Asks an authorizer who somebody is, and a [`Policy`] what they may.
///
/// | the client | the policy | answer |
/// |---|---|---|
/// | is signed in | allows it | a grant |
/// | is signed in | does not | 403 `DENIED` |
/// | sends nothing | allows it to `anonymous` | a grant |
/// | sends nothing | does not | the inner challenge: 401 |
/// | sends nothing, to `GET /v2/` | | the inner challenge |
/// | sends a wrong password | | the inner challenge |
///
/// * 403, not 401, for whoever is signed in: after a 401 containerd sends the
///   same password again, until its attempts run out.
/// * `/v2/` asks for credentials although others may pull without: it is the
///   only place where docker and podman learn how to sign in. Only where the
///   inner authorizer has no challenge to tell ([`AuthError::Denied`]) is it
///   open, to whom the policy lets in.
/// * A wrong password is not forgiven because `anonymous` may: it would seem
///   to be right.
///
/// Whoever is granted something by the inner authorizer has no more than
/// that: a grant is what both allow.
#[derive(Clone, Debug)]
pub struct Policed<A> {
    inner: A,
    policy: CurrentPolicy,
}

impl<A: Authorizer> Policed<A> {
    /// `inner` knows who signs in, `policy` what they may.
    pub fn new(inner: A, policy: impl Into<CurrentPolicy>) -> Self {
        Self {
            inner,
            policy: policy.into(),
        }
    }
}

#[async_trait]
impl<A: Authorizer> Authorizer for Policed<A> {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        let policy = self.policy.get();
        match self.inner.authorize(request).await {
            Ok(inner) => {
                let grant = Grant::new(inner.identity().clone(), move |access| {
                    inner.allows(access) && policy.allows(inner.identity(), access)
                });
                if grant.allows(request.access) {
                    Ok(grant)
                } else {
                    Err(AuthError::Denied)
                }
            }
            Err(refusal) if *request.credentials == Credentials::Anonymous => {
                anonymous(policy, request.access, refusal)
            }
            Err(refusal) => Err(refusal),
        }
    }
}

/// What somebody may who sends nothing; else the refusal of before.
fn anonymous(policy: Arc<Policy>, access: &Access, refusal: AuthError) -> Result<Grant, AuthError> {
    let has_challenge = match refusal {
        AuthError::Challenge(_) => true,
        AuthError::Denied => false,
        // It may have been somebody: that could not be decided.
        _ => return Err(refusal),
    };
    let nobody = Identity::anonymous();
    let grant = Grant::new(nobody.clone(), move |access| {
        let to_be_told = has_challenge && *access == Access::Base;
        !to_be_told && policy.allows(&nobody, access)
    });
    if grant.allows(access) {
        Ok(grant)
    } else {
        Err(refusal)
    }
}
