//! Step 4: the certificates that the registry shows.

use std::net::SocketAddr;

use registry_tls::inspect::{CertificateSummary, Expectations, Severity, Subject, inspect};
use registry_tls::trust::RegistryAddress;
use tokio::net::TcpStream;

use super::machine::Machine;
use super::{address, files};
use crate::certificates::tls_provider;
use crate::commands::remote::{self, RemoteError, Shown};
use crate::commands::report::Report;
use crate::logging::chain;

pub(super) async fn check(
    machine: &Machine,
    address: &RegistryAddress,
    socket: SocketAddr,
    tcp: TcpStream,
    report: &mut Report,
) -> Option<Shown> {
    match remote::handshake(tcp, socket, address.host()).await {
        Ok(shown) => {
            certificates(address, &shown, report);
            Some(shown)
        }
        Err(error) => {
            no_tls(machine, address, socket, &error, report).await;
            None
        }
    }
}

fn certificates(address: &RegistryAddress, shown: &Shown, report: &mut Report) {
    for (at, der) in shown.chain.iter().enumerate() {
        // `inspect` tells of the unreadable ones.
        if let Ok(certificate) = CertificateSummary::of(der) {
            let hosts: Vec<_> = certificate.hosts.iter().map(ToString::to_string).collect();
            let hosts = match hosts.is_empty() {
                true => String::new(),
                false => format!(" for {}", hosts.join(", ")),
            };
            let subject = match certificate.subject.as_str() {
                "" => "(no subject)",
                subject => subject,
            };
            report.ok(
                "certificate",
                &format!(
                    "{}. {subject}{hosts}, until {}, by {}, {}, sha256 {}",
                    at + 1,
                    certificate.not_after.date(),
                    certificate.issuer,
                    certificate.key,
                    certificate.fingerprint
                ),
            );
        }
    }
    let expected = Expectations::default().hosts([address.host().clone()]);
    let subject = Subject::server(&shown.chain, None);
    for finding in inspect(&subject, &expected, &tls_provider()) {
        match finding.severity {
            Severity::Error => report.error("certificate", &finding.to_string()),
            _ => report.warning("certificate", &finding.to_string()),
        }
    }
    if !shown.proven {
        let text = "the server did not prove that it has the certificate's key: somebody may be \
                    in between, or the key is of a kind that clients do not know";
        report.error("tls", text);
    }
    if shown.asks_for_certificate {
        let text = format!(
            "the server asks for a client certificate: docker and podman look for client.cert and \
             client.key in certs.d/{address}, k3s has cert_file and key_file, containerd client"
        );
        report.warning("tls", &text);
    }
}

/// Says what the server speaks in place of TLS.
async fn no_tls(
    machine: &Machine,
    address: &RegistryAddress,
    socket: SocketAddr,
    error: &RemoteError,
    report: &mut Report,
) {
    // A server that ends the connection may still speak HTTP.
    let answer = match remote::connect(socket).await {
        Ok(tcp) => remote::get(tcp, &address.to_string(), "/v2/", None).await,
        Err(error) => Err(chain(&error)),
    };
    let Ok(reply) = answer else {
        let advice = match error {
            RemoteError::HandshakeTimeout { .. } => {
                "a firewall or proxy swallows it, or another service listens there"
            }
            _ => "look into the server's log, and whether this is the registry's port",
        };
        return report.error("tls", &format!("{}: {advice}", chain(error)));
    };
    let status = reply.status;
    let text = format!("{socket} speaks HTTP without TLS (GET /v2/ is {status})");
    let fix = "let the registry serve TLS (pi-registry init)";
    if address::is_loopback(&[socket]) {
        let text = format!(
            "{text}: docker takes that from the machine itself, podman and others may not: {fix}"
        );
        return report.warning("tls", &text);
    }
    if let Some(entry) = files::insecure(machine, address, &[socket]) {
        let text = format!(
            "{text}: docker takes it, by {entry} among \"insecure-registries\" of \
             /etc/docker/daemon.json; passwords and images can be read on the way: {fix}"
        );
        return report.warning("tls", &text);
    }
    report.error(
        "tls",
        &format!(
            "{text}: docker will say \"http: server gave HTTP response to HTTPS client\": {fix}, \
             or add \"insecure-registries\": [\"{address}\"] to /etc/docker/daemon.json of every \
             client and restart docker"
        ),
    );
}
