use registry_tls::issue::{Authority, AuthorityOptions, LeafOptions};
use registry_tls::rustls::pki_types::PrivateKeyDer;
use registry_tls::rustls::pki_types::pem::PemObject as _;
use registry_tls::rustls::server::WebPkiClientVerifier;
use registry_tls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

async fn listener() -> (TcpListener, RegistryAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address.parse().expect("an address"))
}

/// A server that wants a client's certificate, and its own chain.
fn strict(
    version: &'static SupportedProtocolVersion,
) -> (TlsAcceptor, Vec<CertificateDer<'static>>) {
    let authority = Authority::new(&AuthorityOptions::new("test")).expect("an authority");
    let hosts = vec!["127.0.0.1".parse().expect("an address")];
    let issued = authority.issue(&LeafOptions::new(hosts)).expect("issued");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_ref()).expect("PEM");
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.chain()[0].clone())
        .expect("an authority");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls_provider())
        .build()
        .expect("a verifier");
    let config = ServerConfig::builder_with_provider(tls_provider())
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key)
        .expect("a pair");
    (TlsAcceptor::from(Arc::new(config)), chain)
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_shows_its_own_all_the_same() {
    for version in [&version::TLS12, &version::TLS13] {
        let (listener, address) = listener().await;
        let (acceptor, expected) = strict(version);
        let server = tokio::spawn(async move {
            for _ in 0..2 {
                let (tcp, _) = listener.accept().await.expect("a connection");
                acceptor.accept(tcp).await.expect_err("no certificate");
            }
        });
        assert_eq!(
            chain(&address).await.expect("a chain"),
            expected,
            "{version:?}"
        );

        let socket = resolve(&address).await.expect("an address")[0];
        let tcp = connect(socket).await.expect("a connection");
        let shown = handshake(tcp, socket, address.host())
            .await
            .expect("a chain");
        assert!(shown.proven && shown.asks_for_certificate, "{shown:?}");
        server.await.expect("no panic");
    }
}

#[tokio::test]
async fn plain_http_is_told_from_a_bad_handshake() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
            let (mut tcp, _) = listener.accept().await.expect("a connection");
            let mut hello = [0; 1];
            tcp.read_exact(&mut hello).await.expect("a hello");
            tcp.write_all(answer).await.expect("written");
            tcp.shutdown().await.expect("ended");
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
        }
    });
    let error = chain(&address).await.expect_err("no TLS");
    assert!(matches!(error, RemoteError::NotTls { .. }), "{error:?}");
    let error = chain(&address).await.expect_err("no TLS");
    assert!(matches!(error, RemoteError::Handshake { .. }), "{error:?}");
    server.await.expect("no panic");
}

#[tokio::test]
async fn names_and_ports_that_are_not_there_are_told_apart() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = chain(&address).await.expect_err("closed");
    assert!(matches!(error, RemoteError::Connect { .. }), "{error:?}");

    let address = "registry.invalid:5000".parse().expect("an address");
    let error = chain(&address).await.expect_err("no such name");
    assert!(
        matches!(
            error,
            RemoteError::Resolve { .. } | RemoteError::ResolveTimeout { .. }
        ),
        "{error:?}"
    );
}

// The clock is the test's: it goes on whenever nothing happens.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left() {
    let (listener, address) = listener().await;
    let error = chain(&address).await.expect_err("silence");
    assert!(
        matches!(
            error,
            RemoteError::HandshakeTimeout { .. } | RemoteError::ConnectTimeout { .. }
        ),
        "{error:?}"
    );
    drop(listener);
}
