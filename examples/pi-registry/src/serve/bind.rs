//! From `http.addr` to a listening socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::listener::Listener;
use super::unix::UnixSocket;
use crate::config::ListenAddr;

/// Connections that wait to be accepted; the system's own limit is often lower.
const BACKLOG: i32 = 1024;

/// Why there is no listening socket. Prints as one line.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} ({key}): {source}: {advice}")]
#[non_exhaustive]
pub struct BindError {
    /// The address that was asked for.
    pub addr: ListenAddr,
    /// The key of the configuration that asks for it.
    pub key: &'static str,
    advice: &'static str,
    source: io::Error,
}

impl BindError {
    fn new(addr: &ListenAddr, key: &'static str, source: io::Error) -> Self {
        let unix = matches!(addr, ListenAddr::Unix { .. });
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse if unix => {
                "another program listens there, stop it or choose another path"
            }
            io::ErrorKind::AddrInUse => {
                "another program listens there, stop it or choose another port"
            }
            io::ErrorKind::PermissionDenied if unix => {
                "this user must be able to write to the directory"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE, or choose a higher one"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address, use :PORT for all it has"
            }
            io::ErrorKind::NotFound if unix => "make the directory first",
            io::ErrorKind::AlreadyExists => "remove it or choose another path",
            _ => "check the address",
        };
        Self {
            addr: addr.clone(),
            key,
            advice,
            source,
        }
    }
}

/// Listens on an address, which a key of the configuration asks for.
///
/// # Errors
/// When the name has no address, or the system refuses to listen there.
pub async fn bind(addr: &ListenAddr, key: &'static str) -> Result<Listener, BindError> {
    let bound = match addr {
        ListenAddr::Any { port } => everywhere(*port).and_then(tcp),
        ListenAddr::Host { host, port } => match resolve(host, *port).await {
            Ok(resolved) => listen(resolved).and_then(tcp),
            Err(error) => Err(error),
        },
        ListenAddr::Unix { path } => UnixSocket::bind(path).await.map(Listener::unix),
    };
    bound.map_err(|error| BindError::new(addr, key, error))
}

fn tcp(socket: Socket) -> io::Result<Listener> {
    Listener::tcp(TcpListener::from_std(socket.into())?)
}

/// One IPv6 socket takes IPv4 as well; a system without IPv6 gets IPv4 alone.
fn everywhere(port: u16) -> io::Result<Socket> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match listen(any) {
        // A port in use is in use for both, and must be told as such.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
            ) =>
        {
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        other => other,
    }
}

/// The first address of a name, IPv4 before IPv6, as Go chooses.
async fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    let first = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    first
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "no such host"))
}

fn listen(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if let SocketAddr::V6(v6) = addr {
        // Whatever the system's default is.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    // Lets a restart take the port while old connections still linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::super::Bound;
    use super::*;

    fn port(listener: &Listener) -> SocketAddr {
        match listener.bound() {
            Bound::Tcp(addr) => *addr,
            Bound::Unix(path) => panic!("a socket at {}", path.display()),
        }
    }

    #[tokio::test]
    async fn names_and_addresses_are_bound() {
        for text in ["127.0.0.1:0", "localhost:0"] {
            let addr = text.parse().expect(text);
            let listener = bind(&addr, "http.addr").await.expect(text);
            let bound = port(&listener);
            assert!(bound.ip().is_loopback() && bound.port() != 0, "{bound}");
            assert_eq!(listener.bound().to_string(), bound.to_string());
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_in_one_line() {
        let first = bind(&"127.0.0.1:0".parse().expect("valid"), "http.addr")
            .await
            .expect("free");
        let taken = port(&first).to_string();
        let error = bind(&taken.parse().expect("valid"), "http.debug.addr")
            .await
            .expect_err("taken");
        // C libraries have words of their own for it.
        let cause = io::Error::from_raw_os_error(98);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {taken} (http.debug.addr): {cause}: \
                 another program listens there, stop it or choose another port"
            )
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_told_in_one_line() {
        let addr = "192.0.2.1:0".parse().expect("valid");
        let error = bind(&addr, "http.addr").await;
        let line = error.expect_err("a documentation address").to_string();
        assert!(line.ends_with("use :PORT for all it has"), "{line}");
    }

    #[tokio::test]
    async fn a_missing_directory_is_told_in_one_line() {
        let path = "/nowhere/registry.sock".into();
        let error = bind(&ListenAddr::Unix { path }, "http.addr").await;
        let line = error.expect_err("no directory").to_string();
        assert!(line.ends_with(": make the directory first"), "{line}");
    }
}
