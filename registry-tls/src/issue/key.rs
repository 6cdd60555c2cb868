//! Private keys: new ones, and those that exist already.

use std::fmt;

use getrandom::SysRng;
use rcgen::KeyPair;
use rsa::pkcs8::der::asn1::{AnyRef, OctetStringRef};
use rsa::pkcs8::der::{Encode, Tag};
use rsa::pkcs8::{AlgorithmIdentifierRef, EncodePrivateKey, ObjectIdentifier, PrivateKeyInfoRef};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::IssueError;
use crate::pem;

/// The kind of a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on the curve P-256: small, quick on boards, and known to every
    /// client that containers are pulled with. The default.
    #[default]
    EcdsaP256,
    /// RSA with 2048 bits, for old clients. They need an authority with an
    /// RSA key as well.
    Rsa2048,
    /// RSA with 4096 bits: slower for the server, by about seven times.
    Rsa4096,
}

/// Which key a certificate is for.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyChoice {
    /// A new key.
    New(KeyKind),
    /// The key of the certificate that is renewed, as PKCS#8, SEC1 or PKCS#1.
    Keep(PrivateKeyDer<'static>),
}

impl Default for KeyChoice {
    fn default() -> Self {
        Self::New(KeyKind::default())
    }
}

/// A private key as PEM (PKCS#8), wiped from memory when dropped.
///
/// Its debug output does not tell it.
#[derive(Clone)]
pub struct KeyPem(Zeroizing<String>);

impl KeyPem {
    /// The text to write into a file; see [`write_secret`].
    ///
    /// [`write_secret`]: crate::files::write_secret
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn of(key: &KeyPair) -> Self {
        let pem = pem::encode("PRIVATE KEY", key.serialized_der());
        Self(Zeroizing::new(pem))
    }
}

impl AsRef<[u8]> for KeyPem {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(..)")
    }
}

impl KeyChoice {
    pub(super) fn key_pair(&self) -> Result<KeyPair, IssueError> {
        match self {
            Self::New(kind) => generate(*kind),
            Self::Keep(key) => load(key),
        }
    }
}

pub(super) fn generate(kind: KeyKind) -> Result<KeyPair, IssueError> {
    match kind {
        KeyKind::EcdsaP256 => KeyPair::generate().map_err(IssueError::failed),
        KeyKind::Rsa2048 => generate_rsa(2048),
        KeyKind::Rsa4096 => generate_rsa(4096),
    }
}

/// Not left to the cryptography that signs: *ring* makes no RSA keys.
fn generate_rsa(bits: usize) -> Result<KeyPair, IssueError> {
    let key = rsa::PrivateKey::new(&mut SysRng, bits).map_err(IssueError::failed)?;
    let pkcs8 = key.to_pkcs8_der().map_err(IssueError::failed)?;
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8.as_bytes())).map_err(IssueError::failed)
}

pub(super) fn load(key: &PrivateKeyDer<'_>) -> Result<KeyPair, IssueError> {
    let pkcs8 = |key: &[u8]| KeyPair::try_from(&PrivatePkcs8KeyDer::from(key)).ok();
    match key {
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => pkcs8(&wrap(RSA, AnyRef::NULL, key.secret_pkcs1_der())?),
        // SEC1 need not name its curve, but only the right one fits.
        PrivateKeyDer::Sec1(key) => {
            let mut found = None;
            for curve in [P256, P384] {
                let curve = AnyRef::new(Tag::ObjectIdentifier, curve.as_bytes())
                    .map_err(IssueError::failed)?;
                found = found.or(pkcs8(&wrap(EC, curve, key.secret_sec1_der())?));
            }
            found
        }
        _ => None,
    }
    .ok_or(IssueError::UnusableKey)
}

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Puts a key that only its file's label tells the kind of into PKCS#8.
fn wrap(
    oid: ObjectIdentifier,
    parameters: AnyRef<'_>,
    key: &[u8],
) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let algorithm = AlgorithmIdentifierRef {
        oid,
        parameters: Some(parameters),
    };
    let key = OctetStringRef::new(key).map_err(IssueError::failed)?;
    PrivateKeyInfoRef::new(algorithm, key)
        .to_der()
        .map(Zeroizing::new)
        .map_err(IssueError::failed)
}
