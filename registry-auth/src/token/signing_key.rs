//! The issuer's key.

use std::fmt;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::crypto::hmac;
use super::crypto::rand::SystemRandom;
use super::crypto::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use super::keys::Keys;
use super::public_key::{Curve, PublicKey};

/// What goes before the 32 bytes of an Ed25519 key in PKCS #8. The providers
/// write a later version of it, which OpenSSL does not read.
const ED25519_PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A key pair that signs tokens: ECDSA on P-256, or Ed25519.
///
/// Either is checked by this registry and by others that are given its
/// [`Self::to_jwks`], such as distribution from 3.0. distribution 2 knows keys
/// only by libtrust's names, which these tokens do not bear.
///
/// A key made anew at each start makes the tokens of before worthless: clients
/// fetch others within minutes, but refresh tokens, which docker keeps from
/// `docker login`, are lost. Keep the key in a file for those.
///
/// ```
/// use registry_auth::token::{Algorithm, SigningKey};
///
/// let key = SigningKey::generate(Algorithm::Es256)?;
/// let same = SigningKey::from_pem("token.key", key.to_pem().reveal().as_bytes())?;
/// assert_eq!(same.id(), key.id());
/// # Ok::<(), registry_auth::token::SigningKeyError>(())
/// ```
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
    id: String,
    pkcs8: Vec<u8>,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Makes a key.
    ///
    /// # Errors
    /// * [`SigningKeyError::Algorithm`]: neither ES256 nor EdDSA.
    /// * [`SigningKeyError::Random`]: the system gave no random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, SigningKeyError> {
        let pkcs8 = match algorithm {
            Algorithm::Es256 => {
                let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new());
                pkcs8
                    .map_err(|_| SigningKeyError::Random)?
                    .as_ref()
                    .to_vec()
            }
            Algorithm::EdDsa => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|_| SigningKeyError::Random)?;
                [ED25519_PKCS8, &seed].concat()
            }
            _ => return Err(SigningKeyError::Algorithm),
        };
        Self::from_pkcs8(&pkcs8).ok_or(SigningKeyError::Random)
    }

    /// Reads a key in PKCS #8 (`-----BEGIN PRIVATE KEY-----`), as
    /// [`Self::to_pem`] and `openssl genpkey` write it. `source` names it in
    /// errors.
    ///
    /// # Errors
    /// [`SigningKeyError::Pem`]: anything else.
    pub fn from_pem(source: &str, pem: &[u8]) -> Result<Self, SigningKeyError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).ok();
        key.and_then(|key| Self::from_pkcs8(key.secret_pkcs8_der()))
            .ok_or_else(|| SigningKeyError::Pem {
                source_name: source.to_owned(),
            })
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        // OpenSSL leaves the public key out, which can be computed.
        let (pair, public) = if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            let public = pair.public_key().as_ref().try_into().ok()?;
            (Pair::Ed25519(pair), PublicKey::Ed25519(public))
        } else {
            let pair = ecdsa(pkcs8)?;
            let point = pair.public_key().as_ref().to_vec();
            (Pair::Ecdsa(pair), PublicKey::ec(Curve::P256, point).ok()?)
        };
        Some(Self {
            pair,
            id: public.thumbprint(),
            public,
            pkcs8: pkcs8.to_vec(),
        })
    }

    /// The key in PKCS #8, for a file that only the registry may read.
    #[must_use]
    pub fn to_pem(&self) -> registry_spec::auth::Secret {
        let text = BASE64.encode(&self.pkcs8);
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for at in (0..text.len()).step_by(64) {
            pem.push_str(&text[at..text.len().min(at + 64)]);
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        registry_spec::auth::Secret::new(pem)
    }

    /// Its name in tokens: the thumbprint of
    /// [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ecdsa(_) => Algorithm::Es256,
            Pair::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The public key, for a [`Verifier`](super::Verifier) in this process.
    #[must_use]
    pub fn public(&self) -> Keys {
        let mut keys = Keys::new();
        keys.add(self.public.clone().into(), None);
        keys
    }

    /// The public key as a JWK set, for other registries.
    #[must_use]
    pub fn to_jwks(&self) -> String {
        let mut key = self.public.to_jwk();
        key["kid"] = self.id.as_str().into();
        key["alg"] = self.algorithm().as_str().into();
        key["use"] = "sig".into();
        json!({"keys": [key]}).to_string()
    }

    /// A signed token of these claims.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, SigningKeyError> {
        let header = json!({"alg": self.algorithm().as_str(), "kid": self.id, "typ": "JWT"});
        self.sign_parts(&header.to_string(), &claims.to_string())
    }

    pub(super) fn sign_parts(&self, header: &str, claims: &str) -> Result<String, SigningKeyError> {
        let part = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair
                    .sign(&SystemRandom::new(), message.as_bytes())
                    .map_err(|_| SigningKeyError::Random)?;
                BASE64URL_NOPAD.encode(signature.as_ref())
            }
            Pair::Ed25519(pair) => BASE64URL_NOPAD.encode(pair.sign(message.as_bytes()).as_ref()),
        };
        Ok(format!("{message}.{signature}"))
    }

    /// Another secret for another end, the same for the same key.
    pub(super) fn derive(&self, end: &[u8]) -> hmac::Key {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.pkcs8);
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, end).as_ref())
    }
}

#[cfg(feature = "ring")]
fn ecdsa(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random).ok()
}

#[cfg(not(feature = "ring"))]
fn ecdsa(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why there is no key to sign with, or no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// Neither ES256 nor EdDSA.
    #[error("tokens are signed with ES256 or EdDSA")]
    Algorithm,
    /// Not such a key, or not in PKCS #8.
    #[error(
        "{source_name}: no key that signs tokens: expected an ECDSA P-256 or Ed25519 key in \
         PKCS #8; make one with: openssl genpkey -algorithm ed25519"
    )]
    Pem {
        /// The file.
        source_name: String,
    },
    /// The system gave no random numbers.
    #[error("no random numbers from the system")]
    Random,
}
