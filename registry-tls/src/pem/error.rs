//! What is wrong with a PEM file, in one sentence.

use std::fmt;
use std::path::{Path, PathBuf};

use super::MAX_FILE_SIZE;
use super::block::Block;

/// A file does not hold what was expected of it.
///
/// Prints as one line: the file, what is wrong, what was expected, what to do.
/// It never holds a part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemError {
    file: PathBuf,
    expected: PemExpected,
    problem: PemProblem,
}

/// What a file was read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemExpected {
    /// A certificate, perhaps with others after it.
    Certificates,
    /// One private key without a passphrase.
    PrivateKey,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemProblem {
    /// There is no such file.
    Missing,
    /// The user of this process may not read it.
    Forbidden,
    /// It is a directory.
    Directory,
    /// The operating system fails to read it, for this reason.
    Unreadable(String),
    /// It has more than [`MAX_FILE_SIZE`] bytes.
    TooLarge,
    /// It has no bytes, or only white space.
    Empty,
    /// It is text in UTF-16, as PowerShell's `>` writes it.
    Utf16,
    /// It is the binary form of a certificate or something like it.
    Der,
    /// It is the binary form of a private key.
    DerKey,
    /// It is a PKCS#12 store: `.p12`, `.pfx`.
    Pkcs12,
    /// It is a PKCS#7 bundle: `.p7b`.
    Pkcs7,
    /// It is PEM, encoded in base64 once more, as in a Kubernetes secret.
    EncodedTwice,
    /// It is base64 without the lines around it.
    Bare,
    /// It is PEM with lost or indented lines.
    BrokenLines,
    /// It is something else.
    NoPem,
    /// A block has a first line and no last one.
    Truncated {
        /// The words after `BEGIN`.
        label: String,
    },
    /// A block has a last line and no first one.
    EndWithoutBegin,
    /// A certificate is not valid base64, or is not a certificate in it.
    DamagedCertificate {
        /// Which one in the file, from 1.
        number: usize,
    },
    /// A private key is not valid base64.
    DamagedKey,
    /// The private key needs a passphrase.
    EncryptedKey,
    /// There is more than one private key.
    SeveralKeys {
        /// How many.
        count: usize,
    },
    /// A private key where a certificate is expected.
    KeyInstead,
    /// A certificate where a private key is expected.
    CertificateInstead,
    /// A request for a certificate.
    Request,
    /// A public key without a certificate around it.
    PublicKeyOnly,
    /// A key as `ssh-keygen` writes it.
    OpenSshKey,
    /// A certificate with OpenSSL's own trust settings around it.
    TrustedCertificate,
    /// Only blocks that say nothing to us.
    OtherBlocks {
        /// The words after the first `BEGIN`.
        label: String,
    },
}

impl PemError {
    pub(super) fn new(file: &Path, expected: PemExpected, problem: PemProblem) -> Self {
        Self {
            file: file.to_owned(),
            expected,
            problem,
        }
    }

    /// The file's name as it was given.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What the file was read for.
    #[must_use]
    pub fn expected(&self) -> PemExpected {
        self.expected
    }

    /// What is wrong with the file.
    #[must_use]
    pub fn problem(&self) -> &PemProblem {
        &self.problem
    }
}

impl PemProblem {
    pub(super) fn instead_of_certificates(blocks: &[Block<'_>]) -> Self {
        if blocks.iter().any(Block::is_private_key) {
            return Self::KeyInstead;
        }
        Self::of_other(blocks)
    }

    pub(super) fn instead_of_a_key(blocks: &[Block<'_>]) -> Self {
        if blocks.iter().any(Block::is_certificate) {
            return Self::CertificateInstead;
        }
        Self::of_other(blocks)
    }

    /// Of the first block that is known; parameters may stand before it.
    fn of_other(blocks: &[Block<'_>]) -> Self {
        let known = blocks.iter().find_map(|block| match block.label {
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some(Self::Request),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(Self::PublicKeyOnly),
            "OPENSSH PRIVATE KEY" => Some(Self::OpenSshKey),
            "TRUSTED CERTIFICATE" => Some(Self::TrustedCertificate),
            "PKCS7" => Some(Self::Pkcs7),
            _ => None,
        });
        let label = blocks.first().map_or("", |block| block.label);
        known.unwrap_or_else(|| Self::OtherBlocks {
            label: label.to_owned(),
        })
    }
}

impl std::error::Error for PemError {}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        let expected = match self.expected {
            PemExpected::Certificates => "a PEM certificate, the server's own or the CA's first",
            PemExpected::PrivateKey => "a PEM private key without passphrase",
        };
        write!(f, "{file} ")?;
        match &self.problem {
            PemProblem::Missing => {
                write!(
                    f,
                    "does not exist; expected {expected}: check the path and, in a container, that the volume is mounted"
                )
            }
            PemProblem::Forbidden => {
                write!(f, "may not be read by ")?;
                match user_id() {
                    Some(id) => write!(f, "the user that this process runs as (uid {id})")?,
                    None => write!(f, "the user that this process runs as")?,
                }
                write!(
                    f,
                    "; expected {expected}: give the file to that user (chown, or fsGroup in Kubernetes), never to everybody"
                )
            }
            PemProblem::Directory => {
                write!(
                    f,
                    "is a directory; expected {expected}: name the file in it; docker makes a directory where a mounted file does not exist"
                )
            }
            PemProblem::Unreadable(reason) => {
                write!(f, "cannot be read ({reason}); expected {expected}")
            }
            PemProblem::TooLarge => {
                write!(
                    f,
                    "has more than {MAX_FILE_SIZE} bytes; expected {expected}: check the path"
                )
            }
            PemProblem::Empty => {
                write!(
                    f,
                    "is empty; expected {expected}: write it again, the tool that made it may have failed"
                )
            }
            PemProblem::Utf16 => {
                write!(
                    f,
                    "is text in UTF-16; expected {expected}: save it as UTF-8 or ASCII, in PowerShell with `Out-File -Encoding ascii`"
                )
            }
            PemProblem::Der => {
                write!(
                    f,
                    "is binary (DER); expected {expected}: convert it with `openssl x509 -inform der -in {file} -out NEW.crt`"
                )
            }
            PemProblem::DerKey => {
                write!(f, "is a private key in binary (DER); expected {expected}")?;
                match self.expected {
                    PemExpected::Certificates => write!(f, ": are key and certificate swapped?"),
                    PemExpected::PrivateKey => write!(
                        f,
                        ": convert it with `openssl pkey -inform der -in {file} -out NEW.key`"
                    ),
                }
            }
            PemProblem::Pkcs12 => {
                let what = match self.expected {
                    PemExpected::Certificates => "-nokeys -out NEW.crt",
                    PemExpected::PrivateKey => "-nocerts -nodes -out NEW.key",
                };
                write!(
                    f,
                    "is a PKCS#12 store (.p12, .pfx); expected {expected}: take it out with `openssl pkcs12 -in {file} {what}`"
                )
            }
            PemProblem::Pkcs7 => {
                write!(
                    f,
                    "is a PKCS#7 bundle (.p7b), which never holds a key; expected {expected}: take certificates out with `openssl pkcs7 -print_certs -in {file} -out NEW.crt`, with `-inform der` if it is binary"
                )
            }
            PemProblem::EncodedTwice => {
                write!(
                    f,
                    "is PEM encoded in base64 once more, as in the YAML of a Kubernetes secret; expected {expected}: decode it with `base64 -d {file}`, or put plain PEM under `stringData`"
                )
            }
            PemProblem::Bare => {
                write!(
                    f,
                    "is base64 without the lines -----BEGIN …----- and -----END …-----; expected {expected}: add them, or export it again"
                )
            }
            PemProblem::BrokenLines => {
                write!(
                    f,
                    "has -----BEGIN in the middle of a line; expected {expected}: each block needs its own lines without indentation, so look for lost line breaks or a literal \\n"
                )
            }
            PemProblem::NoPem => {
                write!(
                    f,
                    "holds no PEM block (-----BEGIN …-----); expected {expected}: check the path"
                )
            }
            PemProblem::Truncated { label } => {
                write!(
                    f,
                    "is cut off: a block -----BEGIN {label}----- lacks its -----END {label}-----; expected {expected}: copy the file again, whole"
                )
            }
            PemProblem::EndWithoutBegin => {
                write!(
                    f,
                    "is cut off: it has an -----END …----- line without its -----BEGIN; expected {expected}: copy the file again, whole"
                )
            }
            PemProblem::DamagedCertificate { number } => {
                write!(
                    f,
                    "is damaged: block {number} of its certificates holds none that can be read; expected {expected}: copy the file again, or make it anew"
                )
            }
            PemProblem::DamagedKey => {
                write!(
                    f,
                    "is damaged: its private key is not valid base64; expected {expected}: copy the file again, whole"
                )
            }
            PemProblem::EncryptedKey => {
                write!(
                    f,
                    "holds a private key that is encrypted; expected {expected}, since nobody types one when a server starts: decrypt it with `openssl pkey -in {file} -out NEW.key`"
                )
            }
            PemProblem::SeveralKeys { count } => {
                write!(
                    f,
                    "holds {count} private keys; expected {expected}: leave only the one of the certificate"
                )
            }
            PemProblem::KeyInstead => {
                write!(
                    f,
                    "holds a private key and no certificate; expected {expected}: are key and certificate swapped?"
                )
            }
            PemProblem::CertificateInstead => {
                write!(
                    f,
                    "holds a certificate and no private key; expected {expected}: are key and certificate swapped?"
                )
            }
            PemProblem::Request => {
                write!(
                    f,
                    "holds a certificate request (CSR); expected {expected}: "
                )?;
                match self.expected {
                    PemExpected::Certificates => {
                        write!(f, "use the certificate that the CA made from it")
                    }
                    PemExpected::PrivateKey => {
                        write!(f, "use the key that the request was made with")
                    }
                }
            }
            PemProblem::PublicKeyOnly => {
                write!(f, "holds only a public key; expected {expected}: ")?;
                match self.expected {
                    PemExpected::Certificates => write!(
                        f,
                        "a certificate names who the key belongs to and is signed by a CA"
                    ),
                    PemExpected::PrivateKey => {
                        write!(f, "use the file that the public key was taken from")
                    }
                }
            }
            PemProblem::OpenSshKey => {
                write!(f, "holds a key in OpenSSH's form; expected {expected}: ")?;
                match self.expected {
                    PemExpected::Certificates => {
                        write!(f, "keys for SSH have no certificate for TLS")
                    }
                    PemExpected::PrivateKey => {
                        write!(f, "convert a copy with `ssh-keygen -p -m PEM -f COPY`")
                    }
                }
            }
            PemProblem::TrustedCertificate => {
                write!(
                    f,
                    "holds a certificate in OpenSSL's own TRUSTED form; expected {expected}: convert it with `openssl x509 -in {file} -out NEW.crt`"
                )
            }
            PemProblem::OtherBlocks { label } => {
                write!(
                    f,
                    "holds {label:?} and nothing else of use; expected {expected}: check the path"
                )
            }
        }
    }
}

/// Read from `/proc`, which spares us a dependency for one number.
#[cfg(unix)]
fn user_id() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|own| own.uid())
}

#[cfg(not(unix))]
fn user_id() -> Option<u32> {
    None
}
