//! What is wrong with a certificate, said before a client says it.
//!
//! ```text
//! inspect(Subject, Expectations) -> Vec<Finding>     every problem of a file
//! verify(chain, host, roots, …)  -> Result           would Docker connect?
//! CertificateSummary::of(der)                        what is in it
//! ```
//!
//! | file | looks at |
//! |---|---|
//! | `form.rs` | version, serial number, critical extensions |
//! | `validity.rs` | dates |
//! | `names.rs` | `subjectAltName` |
//! | `key.rs` | kind of key, kind of signature, whether the private key belongs |
//! | `chain.rs` | order, strangers, signatures |
//! | `usage.rs` | CA flag, `keyUsage`, `extendedKeyUsage` |
//! | `complaint.rs` | which client prints what; how that was found out |
//!
//! ```
//! use registry_tls::inspect::{Client, Expectations, Problem, Subject, inspect};
//! # #[cfg(feature = "ring")] {
//! # let made = rcgen::generate_simple_self_signed(["registry.local".to_owned()])?;
//! # let chain = [made.cert.der().clone()];
//! let provider = rustls::crypto::ring::default_provider();
//! let expectations = Expectations::default().hosts(["192.168.0.201".parse()?]);
//! let findings = inspect(&Subject::server(&chain, None), &expectations, &provider);
//! let finding = findings
//!     .iter()
//!     .find(|finding| matches!(finding.problem, Problem::NotCovered { .. }))
//!     .expect("the address is missing");
//! assert_eq!(finding.complaints()[0].client, Client::Go);
//! assert_eq!(
//!     finding.complaints()[0].message,
//!     "tls: failed to verify certificate: x509: cannot validate certificate for \
//!      192.168.0.201 because it doesn't contain any IP SANs"
//! );
//! # }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

use crate::HostName;

mod certificate;
mod chain;
mod complaint;
mod finding;
mod form;
mod key;
mod names;
mod problem;
mod summary;
#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests;
mod usage;
mod validity;
mod verify;

pub use complaint::{Client, Complaint};
pub use finding::{Finding, Severity};
pub use problem::Problem;
pub use summary::{CertificateSummary, Fingerprint};
pub use verify::verify;

use certificate::Parsed;

/// What a file of certificates is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A server's certificate, then those that signed it.
    Server,
    /// A client's certificate, then those that signed it.
    Client,
    /// Authorities to trust, each by itself.
    Authority,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Authority => "authority",
        })
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Subject<'a> {
    /// The certificates of the file, in its order.
    pub chain: &'a [CertificateDer<'a>],
    /// The private key that is to belong to them.
    pub key: Option<&'a PrivateKeyDer<'a>>,
    /// What the file is for.
    pub role: Role,
}

impl<'a> Subject<'a> {
    /// What a server serves; without a key when seen from outside.
    #[must_use]
    pub fn server(chain: &'a [CertificateDer<'a>], key: Option<&'a PrivateKeyDer<'a>>) -> Self {
        let role = Role::Server;
        Self { chain, key, role }
    }

    /// What a client shows a server.
    #[must_use]
    pub fn client(chain: &'a [CertificateDer<'a>], key: Option<&'a PrivateKeyDer<'a>>) -> Self {
        let role = Role::Client;
        Self { chain, key, role }
    }

    /// What a client, or a server with `clientcas`, is to trust.
    #[must_use]
    pub fn authority(chain: &'a [CertificateDer<'a>]) -> Self {
        let (key, role) = (None, Role::Authority);
        Self { chain, key, role }
    }
}

/// What the certificate is to be good for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expectations {
    /// The names and addresses that clients use for a server. Default: none,
    /// so that no name is missed.
    pub hosts: Vec<HostName>,
    /// The time to look at. Default: now.
    pub now: OffsetDateTime,
    /// How long before its end a certificate is reported. Default: 30 days.
    pub soon: Duration,
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            now: OffsetDateTime::now_utc(),
            soon: Duration::days(30),
        }
    }
}

impl Expectations {
    /// Sets the names and addresses that clients use.
    #[must_use]
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = HostName>) -> Self {
        self.hosts = hosts.into_iter().collect();
        self
    }

    /// Sets the time to look at.
    #[must_use]
    pub fn now(mut self, now: OffsetDateTime) -> Self {
        self.now = now;
        self
    }

    /// Sets how long before its end a certificate is reported.
    #[must_use]
    pub fn soon(mut self, soon: Duration) -> Self {
        self.soon = soon;
        self
    }
}

/// Finds every problem, in the order in which Go would stumble over them. The
/// provider reads the private key and checks the chain's signatures.
#[must_use]
pub fn inspect(
    subject: &Subject<'_>,
    expectations: &Expectations,
    provider: &CryptoProvider,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let certificates = read(subject.chain, &mut findings);
    if subject.role == Role::Authority {
        for certificate in &certificates {
            form::check(certificate, subject.role, &mut findings);
            validity::check(certificate, expectations, &mut findings);
            key::check(certificate, true, &mut findings);
            usage::check_trusted(certificate, &mut findings);
        }
        return findings;
    }
    let Some(own) = chain::own(&certificates, subject, provider, &mut findings) else {
        return findings;
    };
    let role = subject.role;
    form::check(own, role, &mut findings);
    validity::check(own, expectations, &mut findings);
    if role == Role::Server {
        validity::check_length(own, &mut findings);
        names::check(own, &expectations.hosts, &mut findings);
    }
    key::check(own, false, &mut findings);
    usage::check_own(own, role, &mut findings);
    if let Some(private) = subject.key {
        key::check_pair(own, private, provider, &mut findings);
    }
    for issuer in chain::check(&certificates, own, provider, &mut findings) {
        form::check(issuer, Role::Authority, &mut findings);
        validity::check(issuer, expectations, &mut findings);
        key::check(issuer, true, &mut findings);
        usage::check_issuer(issuer, &mut findings);
    }
    findings
}

/// The readable certificates, each once.
fn read<'a>(chain: &'a [CertificateDer<'_>], findings: &mut Vec<Finding>) -> Vec<Parsed<'a>> {
    let error = |position, problem| Finding::new(Severity::Error, position, String::new(), problem);
    if chain.is_empty() {
        findings.push(error(0, Problem::NoCertificate));
    }
    let mut certificates: Vec<Parsed<'_>> = Vec::new();
    for (position, der) in chain.iter().enumerate() {
        match Parsed::new(position, der) {
            Ok(new) if certificates.iter().any(|old| old.der == new.der) => {}
            Ok(certificate) => certificates.push(certificate),
            Err(problem) => findings.push(error(position, problem)),
        }
    }
    certificates
}
