//! What a certificate is for: the entries of its `subjectAltName`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A name or an address that clients reach a server by, or a wildcard that
/// stands for every name one label below another.
///
/// Prints as it parses: names in lower case, addresses without brackets.
///
/// ```
/// use registry_tls::HostName;
///
/// let wildcard: HostName = "*.cube.local".parse()?;
/// assert!(wildcard.covers(&"Registry.cube.local".parse()?));
/// assert!(!wildcard.covers(&"cube.local".parse()?));
/// assert!(!wildcard.covers(&"192.168.0.201".parse()?));
/// # Ok::<_, registry_tls::HostNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HostName {
    /// A DNS name in lower case, perhaps with `*` as its first label. Parse a
    /// text to have it checked.
    Dns(String),
    /// An IPv4 or IPv6 address. Clients look for it among the addresses of a
    /// certificate, never among its names.
    Ip(IpAddr),
}

/// A text is neither a DNS name nor an IP address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a host name nor an IP address: expected one such as registry.local, \
     *.cube.local or 192.168.0.201, without a scheme, port or path"
)]
#[non_exhaustive]
pub struct HostNameError(String);

impl HostName {
    /// Whether a certificate with this entry is good for a client that asks
    /// for `host`: the same address, the same name, or a name one label below
    /// a wildcard ([RFC 9525, section 6.3]).
    ///
    /// [RFC 9525, section 6.3]: https://www.rfc-editor.org/rfc/rfc9525#section-6.3
    #[must_use]
    pub fn covers(&self, host: &Self) -> bool {
        match (self, host) {
            (Self::Dns(entry), Self::Dns(name)) => {
                entry == name
                    || entry.strip_prefix("*.").is_some_and(|parent| {
                        name.split_once('.')
                            .is_some_and(|(_, above)| above == parent)
                    })
            }
            (Self::Ip(entry), Self::Ip(address)) => entry == address,
            _ => false,
        }
    }

    /// Whether this stands for more than one name.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.starts_with("*."))
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let error = || HostNameError(text.to_owned());
        let unbracketed = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = unbracketed.unwrap_or(text).parse() {
            return Ok(Self::Ip(address));
        }
        // The dot at the end says that the name is complete, which they all are.
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let mut labels = name.strip_prefix("*.").unwrap_or(&name).split('.');
        // What ends in a number is a broken address, never a name.
        let numeric = name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit()));
        (name.len() <= 253 && !numeric && labels.all(is_label))
            .then_some(Self::Dns(name))
            .ok_or_else(error)
    }
}

/// Underscores are in no host name by the standard, but in many by use.
fn is_label(label: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The address that a `subjectAltName` holds as 4 or 16 bytes.
pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

impl From<IpAddr> for HostName {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_parse_and_print() {
        for (text, printed) in [
            ("registry", "registry"),
            ("Pi-DockerRegistry", "pi-dockerregistry"),
            ("registry.cube.local.", "registry.cube.local"),
            ("*.cube.local", "*.cube.local"),
            ("my_host.local", "my_host.local"),
            ("192.168.0.201", "192.168.0.201"),
            ("[fd00::1]", "fd00::1"),
            ("fd00:0::1", "fd00::1"),
        ] {
            let parsed: HostName = text.parse().expect(text);
            assert_eq!(parsed.to_string(), printed);
            assert_eq!(printed.parse(), Ok(parsed));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "*",
            "a.*.b",
            "**.a",
            "x/y",
            "host:5000",
            "https://host",
            "1.2.3",
            "1.2.3.4.5",
            "é.local",
            "host\n",
        ] {
            assert_eq!(
                text.parse::<HostName>(),
                Err(HostNameError(text.to_owned())),
                "{text}"
            );
        }
        assert!("a".repeat(64).parse::<HostName>().is_err());
        assert!(["a"; 130].join(".").parse::<HostName>().is_err());
    }

    #[test]
    fn an_entry_covers_what_clients_accept_it_for() {
        for (entry, host, expected) in [
            ("registry.local", "registry.local", true),
            ("registry.local", "other.local", false),
            ("*.local", "registry.local", true),
            ("*.local", "a.registry.local", false),
            ("*.local", "local", false),
            ("192.168.0.1", "192.168.0.1", true),
            ("192.168.0.1", "192.168.0.2", false),
            ("fd00::1", "fd00::1", true),
        ] {
            let entry: HostName = entry.parse().expect(entry);
            let host = host.parse().expect(host);
            assert_eq!(entry.covers(&host), expected, "{entry} for {host}");
        }
    }
}
