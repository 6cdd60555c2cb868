//! The certificates that clients are to trust, and nothing else of a file.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::parse_x509_certificate;

use crate::pem;

/// The CA certificates of a PEM text, at least one.
///
/// Everything else that the text holds stays behind: private keys, servers'
/// certificates, comments. What is given to clients is made from this, so a
/// key can never be given to them by mistake.
///
/// ```
/// use registry_tls::trust::CaCertificates;
///
/// # let pem = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/trust/fixtures/ca.pem"));
/// # let key = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/trust/fixtures/leaf.key"));
/// let ca = CaCertificates::from_pem(format!("{key}{pem}").as_bytes())?;
/// assert_eq!(ca.to_pem(), pem);
/// # Ok::<_, registry_tls::trust::CaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificates(Vec<CertificateDer<'static>>);

/// A text is not the certificate or key that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// The PEM text or a certificate in it is damaged.
    #[error(
        "the CA file is damaged: expected PEM with lines from BEGIN CERTIFICATE to END CERTIFICATE"
    )]
    Damaged,
    /// There is no certificate, but a private key.
    #[error(
        "the CA file holds a private key and no certificate: clients need the CA's certificate, never a key"
    )]
    OnlyKey,
    /// There is no certificate.
    #[error(
        "the CA file holds no certificate: expected PEM with lines from BEGIN CERTIFICATE to END CERTIFICATE"
    )]
    Empty,
    /// The server's key file holds no private key, several, or one with a
    /// passphrase.
    #[error(
        "the server's key file holds no readable private key, or several: expected PEM with lines from BEGIN PRIVATE KEY to END PRIVATE KEY, without a passphrase"
    )]
    NoKey,
    /// The server's certificate file also holds a private key.
    #[error("the server's certificate file holds a private key: keep the key in a file of its own")]
    KeyInChain,
    /// There are certificates, but not of a CA.
    #[error(
        "the certificate of {subject:?} is not a CA's: clients need the certificate that signed \
         it, with the CA flag in its basicConstraints"
    )]
    NotCa {
        /// The subject of the first certificate.
        subject: String,
    },
}

impl CaCertificates {
    /// Keeps the CA certificates of a PEM text, each once, in their order.
    ///
    /// # Errors
    /// [`CaError`] when there are none, or one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CaError> {
        match Self::from_certificates(&certificates(pem)?) {
            Err(CaError::Empty) if holds_key(pem) => Err(CaError::OnlyKey),
            kept => kept,
        }
    }

    /// Keeps the CA certificates among others, each once, in their order.
    ///
    /// # Errors
    /// [`CaError`] when there are none, or one cannot be read.
    pub fn from_certificates(all: &[CertificateDer<'static>]) -> Result<Self, CaError> {
        let mut kept: Vec<CertificateDer<'static>> = Vec::new();
        for certificate in all {
            if is_ca(certificate)? && !kept.contains(certificate) {
                kept.push(certificate.clone());
            }
        }
        match all.first() {
            _ if !kept.is_empty() => Ok(Self(kept)),
            Some(first) => Err(CaError::NotCa {
                subject: subject(first),
            }),
            None => Err(CaError::Empty),
        }
    }

    /// All certificates in one text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.each_pem().collect()
    }

    /// Each certificate as a text of its own, for programs that read only the
    /// first of a file.
    pub(super) fn each_pem(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|certificate| pem::encode("CERTIFICATE", certificate))
    }

    /// The certificates as X.509 has them.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

/// The certificates of a PEM text, whatever else it holds.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| CaError::Damaged)
}

/// Also an encrypted key or one that cannot be read is a key to hide.
pub(super) fn holds_key(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains("PRIVATE KEY-----")
}

fn is_ca(der: &[u8]) -> Result<bool, CaError> {
    let (_, certificate) = parse_x509_certificate(der).map_err(|_| CaError::Damaged)?;
    Ok(certificate.is_ca())
}

fn subject(der: &[u8]) -> String {
    parse_x509_certificate(der)
        .map(|(_, certificate)| certificate.subject().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{CA, LEAF, LEAF_KEY, SECOND_CA};
    use super::*;

    #[test]
    fn only_ca_certificates_come_out_each_once() {
        let pem = [LEAF_KEY, "a comment\n", LEAF, CA, SECOND_CA, CA].concat();
        let ca = CaCertificates::from_pem(pem.as_bytes()).expect("two CAs");
        assert_eq!(ca.to_pem(), [CA, SECOND_CA].concat());
        assert_eq!(ca.certificates().len(), 2);
    }

    #[test]
    fn a_file_without_a_ca_is_refused_and_says_what_it_holds() {
        let not_ca = CaError::NotCa {
            subject: "CN=registry.local".to_owned(),
        };
        let cut = CA.get(..CA.len() / 2).expect("ASCII");
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, expected) in [
            ("", CaError::Empty),
            ("no PEM at all", CaError::Empty),
            (LEAF_KEY, CaError::OnlyKey),
            (LEAF, not_ca),
            (cut, CaError::Damaged),
            (wrong, CaError::Damaged),
        ] {
            assert_eq!(
                CaCertificates::from_pem(pem.as_bytes()),
                Err(expected),
                "{pem}"
            );
        }
    }
}
