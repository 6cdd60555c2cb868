//! Making clients trust the CA of a registry: what each of them reads, as
//! data, as files on this machine, or as a script for another one.
//!
//! | [`Client`]       | reads                                                        | then              |
//! |------------------|--------------------------------------------------------------|-------------------|
//! | `Docker`         | `/etc/docker/certs.d/<registry>/ca.crt`                      | nothing           |
//! | `Containerd`     | `/etc/containerd/certs.d/<registry>/{hosts.toml,ca.crt}`     | nothing, once `config_path` is set |
//! | `Microk8s`       | `/var/snap/microk8s/current/args/certs.d/<registry>/…`       | nothing           |
//! | `K3s`, `Rke2`    | `/etc/rancher/{k3s,rke2}/registries.yaml`, the CA beside it  | restart           |
//! | `Podman`         | `/etc/containers/certs.d/<registry>/ca.crt`                  | nothing           |
//! | `PodmanRootless` | `~/.config/containers/certs.d/<registry>/ca.crt`             | nothing           |
//! | `System`         | the folder of the [`SystemStore`]                            | its update command, restart what runs |
//! | `Kubernetes`     | a `ConfigMap` with the CA, a `Secret` with the server's pair | `kubectl apply`   |
//! | `Macos`          | the keychain, `~/.docker/certs.d/<registry>/ca.crt`          | restart Docker Desktop |
//! | `Windows`        | the machine's store of root certificates                     | restart Docker Desktop |
//!
//! ```
//! use registry_tls::trust::{CaCertificates, Client, Target};
//!
//! # let pem = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/trust/fixtures/ca.pem"));
//! # let root = tempfile::tempdir()?;
//! let ca = CaCertificates::from_pem(pem)?;
//! let target = Target::new("registry.local:5000".parse()?, ca);
//! let plan = Client::Docker.plan(&target);
//! let file = &plan.files[0];
//! assert_eq!(file.path.to_str(), Some("/etc/docker/certs.d/registry.local:5000/ca.crt"));
//!
//! let installed = plan.install(root.path())?; // "/" on a real machine
//! assert_eq!(installed.written.len(), 1);
//! assert_eq!(plan.install(root.path())?.unchanged.len(), 1);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod address;
mod ca;
mod containerd;
mod desktop;
mod docker;
#[cfg(test)]
mod fixtures;
mod folder;
mod install;
mod k3s;
mod kubernetes;
mod plan;
mod podman;
mod script;
mod system;

pub use address::{RegistryAddress, RegistryAddressError};
pub use ca::{CaCertificates, CaError};
pub use folder::{FolderProblem, check_folder};
pub use install::{InstallError, Installed, Kept};
pub use plan::{Client, Plan, Target, TrustFile};
pub use system::SystemStore;
