//! Connections that begin with a TLS handshake, or should.

use registry_tls::issue::{Authority, AuthorityOptions, LeafOptions};
use registry_tls::rustls::{ClientConfig, RootCertStore};
use registry_tls::server::ServerOptions;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::certificates::tls_provider;

/// A server with a certificate for `localhost`, and who trusts it.
struct Secure {
    running: Running,
    roots: RootCertStore,
    _files: TempDir,
}

async fn secure(drain: Duration) -> Secure {
    let files = tempfile::tempdir().expect("temporary directory");
    let authority = Authority::new(&AuthorityOptions::new("test")).expect("made");
    let hosts = vec!["localhost".parse().expect("valid")];
    let issued = authority.issue(&LeafOptions::new(hosts)).expect("made");
    let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
    std::fs::write(&certificate, &issued.certificate_pem).expect("written");
    std::fs::write(&key, issued.key_pem.as_str()).expect("written");
    let tls = Reloading::load(ServerOptions::new(certificate, key), tls_provider());
    let mut roots = RootCertStore::empty();
    for ca in authority.chain() {
        roots.add(ca.clone()).expect("a CA");
    }
    let options = Options {
        timeouts: SHORT,
        ..Options::default()
    };
    Secure {
        running: start_with(options, Some(Arc::new(tls.expect("a pair"))), drain).await,
        roots,
        _files: files,
    }
}

impl Secure {
    async fn connect(&self, alpn: &[&str]) -> TlsStream<TcpStream> {
        let mut config = ClientConfig::builder_with_provider(tls_provider())
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = "localhost".try_into().expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, self.running.connect().await)
            .await
            .expect("trusted")
    }
}

async fn exchange<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T, end: &str) -> String {
    let request = b"GET /transport HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.expect("open");
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = timeout(LONG, stream.read_u8()).await.expect("in time");
        text.push(char::from(byte.expect("open")));
    }
    text
}

#[tokio::test]
async fn requests_come_over_tls_in_both_protocols() {
    let server = secure(LONG).await;
    let mut stream = server.connect(&["http/1.1"]).await;
    for _ in 0..2 {
        exchange(&mut stream, "\r\n\r\nSome(Tls)").await;
    }

    let stream = server.connect(&["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut client, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get("https://localhost/transport").body(Empty::<Bytes>::new());
    let response = client.send_request(request.expect("valid")).await;
    let body = response.expect("answered").into_body().collect().await;
    assert_eq!(body.expect("whole").to_bytes(), "Some(Tls)");
}

#[tokio::test]
async fn http2_is_not_spoken_over_tls_unless_it_was_agreed_on() {
    let server = secure(LONG).await;
    for alpn in [&[][..], &["http/1.1"]] {
        let mut stream = server.connect(alpn).await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        stream.write_all(preface).await.expect("open");
        // hyper has no answer to it and ends.
        let mut answer = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut answer))
            .await
            .expect("in time");
        assert_eq!(answer, b"", "{alpn:?}");
    }
}

#[tokio::test]
async fn plain_http_is_let_through_and_told_apart() {
    let server = secure(LONG).await;
    let mut stream = server.running.connect().await;
    exchange(&mut stream, "\r\n\r\nSome(PlainInsteadOfTls)").await;
}

#[tokio::test]
async fn what_is_neither_is_closed_at_once() {
    let server = secure(LONG).await;
    let begun = Instant::now();
    for start in [
        &b"\x00\x01"[..],
        b"get / HTTP/1.1\r\n\r\n",
        b"\x16hello world",
    ] {
        let mut stream = server.running.connect().await;
        stream.write_all(start).await.expect("open");
        rest(&mut stream).await;
    }
    assert!(begun.elapsed() < SHORT.handshake, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stalled_handshake_delays_nobody_and_is_cut() {
    let server = secure(LONG).await;
    let begun = Instant::now();
    let mut stalled = Vec::new();
    for start in ["", "\x16", "\x16\x03\x01\x02\x00"] {
        for _ in 0..50 {
            let mut stream = server.running.connect().await;
            stream.write_all(start.as_bytes()).await.expect("open");
            stalled.push(stream);
        }
    }
    let mut stream = server.connect(&[]).await;
    exchange(&mut stream, "Some(Tls)").await;
    assert!(begun.elapsed() < SHORT.handshake, "{:?}", begun.elapsed());
    for mut stream in stalled {
        rest(&mut stream).await;
    }
    assert!(
        begun.elapsed() < SHORT.handshake * 4,
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let server = secure(LONG).await;
    let mut stalled = server.running.connect().await;
    stalled.write_all(b"\x16\x03").await.expect("open");
    sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    server.running.stop.send(()).expect("running");
    assert_eq!(server.running.server.await.expect("no panic"), 0);
    assert!(
        begun.elapsed() < SHORT.handshake / 2,
        "{:?}",
        begun.elapsed()
    );
}
