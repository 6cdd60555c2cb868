//! As much of an HTTP/1.1 client as the measurements need: connections that stay open, and bodies of known length.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Buf;
use rustix::net::RecvFlags;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::Result;

/// Bytes asked for at a time. Larger ones change nothing.
const BUFFER: usize = 256 << 10;

/// Where a server is, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `host:port`.
    authority: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Server {
    /// Splits a URL into its server and the path after it.
    pub(crate) fn parse(url: &str, ca: Option<&Path>) -> Result<(Self, String)> {
        let (scheme, rest) = url.split_once("://").ok_or("not an absolute URL")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let tls = match (scheme, ca) {
            ("http", _) => None,
            ("https", Some(ca)) => Some(tls(ca)?),
            ("https", None) => return Err("https needs --ca".into()),
            _ => return Err(format!("neither http nor https: {scheme}").into()),
        };
        let authority = authority.to_owned();
        Ok((Self { authority, tls }, path.to_owned()))
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(&self.authority).await?;
        tcp.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
                let name = ServerName::try_from(host.to_owned())?;
                let connector = TlsConnector::from(Arc::clone(config));
                Stream::Tls(Box::new(connector.connect(name, tcp).await?))
            }
        };
        Ok(Connection {
            stream,
            authority: self.authority.clone(),
            buffer: vec![0; BUFFER],
            unread: 0..0,
        })
    }

    pub(crate) async fn connect_all(&self, connections: usize) -> Result<Vec<Connection>> {
        let mut all = Vec::with_capacity(connections);
        for _ in 0..connections {
            all.push(self.connect().await?);
        }
        Ok(all)
    }
}

/// TLS 1.3 with AES-128-GCM, so that no server is measured with another cipher than the next one.
fn tls(ca: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One connection, which carries one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    authority: String,
    buffer: Vec<u8>,
    /// What of the buffer was received and not yet looked at.
    unread: std::ops::Range<usize>,
}

/// What was answered, without the body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes of the body.
    pub(crate) length: u64,
    pub(crate) location: Option<String>,
}

impl Head {
    pub(crate) fn expect(self, status: u16) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        Err(format!("expected status {status}, got {}", self.status).into())
    }
}

impl Connection {
    /// A request without a body, or the beginning of one with: `headers` are whole lines.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str) -> Vec<u8> {
        let host = &self.authority;
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").into_bytes()
    }

    pub(crate) async fn send(&mut self, mut bytes: impl Buf) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all_buf(&mut bytes).await,
            Stream::Tls(stream) => stream.write_all_buf(&mut bytes).await,
        }
    }

    /// Sends what is still held back, and reads until the body of the answer begins. An interim answer (100) is passed over.
    pub(crate) async fn head(&mut self) -> Result<Head> {
        if let Stream::Tls(stream) = &mut self.stream {
            stream.flush().await?;
        }
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let unread = &self.buffer[self.unread.clone()];
            if let httparse::Status::Complete(size) = response.parse(unread)? {
                let status = response.code.unwrap_or_default();
                let header = |name: &str| {
                    let header = response
                        .headers
                        .iter()
                        .find(|header| header.name.eq_ignore_ascii_case(name));
                    header.and_then(|header| std::str::from_utf8(header.value).ok())
                };
                let length = header("content-length").map(str::parse::<u64>);
                let location = header("location").map(str::to_owned);
                let chunked = header("transfer-encoding").is_some();
                self.unread.start += size;
                if status == 100 {
                    continue;
                }
                if chunked || (length.is_none() && status != 204) {
                    return Err(format!("an answer {status} of unknown length").into());
                }
                let length = length.transpose()?.unwrap_or(0);
                return Ok(Head {
                    status,
                    length,
                    location,
                });
            }
            self.more().await?;
        }
    }

    /// Reads the rest of a body that must be these bytes.
    pub(crate) async fn expect_body(&mut self, mut expected: &[u8]) -> Result<()> {
        while !expected.is_empty() {
            if self.unread.is_empty() {
                self.more().await?;
            }
            let count = self.unread.len().min(expected.len());
            let (now, later) = expected.split_at(count);
            if self.buffer[self.unread.start..][..count] != *now {
                return Err("received other bytes than expected".into());
            }
            self.unread.start += count;
            expected = later;
        }
        Ok(())
    }

    /// Reads bytes of a body without a look at them. Without TLS the kernel throws them away and copies nothing, so that the
    /// server's speed is measured and not the client's.
    pub(crate) async fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let most = usize::try_from(count).unwrap_or(usize::MAX).min(BUFFER);
            let skipped = match &mut self.stream {
                Stream::Plain(stream) if self.unread.is_empty() => {
                    let buffer = &mut self.buffer[..most];
                    let receive = || {
                        let (_, count) =
                            rustix::net::recv(&*stream, &mut *buffer, RecvFlags::TRUNC)?;
                        Ok(count)
                    };
                    let skipped = stream.async_io(Interest::READABLE, receive).await?;
                    if skipped == 0 {
                        return Err("the server closed the connection".into());
                    }
                    skipped
                }
                _ => {
                    if self.unread.is_empty() {
                        self.more().await?;
                    }
                    let skipped = self.unread.len().min(most);
                    self.unread.start += skipped;
                    skipped
                }
            };
            count -= skipped as u64;
        }
        Ok(())
    }

    /// Gives the buffer back, of a connection that is not used again.
    pub(crate) fn shrink(&mut self) {
        self.buffer = Vec::new();
        self.unread = 0..0;
    }

    /// Receives something.
    async fn more(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        let free = &mut self.buffer[self.unread.end..];
        if free.is_empty() {
            return Err("the head of an answer is too long".into());
        }
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(free).await?,
            Stream::Tls(stream) => stream.read(free).await?,
        };
        if count == 0 {
            return Err("the server closed the connection".into());
        }
        self.unread.end += count;
        Ok(())
    }
}
