//! `trust`: makes a client trust the registry's CA.
//!
//! ```text
//! the server's files  ─┐
//! --ca FILE            ├─> Source { CA, server's chain, names } ─> verified ─> Plan ─> script, or files here
//! a running server     ─┘   (the CA only after its fingerprint was confirmed)
//! ```
//!
//! | file | |
//! |---|---|
//! | `source.rs` | the CA from files |
//! | `server.rs` | the CA from a running server, which nobody believes yet |
//! | `fingerprint.rs` | the question whether it is the right one |
//! | `install.rs` | writing files and running commands on this machine |

mod fingerprint;
mod install;
mod server;
mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use registry_tls::inspect::{Expectations, verify};
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::trust::{CaCertificates, Client, Plan, RegistryAddress, SystemStore, Target};

use self::fingerprint::FullFingerprint;
use self::source::Source;
use super::{exit_code, print};
use crate::certificates::tls_provider;

const HELP: &str = "\
The CA comes from the server's files (--config or --dir, on the server),
from a file that was copied (--ca), or from a running registry (--server).
Without any of these it comes from the configuration that `serve` takes.

Nothing is written without --install: what is printed is a script, for
other machines as well, such as
`pi-registry trust docker --dir /etc/pi-registry | ssh node sh`.";

#[derive(Args, Debug, PartialEq, Eq)]
// A doc comment would give way to that of the subcommand.
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Who is to trust the registry.
    client: Kind,
    /// A running registry, such as https://registry.local:5000: shows the
    /// CA that it gives, to be compared with the server's own.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "dir"])]
    server: Option<RegistryAddress>,
    /// The server's configuration file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dir", "ca"])]
    config: Option<PathBuf>,
    /// The folder that `pi-registry init` has made on the server.
    #[arg(long, conflicts_with = "ca")]
    dir: Option<PathBuf>,
    /// The CA's certificate. With --server the server is held against it.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What clients call the registry; may be given several times [default:
    /// that of --server, else the names and addresses of the certificate with
    /// the port of http.addr].
    #[arg(long, value_name = "HOST:PORT")]
    registry: Vec<RegistryAddress>,
    /// The CA's SHA-256 fingerprint as `pi-registry cert show` prints it on the
    /// server: takes the CA that has it, without a question.
    #[arg(
        long,
        value_name = "SHA256",
        requires = "server",
        conflicts_with = "ca"
    )]
    fingerprint: Option<FullFingerprint>,
    /// Print the script; the default.
    #[arg(long, conflicts_with = "install")]
    print: bool,
    /// Write the files on this machine, and run what must follow.
    #[arg(long)]
    install: bool,
    /// Write below this folder instead, such as an image that is being built,
    /// and run nothing.
    #[arg(long, value_name = "DIR", requires = "install")]
    root: Option<PathBuf>,
    /// The kind of Linux whose certificates `system` adds to [default: that of
    /// this machine].
    #[arg(long)]
    store: Option<Store>,
    /// With podman: for this user alone, without root.
    #[arg(long)]
    user: bool,
    /// With kubernetes: print the Secret with the server's certificate and
    /// PRIVATE KEY too, for the cluster that the registry runs in.
    #[arg(long, conflicts_with_all = ["server", "ca"])]
    secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Docker's engine on Linux.
    Docker,
    /// containerd with CRI, ctr, nerdctl.
    Containerd,
    /// k3s, on each node.
    K3s,
    /// RKE2, on each node.
    Rke2,
    /// MicroK8s, on each node.
    Microk8s,
    /// Podman, Buildah, Skopeo and CRI-O.
    Podman,
    /// All programs that use the certificates of a Linux system.
    System,
    /// Pods: a ConfigMap as YAML, for `kubectl apply -f -`.
    Kubernetes,
    /// A Mac with Docker Desktop.
    Macos,
    /// Windows with Docker Desktop; prints for PowerShell.
    Windows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    /// Debian, Ubuntu, Raspberry Pi OS, Alpine.
    Debian,
    /// Fedora, RHEL, Rocky, Amazon Linux.
    Fedora,
    /// Arch Linux.
    Arch,
    /// openSUSE and SLES.
    Suse,
}

/// Prints a script, or installs.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let done = arguments.plan().and_then(|plan| {
        if arguments.install {
            return install::install(&plan, arguments.root());
        }
        let text = match arguments.client {
            Kind::Kubernetes => yaml(&plan),
            _ => plan.script(),
        };
        print(&text).map_err(|error| format!("cannot print: {error}"))
    });
    exit_code(done)
}

/// The root of the machine itself.
const MACHINE: &str = "/";

impl Arguments {
    /// What is to be done, once the CA is known for the right one.
    fn plan(&self) -> Result<Plan, String> {
        let client = self.client()?;
        if self.install {
            install::possible(client, self.root())?;
        }
        let source = Source::find(self)?;
        let mut names = source.names.iter().cloned();
        let first = names
            .next()
            .ok_or("give the registry's name with --registry HOST:PORT")?;
        let target = names.fold(Target::new(first, source.ca), Target::also);
        let target = match source.pair.filter(|_| self.secret) {
            Some((certificate, key)) => target
                .with_server(&certificate, &key)
                .map_err(|error| error.to_string())?,
            None => target,
        };
        Ok(client.plan(&target))
    }

    fn client(&self) -> Result<Client, String> {
        let only = |given, option, client| match given {
            true => Err(format!(
                "{option} is for `trust {client}` only: leave it out"
            )),
            false => Ok(()),
        };
        only(
            self.store.is_some() && self.client != Kind::System,
            "--store",
            "system",
        )?;
        only(self.user && self.client != Kind::Podman, "--user", "podman")?;
        only(
            self.secret && self.client != Kind::Kubernetes,
            "--secret",
            "kubernetes",
        )?;
        Ok(match self.client {
            Kind::Docker => Client::Docker,
            Kind::Containerd => Client::Containerd,
            Kind::K3s => Client::K3s,
            Kind::Rke2 => Client::Rke2,
            Kind::Microk8s => Client::Microk8s,
            Kind::Podman if self.user => Client::PodmanRootless,
            Kind::Podman => Client::Podman,
            Kind::System => Client::System(self.system_store()?),
            Kind::Kubernetes => Client::Kubernetes,
            Kind::Macos => Client::Macos,
            Kind::Windows => Client::Windows,
        })
    }

    fn system_store(&self) -> Result<SystemStore, String> {
        match self.store {
            Some(Store::Debian) => Ok(SystemStore::Debian),
            Some(Store::Fedora) => Ok(SystemStore::Fedora),
            Some(Store::Arch) => Ok(SystemStore::Arch),
            Some(Store::Suse) => Ok(SystemStore::Suse),
            None => SystemStore::detect(self.root()).ok_or_else(|| {
                format!(
                    "no folder for certificates is in {}: install the package ca-certificates \
                     there, or say which system it is with --store debian, fedora, arch or suse",
                    self.root().display()
                )
            }),
        }
    }

    fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new(MACHINE))
    }
}

/// Refuses a CA with which clients would still not accept the server.
fn check(
    chain: &[CertificateDer<'_>],
    names: &[RegistryAddress],
    ca: &CaCertificates,
) -> Result<(), String> {
    let now = Expectations::default().now;
    for name in names {
        let provider = tls_provider();
        verify(chain, name.host(), ca.certificates(), now, &provider).map_err(|findings| {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            format!(
                "clients would refuse {name} even with this CA: {}",
                findings.join("; ")
            )
        })?;
    }
    Ok(())
}

/// The objects, with what there is to know as comments.
fn yaml(plan: &Plan) -> String {
    let notes = plan.notes.iter().map(|note| format!("# {note}\n"));
    let objects: Vec<_> = plan
        .files
        .iter()
        .map(|file| file.contents.as_str())
        .collect();
    notes.chain([objects.join("---\n")]).collect()
}
