//! The registry's own certificate, its key, and the CAs of clients: loaded and
//! inspected at the start, and again when their content changes.
//!
//! | at the start | later |
//! |---|---|
//! | an error ends it | an error keeps what is served, and is logged once |
//! | warnings are logged | so are new ones, and each day those of the certificate in use |

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use registry_tls::inspect::{Expectations, Finding, Severity, Subject, inspect};
use registry_tls::pem::{self, PemError};
use registry_tls::rustls::crypto::CryptoProvider;
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::server::{ClientAuth, ServerOptions};
use registry_tls::trust::CaCertificates;
use registry_tls::{HostName, Reloaded, Reloading, TlsError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{self, Tls};
use crate::follow::follow;
use crate::logging::chain;
use crate::public_url;

/// How often a certificate that nobody touches is inspected.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The cryptography of this build.
#[must_use]
pub fn tls_provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return registry_tls::provider::aws_lc_rs();
    #[cfg(not(feature = "aws-lc-rs"))]
    return registry_tls::provider::ring();
}

/// What TLS is served with.
#[derive(Debug)]
pub struct Certificates {
    served: Arc<Reloading>,
    expected: Expected,
    ca: Option<PublishedCa>,
}

/// Why TLS cannot be served. Prints as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificatesError {
    /// Files or settings that do not go together, or a certificate that
    /// clients would refuse.
    #[error("http.tls: {}", chain(.0))]
    Tls(#[from] TlsError),
    /// A file of CAs that cannot be read.
    #[error("{key}: {source}")]
    Pem {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong with the file.
        source: PemError,
    },
    /// A file of CAs that are none.
    #[error("{key}: {}: {findings}", path.display())]
    Authority {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        findings: Errors,
    },
}

/// Findings because of which a certificate is not used. Prints as one line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
#[non_exhaustive]
pub struct Errors(Vec<String>);

impl Errors {
    fn among(findings: &[Finding]) -> Result<(), Self> {
        let errors: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| match finding.complaints().first() {
                Some(complaint) => format!("{finding} ({complaint})"),
                None => finding.to_string(),
            })
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }
}

impl Certificates {
    /// Reads and inspects everything that `http.tls` names, and logs warnings.
    ///
    /// # Errors
    /// When a file is bad, or a certificate is one that clients refuse.
    pub fn load(tls: &Tls, http: &config::Http) -> Result<Self, CertificatesError> {
        let mut options = ServerOptions::new(&tls.certificate, &tls.key);
        options.client_cas.clone_from(&tls.client_cas);
        options.client_auth = match tls.client_auth {
            // The probe of `GET /` has no certificate; see `client_certificate`.
            Some(ClientAuth::RequireAndVerify) => Some(ClientAuth::VerifyIfGiven),
            other => other,
        };
        options.minimum = tls.minimum;
        options.cipher_suites = tls.cipher_suites.clone();
        if !http.http2 {
            options.alpn = vec![b"http/1.1".to_vec()];
        }
        let expected = Expected::of(http);
        let check = expected.clone();
        let served = Reloading::load_checked(options, tls_provider(), move |chain| {
            Ok(Errors::among(&check.findings(chain))?)
        })?;
        for path in &tls.client_cas {
            authorities("http.tls.clientcas", path)?;
        }
        let ca = tls.publish_ca.as_deref().map(PublishedCa::read);
        let certificates = Self {
            served: Arc::new(served),
            expected,
            ca: ca.transpose()?,
        };
        certificates.warn();
        Ok(certificates)
    }

    /// What to serve with.
    #[must_use]
    pub fn served(&self) -> Arc<Reloading> {
        Arc::clone(&self.served)
    }

    /// The CA to hand out, in PEM.
    #[must_use]
    pub fn ca(&self) -> Option<watch::Receiver<Bytes>> {
        self.ca.as_ref().map(|ca| ca.pem.subscribe())
    }

    /// Looks at the files every 10 seconds, and never ends.
    pub async fn watch(self) {
        let mut certificates = self;
        let mut inspected = Instant::now();
        follow("certificates", move || {
            let daily = inspected.elapsed() >= DAY;
            if certificates.look() || daily {
                certificates.warn();
                inspected = Instant::now();
            }
        })
        .await;
    }

    /// Whether there is a new certificate.
    fn look(&mut self) -> bool {
        if let Some(ca) = &mut self.ca {
            ca.look();
        }
        match self.served.reload() {
            Ok(Reloaded::Changed) => {
                tracing::info!("http.tls: new connections get the new certificate");
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::error!("http.tls: the old certificate stays: {}", chain(&error));
                false
            }
        }
    }

    fn warn(&self) {
        let path = self.served.options().certificate.display();
        for finding in self.expected.findings(&self.served.certificates()) {
            tracing::warn!("http.tls.certificate: {path}: {finding}");
        }
    }
}

/// What clients will ask the certificate for.
#[derive(Clone, Debug)]
struct Expected {
    hosts: Vec<HostName>,
}

impl Expected {
    fn of(http: &config::Http) -> Self {
        let host = http.host.as_ref().and_then(public_url::host_of);
        let hosts = host.into_iter().collect();
        Self { hosts }
    }

    fn findings(&self, chain: &[CertificateDer<'_>]) -> Vec<Finding> {
        let expectations = Expectations::default().hosts(self.hosts.clone());
        inspect(
            &Subject::server(chain, None),
            &expectations,
            &tls_provider(),
        )
    }
}

/// A CA's file, and what was in it last.
#[derive(Debug)]
struct PublishedCa {
    path: PathBuf,
    pem: watch::Sender<Bytes>,
    broken: bool,
}

impl PublishedCa {
    const KEY: &'static str = "http.tls.publishca";

    fn read(path: &Path) -> Result<Self, CertificatesError> {
        let pem = authorities(Self::KEY, path)?;
        Ok(Self {
            path: path.to_owned(),
            pem: watch::Sender::new(pem.into()),
            broken: false,
        })
    }

    fn look(&mut self) {
        match authorities(Self::KEY, &self.path) {
            Ok(pem) => {
                self.broken = false;
                self.pem.send_if_modified(|old| {
                    let changed = *old != pem.as_bytes();
                    if changed {
                        *old = pem.into();
                    }
                    changed
                });
            }
            Err(error) if !self.broken => {
                self.broken = true;
                tracing::error!("the old CA stays: {error}");
            }
            Err(_) => {}
        }
    }
}

/// The certificates of a file of CAs alone, in PEM, whatever else it holds.
fn authorities(key: &'static str, path: &Path) -> Result<String, CertificatesError> {
    let certificates =
        pem::certificates(path).map_err(|source| CertificatesError::Pem { key, source })?;
    let subject = Subject::authority(&certificates);
    let findings = inspect(&subject, &Expectations::default(), &tls_provider());
    Errors::among(&findings).map_err(|findings| CertificatesError::Authority {
        key,
        path: path.to_owned(),
        findings,
    })?;
    // Whatever else the file holds stays here.
    let authorities = CaCertificates::from_certificates(&certificates);
    let authorities = authorities.map_err(|error| CertificatesError::Authority {
        key,
        path: path.to_owned(),
        findings: Errors(vec![error.to_string()]),
    })?;
    Ok(authorities.to_pem())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use registry_tls::issue::{Authority, AuthorityOptions, LeafOptions};
    use tempfile::TempDir;

    use super::*;

    /// `tls.crt` and `tls.key` for hosts, `ca.crt`, and a configuration of them.
    struct Files {
        dir: TempDir,
        authority: Authority,
    }

    impl Files {
        fn new(hosts: &[&str]) -> Self {
            let authority = Authority::new(&AuthorityOptions::new("test")).expect("made");
            let dir = tempfile::tempdir().expect("temporary directory");
            let files = Self { dir, authority };
            files.issue(hosts);
            files
        }

        fn issue(&self, hosts: &[&str]) {
            let hosts = hosts
                .iter()
                .map(|host| host.parse().expect("valid"))
                .collect();
            let issued = self
                .authority
                .issue(&LeafOptions::new(hosts))
                .expect("made");
            self.write("tls.crt", &issued.certificate_pem);
            self.write("tls.key", issued.key_pem.as_str());
            // A key beside the CA, by mistake.
            let ca = self.authority.certificate_pem();
            self.write(
                "ca.crt",
                &(self.authority.key_pem().as_str().to_owned() + &ca),
            );
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).expect("written");
        }

        fn load(&self) -> Result<Certificates, CertificatesError> {
            let dir = self.dir.path().display();
            let text = format!(
                "http: {{host: 'https://r.local:5000', tls: {{certificate: {dir}/tls.crt, \
                 key: {dir}/tls.key, publishca: {dir}/ca.crt}}}}"
            );
            let path = self.dir.path().join("c.yml");
            fs::write(&path, text).expect("written");
            let http = crate::Config::load(Some(&path), []).expect("valid").http;
            Certificates::load(http.tls.as_ref().expect("set"), &http)
        }
    }

    #[test]
    fn a_good_certificate_is_served_and_its_ca_without_the_key_beside_it() {
        let files = Files::new(&["r.local"]);
        let certificates = files.load().expect("good");
        assert_eq!(certificates.served().certificates().len(), 2);
        let ca = certificates.ca().expect("published");
        assert_eq!(*ca.borrow(), files.authority.certificate_pem().as_bytes());
    }

    #[test]
    fn what_clients_would_refuse_is_told_in_one_line() {
        let files = Files::new(&["other.local"]);
        let line = files.load().expect_err("another host").to_string();
        assert!(line.starts_with("http.tls: the certificate in "), "{line}");
        assert!(
            line.contains("r.local") && line.contains("other.local"),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");

        files.issue(&["r.local"]);
        files.write("ca.crt", "");
        let line = files.load().expect_err("no CA").to_string();
        assert!(line.starts_with("http.tls.publishca: "), "{line}");
    }

    #[test]
    fn a_bad_certificate_never_takes_the_place_of_a_good_one() {
        let files = Files::new(&["r.local"]);
        let mut certificates = files.load().expect("good");
        let first = certificates.served().certificates();
        let ca = certificates.ca().expect("published");
        files.issue(&["other.local"]);
        files.write("ca.crt", "no CA");
        assert!(!certificates.look());
        assert_eq!(certificates.served().certificates(), first);
        assert_eq!(*ca.borrow(), files.authority.certificate_pem().as_bytes());

        files.issue(&["r.local", "other.local"]);
        assert!(certificates.look());
        assert_ne!(certificates.served().certificates(), first);
    }
}
