//! The address of `http.addr`.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen: a host and a port, in the forms that distribution takes,
/// or a socket in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddr {
    /// `:5000`: every interface, IPv4 and IPv6.
    Any {
        /// The port; 0 lets the system choose.
        port: u16,
    },
    /// `127.0.0.1:5000`, `[::1]:5000` or `localhost:5000`. `[::]:5000` takes
    /// IPv4 too, as in Go.
    Host {
        /// A name or an address, without brackets.
        host: String,
        /// The port; 0 lets the system choose.
        port: u16,
    },
    /// With `http.net: unix`. No text parses to it.
    Unix {
        /// The socket's absolute path.
        path: PathBuf,
    },
}

/// What an address looks like, for messages.
pub(super) const EXPECTED: &str =
    "an address and a port such as :5000, 127.0.0.1:5000 or '[::1]:5000'";

/// What a socket's address looks like, for messages.
pub(super) const EXPECTED_SOCKET: &str = "the absolute path of a socket such as /run/registry.sock";

/// A text is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED}")]
#[non_exhaustive]
pub struct ListenAddrError;

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddrError)?;
        // `parse` alone would take `+5000`.
        if !port.bytes().all(|c| c.is_ascii_digit()) {
            return Err(ListenAddrError);
        }
        let port = port.parse().map_err(|_| ListenAddrError)?;
        if host.is_empty() {
            return Ok(Self::Any { port });
        }
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(address) => {
                let _: Ipv6Addr = address.parse().map_err(|_| ListenAddrError)?;
                address
            }
            // A bare IPv6 address hides where the port starts.
            None if host.contains([':', '[', ']', '/', ' ']) => return Err(ListenAddrError),
            None => host,
        };
        Ok(Self::Host {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any { port } => write!(f, ":{port}"),
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for text in [
            ":5000",
            ":0",
            "127.0.0.1:5000",
            "0.0.0.0:443",
            "[::]:5000",
            "[::1]:5000",
            "localhost:5000",
            "registry.cube.local:65535",
        ] {
            let parsed: ListenAddr = text.parse().expect(text);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_no_addresses() {
        for text in [
            "",
            "5000",
            ":",
            ":http",
            ":+1",
            ":65536",
            "::1:5000",
            "[::1]",
            "[x]:5000",
            "http://0.0.0.0:5000",
            "a b:1",
            "[::1:5000",
        ] {
            assert_eq!(text.parse::<ListenAddr>(), Err(ListenAddrError), "{text}");
        }
    }
}
