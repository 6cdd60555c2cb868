//! Tokens for the users of a file.

use async_trait::async_trait;
use registry_spec::auth::{AuthError, Identity, Secret};

use super::PasswordVerifier;
use crate::htpasswd::Htpasswd;

#[async_trait]
impl PasswordVerifier for Htpasswd {
    async fn verify(
        &self,
        username: &str,
        password: &Secret,
    ) -> Result<Option<Identity>, AuthError> {
        Self::verify(self, username, password).await
    }

    /// The user's hash, whose salt is another after each change.
    async fn revision(&self, identity: &Identity) -> Result<Option<Secret>, AuthError> {
        Ok(identity.name().and_then(|name| self.revision(name)))
    }
}
