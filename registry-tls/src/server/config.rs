//! Reads the files of a server and makes a `rustls::ServerConfig` of them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{ServerOptions, TlsError};
use crate::pem::{self, PemError, PemExpected, PemFile};

/// What all files of a server held at one time, unreadable ones included.
pub(crate) struct Files {
    certificate: Result<PemFile, PemError>,
    key: Result<PemFile, PemError>,
    client_cas: Vec<(PathBuf, Result<PemFile, PemError>)>,
}

/// A configuration and what it was made of.
pub(crate) struct Loaded {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
}

impl Files {
    pub(crate) fn read(options: &ServerOptions) -> Self {
        let read_ca = |path: &PathBuf| (path.clone(), pem::read(path, PemExpected::Certificates));
        Self {
            certificate: pem::read(&options.certificate, PemExpected::Certificates),
            key: pem::read(&options.key, PemExpected::PrivateKey),
            client_cas: options.client_cas.iter().map(read_ca).collect(),
        }
    }

    /// Equal for equal content and for equal reasons of having none.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let cas = self.client_cas.iter().map(|(_, file)| file);
        for file in [&self.certificate, &self.key].into_iter().chain(cas) {
            let part: [u8; 32] = match file {
                Ok(file) => Sha256::digest(file.bytes()).into(),
                Err(error) => Sha256::digest(error.to_string()).into(),
            };
            hash.update([u8::from(file.is_ok())]);
            hash.update(part);
        }
        hash.finalize().into()
    }

    pub(crate) fn load(
        self,
        options: &ServerOptions,
        provider: &CryptoProvider,
    ) -> Result<Loaded, TlsError> {
        let chain = self.certificate?.certificates()?;
        let key = self.key?.private_key()?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|source| TlsError::UnusableKey {
            key: options.key.clone(),
            source,
        })?;
        if !is_key_of(&*key, &chain[0]) {
            return Err(TlsError::KeyMismatch {
                certificate: options.certificate.clone(),
                key: options.key.clone(),
            });
        }
        let roots = roots(self.client_cas)?;
        let config = config(
            options,
            provider,
            CertifiedKey::new(chain.clone(), key),
            roots,
        )?;
        Ok(Loaded {
            config: Arc::new(config),
            chain: chain.into(),
        })
    }
}

/// Compares the public keys themselves. `CertifiedKey::keys_match` would also
/// refuse certificates that can be served but not verified, such as those of
/// X.509 version 1, and other encodings of the key's algorithm.
fn is_key_of(key: &dyn SigningKey, certificate: &CertificateDer<'_>) -> bool {
    // Keys that are not in memory may not tell; ours, out of files, do.
    let Some(public) = key.public_key() else {
        return true;
    };
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        return false;
    };
    SubjectPublicKeyInfo::from_der(&public).is_ok_and(|(_, public)| {
        public.subject_public_key.data == certificate.public_key().subject_public_key.data
    })
}

fn roots(files: Vec<(PathBuf, Result<PemFile, PemError>)>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (file, content) in files {
        for (index, certificate) in content?.certificates()?.into_iter().enumerate() {
            roots
                .add(certificate)
                .map_err(|source| TlsError::ClientCa {
                    file: file.clone(),
                    number: index + 1,
                    source,
                })?;
        }
    }
    Ok(roots)
}

fn config(
    options: &ServerOptions,
    provider: &CryptoProvider,
    key: CertifiedKey,
    roots: RootCertStore,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: options.cipher_suites.of(&provider.cipher_suites),
        ..provider.clone()
    });
    // A version without a suite would be chosen and then fail; clients
    // understand better that the version is not there.
    let suites = &provider.cipher_suites;
    let versions: Vec<_> = rustls::ALL_VERSIONS
        .iter()
        .copied()
        .filter(|version| options.minimum.allows(version))
        .filter(|version| suites.iter().any(|suite| suite.version() == *version))
        .collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(TlsError::Config)?;
    let builder = match options.effective_client_auth() {
        None => builder.with_no_client_auth(),
        Some(mode) => {
            let verifier = mode.verifier(roots, &provider);
            builder.with_client_cert_verifier(verifier.map_err(|_| TlsError::NoClientCas { mode })?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols.clone_from(&options.alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A new one for each configuration: sessions that were verified by other
    // client CAs must not be resumed here.
    if let Some(ticketer) = ticketer().map_err(TlsError::Config)? {
        config.ticketer = ticketer;
    }
    // One a connection is what a client needs to come back.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Seals what clients keep of their sessions. A provider has none, so it
/// is that of the crate's features; without any, every handshake is a full one.
fn ticketer() -> Result<Option<Arc<dyn ProducesTickets>>, rustls::Error> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::Ticketer::new().map(Some);
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return rustls::crypto::ring::Ticketer::new().map(Some);
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    return Ok(None);
}
