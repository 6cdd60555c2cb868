//! Step 5: what each client on this machine thinks of the certificates.

use std::net::SocketAddr;

use registry_tls::inspect::{
    CertificateSummary, Client as Family, Expectations, Finding, Subject, inspect, verify,
};
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::trust::{FolderProblem, RegistryAddress, check_folder};

use super::Patient;
use super::files::{self, Settings, Trusted};
use super::machine::Machine;
use crate::certificates::tls_provider;
use crate::commands::report::Report;
use crate::commands::word;

/// A client that is here.
struct Client<'a> {
    name: &'a str,
    /// Its name to `pi-registry trust`; none for a file that the user gave.
    to_trust: Option<&'a str>,
    family: Family,
}

/// Everything that clients here trust for this registry.
pub(super) fn check(
    machine: &Machine,
    patient: &Patient,
    addresses: &[SocketAddr],
    chain: &[CertificateDer<'static>],
    report: &mut Report,
) -> Vec<CertificateDer<'static>> {
    let address = &patient.address;
    let mut roots = machine.system.clone();
    let mut absent = Vec::new();
    for (name, programs, folder) in [
        ("docker", &["docker", "dockerd"] as &[_], "/etc/docker"),
        (
            "podman",
            &["podman", "skopeo", "buildah"],
            "/etc/containers",
        ),
        ("containerd", &["containerd"], "/etc/containerd"),
        ("k3s", &["k3s"], "/etc/rancher/k3s"),
        ("rke2", &["rke2"], "/etc/rancher/rke2"),
        ("curl", &["curl"], ""),
    ] {
        let program = programs.iter().any(|program| machine.has_program(program));
        if !program && (folder.is_empty() || !machine.has_folder(folder)) {
            absent.push(name);
            continue;
        }
        let settings = match name {
            "docker" => files::docker(machine, address, addresses),
            "podman" => files::podman(machine, address),
            "containerd" => files::containerd(machine, address, report),
            "curl" => Settings::default(),
            name => files::k3s(machine, name, address, report),
        };
        if let Some(folder) = &settings.folder {
            let place = machine.place(folder);
            let shown = folder.display().to_string();
            folder_problems(name, &shown, check_folder(&place), report);
        }
        let client = Client {
            name,
            to_trust: Some(if name == "curl" { "system" } else { name }),
            family: if name == "curl" {
                Family::OpenSsl
            } else {
                Family::Go
            },
        };
        let mut system = machine.system.clone();
        if client.family == Family::OpenSsl {
            // It finds authorities only; Go takes all that lies in the folder,
            // such as Debian's snake oil.
            let is_ca =
                |der: &CertificateDer<'_>| CertificateSummary::of(der).is_ok_and(|read| read.is_ca);
            system.retain(|der| is_ca(der) || chain.first() == Some(der));
        }
        client.judge(address, chain, &system, &settings, report);
        roots.extend(
            settings
                .files
                .into_iter()
                .flat_map(|file| file.certificates),
        );
    }
    if !absent.is_empty() {
        let text = format!("not looked at, as they are not here: {}", absent.join(", "));
        report.ok("clients", &text);
    }
    if let Some((path, certificates)) = &patient.ca {
        let client = Client {
            name: "--ca",
            to_trust: None,
            family: Family::Go,
        };
        let path = path.clone();
        let certificates = certificates.clone();
        roots.extend(certificates.iter().cloned());
        let settings = Settings {
            files: vec![Trusted { path, certificates }],
            ..Settings::default()
        };
        client.judge(address, chain, &[], &settings, report);
    }
    roots
}

fn folder_problems(
    name: &str,
    folder: &str,
    problems: std::io::Result<Vec<FolderProblem>>,
    report: &mut Report,
) {
    match problems {
        Ok(problems) => {
            for problem in problems {
                let text = format!("{folder}: {problem}");
                match problem {
                    FolderProblem::NoKey(_) | FolderProblem::NoCertificate(_) => {
                        report.error(name, &text);
                    }
                    _ => report.warning(name, &text),
                }
            }
        }
        Err(error) => report.warning(name, &format!("{folder} cannot be read: {error}")),
    }
}

impl Client<'_> {
    fn judge(
        &self,
        address: &RegistryAddress,
        chain: &[CertificateDer<'_>],
        system: &[CertificateDer<'static>],
        settings: &Settings,
        report: &mut Report,
    ) {
        if let Some(why) = &settings.careless {
            let text = format!("takes any certificate: {why}");
            return report.ok(self.name, &text);
        }
        let expected = Expectations::default().hosts([address.host().clone()]);
        let refuses =
            |roots: &[CertificateDer<'_>]| self.complaint(address, &expected, chain, roots);
        if !system.is_empty() && refuses(system).is_none() {
            // Go reads the system's store once.
            let daemon = ["docker", "containerd", "k3s", "rke2"].contains(&self.name);
            let restart = if daemon {
                ": restart it if it runs since before the CA was added"
            } else {
                ""
            };
            let text = format!("trusts the registry, by what the system trusts{restart}");
            return report.ok(self.name, &text);
        }
        for file in &settings.files {
            if refuses(&file.certificates).is_none() {
                let text = format!("trusts the registry, by {}", file.path.display());
                return report.ok(self.name, &text);
            }
        }
        let mut all = system.to_vec();
        all.extend(
            settings
                .files
                .iter()
                .flat_map(|file| file.certificates.clone()),
        );
        let Some((finding, message)) = refuses(&all) else {
            return report.ok(self.name, "trusts the registry");
        };
        let served = inspect(&Subject::server(chain, None), &expected, &tls_provider());
        let advice = match self.to_trust {
            // Nothing is wrong with what is served, but with what is trusted.
            Some(to) if !served.iter().any(|all| all.problem == finding.problem) => {
                let url = word(&address.url());
                format!("run sudo pi-registry trust {to} --server {url} --install")
            }
            _ => finding.to_string(),
        };
        report.error(self.name, &format!("will say \"{message}\": {advice}"));
    }

    /// The first thing that the client complains of, and in which words.
    fn complaint(
        &self,
        address: &RegistryAddress,
        expected: &Expectations,
        chain: &[CertificateDer<'_>],
        roots: &[CertificateDer<'_>],
    ) -> Option<(Finding, String)> {
        let provider = tls_provider();
        let mut findings = verify(chain, address.host(), roots, expected.now, &provider)
            .err()
            .unwrap_or_default();
        if self.family != Family::Go {
            // What Go lets pass.
            findings.extend(inspect(&Subject::server(chain, None), expected, &provider));
        }
        let message = |finding: &Finding| {
            let complaints = finding.complaints();
            let own = complaints
                .into_iter()
                .find(|all| all.client == self.family)?;
            Some(own.message)
        };
        let told = findings
            .iter()
            .find_map(|finding| Some((finding.clone(), message(finding)?)));
        // Go's verdict has no words of its own for the rarest problems.
        let silent = || {
            let finding = findings.first().filter(|_| self.family == Family::Go)?;
            Some((finding.clone(), finding.to_string()))
        };
        told.or_else(silent)
    }
}
