//! `auth.tokenserver`: tokens for the users of the htpasswd file.
//!
//! ```text
//! GET /v2/    -> 401 Bearer realm=".../token"
//! GET /token  -> Issuer: password of htpasswd, rights of the policy
//! GET /v2/…   -> Verifier, with the issuer's own key; the policy holds here too
//! ```

use std::fs;
use std::sync::Arc;

use registry_auth::htpasswd::Htpasswd;
use registry_auth::policy::CurrentPolicy;
use registry_auth::token::{
    Algorithm, Issuer, IssuerOptions, Rights, SigningKey, Verifier, VerifierOptions,
};
use registry_spec::auth::{Access, Identity};

use super::error::OpenError;
use crate::config::{self, SERVER_PATH};

/// The name of issuer and service in tokens. One name does for all
/// registries: each believes only its own key.
const NAME: &str = "pi-registry";

/// The key of a configuration, or one of this start's own.
pub(crate) fn signing_key(server: &config::TokenServer) -> Result<SigningKey, OpenError> {
    let key = match &server.key {
        None => SigningKey::generate(Algorithm::EdDsa),
        Some(path) => {
            let pem = fs::read(path).map_err(|error| OpenError::File {
                key: "auth.tokenserver.key",
                path: path.clone(),
                error,
                advice: "make a key with: openssl genpkey -algorithm ed25519 -out FILE",
            })?;
            SigningKey::from_pem(&path.display().to_string(), &pem)
        }
    };
    key.map_err(OpenError::SigningKey)
}

/// Who gives the tokens, and who checks them.
pub(super) fn open(
    server: &config::TokenServer,
    realm: &str,
    users: &Arc<Htpasswd>,
    policy: &CurrentPolicy,
) -> Result<(Issuer, Verifier), OpenError> {
    let key = signing_key(server)?;
    let rights = rights(Arc::clone(users), policy.clone());
    let options = VerifierOptions::new(server.realm.clone(), NAME, NAME);
    let verifier = Verifier::new(options, key.public()).map_err(OpenError::Verifier)?;
    let verifier = verifier.of_issuer_with(Arc::clone(&rights));
    let mut options = IssuerOptions::new(NAME, NAME);
    realm.clone_into(&mut options.realm);
    SERVER_PATH.clone_into(&mut options.path);
    options.jwks_path = format!("{SERVER_PATH}/jwks");
    options.refresh_tokens = server.refresh_tokens;
    let issuer = Issuer::new(options, key, Arc::clone(users) as _, rights);
    Ok((issuer.map_err(OpenError::Issuer)?, verifier))
}

/// What the policy allows now, to nobody who was removed since.
fn rights(users: Arc<Htpasswd>, policy: CurrentPolicy) -> Arc<dyn Rights> {
    Arc::new(move |identity: &Identity, access: &Access| {
        identity.name().is_none_or(|name| users.has_user(name))
            && policy.get().allows(identity, access)
    })
}
