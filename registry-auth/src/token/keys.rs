//! The keys whose tokens are trusted.

use std::collections::HashMap;
use std::fmt;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use serde::Deserialize;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::algorithm::Algorithm;
use super::jwk::Jwk;
use super::public_key::{KeyProblem, PublicKey};

/// The keys whose tokens are trusted, from files, answers of a key server, or
/// an issuer in the same process.
///
/// | from | trusts | by the key's `kid` |
/// |---|---|---|
/// | certificates ([`Self::add_certificates`]) | their keys, and certificates in a token (`x5c`) that they have issued | thumbprint, libtrust's |
/// | a JWK set ([`Self::add_jwks`]) | its keys | its own, thumbprint, libtrust's |
/// | [`SigningKey::public`](super::SigningKey::public) | the issuer's key | thumbprint, libtrust's |
///
/// The thumbprint is that of
/// [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638), which distribution 3
/// writes; libtrust's name, `ABCD:EFGH:…`, is that of distribution 2, Harbor
/// and GitLab.
///
/// ```
/// use registry_auth::token::Keys;
///
/// let mut keys = Keys::new();
/// keys.add_jwks("jwks.json", br#"{"keys": [{
///     "kty": "OKP", "crv": "Ed25519", "kid": "2026-05",
///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
/// }]}"#)?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), registry_auth::token::KeysError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Keys {
    keys: Vec<TrustedKey>,
    by_name: HashMap<String, Vec<usize>>,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    warnings: Vec<KeyWarning>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrustedKey {
    key: PublicKey,
    /// The only one that it may be used with.
    algorithm: Option<Algorithm>,
}

impl TrustedKey {
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm)
            && self.key.verify(algorithm, message, signature)
    }
}

impl From<PublicKey> for TrustedKey {
    fn from(key: PublicKey) -> Self {
        Self {
            key,
            algorithm: None,
        }
    }
}

/// A JWK set; what else is in it is not looked at.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl Keys {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates of a PEM file: distribution's `rootcertbundle`.
    /// `source` names it in errors and warnings.
    ///
    /// # Errors
    /// * [`KeysError::Pem`]: not PEM, or no certificate in it.
    /// * [`KeysError::Certificate`]: one cannot be read.
    pub fn add_certificates(&mut self, source: &str, pem: &[u8]) -> Result<(), KeysError> {
        let mut number = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| KeysError::Pem {
                source_name: source.to_owned(),
            })?;
            number += 1;
            let broken = || KeysError::Certificate {
                source_name: source.to_owned(),
                number,
            };
            let anchor = webpki::anchor_from_trusted_cert(&certificate).map_err(|_| broken())?;
            self.anchors.push(anchor.to_owned());
            let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| broken())?;
            match PublicKey::from_spki(parsed.public_key()) {
                Ok(key) => self.add(key.into(), None),
                // May still have issued others.
                Err(problem) => self.warn(source, number, problem),
            }
            self.roots.push(certificate.into_owned());
        }
        if number == 0 {
            return Err(KeysError::Pem {
                source_name: source.to_owned(),
            });
        }
        Ok(())
    }

    /// Trusts the keys of a JWK set: distribution's `jwks`, or what a key
    /// server answers. `source` names it in errors and warnings.
    ///
    /// Keys that cannot be used are left out, with a warning: a server of many
    /// may well have some for other ends.
    ///
    /// # Errors
    /// * [`KeysError::Jwks`]: not a JWK set.
    /// * [`KeysError::Unusable`]: no key in it can be used.
    pub fn add_jwks(&mut self, source: &str, json: &[u8]) -> Result<(), KeysError> {
        let set: JwkSet = serde_json::from_slice(json).map_err(|_| KeysError::Jwks {
            source_name: source.to_owned(),
        })?;
        let mut usable = false;
        let mut first_problem = None;
        for (at, key) in set.keys.into_iter().enumerate() {
            let jwk = serde_json::from_value::<Jwk>(key).map_err(|_| KeyProblem::Broken);
            match jwk.and_then(|jwk| Ok((jwk.read()?, jwk.kid))) {
                Ok(((key, algorithm), name)) => {
                    usable = true;
                    self.add(TrustedKey { key, algorithm }, name);
                }
                Err(problem) => {
                    first_problem.get_or_insert(problem);
                    self.warn(source, at + 1, problem);
                }
            }
        }
        if !usable {
            return Err(KeysError::Unusable {
                source_name: source.to_owned(),
                problem: first_problem,
            });
        }
        Ok(())
    }

    pub(super) fn add(&mut self, key: TrustedKey, name: Option<String>) {
        let names = [
            Some(key.key.thumbprint()),
            Some(key.key.libtrust_id()),
            name,
        ];
        let at = self.keys.iter().position(|known| *known == key);
        let at = at.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        for name in names.into_iter().flatten() {
            let keys = self.by_name.entry(name).or_default();
            if !keys.contains(&at) {
                keys.push(at);
            }
        }
    }

    fn warn(&mut self, source: &str, number: usize, problem: KeyProblem) {
        self.warnings.push(KeyWarning {
            source: source.to_owned(),
            number,
            problem,
        });
    }

    /// Trusts also what `other` has.
    pub fn extend(&mut self, other: &Self) {
        for (at, key) in other.keys.iter().enumerate() {
            let names = other.by_name.iter().filter(|(_, keys)| keys.contains(&at));
            for (name, _) in names {
                self.add(key.clone(), Some(name.clone()));
            }
        }
        self.roots.extend_from_slice(&other.roots);
        self.anchors.extend_from_slice(&other.anchors);
        self.warnings.extend_from_slice(&other.warnings);
    }

    /// How many keys are trusted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no token can be trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.anchors.is_empty()
    }

    /// What was left out.
    #[must_use]
    pub fn warnings(&self) -> &[KeyWarning] {
        &self.warnings
    }

    /// The keys of this name; more than one if a JWK set says so.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &TrustedKey> {
        let keys = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        keys.iter().filter_map(|&at| self.keys.get(at))
    }

    /// The key, if there is only one.
    pub(super) fn only(&self) -> Option<&TrustedKey> {
        match self.keys.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// A key that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyWarning {
    /// The file or address.
    pub source: String,
    /// Which one of those in it, from one.
    pub number: usize,
    /// What is wrong.
    pub problem: KeyProblem,
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            number,
            problem,
        } = self;
        write!(f, "{source}: key {number} is left out: {problem}")
    }
}

/// Why trusted keys cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// Not PEM, or no certificate in it.
    #[error(
        "{source_name}: no certificates: expected PEM blocks that begin with \
         -----BEGIN CERTIFICATE-----"
    )]
    Pem {
        /// The file.
        source_name: String,
    },
    /// A certificate cannot be read.
    #[error("{source_name}: certificate {number} cannot be read: make it anew")]
    Certificate {
        /// The file.
        source_name: String,
        /// Which one of those in it, from one.
        number: usize,
    },
    /// Not a JWK set.
    #[error(r#"{source_name}: not a JWK set: expected {{"keys": [{{"kty": …}}, …]}}"#)]
    Jwks {
        /// The file or address.
        source_name: String,
    },
    /// No key of a JWK set can be used.
    #[error(
        "{source_name}: no key can be used: {}",
        problem.map_or_else(|| "there is none".to_owned(), |problem| problem.to_string())
    )]
    Unusable {
        /// The file or address.
        source_name: String,
        /// What is wrong with the first one, if there is one.
        problem: Option<KeyProblem>,
    },
}
