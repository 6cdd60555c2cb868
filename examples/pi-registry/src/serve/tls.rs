//! From an accepted connection to one that HTTP is spoken on: the TLS
//! handshake, where the registry has a certificate.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use registry_tls::rustls::{
    AlertDescription, CertificateError, Error as TlsError, PeerIncompatible,
};
use registry_tls::{ClientIdentity, Reloading};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::begun::Begun;
use super::connection::Peer;
use super::listener::Io;

/// How a request reached the server; each carries it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Plain HTTP, where nothing else is spoken.
    Plain,
    /// HTTP over TLS. A [`ClientIdentity`] is beside it where the client has
    /// shown a certificate that was verified.
    Tls,
    /// Plain HTTP, by a client that does not know that TLS is spoken here.
    PlainInsteadOfTls,
}

/// A connection that HTTP can be spoken on.
pub(super) struct Opened {
    pub(super) io: Box<dyn Io>,
    pub(super) transport: Transport,
    /// Whether HTTP/2 was agreed on in the handshake.
    pub(super) h2: bool,
    pub(super) client: Option<ClientIdentity>,
}

/// Waits for the client to begin, and shakes hands with it; `None` when that
/// fails or takes longer than `limit`.
pub(super) async fn open(
    io: Box<dyn Io>,
    peer: Peer,
    tls: Option<&Reloading>,
    limit: Duration,
) -> Option<Opened> {
    let Some(tls) = tls else {
        return Some(Opened {
            io,
            transport: Transport::Plain,
            h2: false,
            client: None,
        });
    };
    match timeout(limit, shake_hands(io, tls)).await {
        Ok(Ok(opened)) => Some(opened),
        Ok(Err(error)) => {
            report(peer, &error);
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "no TLS handshake within {limit:?}");
            None
        }
    }
}

async fn shake_hands(mut io: Box<dyn Io>, tls: &Reloading) -> io::Result<Opened> {
    /// The type of the record that every TLS handshake begins with.
    const HANDSHAKE: u8 = 22;
    let first = io.read_u8().await?;
    let io = Begun::new(Bytes::copy_from_slice(&[first]), io);
    if first != HANDSHAKE {
        if first.is_ascii_uppercase() {
            return Ok(Opened {
                io: Box::new(io),
                transport: Transport::PlainInsteadOfTls,
                h2: false,
                client: None,
            });
        }
        let message = "the client speaks neither TLS nor HTTP";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let stream = TlsAcceptor::from(tls.config()).accept(io).await?;
    let session = stream.get_ref().1;
    let client = tls.client_identity(session);
    let h2 = session.alpn_protocol() == Some(b"h2");
    Ok(Opened {
        io: Box::new(stream),
        transport: Transport::Tls,
        h2,
        client,
    })
}

/// Somebody who only connects and goes is everyday: a balancer's probe.
fn report(peer: Peer, error: &io::Error) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(error) => tracing::info!(%peer, "TLS handshake failed: {}", Explained(error)),
        None => tracing::debug!(%peer, %error, "TLS handshake failed"),
    }
}

/// What a failure means for whoever runs the registry.
struct Explained<'a>(&'a TlsError);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use AlertDescription::{BadCertificate, CertificateExpired, CertificateUnknown, UnknownCA};
        use PeerIncompatible::{
            SignatureAlgorithmsExtensionRequired, SupportedVersionsExtensionRequired,
            Tls12NotOffered, Tls12NotOfferedOrEnabled,
        };
        match self.0 {
            TlsError::AlertReceived(
                alert @ (UnknownCA | BadCertificate | CertificateUnknown | CertificateExpired),
            ) => write!(
                f,
                "the client does not accept the registry's certificate ({alert:?}): give it the CA \
                 by `pi-registry trust`, or ask `pi-registry doctor` there"
            ),
            TlsError::PeerIncompatible(
                Tls12NotOffered
                | Tls12NotOfferedOrEnabled
                | SupportedVersionsExtensionRequired
                // Nothing of TLS 1.2 in it, as clients of TLS 1.1 say hello.
                | SignatureAlgorithmsExtensionRequired,
            ) => f.write_str(
                "the client speaks an older TLS than http.tls.minimumtls allows, which is TLS 1.2 \
                 at least",
            ),
            TlsError::NoCertificatesPresented => f.write_str("the client shows no certificate"),
            TlsError::InvalidCertificate(why) => write!(
                f,
                "the client's certificate is not accepted: {}",
                fault_of_a_client(why)
            ),
            other => other.fmt(f),
        }
    }
}

/// The faults that `openssl` as most people call it makes.
fn fault_of_a_client(why: &CertificateError) -> String {
    const HOW: &str = "make one with `pi-registry cert new --client NAME`";
    let told = why.to_string();
    if *why == CertificateError::UnknownIssuer {
        "no CA of http.tls.clientcas has signed it".to_owned()
    } else if told.contains("UnsupportedCertVersion") {
        format!("it is of X.509 version 1, without extensions: {HOW}")
    } else if told.contains("CaUsedAsEndEntity") {
        format!("it is a CA's, not a client's own: {HOW}")
    } else {
        told
    }
}

#[cfg(test)]
mod tests {
    use registry_tls::issue::{Authority, AuthorityOptions};
    use registry_tls::pem;
    use registry_tls::rustls::RootCertStore;
    use registry_tls::rustls::pki_types::{CertificateDer, UnixTime};
    use registry_tls::rustls::server::WebPkiClientVerifier;

    use super::*;
    use crate::certificates::tls_provider;

    #[test]
    fn a_refused_client_certificate_is_explained() {
        let mine = Authority::new(&AuthorityOptions::new("mine")).expect("made");
        let other = Authority::new(&AuthorityOptions::new("other")).expect("made");
        let mut roots = RootCertStore::empty();
        roots.add(mine.chain()[0].clone()).expect("a CA");
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), tls_provider());
        let verifier = verifier.build().expect("has a CA");
        let explained = |certificate: &CertificateDer<'_>| {
            let verified = verifier.verify_client_cert(certificate, &[], UnixTime::now());
            Explained(&verified.expect_err("refused")).to_string()
        };
        let version1 = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../registry-tls/testdata/v1.crt"
        );
        let version1 = &pem::certificates(version1).expect("a certificate")[0];
        for (certificate, expected) in [
            (version1, "it is of X.509 version 1"),
            (&mine.chain()[0], "it is a CA's, not a client's own"),
            (&other.chain()[0], "it is a CA's, not a client's own"),
        ] {
            let text = explained(certificate);
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("Other("), "{text}");
        }
    }
}
