//! Hosts and prefixes as requests tell them, checked.

use std::net::Ipv6Addr;

/// A host with or without a port, of which nothing can be taken for another
/// part of a URL: `reg-name`, IPv4 or `[IPv6]`, without percent-encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host<'a> {
    pub(super) text: &'a str,
    pub(super) has_port: bool,
}

impl<'a> Host<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        /// The longest name of the DNS.
        const LONGEST: usize = 255;
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let _: Ipv6Addr = address.parse().ok()?;
                match port {
                    "" => ("", None),
                    port => ("", Some(port.strip_prefix(':')?)),
                }
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._".contains(&c);
        if !text.starts_with('[') && (name.is_empty() || !name.bytes().all(plain)) {
            return None;
        }
        if text.len() > LONGEST || port.is_some_and(|port| self::port(port).is_none()) {
            return None;
        }
        Some(Self {
            text,
            has_port: port.is_some(),
        })
    }
}

/// A port, of digits alone.
pub(super) fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    let port = digits.then(|| text.parse().ok()).flatten()?;
    (port != 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_may_have_ports() {
        for (text, has_port) in [
            ("r.example", false),
            ("r.example:8443", true),
            ("my_registry-1", false),
            ("192.0.2.1:5000", true),
            ("[2001:db8::1]", false),
            ("[::1]:5000", true),
        ] {
            assert_eq!(Host::parse(text), Some(Host { text, has_port }), "{text}");
        }
    }

    #[test]
    fn what_could_be_taken_for_more_than_a_host_is_none() {
        for text in [
            "",
            ":5000",
            "r.example:",
            "r.example:0",
            "r.example:65536",
            "r.example:+80",
            "r.example:80:80",
            "::1",
            "[::1",
            "[::1]5000",
            "[r.example]",
            "user@r.example",
            "r.example/x",
            "r.example?x",
            "r.example#x",
            "r.exam ple",
            "r.example\"",
            "r%2eexample",
            "r.example\\x",
            "r.example,evil.example",
            "bücher.example",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
        assert_eq!(Host::parse(&"x".repeat(256)), None);
    }
}
