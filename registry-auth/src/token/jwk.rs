//! JSON Web Keys ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)), as far
//! as they are public.

use serde::Deserialize;

use super::algorithm::Algorithm;
use super::public_key::{KeyProblem, PublicKey};

/// One key; members that are not listed are not looked at, private ones among
/// them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Jwk {
    pub(super) kty: String,
    pub(super) crv: Option<String>,
    pub(super) n: Option<String>,
    pub(super) e: Option<String>,
    pub(super) x: Option<String>,
    pub(super) y: Option<String>,
    pub(super) kid: Option<String>,
    pub(super) alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
}

impl Jwk {
    /// The key, and the only algorithm it may be used with.
    pub(super) fn read(&self) -> Result<(PublicKey, Option<Algorithm>), KeyProblem> {
        let for_signatures = self.r#use.as_deref().is_none_or(|usage| usage == "sig");
        // A private key is there to sign, and its public part checks.
        let operations = self.key_ops.as_ref();
        let may_check = operations.is_none_or(|operations| {
            let mut operations = operations.iter();
            operations.any(|operation| matches!(operation.as_str(), "verify" | "sign"))
        });
        if !for_signatures || !may_check {
            return Err(KeyProblem::Use);
        }
        let key = PublicKey::from_jwk(self)?;
        let Some(algorithm) = &self.alg else {
            return Ok((key, None));
        };
        let algorithm = algorithm.parse().map_err(|_| KeyProblem::Algorithm)?;
        if !key.fits(algorithm) {
            return Err(KeyProblem::Algorithm);
        }
        Ok((key, Some(algorithm)))
    }
}
