//! From what the user typed to a connection.

use std::net::SocketAddr;
use std::time::Instant;

use registry_tls::HostName;
use registry_tls::trust::RegistryAddress;
use tokio::net::TcpStream;

use crate::commands::remote::{self, RemoteError};
use crate::commands::report::Report;
use crate::logging::chain;

/// The registry of a URL, an address or an image's name.
pub(super) fn parse(text: &str) -> Result<RegistryAddress, String> {
    let failed = |error: registry_tls::trust::RegistryAddressError| error.to_string();
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split('/').next().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("http") {
            return text.parse().map_err(failed);
        }
        // Whoever has such a registry wants to know what clients think of it.
        let address: RegistryAddress = authority.parse().map_err(failed)?;
        let without_port = authority.rsplit(':').next() != Some(&address.port().to_string());
        return if without_port {
            RegistryAddress::new(address.host().clone(), 80).map_err(failed)
        } else {
            Ok(address)
        };
    }
    let Some((first, _)) = text.split_once('/') else {
        return text.parse().map_err(failed);
    };
    // Docker's rule for what is a registry and what a path on Docker Hub.
    if first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost") {
        return first.parse().map_err(failed);
    }
    Err(format!(
        "{text:?} names an image on Docker Hub: put the registry's host and port before it, such \
         as registry.local:5000/{text}"
    ))
}

/// Step 1.
pub(super) async fn resolve(
    address: &RegistryAddress,
    report: &mut Report,
) -> Option<Vec<SocketAddr>> {
    let host = address.host();
    let found = match remote::resolve(address).await {
        Ok(found) => found,
        Err(error) => {
            report.error(
                "resolve",
                &format!(
                    "{}: add the name to the DNS server that this machine asks, or a line \
                     \"ADDRESS {host}\" to /etc/hosts of every client",
                    chain(&error)
                ),
            );
            return None;
        }
    };
    if matches!(host, HostName::Ip(_)) {
        report.ok("resolve", &format!("{host} is an address"));
    } else {
        let all: Vec<_> = found.iter().map(|found| found.ip().to_string()).collect();
        report.ok("resolve", &format!("{host} is {}", all.join(", ")));
    }
    if is_loopback(&found) {
        let text = "this is the machine itself: docker needs no trust for 127.0.0.0/8 and ::1, \
                    other machines and clients do";
        report.ok("resolve", text);
    }
    Some(found)
}

/// Whether docker takes the registry for one that needs no TLS.
pub(super) fn is_loopback(addresses: &[SocketAddr]) -> bool {
    addresses.iter().any(|address| address.ip().is_loopback())
}

/// Step 3: the first address that can be connected to.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    report: &mut Report,
) -> Option<(SocketAddr, TcpStream)> {
    let mut first = None;
    let mut failed = Vec::new();
    for address in addresses {
        let start = Instant::now();
        match remote::connect(*address).await {
            Ok(tcp) => {
                let took = start.elapsed().as_millis();
                report.ok("connect", &format!("{address} in {took} ms"));
                first = first.or(Some((*address, tcp)));
            }
            Err(error) => failed.push(format!("{}: {}", chain(&error), advice(&error))),
        }
    }
    for text in failed {
        // One that works is enough, after a delay.
        if first.is_some() {
            report.warning("connect", &text);
        } else {
            report.error("connect", &text);
        }
    }
    first
}

fn advice(error: &RemoteError) -> &'static str {
    use std::io::ErrorKind;
    match error {
        RemoteError::ConnectTimeout { .. } => {
            "is the machine up, and does no firewall drop the port?"
        }
        RemoteError::Connect { source, .. } => match source.kind() {
            ErrorKind::ConnectionRefused => {
                "nothing listens there: start the registry, look whether its http.addr or \
                 published port is this one and not only on 127.0.0.1"
            }
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                "there is no way to it from here: look at routes and VPN, or remove the address \
                 from DNS"
            }
            _ => "look at the network between",
        },
        _ => "look at the network between",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_addresses_and_image_names_all_say_where_the_registry_is() {
        for (text, expected) in [
            ("https://r.local:5000", "r.local:5000"),
            ("https://r.local/v2/", "r.local"),
            ("http://r.local", "r.local:80"),
            ("http://r.local:5000/v2/", "r.local:5000"),
            ("http://r.local:443", "r.local"),
            ("r.local:5000", "r.local:5000"),
            ("r.local", "r.local"),
            ("r.local:5000/app:1", "r.local:5000"),
            ("localhost/a/b@sha256:00", "localhost"),
            ("[fd00::1]:5000/app", "[fd00::1]:5000"),
        ] {
            let address = parse(text).expect(text);
            assert_eq!(address.to_string(), expected, "{text}");
        }
        for text in ["", "library/app:1", "app:1.0", "ftp://r.local", "r.local:x"] {
            parse(text).expect_err(text);
        }
        let line = parse("library/app:1").expect_err("on Docker Hub");
        assert!(line.contains("Docker Hub"), "{line}");
    }

    #[tokio::test]
    async fn a_closed_port_is_explained() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let mut report = Report::default();
        assert!(connect(&[address], &mut report).await.is_none());
        assert_eq!(report.errors(), 1);
        assert!(
            report.lines[0].contains("nothing listens there"),
            "{report:?}"
        );
    }
}
