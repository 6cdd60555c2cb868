//! Handshakes between rustls and itself, through buffers.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion,
    RootCertStore, ServerConnection, SignatureScheme, SupportedProtocolVersion,
};
use tempfile::TempDir;

use super::*;
use crate::pem::PemProblem;
use crate::{ClientIdentity, Reloading, TlsError};

pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    return crate::provider::ring();
    #[cfg(not(feature = "ring"))]
    return crate::provider::aws_lc_rs();
}

/// A certificate with its key, both in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    pub(crate) fn issue(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn server(&self) -> Pair {
        let params = CertificateParams::new(["registry.local".to_owned()]);
        self.issue(&params.expect("a host name"))
    }

    fn client(&self) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "builders, inc");
        params.distinguished_name.push(DnType::CommonName, "ci");
        params.subject_alt_names = vec![
            SanType::DnsName("ci.local".try_into().expect("ASCII")),
            SanType::Rfc822Name("ci@ci.local".try_into().expect("ASCII")),
            SanType::URI("spiffe://ci.local/build".try_into().expect("ASCII")),
            SanType::IpAddress([10, 0, 0, 7].into()),
        ];
        self.issue(&params)
    }
}

/// A directory with a server's files, and the CA that clients trust.
struct Server {
    dir: TempDir,
    ca: Ca,
    options: ServerOptions,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let ca = Ca::new("servers");
        let options = ServerOptions::new(dir.path().join("tls.crt"), dir.path().join("tls.key"));
        let server = Self { dir, ca, options };
        let pair = server.ca.server();
        server.write("tls.crt", &pair.certificate);
        server.write("tls.key", &pair.key);
        server
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).expect("a writable directory");
        path
    }

    fn with_client_ca(mut self, ca: &Ca, mode: ClientAuth) -> Self {
        let path = self.write("clients.crt", &ca.0.pem());
        self.options.client_cas = vec![path];
        self.options.client_auth = Some(mode);
        self
    }

    fn load(&self) -> Result<Reloading, TlsError> {
        Reloading::load(self.options.clone(), provider())
    }

    fn serve(&self) -> Reloading {
        self.load().expect("good files")
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        self.client_with(versions, None)
    }

    fn client_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        pair: Option<&Pair>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.0.der().clone()).expect("a CA");
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("supported versions")
            .with_root_certificates(roots);
        let Some(pair) = pair else {
            return builder.with_no_client_auth();
        };
        let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes());
        builder
            .with_client_auth_cert(vec![chain.expect("PEM")], key.expect("PEM"))
            .expect("a pair")
    }
}

/// Both ends after a handshake, or what the server or the client ended it with.
type Shaken = Result<(ClientConnection, ServerConnection), rustls::Error>;

fn shake(tls: &Reloading, client: &Arc<ClientConfig>) -> Shaken {
    let name = ServerName::try_from("registry.local").expect("a host name");
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(tls.config())?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            server.read_tls(&mut wire).expect("memory");
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("memory");
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn both_versions_are_spoken_and_the_chain_is_told() {
    let server = Server::new();
    let tls = server.serve();
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let (client, _) = shake(&tls, &Arc::new(server.client(&[version]))).expect("spoken");
        assert_eq!(client.protocol_version(), Some(expected));
        assert_eq!(client.peer_certificates(), Some(&*tls.certificates()));
    }
}

#[test]
fn below_the_minimum_nothing_is_spoken() {
    let mut server = Server::new();
    server.options.minimum = MinimumTls::Tls13;
    let tls = server.serve();
    assert!(shake(&tls, &Arc::new(server.client(&[&TLS12]))).is_err());
    assert!(shake(&tls, &Arc::new(server.client(&[&TLS13]))).is_ok());
}

#[test]
fn only_chosen_suites_are_spoken() {
    let mut server = Server::new();
    let name = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305";
    server.options.cipher_suites = CipherSuites::parse([name], &provider()).expect("known");
    let tls = server.serve();
    let (client, _) = shake(&tls, &Arc::new(server.client(&[&TLS12]))).expect("spoken");
    let suite = client.negotiated_cipher_suite().map(|suite| suite.suite());
    assert_eq!(suite.map(u16::from), Some(0xcca9));
    assert!(shake(&tls, &Arc::new(server.client(&[&TLS13]))).is_ok());
}

#[test]
fn suites_of_tls13_alone_leave_tls12_out() {
    let mut server = Server::new();
    let name = "TLS_AES_128_GCM_SHA256";
    server.options.cipher_suites = CipherSuites::parse([name], &provider()).expect("known");
    let tls = server.serve();
    let error = shake(&tls, &Arc::new(server.client(&[&TLS12]))).expect_err("not spoken");
    let expected = rustls::PeerIncompatible::Tls12NotOfferedOrEnabled;
    assert_eq!(error, expected.into());
    assert!(shake(&tls, &Arc::new(server.client(&[&TLS13]))).is_ok());
}

#[test]
fn the_protocol_above_is_agreed_on() {
    let server = Server::new();
    let tls = server.serve();
    for (offered, expected) in [
        (&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let mut client = server.client(&[&TLS13]);
        client.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let (client, _) = shake(&tls, &Arc::new(client)).expect("agreed");
        assert_eq!(client.alpn_protocol(), expected);
    }
}

#[test]
fn sessions_resume_until_the_configuration_changes() {
    for version in [&TLS12, &TLS13] {
        let clients = Ca::new("clients");
        let server = Server::new().with_client_ca(&clients, ClientAuth::RequireAndVerify);
        let tls = server.serve();
        let pair = clients.client();
        let client = Arc::new(server.client_with(&[version], Some(&pair)));
        let kind = |tls: &Reloading| {
            let (client, server) = shake(tls, &client)?;
            let identity = tls.client_identity(&server);
            assert_eq!(identity.expect("verified").common_name(), Some("ci"));
            Ok::<_, rustls::Error>(client.handshake_kind())
        };
        assert_eq!(kind(&tls), Ok(Some(HandshakeKind::Full)));
        assert_eq!(kind(&tls), Ok(Some(HandshakeKind::Resumed)));
        server.write("clients.crt", &Ca::new("others").0.pem());
        tls.reload().expect("another CA");
        kind(&tls).expect_err("verified by a CA that is gone");
    }
}

/// What a handshake ends with: refused, or who the client is.
fn admitted(
    server: &Server,
    tls: &Reloading,
    pair: Option<&Pair>,
) -> [Option<Option<ClientIdentity>>; 2] {
    [&TLS12, &TLS13].map(|version| {
        let client = Arc::new(server.client_with(&[version], pair));
        let (_, server) = shake(tls, &client).ok()?;
        Some(tls.client_identity(&server))
    })
}

#[test]
fn each_mode_admits_whom_it_says() {
    let clients = Ca::new("clients");
    let known = clients.client();
    let foreign = Ca::new("others").client();
    for mode in [
        ClientAuth::Request,
        ClientAuth::RequireAny,
        ClientAuth::VerifyIfGiven,
        ClientAuth::RequireAndVerify,
    ] {
        let server = Server::new().with_client_ca(&clients, mode);
        let tls = server.serve();
        for admitted in admitted(&server, &tls, None) {
            assert_eq!(admitted, (!mode.requires()).then_some(None), "{mode}, none");
        }
        for admitted in admitted(&server, &tls, Some(&foreign)) {
            assert_eq!(
                admitted,
                (!mode.verifies()).then_some(None),
                "{mode}, foreign"
            );
        }
        for admitted in admitted(&server, &tls, Some(&known)) {
            let identity = admitted.expect("admitted");
            assert_eq!(identity.is_some(), mode.verifies(), "{mode}, known");
        }
    }
}

#[test]
fn unverified_modes_still_need_the_key_of_the_certificate() {
    let clients = Ca::new("clients");
    let stolen = Pair {
        key: clients.client().key,
        ..clients.client()
    };
    let server = Server::new().with_client_ca(&clients, ClientAuth::RequireAny);
    let tls = server.serve();
    for version in [&TLS12, &TLS13] {
        // The client refuses such a pair when it can tell, so sign by force.
        let key = PrivateKeyDer::from_pem_slice(stolen.key.as_bytes()).expect("PEM");
        let chain = CertificateDer::from_pem_slice(stolen.certificate.as_bytes()).expect("PEM");
        let key = provider()
            .key_provider
            .load_private_key(key)
            .expect("a key");
        let mut client = server.client(&[version]);
        let certified = rustls::sign::CertifiedKey::new(vec![chain], key);
        client.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        let error = shake(&tls, &Arc::new(client)).expect_err("a wrong signature");
        assert!(error.to_string().contains("BadSignature"), "{error}");
    }
}

#[test]
fn an_identity_holds_what_the_certificate_says() {
    let clients = Ca::new("clients");
    let pair = clients.client();
    let server = Server::new().with_client_ca(&clients, ClientAuth::VerifyIfGiven);
    let [_, admitted] = admitted(&server, &server.serve(), Some(&pair));
    let identity = admitted.flatten().expect("verified");
    assert_eq!(identity.subject(), "CN=ci,O=builders\\, inc");
    assert_eq!(identity.common_name(), Some("ci"));
    assert_eq!(identity.organizations(), ["builders, inc"]);
    assert_eq!(identity.dns_names(), ["ci.local"]);
    assert_eq!(identity.emails(), ["ci@ci.local"]);
    assert_eq!(identity.uris(), ["spiffe://ci.local/build"]);
    assert_eq!(
        identity.addresses(),
        [std::net::IpAddr::from([10, 0, 0, 7])]
    );
    assert_eq!(identity.fingerprint().len(), 64);
}

#[test]
fn an_expired_certificate_is_nobody() {
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let pair = Ca::new("clients").issue(&params);
    let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
    assert_eq!(ClientIdentity::of_verified(&der), None);
    params.not_after = rcgen::date_time_ymd(4000, 1, 1);
    let pair = Ca::new("clients").issue(&params);
    let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
    assert!(ClientIdentity::of_verified(&der).is_some());
}

#[test]
fn client_cas_alone_require_certificates() {
    let mut server = Server::new().with_client_ca(&Ca::new("clients"), ClientAuth::Request);
    server.options.client_auth = None;
    let tls = server.serve();
    assert_eq!(admitted(&server, &tls, None), [None, None]);
}

#[test]
fn verifying_needs_a_ca() {
    let mut server = Server::new();
    server.options.client_auth = Some(ClientAuth::VerifyIfGiven);
    let error = server.load().expect_err("nothing to verify against");
    assert!(error.to_string().contains("clientcas"), "{error}");
    server.options.client_auth = Some(ClientAuth::Request);
    server.load().expect("nothing to verify");
}

#[test]
fn a_key_of_another_certificate_is_refused_with_both_names() {
    let server = Server::new();
    server.write("tls.key", &server.ca.server().key);
    let error = server.load().expect_err("two pairs");
    assert!(matches!(error, TlsError::KeyMismatch { .. }));
    let text = error.to_string();
    assert!(
        text.contains("tls.key") && text.contains("tls.crt"),
        "{text}"
    );
}

#[test]
fn swapped_files_are_named() {
    let mut server = Server::new();
    std::mem::swap(&mut server.options.certificate, &mut server.options.key);
    let error = server.load().expect_err("swapped");
    let TlsError::Pem(error) = error else {
        panic!("{error}");
    };
    assert_eq!(*error.problem(), PemProblem::KeyInstead);
}

#[test]
fn what_openssl_makes_is_served() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut client = Server::new().client(&[&TLS12, &TLS13]);
    client
        .dangerous()
        .set_certificate_verifier(Arc::new(TakeAll));
    let client = Arc::new(client);
    for (certificate, key) in [
        ("self-signed.crt", "sec1.key"),
        ("self-signed.crt", "pkcs8.key"),
        ("v1.crt", "sec1.key"),
        ("rsa.crt", "pkcs1.key"),
    ] {
        let options = ServerOptions::new(data.join(certificate), data.join(key));
        let tls = Reloading::load(options, provider()).expect(certificate);
        let (client, _) = shake(&tls, &client).expect(certificate);
        assert_eq!(client.peer_certificates(), Some(&*tls.certificates()));
    }
    let options = ServerOptions::new(data.join("rsa.crt"), data.join("sec1.key"));
    let error = Reloading::load(options, provider()).expect_err("of another kind");
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error}");
}

/// A client that does not look, as `curl -k`.
#[derive(Debug)]
struct TakeAll;

impl ServerCertVerifier for TakeAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
