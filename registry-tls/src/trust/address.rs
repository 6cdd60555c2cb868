//! What clients call a registry.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::HostName;

const HTTPS: u16 = 443;

/// The host and port of a registry, as the first part of an image's name
/// says them. Clients name their folders after this text, letter by letter.
///
/// Port 443 goes without saying, except where the host alone would be taken
/// for a path on Docker Hub: `myhost/app` has no registry, `myhost:443/app` has.
///
/// ```
/// use registry_tls::trust::RegistryAddress;
///
/// for (text, printed) in [
///     ("registry.local:5000", "registry.local:5000"),
///     ("https://registry.local/v2/", "registry.local"),
///     ("https://myhost", "myhost:443"),
///     ("[fd00::1]:5000", "[fd00::1]:5000"),
/// ] {
///     assert_eq!(text.parse::<RegistryAddress>()?.to_string(), printed);
/// }
/// # Ok::<_, registry_tls::trust::RegistryAddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryAddress {
    host: HostName,
    port: u16,
}

/// A text does not say where a registry is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryAddressError {
    /// The address begins with `http://`.
    #[error(
        "{0:?} is an address without TLS, so there is nothing to trust: give an https:// address"
    )]
    NoTls(String),
    /// The host is missing or wrong, or stands for many.
    #[error(
        "{0:?} is not the address of a registry: expected one such as registry.local:5000, \
         192.168.0.201:5000, [fd00::1]:5000 or https://registry.local"
    )]
    Invalid(String),
}

impl RegistryAddress {
    /// The registry at this port of this host; a wildcard is not one host.
    ///
    /// # Errors
    /// [`RegistryAddressError::Invalid`] for a wildcard, a host that does not
    /// parse, or port 0.
    pub fn new(host: HostName, port: u16) -> Result<Self, RegistryAddressError> {
        // Parsed again, for it becomes a part of paths, scripts and YAML, and
        // anybody can put any text into `HostName::Dns`.
        match host.to_string().parse::<HostName>() {
            Ok(host) if !host.is_wildcard() && port != 0 => Ok(Self { host, port }),
            _ => Err(RegistryAddressError::Invalid(format!("{host}:{port}"))),
        }
    }

    /// The name or address that the registry's certificate must be good for.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// The port of the registry.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address as a URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{self}")
    }

    /// The address as a part of a file's name, on any system.
    pub(super) fn file_stem(&self) -> String {
        let address = self.to_string().replace(':', "-");
        format!("registry-ca-{}", address.replace(['[', ']'], ""))
    }

    /// Whether an image's name must say the port, see [`RegistryAddress`].
    fn says_port(&self) -> bool {
        let unlike_a_path = match &self.host {
            HostName::Dns(name) => name.contains('.') || name == "localhost",
            HostName::Ip(_) => true,
        };
        self.port != HTTPS || !unlike_a_path
    }

    pub(super) fn is_ipv6(&self) -> bool {
        matches!(self.host, HostName::Ip(IpAddr::V6(_)))
    }

    pub(super) fn elides_port(&self) -> bool {
        !self.says_port()
    }
}

impl FromStr for RegistryAddress {
    type Err = RegistryAddressError;

    fn from_str(text: &str) -> Result<Self, RegistryAddressError> {
        let invalid = || RegistryAddressError::Invalid(text.to_owned());
        let authority = match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => {
                return Err(RegistryAddressError::NoTls(text.to_owned()));
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
                rest.split('/').next().unwrap_or_default()
            }
            _ => text,
        };
        let (host, port) = split_port(authority).ok_or_else(invalid)?;
        let host = host.parse().map_err(|_| invalid())?;
        Self::new(host, port).map_err(|_| invalid())
    }
}

/// The host, with the brackets of an IPv6 address, and the port.
fn split_port(authority: &str) -> Option<(&str, u16)> {
    // Only brackets tell an address's last group from a port.
    if authority.parse::<Ipv6Addr>().is_ok() {
        return None;
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let digits = port.bytes().all(|c| c.is_ascii_digit());
            let port = digits.then(|| port.parse().ok())??;
            let bracketed = host.starts_with('[') || !host.contains(':');
            bracketed.then_some((host, port))
        }
        _ => Some((authority, HTTPS)),
    }
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostName::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            host => host.fmt(f),
        }?;
        if self.says_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_image_names_begin() {
        for (text, printed) in [
            ("registry.local", "registry.local"),
            ("Registry.Local:443", "registry.local"),
            ("registry.local:5000", "registry.local:5000"),
            ("pi-dockerregistry", "pi-dockerregistry:443"),
            ("pi-dockerregistry:444", "pi-dockerregistry:444"),
            ("localhost", "localhost"),
            ("192.168.0.201:5000", "192.168.0.201:5000"),
            ("192.168.0.201", "192.168.0.201"),
            ("[fd00:0::1]:5000", "[fd00::1]:5000"),
            ("[fd00::1]", "[fd00::1]"),
            ("HTTPS://registry.local:5000/", "registry.local:5000"),
            ("https://registry.local/prefix/v2/", "registry.local"),
        ] {
            let address: RegistryAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(address));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ":5000",
            "fd00::1",
            "[fd00::1",
            "fd00::1]:5000",
            "registry.local:",
            "registry.local:0",
            "registry.local:+5",
            "registry.local:65536",
            "registry.local:5000:5000",
            "registry.local/app",
            "ftp://registry.local",
            "https://",
            "https://user@registry.local",
            "*.local:5000",
        ] {
            let error = RegistryAddressError::Invalid(text.to_owned());
            assert_eq!(text.parse::<RegistryAddress>(), Err(error), "{text}");
        }
        let error = RegistryAddressError::NoTls("http://registry.local".to_owned());
        assert_eq!(
            "http://registry.local".parse::<RegistryAddress>(),
            Err(error)
        );
    }

    #[test]
    fn a_host_made_by_hand_is_checked() {
        for host in ["a'; reboot; '", "a\n[host]", "../../etc", "a\"", "1.2.3"] {
            let address = RegistryAddress::new(HostName::Dns(host.to_owned()), 5000);
            let error = RegistryAddressError::Invalid(format!("{host}:5000"));
            assert_eq!(address, Err(error));
        }
        let address = RegistryAddress::new(HostName::Dns("Registry.Local.".to_owned()), 5000);
        assert_eq!(address, "registry.local:5000".parse());
    }

    #[test]
    fn file_names_hold_no_colon_or_bracket() {
        let address: RegistryAddress = "[::1]:5000".parse().expect("an address");
        assert_eq!(address.file_stem(), "registry-ca---1-5000");
    }
}
