//! TLS for a container registry that works the first time: makes certificates,
//! finds what is wrong with them before a client does, serves them, follows
//! them when they are renewed, and makes clients trust them.
//!
//! ```text
//! issue -> files -> inspect -> server -> Reloading -> rustls::ServerConnection -> ClientIdentity
//!    \-> trust: what docker, containerd, k3s, podman and systems read
//! ```
//!
//! | module or type | for |
//! |---|---|
//! | [`issue`] | a small authority, and certificates of servers and clients that it signs |
//! | [`files`] | writing keys and certificates: whole, and readable for the right users |
//! | [`pem`] | reading what users have, with a sentence for each mistake |
//! | [`inspect`] | every problem of a certificate, which client fails for it and with which message |
//! | [`server`] | `rustls` settings in the words of distribution's `http.tls` |
//! | [`Reloading`] | a server's configuration that follows the content of its files |
//! | [`ClientIdentity`] | who a client is that showed a verified certificate |
//! | [`trust`] | what each client needs to trust the authority: as data, files or a script |
//! | [`provider`] | the cryptography, which is always passed on explicitly |
//! | [`HostName`] | a name or address that a certificate is good for |
//!
//! It opens no sockets and has no async runtime: a caller takes the
//! [`rustls::ServerConfig`] to `tokio-rustls` or wherever it serves.
//!
//! # From nothing to a served certificate
//!
//! ```
//! # #[cfg(feature = "ring")] {
//! use registry_tls::files::{Overwrite, write_public, write_secret};
//! use registry_tls::inspect::{Expectations, Subject, inspect};
//! use registry_tls::issue::{Authority, AuthorityOptions, LeafOptions};
//! use registry_tls::server::ServerOptions;
//! use registry_tls::trust::{CaCertificates, Client, Target};
//! use registry_tls::{Reloading, pem, provider};
//!
//! let dir = tempfile::tempdir()?;
//! let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
//!
//! let authority = Authority::new(&AuthorityOptions::new("home"))?;
//! let hosts = vec!["registry.local".parse()?, "192.168.0.201".parse()?];
//! let issued = authority.issue(&LeafOptions::new(hosts.clone()))?;
//! write_secret(&key, issued.key_pem.as_ref(), Overwrite::Never)?;
//! write_public(&certificate, issued.certificate_pem.as_ref(), Overwrite::Never)?;
//!
//! let provider = provider::ring();
//! let chain = pem::certificates(&certificate)?;
//! let expected = Expectations::default().hosts(hosts);
//! assert_eq!(inspect(&Subject::server(&chain, None), &expected, &provider), []);
//!
//! let tls = Reloading::load(ServerOptions::new(certificate, key), provider)?;
//! let config = tls.config(); // for each new connection
//! let connection = rustls::ServerConnection::new(config)?;
//! tls.reload()?; // every few seconds
//!
//! let ca = CaCertificates::from_pem(authority.certificate_pem().as_bytes())?;
//! let plan = Client::Docker.plan(&Target::new("registry.local:5000".parse()?, ca));
//! println!("{}", plan.script()); // to run on each client
//! # }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! * `ring` (default): cryptography of `ring`.
//! * `aws-lc-rs`: cryptography of `aws-lc-rs`; it also makes the certificates
//!   and seals the sessions when both are on.
//!
//! With neither, nothing can be made: the module `issue` is absent, and
//! clients cannot resume sessions. All else takes any [`rustls`] provider.

pub mod files;
mod host_name;
mod identity;
pub mod inspect;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub mod issue;
pub mod pem;
pub mod provider;
mod reload;
pub mod server;
pub mod trust;

pub use host_name::{HostName, HostNameError};
pub use identity::ClientIdentity;
pub use reload::{Reloaded, Reloading};
pub use rustls;
pub use server::TlsError;
