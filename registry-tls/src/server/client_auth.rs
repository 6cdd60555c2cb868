//! `clientauth`: what is asked of clients, with the meanings of Go.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

/// What is asked of clients.
///
/// | mode | without a certificate | with one that no CA of ours signed |
/// |---|---|---|
/// | `request-client-cert` | welcome | welcome, as if without |
/// | `require-any-client-cert` | refused | welcome, as if without |
/// | `verify-client-cert-if-given` | welcome | refused |
/// | `require-and-verify-client-cert` | refused | refused |
///
/// Parses and prints as distribution spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// Ask for a certificate, and take none or any.
    Request,
    /// Take any certificate, but at least that.
    RequireAny,
    /// Take no certificate, or one that a client CA signed.
    VerifyIfGiven,
    /// Take only a certificate that a client CA signed.
    RequireAndVerify,
}

/// A text names no mode of asking for client certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown client authentication {0:?}: use request-client-cert, require-any-client-cert, \
     verify-client-cert-if-given or require-and-verify-client-cert"
)]
#[non_exhaustive]
pub struct ClientAuthError(String);

impl ClientAuth {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Request, "request-client-cert"),
        (Self::RequireAny, "require-any-client-cert"),
        (Self::VerifyIfGiven, "verify-client-cert-if-given"),
        (Self::RequireAndVerify, "require-and-verify-client-cert"),
    ];

    /// Whether certificates are verified, so that they say who the client is.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    /// Whether a client without a certificate is refused.
    #[must_use]
    pub fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }

    /// The modes that verify need at least one CA.
    pub(super) fn verifier(
        self,
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
        if !self.verifies() {
            return Ok(Arc::new(AnyCertificate {
                mandatory: self.requires(),
                hints: roots.subjects(),
                algorithms: provider.signature_verification_algorithms,
            }));
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if self.requires() {
            builder.build()
        } else {
            builder.allow_unauthenticated().build()
        }
    }
}

impl FromStr for ClientAuth {
    type Err = ClientAuthError;

    fn from_str(text: &str) -> Result<Self, ClientAuthError> {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(mode, _)| *mode)
            .ok_or_else(|| ClientAuthError(text.to_owned()))
    }
}

impl fmt::Display for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(mode, _)| mode == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

/// Takes every certificate whose key the client shows to have. That says who
/// the client is no more than a name that it makes up.
#[derive(Debug)]
struct AnyCertificate {
    mandatory: bool,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_parse_and_print_as_distribution_spells_them() {
        for (mode, name) in ClientAuth::ALL {
            assert_eq!(name.parse(), Ok(mode));
            assert_eq!(mode.to_string(), name);
        }
        let error = "none".parse::<ClientAuth>().expect_err("no mode of ours");
        assert!(error.to_string().contains("verify-client-cert-if-given"));
    }
}
