//! What a registry shows to whoever connects, before anything is trusted.
//!
//! ```text
//! resolve(address) -> addresses     connect(address) -> TCP
//! handshake(TCP, host) -> Shown     the chain, and whether its key is there
//! chain(address)                    all three, for the chain alone
//! get(connection, path) -> Reply    only here is anything sent
//! ```
//!
//! Every step has a time limit of [`LIMIT`].

mod request;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use registry_tls::HostName;
use registry_tls::rustls::client::ResolvesClientCert;
use registry_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use registry_tls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use registry_tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use registry_tls::rustls::sign::CertifiedKey;
use registry_tls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};
use registry_tls::trust::RegistryAddress;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(super) use self::request::{Reply, get};
use crate::certificates::tls_provider;

/// How long each step may take; docker's own limit for the handshake.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// More addresses are not tried.
const MOST_ADDRESSES: usize = 8;

/// Why a registry's certificates could not be seen. Print it with its sources.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    #[error("the name {host} cannot be resolved")]
    Resolve {
        host: HostName,
        #[source]
        source: io::Error,
    },
    #[error("the name {host} cannot be resolved: no answer within {} seconds", LIMIT.as_secs())]
    ResolveTimeout { host: HostName },
    #[error("the name {host} has no address")]
    NoAddress { host: HostName },
    #[error("{address} cannot be connected to")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{address} cannot be connected to: no answer within {} seconds", LIMIT.as_secs())]
    ConnectTimeout { address: SocketAddr },
    #[error("{address} speaks HTTP without TLS, or something else that is no TLS")]
    NotTls { address: SocketAddr },
    #[error("{address} did not finish the TLS handshake within {} seconds", LIMIT.as_secs())]
    HandshakeTimeout { address: SocketAddr },
    #[error("the TLS handshake with {address} failed")]
    Handshake {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("this program cannot make a TLS connection")]
    Client(#[source] rustls::Error),
}

/// What a server showed.
#[derive(Debug)]
pub(super) struct Shown {
    /// Its certificates, as it sent them; at least one.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Whether it proved to have the first certificate's key. Without, it may
    /// be anybody who once saw the certificates.
    pub(super) proven: bool,
    /// Whether it asked for a client's certificate.
    pub(super) asks_for_certificate: bool,
    /// The connection, unless the server ended the handshake after it had sent
    /// its certificates.
    pub(super) stream: Result<TlsStream<TcpStream>, RemoteError>,
}

/// The chain of the registry, whoever signed it, from the first of its
/// addresses that shows one.
///
/// Believe it only after somebody compared its fingerprint.
///
/// # Errors
/// That of the first address, when none shows a chain.
pub(super) async fn chain(
    address: &RegistryAddress,
) -> Result<Vec<CertificateDer<'static>>, RemoteError> {
    let mut first = None;
    for socket in resolve(address).await? {
        let shown = match connect(socket).await {
            Ok(tcp) => handshake(tcp, socket, address.host()).await,
            Err(error) => Err(error),
        };
        match shown {
            Ok(shown) => return Ok(shown.chain),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let host = address.host().clone();
    Err(first.unwrap_or(RemoteError::NoAddress { host }))
}

/// The addresses of the registry, each once.
pub(super) async fn resolve(address: &RegistryAddress) -> Result<Vec<SocketAddr>, RemoteError> {
    let (host, port) = (address.host().clone(), address.port());
    let found = match &host {
        HostName::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        name => timeout(LIMIT, tokio::net::lookup_host((name.to_string(), port))).await,
    };
    let found = match found {
        Err(_) => return Err(RemoteError::ResolveTimeout { host }),
        Ok(Err(source)) => return Err(RemoteError::Resolve { host, source }),
        Ok(Ok(found)) => found,
    };
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < MOST_ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(RemoteError::NoAddress { host });
    }
    Ok(addresses)
}

/// Connects, and no more.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, RemoteError> {
    match timeout(LIMIT, TcpStream::connect(address)).await {
        Err(_) => Err(RemoteError::ConnectTimeout { address }),
        Ok(Err(source)) => Err(RemoteError::Connect { address, source }),
        Ok(Ok(tcp)) => Ok(tcp),
    }
}

/// Connects to the first of the registry's addresses that answers.
///
/// # Errors
/// That of the last address.
pub(super) async fn connect_any(
    address: &RegistryAddress,
) -> Result<(SocketAddr, TcpStream), RemoteError> {
    let host = address.host().clone();
    let mut tcp = Err(RemoteError::NoAddress { host });
    for socket in resolve(address).await? {
        tcp = connect(socket).await.map(|tcp| (socket, tcp));
        if tcp.is_ok() {
            break;
        }
    }
    tcp
}

/// Does the handshake, whatever the certificates are.
///
/// # Errors
/// When the server showed no certificate.
pub(super) async fn handshake(
    tcp: TcpStream,
    address: SocketAddr,
    host: &HostName,
) -> Result<Shown, RemoteError> {
    let recorder = Arc::new(Recorder::new(tls_provider()));
    let connector = TlsConnector::from(Arc::new(recorder.config()?));
    let stream = timeout(LIMIT, connector.connect(server_name(host), tcp)).await;
    let stream = match stream {
        Err(_) => Err(RemoteError::HandshakeTimeout { address }),
        Ok(Err(source)) if is_no_tls(&source) => Err(RemoteError::NotTls { address }),
        Ok(Err(source)) => Err(RemoteError::Handshake { address, source }),
        Ok(Ok(stream)) => Ok(stream),
    };
    let record = recorder.take();
    if record.chain.is_empty() {
        return Err(stream.err().unwrap_or(RemoteError::NotTls { address }));
    }
    Ok(Shown {
        chain: record.chain,
        proven: record.proven,
        asks_for_certificate: record.asked,
        stream,
    })
}

/// For SNI, which is only for names; rustls leaves it out for addresses.
fn server_name(host: &HostName) -> ServerName<'static> {
    match host {
        HostName::Ip(address) => ServerName::IpAddress((*address).into()),
        name => ServerName::try_from(name.to_string()).expect("a host name is a DNS name"),
    }
}

/// What `HTTP/1.1 400 Bad Request` is to TLS.
fn is_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

/// Accepts every certificate and writes down what it saw.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    chain: Vec<CertificateDer<'static>>,
    proven: bool,
    asked: bool,
}

impl Recorder {
    fn new(provider: Arc<CryptoProvider>) -> Self {
        let record = Mutex::default();
        Self { provider, record }
    }

    fn config(self: &Arc<Self>) -> Result<ClientConfig, RemoteError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(RemoteError::Client)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as _)
            .with_client_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn write(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Goes on whether or not the server has proven to have its key.
    fn proof(
        &self,
        verified: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> HandshakeSignatureValid {
        self.write(|record| record.proven = verified.is_ok());
        HandshakeSignatureValid::assertion()
    }

    fn take(&self) -> Record {
        std::mem::take(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|der| der.clone().into_owned()).collect();
        self.write(|record| record.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.proof(verify_tls12_signature(message, cert, dss, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.proof(verify_tls13_signature(message, cert, dss, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.write(|record| record.asked = true);
        None
    }

    fn has_certs(&self) -> bool {
        // Else nobody tells that the server asked.
        true
    }
}

#[cfg(test)]
mod tests;
