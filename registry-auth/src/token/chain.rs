//! The certificates in a token's header (`x5c`).

use std::time::Duration;

use data_encoding::BASE64;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_parser::extensions::KeyUsage;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::crypto::chain as algorithms;
use super::keys::Keys;
use super::public_key::PublicKey;

/// Most certificates that are looked at. The longest real chains have four; and
/// each more, in a forged one, is several times as many paths to try.
const MOST_CERTIFICATES: usize = 4;

/// How certificates may be signed.
const SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// The key of a certificate, for as long as that and those above it hold.
pub(super) struct Leaf {
    pub(super) key: PublicKey,
    /// In seconds since 1970.
    pub(super) until: i64,
}

/// The key of the first certificate, if the others lead from it to one that is
/// trusted, or if it is one itself. `now` is in seconds since 1970.
pub(super) fn verify(keys: &Keys, x5c: &[String], now: u64) -> Option<Leaf> {
    if x5c.len() > MOST_CERTIFICATES {
        return None;
    }
    let certificates: Option<Vec<CertificateDer<'_>>> = x5c
        .iter()
        .map(|text| BASE64.decode(text.as_bytes()).ok().map(Into::into))
        .collect();
    let certificates = certificates?;
    let (leaf, others) = certificates.split_first()?;
    let mut until = i64::MAX;
    // Trusted as it is: a self-signed one is often its own authority, which
    // a path could not end with.
    if !keys.roots.contains(leaf) {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let end = EndEntityCert::try_from(leaf).ok()?;
        let path = end
            .verify_for_usage(
                SIGNATURES,
                &keys.anchors,
                others,
                time,
                AnyUsage,
                None,
                None,
            )
            .ok()?;
        // Of these, webpki does not look at the key's usage.
        for authority in path.intermediate_certificates() {
            let der = authority.der();
            let authority = usable(&der, KeyUsage::key_cert_sign)?;
            until = until.min(authority.validity().not_after.timestamp());
        }
    }
    let leaf = usable(leaf, KeyUsage::digital_signature)?;
    let now = ASN1Time::from_timestamp(i64::try_from(now).ok()?).ok()?;
    if !leaf.validity().is_valid_at(now) {
        return None;
    }
    Some(Leaf {
        key: PublicKey::from_spki(leaf.public_key()).ok()?,
        until: until.min(leaf.validity().not_after.timestamp()),
    })
}

/// A certificate whose key may be used so, or for everything.
fn usable<'a>(der: &'a [u8], so: fn(&KeyUsage) -> bool) -> Option<X509Certificate<'a>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let usage = certificate.key_usage().ok()?;
    let may = usage.is_none_or(|usage| so(usage.value));
    may.then_some(certificate)
}

/// No purpose is registered for tokens; token servers use their TLS
/// certificates, or ones without any.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}
