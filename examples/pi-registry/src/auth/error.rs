//! Why the registry does not start with an `auth`.

use std::io;
use std::path::PathBuf;

use registry_auth::htpasswd::HtpasswdError;
use registry_auth::token::{IssuerError, KeysError, SigningKeyError, VerifierError};

/// Why an `auth` section cannot be used. Print it with its sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file of users.
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
    /// A file of keys cannot be read.
    #[error("{key}: cannot read {}: {error}: {advice}", path.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The keys of another's token server cannot be used.
    #[error("{key}: {error}")]
    Keys {
        /// The key that names them.
        key: &'static str,
        /// Why not.
        error: KeysError,
    },
    /// The key of our own tokens cannot be used.
    #[error("auth.tokenserver.key: {0}")]
    SigningKey(SigningKeyError),
    /// Tokens cannot be verified so.
    #[error("auth.token: {0}")]
    Verifier(VerifierError),
    /// Tokens cannot be given so.
    #[error("auth.tokenserver: {0}")]
    Issuer(IssuerError),
}
