//! Makes certificates: a small authority, server certificates that it signs,
//! and client certificates for mutual TLS.
//!
//! | certificate | for         | valid by default | key stays                  |
//! |-------------|-------------|------------------|----------------------------|
//! | authority   | signing     | 10 years         | where certificates are made |
//! | server      | host names  | 820 days         | on the server              |
//! | client      | one user    | 820 days         | with the user              |
//!
//! Clients trust the authority's certificate, once. A server certificate is
//! renewed, also for other hosts, by issuing it again from the same authority;
//! no client notices. That is why the authority carries no name constraints:
//! they would fix the hosts for ten years.
//!
//! ```
//! use registry_tls::files::{self, Overwrite};
//! use registry_tls::issue::{Authority, AuthorityOptions, KeyChoice, LeafOptions};
//! use rustls::pki_types::pem::PemObject;
//! use rustls::pki_types::{CertificateDer, PrivateKeyDer};
//!
//! let dir = tempfile::tempdir()?;
//! let file = |name: &str| dir.path().join(name);
//!
//! let authority = Authority::new(&AuthorityOptions::new("home"))?;
//! files::write_secret(&file("ca.key"), authority.key_pem().as_ref(), Overwrite::Never)?;
//! files::write_public(&file("ca.crt"), authority.certificate_pem().as_ref(), Overwrite::Never)?;
//!
//! let hosts = vec!["registry.local".parse()?, "192.168.0.201".parse()?];
//! let server = authority.issue(&LeafOptions::new(hosts))?;
//! files::write_secret(&file("tls.key"), server.key_pem.as_ref(), Overwrite::Never)?;
//! files::write_public(&file("tls.crt"), server.certificate_pem.as_ref(), Overwrite::Never)?;
//!
//! // Two years later: a new certificate for the same key, and one more host.
//! let certificate = CertificateDer::from_pem_file(file("ca.crt"))?;
//! let authority = Authority::load(&[certificate], &PrivateKeyDer::from_pem_file(file("ca.key"))?)?;
//! let mut renewal = LeafOptions::new(vec!["*.cube.local".parse()?, "registry.local".parse()?]);
//! renewal.key = KeyChoice::Keep(PrivateKeyDer::from_pem_file(file("tls.key"))?);
//! let server = authority.issue(&renewal)?;
//! files::write_public(&file("tls.crt"), server.certificate_pem.as_ref(), Overwrite::Replace)?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod authority;
mod error;
mod key;
mod leaf;
mod load;
#[cfg(test)]
mod tests;
mod validity;

pub use authority::{Authority, AuthorityOptions};
pub use error::IssueError;
pub use key::{KeyChoice, KeyKind, KeyPem};
pub use leaf::{ClientOptions, Issued, LeafOptions};
pub use validity::{DEFAULT_AUTHORITY_VALIDITY, DEFAULT_VALIDITY, LONGEST_VALIDITY};
