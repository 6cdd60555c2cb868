//! Certificates, and what clients will say about them.

use std::path::Path;

use registry_tls::inspect::{
    CertificateSummary, Expectations, Finding, Role, Severity, Subject, inspect, verify,
};
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::{HostName, pem};

use super::Report;
use crate::certificates::{Certificates, tls_provider};
use crate::config::Http;
use crate::public_url;

type Chain = Vec<CertificateDer<'static>>;

/// A file of certificates.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct File<'a> {
    pub(in crate::commands) path: &'a Path,
    pub(in crate::commands) role: Role,
    pub(in crate::commands) key: Option<&'a Path>,
    /// What clients will ask for.
    pub(in crate::commands) hosts: &'a [HostName],
}

/// Looks at all that `http.tls` names.
pub(in crate::commands) fn configured(http: &Http, hosts: &[HostName], report: &mut Report) {
    const PUBLISHED: &str = "http.tls.publishca";
    let Some(tls) = &http.tls else { return };
    let before = report.errors();
    let own = http.host.as_ref().and_then(public_url::host_of);
    let mut hosts = hosts.to_vec();
    hosts.extend(own.filter(|own| !hosts.contains(own)));

    let mut server = File::server(&tls.certificate);
    server.key = Some(&tls.key);
    server.hosts = &hosts;
    let chain = server.look("http.tls.certificate", report);
    for path in &tls.client_cas {
        File::authority(path).look("http.tls.clientcas", report);
    }
    if let Some(path) = &tls.publish_ca {
        let ca = File::authority(path).look(PUBLISHED, report);
        trusted(chain, ca, PUBLISHED, report);
    }
    // What only shows when it is put together, such as cipher suites that do
    // not go with the key.
    if report.errors() == before
        && let Err(error) = Certificates::load(tls, http)
    {
        report.error("http.tls", &error.to_string());
    }
}

/// Whether clients that trust a CA accept the server, as far as it was not
/// told about the two alone.
pub(in crate::commands) fn trusted(
    chain: Option<Chain>,
    ca: Option<Chain>,
    what: &str,
    report: &mut Report,
) {
    let (Some(chain), Some(ca)) = (chain, ca) else {
        return;
    };
    let leaf = chain.first().map(CertificateSummary::of);
    let Some(Ok(leaf)) = leaf else { return };
    let Some(host) = leaf.hosts.first() else {
        return;
    };
    let now = Expectations::default().now;
    let findings = verify(&chain, host, &ca, now, &tls_provider()).err();
    for finding in findings.unwrap_or_default() {
        let text = format!("clients that trust it refuse the registry's certificate: {finding}");
        report.error(what, &text);
        complaints(&finding, report);
    }
}

impl<'a> File<'a> {
    pub(in crate::commands) fn server(path: &'a Path) -> Self {
        Self {
            path,
            role: Role::Server,
            key: None,
            hosts: &[],
        }
    }

    pub(in crate::commands) fn authority(path: &'a Path) -> Self {
        Self {
            role: Role::Authority,
            ..Self::server(path)
        }
    }

    /// Tells everything about the file; returns its certificates unless there
    /// is an error.
    pub(in crate::commands) fn look(&self, what: &str, report: &mut Report) -> Option<Chain> {
        let before = report.errors();
        let chain = pem::certificates(self.path);
        let key = self.key.map(pem::private_key).transpose();
        for error in [chain.as_ref().err(), key.as_ref().err()]
            .into_iter()
            .flatten()
        {
            report.error(what, &error.to_string());
        }
        let chain = chain.ok()?;
        let key = key.ok().flatten();
        let mut subject = Subject::server(&chain, key.as_ref());
        subject.role = self.role;
        let expectations = Expectations::default().hosts(self.hosts.iter().cloned());
        let shown = self.path.display();
        for finding in inspect(&subject, &expectations, &tls_provider()) {
            let text = format!("{shown}: {finding}");
            match finding.severity {
                Severity::Error => report.error(what, &text),
                _ => report.warning(what, &text),
            }
            complaints(&finding, report);
        }
        if report.errors() > before {
            return None;
        }
        report.ok(what, &format!("{shown}: {}", self.summary(&chain)));
        Some(chain)
    }

    fn summary(&self, chain: &[CertificateDer<'_>]) -> String {
        let summaries = chain.iter().filter_map(|c| CertificateSummary::of(c).ok());
        let of = |summary: CertificateSummary| match self.role {
            Role::Authority => format!(
                "{}, until {}, SHA-256 {}",
                summary.subject,
                summary.not_after.date(),
                summary.fingerprint
            ),
            _ => {
                let hosts: Vec<_> = summary.hosts.iter().map(ToString::to_string).collect();
                let whose = match hosts.as_slice() {
                    [] => summary.subject,
                    hosts => format!("for {}", hosts.join(", ")),
                };
                format!("{whose}, until {}", summary.not_after.date())
            }
        };
        let count = match self.role {
            Role::Authority => chain.len(),
            _ => 1,
        };
        summaries.take(count).map(of).collect::<Vec<_>>().join("; ")
    }
}

fn complaints(finding: &Finding, report: &mut Report) {
    for complaint in finding.complaints() {
        report.detail(&complaint.to_string());
    }
}
