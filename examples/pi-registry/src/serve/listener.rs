//! What the server accepts connections from.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::connection::Peer;
use super::unix::UnixSocket;

/// How many bytes may be on their way to a client on this machine. Linux
/// takes twice as many, with what it needs for itself.
const NEAR_SEND_BUFFER: usize = 256 * 1024;

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
                // Fails only for a dead socket.
                let _ = tune(&stream, peer);
                Ok((Box::new(stream), Peer::Tcp(peer)))
            }
            Kind::Unix(socket) => Ok((Box::new(socket.accept().await?), Peer::Unix)),
        }
    }
}

fn tune(stream: &TcpStream, peer: SocketAddr) -> io::Result<()> {
    // A response's head and body are separate writes; waiting to join them
    // costs a round trip.
    stream.set_nodelay(true)?;
    // A proxy in front, or the node itself. The system makes the buffer ten
    // times as large, for clients far away; with some pulls at once, what is
    // sent has then left the processor's caches before it is received.
    if stream.local_addr()?.ip() == peer.ip() {
        SockRef::from(stream).set_send_buffer_size(NEAR_SEND_BUFFER)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_to_clients_on_this_machine_little_is_on_its_way() {
        let size = |stream: &TcpStream| SockRef::from(stream).send_buffer_size().expect("a size");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let (accepted, client) = tokio::join!(listener.accept(), client);
        let ((stream, peer), client) = (accepted.expect("accepted"), client.expect("connected"));

        let before = size(&stream);
        let far = "192.0.2.1:1".parse().expect("an address");
        tune(&stream, far).expect("tuned");
        assert_eq!(size(&stream), before);

        SockRef::from(&client)
            .set_send_buffer_size(NEAR_SEND_BUFFER)
            .expect("set");
        tune(&stream, peer).expect("tuned");
        assert_eq!(size(&stream), size(&client));
        assert_ne!(size(&stream), before);
    }
}
