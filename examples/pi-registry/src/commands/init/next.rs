//! What follows: three commands to copy.

use std::fmt::Write as _;
use std::path::Path;

use registry_tls::inspect::Fingerprint;
use registry_tls::trust::RegistryAddress;

use crate::commands::word;

/// What the commands are about.
#[derive(Debug)]
pub(super) struct Next<'a> {
    pub(super) config: &'a Path,
    pub(super) registry: &'a RegistryAddress,
    /// The CA's file and fingerprint; none where the certificate is somebody
    /// else's.
    pub(super) ca: Option<(&'a Path, Fingerprint)>,
    /// Whether clients must sign in.
    pub(super) users: bool,
}

impl Next<'_> {
    pub(super) fn tell(&self, out: &mut String) {
        let registry = self.registry;
        // Brackets are for shells to match files with.
        let (url, image) = (word(&registry.url()), word(&format!("{registry}/IMAGE")));
        let config = word(&self.config.display().to_string());
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "\n1. Start the registry, as the user who owns these files:\n\n   \
             pi-registry serve {config}\n\n"
        );
        let _ = match &self.ca {
            Some((ca, fingerprint)) => {
                let host = match registry.host().to_string() {
                    host if host.contains(':') => format!("[{host}]"),
                    host => host,
                };
                let from = word(&format!("{host}:{}", ca.display()));
                let folder = word(&format!("/etc/docker/certs.d/{registry}/ca.crt"));
                write!(
                    out,
                    "2. On each client, trust its CA:\n\n   \
                     sudo pi-registry trust docker --server {url} --install\n\n   \
                     or, where this program is not, copy one file (never a key):\n\n   \
                     scp {from} ca.crt && sudo install -D -m 644 ca.crt {folder}\n\n   \
                     For podman, containerd, k3s and others: pi-registry trust --help\n   \
                     The CA's fingerprint to compare (SHA-256):\n   {fingerprint}\n\n"
                )
            }
            None => write!(
                out,
                "2. Clients must trust whoever signed the certificate, which was not made \
                 here.\n   Look what they will say: pi-registry doctor {url}\n\n"
            ),
        };
        let _ = write!(out, "3. Push an image:\n\n");
        if self.users {
            let _ = writeln!(out, "   docker login {}", word(&registry.to_string()));
        }
        let _ = write!(out, "   docker tag IMAGE {image}\n   docker push {image}\n");
    }
}
