//! Why there is no TLS.

use std::path::PathBuf;

use super::ClientAuth;
use crate::pem::PemError;

/// Files or settings do not make a server that speaks TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file does not hold what it should.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The private key is of another certificate.
    #[error(
        "the private key in {key} does not belong to the certificate in {certificate}: \
         use the two files of one pair, and the server's own certificate first"
    )]
    KeyMismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The check of [`Reloading::load_checked`](crate::Reloading::load_checked)
    /// says no.
    #[error("the certificate in {certificate} is not served")]
    Refused {
        /// The file of the certificate.
        certificate: PathBuf,
        /// What the check says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cryptography cannot use the private key.
    #[error(
        "the private key in {key} cannot be used: expected ECDSA (P-256, P-384), \
         RSA of 2048 bits or more, or Ed25519"
    )]
    UnusableKey {
        /// The file of the key.
        key: PathBuf,
        /// What the cryptography says.
        #[source]
        source: rustls::Error,
    },
    /// A certificate of a client CA cannot be one.
    #[error(
        "certificate {number} in {file} cannot be used as a CA of clients: name the CA's own certificate"
    )]
    ClientCa {
        /// The file.
        file: PathBuf,
        /// Which one in the file, from 1.
        number: usize,
        /// What the verifier says.
        #[source]
        source: rustls::Error,
    },
    /// Certificates are to be verified against nothing.
    #[error("{mode} needs at least one CA of clients (clientcas) to verify certificates against")]
    NoClientCas {
        /// What is to be asked of clients.
        mode: ClientAuth,
    },
    /// Settings that exclude each other, or cryptography that fails.
    #[error("no TLS configuration can be made of these settings")]
    Config(#[source] rustls::Error),
}
