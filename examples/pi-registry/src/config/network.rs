//! Networks of addresses: who is trusted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::error::ConfigError;
use super::node::{Node, Value};
use super::read;

/// A range of addresses, as `10.0.0.0/8` or `fd00::/8` writes it.
///
/// ```
/// use pi_registry::config::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?));
/// // The form in which a socket for IPv6 shows clients of IPv4.
/// assert!(network.contains("::ffff:10.1.2.3".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    // Bits behind the prefix are zero.
    first: IpAddr,
    prefix: u8,
}

/// Loopback and the private networks of RFC 1918 and RFC 4193.
pub(super) const PRIVATE: &[Network] = &[
    Network::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    Network::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    Network::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    Network::new(IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    Network::new(IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    Network::new(IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

impl Network {
    const fn new(first: IpAddr, prefix: u8) -> Self {
        Self { first, prefix }
    }

    /// Whether an address is in the range. An IPv4 address is the same in its
    /// IPv6 form.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.first)
    }
}

/// The address with only the first `prefix` bits kept; `None` if it has fewer.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    // A shift by all bits is no shift: it must be none of them that stay.
    match address {
        IpAddr::V4(v4) => {
            let behind = 32_u32.checked_sub(prefix)?;
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Some(Ipv4Addr::from_bits(v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let behind = 128_u32.checked_sub(prefix)?;
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Some(Ipv6Addr::from_bits(v6.to_bits() & mask).into())
        }
    }
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a network such as 10.0.0.0/8, or an address")]
#[non_exhaustive]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // `parse` alone would take `+8`.
            Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError)?
            }
            Some(_) => return Err(NetworkError),
            None => bits,
        };
        let first = masked(address, prefix).ok_or(NetworkError)?;
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
        Ok(match (first.to_canonical(), prefix.checked_sub(96)) {
            (IpAddr::V4(v4), Some(prefix)) if first.is_ipv6() => Self::new(v4.into(), prefix),
            _ => Self::new(first, prefix),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// A list of networks, or a text of several with commas between.
pub(super) fn read(root: &Node, key: &str) -> Result<Vec<Network>, ConfigError> {
    const EXPECTED: &str = "a list of networks such as 10.0.0.0/8, or addresses";
    let is_list = matches!(root.at(key).map(|node| &node.value), Some(Value::List(_)));
    let texts = read::texts(root, key, EXPECTED)?;
    if texts.is_empty() && !is_list {
        return Ok(PRIVATE.to_vec());
    }
    let parse = |(text, node): (&str, &Node)| {
        let network = text.parse();
        network.map_err(|NetworkError| ConfigError::value(key, node, EXPECTED))
    };
    texts.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().expect(network);
        network.contains(address.parse().expect(address))
    }

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3/8", "10.0.0.1", "9.255.255.255"),
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.0.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn networks_parse_and_print() {
        for (text, printed) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("fc00::/7", "fc00::/7"),
            ("::1", "::1/128"),
        ] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), printed);
            assert_eq!(printed.parse(), Ok(network));
        }
        for network in PRIVATE {
            assert_eq!(network.to_string().parse(), Ok(*network));
        }
    }

    #[test]
    fn other_texts_are_no_networks() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
