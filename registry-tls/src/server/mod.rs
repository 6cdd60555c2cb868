//! How a registry speaks TLS: files and settings in, a [`rustls::ServerConfig`] out.
//!
//! | setting of distribution | here |
//! |---|---|
//! | `certificate`, `key` | [`ServerOptions::new`] |
//! | `clientcas`, `clientauth` | [`ServerOptions::client_cas`], [`ClientAuth`] |
//! | `minimumtls` | [`MinimumTls::parse`] |
//! | `ciphersuites` | [`CipherSuites::parse`] |
//! | `http2.disabled` | [`ServerOptions::alpn`] |
//!
//! [`Reloading`](crate::Reloading) turns the options into a configuration and
//! follows the files.
//!
//! What a configuration gives: TLS 1.2 and 1.3; sessions resume by tickets
//! that the server does not keep, whose key is its own, so that none
//! outlives a change of the client CAs; no early data, which could be replayed.
//! An idle connection holds no session and no buffered data; a server that
//! writes much to slow clients also bounds `set_buffer_limit` of its connections.
//!
//! ```
//! use registry_tls::Reloading;
//! use registry_tls::server::{CipherSuites, ClientAuth, MinimumTls, ServerOptions};
//!
//! # #[cfg(feature = "ring")] {
//! let provider = registry_tls::provider::ring();
//! # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
//! let mut options = ServerOptions::new(format!("{dir}/self-signed.crt"), format!("{dir}/sec1.key"));
//! options.minimum = MinimumTls::parse("tls1.2")?.minimum;
//! options.cipher_suites = CipherSuites::parse(["TLS_AES_128_GCM_SHA256"], &provider)?;
//! options.client_cas.push(format!("{dir}/rsa.crt").into());
//! options.client_auth = Some(ClientAuth::VerifyIfGiven);
//! let tls = Reloading::load(options, provider)?;
//! let connection = rustls::ServerConnection::new(tls.config());
//! # }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod client_auth;
mod config;
mod error;
mod suites;
#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
pub(crate) mod tests;
mod version;

use std::path::PathBuf;

pub use client_auth::{ClientAuth, ClientAuthError};
pub(crate) use config::{Files, Loaded};
pub use error::TlsError;
pub use suites::{CipherSuites, CipherSuitesError};
pub use version::{MinimumTls, MinimumTlsError, RequestedMinimum};

/// Where the files are, and what the server asks of its clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The server's certificate and then its intermediates, in PEM.
    pub certificate: PathBuf,
    /// The private key of the certificate in PEM; may be the same file.
    pub key: PathBuf,
    /// The CAs that client certificates are verified against, in PEM. Empty by
    /// default: clients are not asked for one.
    pub client_cas: Vec<PathBuf>,
    /// What is asked of clients. By default [`ClientAuth::RequireAndVerify`]
    /// when there are client CAs, and nothing otherwise.
    ///
    /// A server on which some paths work without a certificate (Kubernetes'
    /// probes have none) sets [`ClientAuth::VerifyIfGiven`] here and refuses
    /// the requests to the others itself.
    pub client_auth: Option<ClientAuth>,
    /// The lowest version that a client may speak; TLS 1.2 by default.
    pub minimum: MinimumTls,
    /// The cipher suites on offer; by default all that the provider has.
    pub cipher_suites: CipherSuites,
    /// The protocols that are offered above TLS, the preferred one first;
    /// `h2` and `http/1.1` by default.
    pub alpn: Vec<Vec<u8>>,
}

impl ServerOptions {
    /// Takes the two files and the defaults for all else.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            client_cas: Vec::new(),
            client_auth: None,
            minimum: MinimumTls::default(),
            cipher_suites: CipherSuites::default(),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }

    /// What is asked of clients, with the default filled in; `None` is nothing.
    #[must_use]
    pub fn effective_client_auth(&self) -> Option<ClientAuth> {
        let default = (!self.client_cas.is_empty()).then_some(ClientAuth::RequireAndVerify);
        self.client_auth.or(default)
    }
}
