//! How tokens are signed.

use std::fmt;
use std::str::FromStr;

/// A signature algorithm, by its name in a token's header
/// ([RFC 7518, 3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1)).
///
/// Only those with a public key: `none` is no signature, and with `HS256` and
/// its kin whoever can check a token can make one. `ES512` is not supported.
///
/// ```
/// use registry_auth::token::Algorithm;
///
/// assert_eq!("ES256".parse(), Ok(Algorithm::Es256));
/// assert!("none".parse::<Algorithm>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSA (PKCS #1 1.5) with SHA-256.
    Rs256,
    /// RSA (PKCS #1 1.5) with SHA-384.
    Rs384,
    /// RSA (PKCS #1 1.5) with SHA-512.
    Rs512,
    /// RSA (PSS) with SHA-256.
    Ps256,
    /// RSA (PSS) with SHA-384.
    Ps384,
    /// RSA (PSS) with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519 ([RFC 8037](https://www.rfc-editor.org/rfc/rfc8037)).
    EdDsa,
}

impl Algorithm {
    /// All of them: what a verifier allows unless told otherwise.
    pub const ALL: &'static [Self] = &[
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The name in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    fn from_str(text: &str) -> Result<Self, AlgorithmError> {
        let mut all = Self::ALL.iter().copied();
        all.find(|algorithm| algorithm.as_str() == text)
            .ok_or(AlgorithmError)
    }
}

/// Not the name of an [`Algorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA: \
     others are not supported or not safe with public keys"
)]
#[non_exhaustive]
pub struct AlgorithmError;
