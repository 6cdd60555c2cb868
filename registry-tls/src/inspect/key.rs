//! The kind of key and of signature, and whether the private key belongs.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;

use super::certificate::Parsed;
use super::finding::Finding;
use super::problem::Problem;

pub(super) fn check(certificate: &Parsed<'_>, authority: bool, findings: &mut Vec<Finding>) {
    let (key, accepted) = certificate.key();
    if !accepted {
        findings.push(Finding::error(
            certificate,
            Problem::WeakKey { key, authority },
        ));
    }
    let (algorithm, weak) = certificate.signature();
    // Nobody looks at how a trusted authority signed itself.
    let self_signed = certificate.is_self_issued();
    if weak && !(self_signed && authority) {
        let issuer = certificate.issuer();
        let problem = Problem::WeakSignature {
            algorithm,
            issuer,
            self_signed,
        };
        findings.push(if self_signed {
            Finding::warning(certificate, problem)
        } else {
            Finding::error(certificate, problem)
        });
    }
}

pub(super) fn check_pair(
    certificate: &Parsed<'_>,
    private: &PrivateKeyDer<'_>,
    provider: &CryptoProvider,
    findings: &mut Vec<Finding>,
) {
    match public_key(private, provider) {
        Ok(Some(public)) if public != certificate.public_key() => {
            findings.push(Finding::error(certificate, Problem::KeyMismatch));
        }
        Ok(_) => {}
        Err(error) => {
            let reason = error.to_string();
            findings.push(Finding::error(certificate, Problem::KeyUnusable { reason }));
        }
    }
}

/// The `SubjectPublicKeyInfo` of a private key, where the provider tells it.
pub(super) fn public_key(
    private: &PrivateKeyDer<'_>,
    provider: &CryptoProvider,
) -> Result<Option<Vec<u8>>, rustls::Error> {
    let key = provider
        .key_provider
        .load_private_key(private.clone_key())?;
    Ok(key.public_key().map(|public| public.to_vec()))
}
