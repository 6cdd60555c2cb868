//! What several commands are told about certificates.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use registry_tls::HostName;
use registry_tls::issue::KeyKind;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::commands) struct Hosts {
    /// A name that clients use, such as registry.local or *.cube.local; may be
    /// repeated.
    #[arg(long = "host", value_name = "NAME")]
    pub(in crate::commands) names: Vec<HostName>,
    /// An address that clients use; may be repeated.
    #[arg(long = "ip", value_name = "ADDRESS", value_parser = address)]
    pub(in crate::commands) addresses: Vec<IpAddr>,
}

impl Hosts {
    /// Names, then addresses, each once.
    pub(in crate::commands) fn all(&self) -> Vec<HostName> {
        let addresses = self.addresses.iter().copied().map(HostName::Ip);
        joined(&[&self.names, &addresses.collect::<Vec<_>>()])
    }
}

fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse()
        .map_err(|_| "expected an IP address without a port; names go to --host")
}

/// All of them in their order, each once.
pub(in crate::commands) fn joined(lists: &[&[HostName]]) -> Vec<HostName> {
    let mut all = Vec::new();
    for host in lists.iter().copied().flatten() {
        if !all.contains(host) {
            all.push(host.clone());
        }
    }
    all
}

/// The kind of a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::commands) enum Key {
    /// Small, quick on boards, known to every client of today.
    #[default]
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    /// For old clients.
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// For old clients, and slower.
    #[value(name = "rsa-4096")]
    Rsa4096,
}

impl Key {
    /// The kind that is nearest to a key of a certificate's summary.
    pub(super) fn like(key: &str) -> Self {
        match key.strip_prefix("RSA ").map(str::parse::<u32>) {
            None => Self::EcdsaP256,
            Some(Ok(bits)) if bits > 2048 => Self::Rsa4096,
            Some(_) => Self::Rsa2048,
        }
    }
}

impl From<Key> for KeyKind {
    fn from(key: Key) -> Self {
        match key {
            Key::EcdsaP256 => Self::EcdsaP256,
            Key::Rsa2048 => Self::Rsa2048,
            Key::Rsa4096 => Self::Rsa4096,
        }
    }
}

#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// How many days the certificate is valid; Apple's systems accept no more
    /// than 825.
    #[arg(long, default_value_t = 820, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
}

impl From<Validity> for Duration {
    fn from(validity: Validity) -> Self {
        Self::from_secs(u64::from(validity.days) * 24 * 60 * 60)
    }
}
