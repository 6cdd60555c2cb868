//! Certificate chains and private keys as users keep them: PEM files.
//!
//! Text around the blocks, `CRLF`, a byte order mark and a key beside its
//! certificate in one file are fine; what is asked for is picked. Everything
//! else that is wrong with a file has its own [`PemProblem`], and its own
//! sentence with the file's name, what was expected and what to do:
//!
//! | in the file | as certificates | as private key |
//! |---|---|---|
//! | `CERTIFICATE` | read, in order | ignored beside a key |
//! | `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1), `EC PRIVATE KEY` (SEC1) | ignored beside a certificate | read, if there is exactly one |
//! | `ENCRYPTED PRIVATE KEY`, `Proc-Type: 4,ENCRYPTED` | ignored beside a certificate | [`PemProblem::EncryptedKey`] |
//! | `EC PARAMETERS` and any other block | ignored beside a certificate | ignored beside a key |
//!
//! ```
//! use registry_tls::pem::{PemFile, PemProblem};
//!
//! let file = PemFile::new("/certs/tls.key", &b"-----BEGIN CERTIFICATE-----\n"[..]);
//! let error = file.private_key().expect_err("it ends too early");
//! assert!(matches!(error.problem(), PemProblem::Truncated { .. }));
//! assert!(error.to_string().starts_with("/certs/tls.key "));
//! ```

mod block;
mod encode;
mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::parse_x509_certificate;

use block::{Block, blocks};
pub(crate) use encode::encode;
pub use error::{PemError, PemExpected, PemProblem};

/// Most that is read of a file. The bundle of all public CAs is a quarter of it.
pub const MAX_FILE_SIZE: usize = 1024 * 1024;

/// Reads the certificates of a file in their order: the leaf first.
///
/// # Errors
///
/// [`PemError`] when there are none, or one is damaged.
pub fn certificates(path: impl AsRef<Path>) -> Result<Vec<CertificateDer<'static>>, PemError> {
    read(path.as_ref(), PemExpected::Certificates)?.certificates()
}

/// Reads the private key of a file.
///
/// # Errors
///
/// [`PemError`] when there is none, or several, or it is encrypted or damaged.
pub fn private_key(path: impl AsRef<Path>) -> Result<PrivateKeyDer<'static>, PemError> {
    read(path.as_ref(), PemExpected::PrivateKey)?.private_key()
}

/// Reads a file of which `expected` will be asked.
pub(crate) fn read(path: &Path, expected: PemExpected) -> Result<PemFile, PemError> {
    let failed = |problem| PemError::new(path, expected, problem);
    let unreadable = |error: std::io::Error| {
        failed(match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => PemProblem::Missing,
            ErrorKind::PermissionDenied => PemProblem::Forbidden,
            ErrorKind::IsADirectory => PemProblem::Directory,
            _ => PemProblem::Unreadable(error.to_string()),
        })
    };
    // Opening a pipe would wait for its other end.
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        let reason = "not a regular file".to_owned();
        return Err(failed(PemProblem::Unreadable(reason)));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_SIZE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > MAX_FILE_SIZE {
        return Err(failed(PemProblem::TooLarge));
    }
    Ok(PemFile::new(path, bytes))
}

/// The content of a file with its name, which error texts begin with.
///
/// Its `Debug` shows the name and the size only.
pub struct PemFile {
    name: PathBuf,
    bytes: Vec<u8>,
}

impl PemFile {
    /// Takes bytes that came from elsewhere, and a name for them.
    pub fn new(name: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }

    /// The certificates in their order: the leaf first.
    ///
    /// # Errors
    ///
    /// As [`certificates`].
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let failed = |problem| PemError::new(&self.name, PemExpected::Certificates, problem);
        let blocks = blocks(&self.bytes).map_err(failed)?;
        let certificates: Vec<_> = blocks.iter().filter(|b| b.is_certificate()).collect();
        if certificates.is_empty() {
            return Err(failed(PemProblem::instead_of_certificates(&blocks)));
        }
        certificates
            .into_iter()
            .enumerate()
            .map(|(index, block)| {
                let damaged = || failed(PemProblem::DamagedCertificate { number: index + 1 });
                let der = CertificateDer::from_pem_slice(block.text).map_err(|_| damaged())?;
                match parse_x509_certificate(&der) {
                    Ok(([], _)) => Ok(der),
                    _ => Err(damaged()),
                }
            })
            .collect()
    }

    /// The private key. Whether the cryptography can use it shows when it is
    /// loaded there.
    ///
    /// # Errors
    ///
    /// As [`private_key`].
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        let failed = |problem| PemError::new(&self.name, PemExpected::PrivateKey, problem);
        let blocks = blocks(&self.bytes).map_err(failed)?;
        let keys: Vec<_> = blocks.iter().filter(|b| b.is_private_key()).collect();
        match keys[..] {
            [] => Err(failed(PemProblem::instead_of_a_key(&blocks))),
            [key] if key.is_encrypted() => Err(failed(PemProblem::EncryptedKey)),
            [Block { text, .. }] => {
                PrivateKeyDer::from_pem_slice(text).map_err(|_| failed(PemProblem::DamagedKey))
            }
            _ => Err(failed(PemProblem::SeveralKeys { count: keys.len() })),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFile")
            .field("name", &self.name)
            .field("size", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
