//! What is to be done on a client's machine, as data.

use std::fmt;
use std::path::PathBuf;

use super::kubernetes::ServerPair;
use super::{
    CaCertificates, CaError, RegistryAddress, SystemStore, containerd, desktop, docker, k3s,
    kubernetes, podman, system,
};

/// A program or a machine that is to trust a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Client {
    /// Docker's engine on Linux.
    Docker,
    /// containerd 1.5 or later with its CRI plugin, `ctr --hosts-dir`, nerdctl.
    Containerd,
    /// Canonical's MicroK8s.
    Microk8s,
    /// k3s, servers and agents.
    K3s,
    /// RKE2, servers and agents.
    Rke2,
    /// Podman, Buildah and Skopeo as root, and CRI-O.
    Podman,
    /// Podman, Buildah and Skopeo of one user.
    PodmanRootless,
    /// Every program that reads the certificates of a Linux system.
    System(SystemStore),
    /// The workloads of a Kubernetes cluster.
    Kubernetes,
    /// A Mac and its Docker Desktop.
    Macos,
    /// Windows and its Docker Desktop.
    Windows,
}

/// The registry that is to be trusted, and by which CA.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Target {
    /// Where clients reach the registry.
    pub registry: RegistryAddress,
    /// Who signed its certificate.
    pub ca: CaCertificates,
    pub(super) server: Option<ServerPair>,
    also: Vec<RegistryAddress>,
}

/// Files, then commands, and what else there is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Who is to trust the registry.
    pub client: Client,
    /// The registry that is to be trusted, by each of its names.
    pub registries: Vec<RegistryAddress>,
    /// What must be on the client's machine, certificates first.
    pub files: Vec<TrustFile>,
    /// What must be run after that, by root if [`Client::needs_root`].
    pub commands: Vec<String>,
    /// What a person must know or do.
    pub notes: Vec<String>,
}

/// A file on a client's machine. `Debug` hides the contents of secret ones.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustFile {
    /// Absolute, or below the home folder when it begins with `~`, or for the
    /// current folder when it is relative (Kubernetes, Windows).
    pub path: PathBuf,
    /// The whole text. Where its first line is a comment, that line tells a
    /// file of ours from others.
    pub contents: String,
    /// Whether it holds a private key, so that only its owner may read it.
    pub secret: bool,
    /// Texts that are in the file when all is well, for a file in which the
    /// user may have more than our lines: such a file is never replaced.
    pub shared: Vec<String>,
}

impl Client {
    /// What makes this client trust `target`. Nothing is read or written.
    #[must_use]
    pub fn plan(&self, target: &Target) -> Plan {
        let plan = Plan {
            client: *self,
            registries: target.names().cloned().collect(),
            files: Vec::new(),
            commands: Vec::new(),
            notes: Vec::new(),
        };
        match self {
            Self::Docker => docker::plan(plan, target),
            Self::Containerd => containerd::plan(plan, target),
            Self::Microk8s => containerd::plan_microk8s(plan, target),
            Self::K3s => k3s::plan(plan, target, "k3s"),
            Self::Rke2 => k3s::plan(plan, target, "rke2"),
            Self::Podman => podman::plan(plan, target, "/etc/containers/certs.d"),
            Self::PodmanRootless => podman::plan(plan, target, "~/.config/containers/certs.d"),
            Self::System(store) => system::plan(plan, target, *store),
            Self::Kubernetes => kubernetes::plan(plan, target),
            Self::Macos => desktop::plan_macos(plan, target),
            Self::Windows => desktop::plan_windows(plan, target),
        }
    }

    /// Whether root must write the files and run the commands.
    #[must_use]
    pub fn needs_root(&self) -> bool {
        !matches!(
            self,
            Self::PodmanRootless | Self::Kubernetes | Self::Macos | Self::Windows
        )
    }
}

impl Target {
    /// A registry and the CA that clients are to trust for it.
    #[must_use]
    pub fn new(registry: RegistryAddress, ca: CaCertificates) -> Self {
        Self {
            registry,
            ca,
            server: None,
            also: Vec::new(),
        }
    }

    /// Adds another name or address by which clients call the same registry.
    #[must_use]
    pub fn also(mut self, registry: RegistryAddress) -> Self {
        if self.names().all(|name| *name != registry) {
            self.also.push(registry);
        }
        self
    }

    fn names(&self) -> impl Iterator<Item = &RegistryAddress> {
        std::iter::once(&self.registry).chain(&self.also)
    }

    /// The target under each of its names alone, for clients that keep a
    /// folder for each.
    pub(super) fn each(&self) -> impl Iterator<Item = Self> {
        self.names().map(|name| Self {
            registry: name.clone(),
            also: Vec::new(),
            ..self.clone()
        })
    }

    /// Adds the server's own certificate chain and private key. Only the
    /// `Secret` of [`Client::Kubernetes`] holds them, no other plan.
    ///
    /// # Errors
    /// [`CaError::Empty`] when there is no certificate, [`CaError::NoKey`] when
    /// there is no key, [`CaError::Damaged`] when a certificate is.
    pub fn with_server(mut self, certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, CaError> {
        self.server = Some(ServerPair::new(certificate_pem, key_pem)?);
        Ok(self)
    }

    /// The CA with a first line that says whose it is. Every program that
    /// reads PEM skips lines before the first BEGIN.
    pub(super) fn ca_file(&self, path: impl Into<PathBuf>) -> TrustFile {
        self.marked(path, &self.ca.to_pem())
    }

    /// The CA's certificates one a file, as `<folder>/<stem>.crt`,
    /// `<folder>/<stem>-2.crt` and so on.
    pub(super) fn ca_files(&self, folder: &str, stem: &str) -> Vec<TrustFile> {
        let file = |(index, pem): (usize, String)| {
            let number = match index {
                0 => String::new(),
                _ => format!("-{}", index + 1),
            };
            self.marked(format!("{folder}/{stem}{number}.crt"), &pem)
        };
        self.ca.each_pem().enumerate().map(file).collect()
    }

    pub(super) fn marked(&self, path: impl Into<PathBuf>, text: &str) -> TrustFile {
        let marker = format!("# Made by registry-tls for the registry {}", self.registry);
        TrustFile {
            path: path.into(),
            contents: format!("{marker}\n{text}"),
            secret: false,
            shared: Vec::new(),
        }
    }
}

impl Plan {
    /// Says what name images must have where folders are named after it.
    pub(super) fn note_name(&mut self) {
        for name in &self.registries {
            if name.elides_port() {
                self.notes.push(format!(
                    "Images must be named {name}/…: for {name}:443/… the folder would be \
                     {name}:443."
                ));
            }
            if name.is_ipv6() {
                self.notes.push(format!(
                    "Images must be named {name}/…, with the brackets; old clients refuse such \
                     names, give the registry a host name for them."
                ));
            }
        }
    }
}

impl fmt::Debug for TrustFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contents = match self.secret {
            true => "(secret)",
            false => &self.contents,
        };
        f.debug_struct("TrustFile")
            .field("path", &self.path)
            .field("contents", &contents)
            .field("secret", &self.secret)
            .field("shared", &self.shared)
            .finish()
    }
}
