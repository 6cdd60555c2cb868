//! What the server accepts connections from.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::connection::Peer;
use super::unix::UnixSocket;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    bound: Bound,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// Where a [`Listener`] is found. Prints as an address without a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// An address, with the port that the system chose.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection, of any kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Listener {
    pub(super) fn tcp(listener: TcpListener) -> io::Result<Self> {
        Ok(Self {
            bound: Bound::Tcp(listener.local_addr()?),
            kind: Kind::Tcp(listener),
        })
    }

    pub(super) fn unix(socket: UnixSocket) -> Self {
        Self {
            bound: Bound::Unix(socket.path().to_owned()),
            kind: Kind::Unix(socket),
        }
    }

    /// Where it is found.
    #[must_use]
    pub const fn bound(&self) -> &Bound {
        &self.bound
    }

    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Io>, Peer)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A response's head and body are separate writes; waiting to
                // join them costs a round trip. Fails only for a dead socket.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), Peer::Tcp(peer)))
            }
            Kind::Unix(socket) => Ok((Box::new(socket.accept().await?), Peer::Unix)),
        }
    }
}
