//! A parsed certificate, asked in the words of the checks.

use std::net::IpAddr;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::problem::Problem;
use crate::host_name::address;

/// A certificate at its place in a file.
#[derive(Clone, Debug)]
pub(super) struct Parsed<'a> {
    pub(super) position: usize,
    pub(super) der: &'a [u8],
    pub(super) x509: X509Certificate<'a>,
    /// The DNS entries of `subjectAltName`; `None` when it is missing.
    names: Option<Vec<String>>,
    addresses: Vec<IpAddr>,
}

impl<'a> Parsed<'a> {
    /// Reads a certificate with all of its extensions.
    pub(super) fn new(position: usize, der: &'a CertificateDer<'_>) -> Result<Self, Problem> {
        let unreadable = |reason: &str| Problem::Unreadable {
            reason: reason.to_owned(),
        };
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| unreadable("it is no X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(unreadable("more bytes follow it"));
        }
        x509.extensions_map()
            .map_err(|_| unreadable("an extension is there twice"))?;
        let mut names = None;
        let mut addresses = Vec::new();
        for extension in x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::ParseError { .. } => {
                    return Err(unreadable(&format!("extension {}", extension.oid)));
                }
                ParsedExtension::SubjectAlternativeName(san) => {
                    let names = names.insert(Vec::new());
                    for entry in &san.general_names {
                        match entry {
                            GeneralName::DNSName(name) => names.push(printable(name)),
                            GeneralName::IPAddress(bytes) => addresses.push(
                                address(bytes)
                                    .ok_or_else(|| unreadable("address of odd length"))?,
                            ),
                            // Mail addresses and URIs are nothing to TLS.
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            position,
            der: x509.as_raw(),
            x509,
            names,
            addresses,
        })
    }

    pub(super) fn subject(&self) -> String {
        name(self.x509.subject())
    }

    pub(super) fn issuer(&self) -> String {
        name(self.x509.issuer())
    }

    pub(super) fn common_name(&self) -> Option<String> {
        let first = self.x509.subject().iter_common_name().next()?;
        first.as_str().ok().map(printable)
    }

    pub(super) fn has_names(&self) -> bool {
        self.names.is_some()
    }

    pub(super) fn names(&self) -> &[String] {
        self.names.as_deref().unwrap_or_default()
    }

    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub(super) fn not_before(&self) -> OffsetDateTime {
        self.x509.validity().not_before.to_datetime()
    }

    pub(super) fn not_after(&self) -> OffsetDateTime {
        self.x509.validity().not_after.to_datetime()
    }

    /// 1 to 3, one more than what is encoded.
    pub(super) fn version(&self) -> u32 {
        self.x509.version().0.saturating_add(1)
    }

    /// Whether it has the CA flag.
    pub(super) fn is_ca(&self) -> bool {
        self.x509.is_ca()
    }

    /// Whether Go lets it sign others, apart from its dates: the CA flag and
    /// `keyCertSign` if `keyUsage` is there; version 1 has neither and may.
    pub(super) fn may_sign(&self) -> bool {
        self.version() < 3
            || self.is_ca() && self.key_usage().is_none_or(|usage| usage.key_cert_sign())
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.is_issued_by(self)
    }

    /// Whether the names say so; the signature is another question.
    pub(super) fn is_issued_by(&self, issuer: &Parsed<'_>) -> bool {
        self.x509.issuer().as_raw() == issuer.x509.subject().as_raw()
    }

    pub(super) fn key_usage(&self) -> Option<&KeyUsage> {
        self.x509
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::KeyUsage(usage) => Some(usage),
                _ => None,
            })
    }

    pub(super) fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage<'a>> {
        self.x509
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::ExtendedKeyUsage(usage) => Some(usage),
                _ => None,
            })
    }

    /// The whole `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> &[u8] {
        self.x509.public_key().raw
    }

    /// The key in a person's words, and whether clients accept it.
    pub(super) fn key(&self) -> (String, bool) {
        let info = self.x509.public_key();
        if let Ok(PublicKey::RSA(key)) = info.parsed() {
            return (format!("RSA {}", key.key_size()), key.key_size() >= 2048);
        }
        let oid = |oid: &x509_parser::asn1_rs::Oid<'_>| oid.to_id_string();
        let parameters = info.algorithm.parameters.as_ref();
        let curve = parameters
            .and_then(|any| any.as_oid().ok())
            .map(|id| oid(&id));
        let (name, accepted) = match (oid(&info.algorithm.algorithm).as_str(), curve.as_deref()) {
            ("1.2.840.10045.2.1", Some(curve)) => match curve {
                "1.2.840.10045.3.1.7" => ("ECDSA P-256", true),
                "1.3.132.0.34" => ("ECDSA P-384", true),
                "1.3.132.0.35" => ("ECDSA P-521", true),
                "1.3.132.0.33" => ("ECDSA P-224", false),
                "1.3.132.0.10" => ("ECDSA secp256k1", false),
                curve => return (format!("ECDSA on curve {curve}"), false),
            },
            ("1.3.101.112", _) => ("Ed25519", true),
            (algorithm, _) => return (format!("of kind {algorithm}"), false),
        };
        (name.to_owned(), accepted)
    }

    /// The signature's algorithm as OpenSSL calls it, and whether its digest
    /// can be forged.
    pub(super) fn signature(&self) -> (String, bool) {
        let oid = self.x509.signature_algorithm.algorithm.to_id_string();
        let (name, weak) = match oid.as_str() {
            "1.2.840.113549.1.1.2" => ("md2WithRSAEncryption", true),
            "1.2.840.113549.1.1.4" => ("md5WithRSAEncryption", true),
            "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => ("sha1WithRSAEncryption", true),
            "1.2.840.113549.1.1.10" => ("rsassaPss", false),
            "1.2.840.113549.1.1.11" => ("sha256WithRSAEncryption", false),
            "1.2.840.113549.1.1.12" => ("sha384WithRSAEncryption", false),
            "1.2.840.113549.1.1.13" => ("sha512WithRSAEncryption", false),
            "1.2.840.10045.4.1" => ("ecdsa-with-SHA1", true),
            "1.2.840.10045.4.3.2" => ("ecdsa-with-SHA256", false),
            "1.2.840.10045.4.3.3" => ("ecdsa-with-SHA384", false),
            "1.2.840.10045.4.3.4" => ("ecdsa-with-SHA512", false),
            "1.2.840.10040.4.3" => ("dsa-with-SHA1", true),
            "1.3.101.112" => ("ED25519", false),
            _ => return (oid, false),
        };
        (name.to_owned(), weak)
    }

    /// Whether the signature was made with the issuer's key. `None` when the
    /// cryptography does not know such keys or signatures, as the weak ones.
    pub(super) fn is_signed_by(
        &self,
        issuer: &Parsed<'_>,
        provider: &CryptoProvider,
    ) -> Option<bool> {
        if !issuer.key().1 {
            return None;
        }
        let key = algorithm_of_key(issuer.public_key())?;
        let signature = algorithm_of_signature(self.der)?;
        let algorithms = provider.signature_verification_algorithms.all;
        let algorithm = algorithms.iter().find(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == key
                && algorithm.signature_alg_id().as_ref() == signature
        })?;
        let verified = algorithm.verify_signature(
            &issuer.x509.public_key().subject_public_key.data,
            self.x509.tbs_certificate.as_ref(),
            &self.x509.signature_value.data,
        );
        Some(verified.is_ok())
    }
}

/// A name such as `CN=registry.local, O=Home`.
fn name(name: &X509Name<'_>) -> String {
    let text = printable(&name.to_string());
    if text.is_empty() {
        "(no name)".to_owned()
    } else {
        text
    }
}

/// What a stranger wrote, without what would steer a terminal, turn the text
/// around, or push what follows out of sight.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 300;
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let visible = |c: char| if hidden(c) { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().count() > LONGEST {
        shown.push('…');
    }
    shown
}

/// The content of the `AlgorithmIdentifier` of a `SubjectPublicKeyInfo`, as
/// rustls names algorithms.
fn algorithm_of_key(info: &[u8]) -> Option<&[u8]> {
    let (_, info) = Any::from_der(info).ok()?;
    let (_, algorithm) = Any::from_der(info.data).ok()?;
    Some(algorithm.data)
}

/// The same of a certificate's signature, which follows what is signed.
fn algorithm_of_signature(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate) = Any::from_der(certificate).ok()?;
    let (rest, _signed) = Any::from_der(certificate.data).ok()?;
    let (_, algorithm) = Any::from_der(rest).ok()?;
    Some(algorithm.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_is_cut_and_does_not_turn_around() {
        assert_eq!(printable("a\u{202e}b\nc"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(printable(&"x".repeat(300)), "x".repeat(300));
        assert_eq!(printable(&"x".repeat(301)), "x".repeat(300) + "…");
    }
}
