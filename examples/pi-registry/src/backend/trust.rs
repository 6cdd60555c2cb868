//! Which servers of object stores are believed.

use std::sync::Arc;

use registry_tls::pem;
use registry_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use registry_tls::rustls::crypto::CryptoProvider;
use registry_tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use registry_tls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::BackendError;
use crate::certificates::tls_provider;
use crate::config::Client;
use crate::logging::chain;

/// TLS as a driver's keys want it: the system's CAs and those of `cafile`.
///
/// Reads files.
pub(super) fn tls(client: &Client, key: &str) -> Result<ClientConfig, BackendError> {
    let provider = tls_provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| BackendError::new(format_args!("{key}: no TLS: {error}")))?;
    let mut config = if client.skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody { provider }))
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(roots(client, key)?)
            .with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The CAs that the system believes; none on one that was not told of any.
///
/// Reads files.
pub(super) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots(client: &Client, key: &str) -> Result<RootCertStore, BackendError> {
    let mut roots = system_roots();
    let Some(path) = &client.ca_file else {
        return Ok(roots);
    };
    let certificates = pem::certificates(path)
        .map_err(|error| BackendError::new(format_args!("{key}.cafile: {}", chain(&error))))?;
    for certificate in certificates {
        roots.add(certificate).map_err(|error| {
            BackendError::new(format_args!(
                "{key}.cafile: {}: a certificate in it cannot be used: {error}",
                path.display()
            ))
        })?;
    }
    Ok(roots)
}

/// Believes everybody: `skipverify`.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Whoever takes any certificate gains nothing from a proof of its key.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
