//! Certificates as clients see them.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

mod openssl;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn authority() -> Authority {
    Authority::new(&AuthorityOptions::new("home")).expect("an authority is made")
}

fn server(hosts: &[&str]) -> LeafOptions {
    LeafOptions::new(
        hosts
            .iter()
            .map(|host| host.parse().expect("a host"))
            .collect(),
    )
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("PEM")
}

fn key(pem: &KeyPem) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_ref()).expect("a key as PEM")
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> X509Certificate<'a> {
    X509Certificate::from_der(certificate)
        .expect("a certificate")
        .1
}

/// Key usage, extended key usage and so on, as the parser prints them.
fn extension(certificate: &X509Certificate<'_>, name: &str) -> (String, bool) {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| {
            let found = match (name, extension.parsed_extension()) {
                ("KeyUsage", ParsedExtension::KeyUsage(usage)) => usage.to_string(),
                ("BasicConstraints", ParsedExtension::BasicConstraints(constraints)) => {
                    format!("{} {:?}", constraints.ca, constraints.path_len_constraint)
                }
                ("SubjectAltName", ParsedExtension::SubjectAlternativeName(names)) => names
                    .general_names
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
                _ => return None,
            };
            Some((found, extension.critical))
        })
        .unwrap_or_else(|| panic!("no {name}"))
}

fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(feature = "ring"))]
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn trusting(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in authority.chain() {
        roots.add(certificate.clone()).expect("a trust anchor");
    }
    Arc::new(roots)
}

/// A whole handshake in memory; the client trusts the authority alone, and
/// so does the server, if the client shows a certificate.
fn handshake(
    authority: &Authority,
    server: &Issued,
    host: &str,
    client: Option<&Issued>,
) -> Result<(), rustls::Error> {
    let roots = trusting(authority);
    let server_config =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let server_config = match client {
        Some(_) => server_config.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
                .build()
                .expect("a verifier"),
        ),
        None => server_config.with_no_client_auth(),
    }
    .with_single_cert(certificates(&server.certificate_pem), key(&server.key_pem))?;
    let client_config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let client_config = match client {
        Some(client) => client_config
            .with_client_auth_cert(certificates(&client.certificate_pem), key(&client.key_pem))?,
        None => client_config.with_no_client_auth(),
    };
    let host = ServerName::try_from(host.to_owned()).expect("a host");
    let mut client = ClientConnection::new(Arc::new(client_config), host)?;
    let mut server = ServerConnection::new(Arc::new(server_config))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory takes all");
        server.read_tls(&mut bytes.as_slice()).expect("memory");
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).expect("memory takes all");
        client.read_tls(&mut bytes.as_slice()).expect("memory");
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn clients_accept_the_hosts_of_a_certificate_and_no_other() {
    let authority = authority();
    let server = authority
        .issue(&server(&[
            "registry.local",
            "*.cube.local",
            "192.168.0.201",
            "fd00::1",
        ]))
        .expect("a certificate");
    for host in [
        "registry.local",
        "registry.cube.local",
        "192.168.0.201",
        "fd00::1",
    ] {
        handshake(&authority, &server, host, None).expect(host);
    }
    for host in [
        "other.local",
        "cube.local",
        "a.b.cube.local",
        "192.168.0.202",
        "fd00::2",
    ] {
        let error = handshake(&authority, &server, host, None).expect_err(host);
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
}

#[test]
fn an_authority_is_told_apart_from_the_next_and_not_trusted_for_it() {
    let (first, second) = (authority(), authority());
    let subject = |authority: &Authority| parsed(&authority.chain()[0]).subject().to_string();
    assert!(subject(&first).starts_with("CN=home registry CA "));
    assert_ne!(subject(&first), subject(&second));
    let server = first.issue(&server(&["a.local"])).expect("a certificate");
    handshake(&second, &server, "a.local", None).expect_err("a foreign authority");
}

#[test]
fn an_authority_may_sign_certificates_but_no_authorities() {
    let authority = authority();
    let certificate = parsed(&authority.chain()[0]);
    assert_eq!(
        extension(&certificate, "BasicConstraints"),
        ("true Some(0)".to_owned(), true)
    );
    assert_eq!(
        extension(&certificate, "KeyUsage"),
        ("Key Cert Sign, CRL Sign".to_owned(), true)
    );
    let now = OffsetDateTime::now_utc();
    let validity = certificate.validity();
    assert!(validity.not_before.to_datetime() < now - DAY + Duration::from_secs(60));
    assert!(validity.not_after.to_datetime() > now + DAY * 3649);
}

#[test]
fn a_server_certificate_says_what_it_is_for() {
    let authority = authority();
    let issued = authority
        .issue(&server(&["192.168.0.1", "a.local", "A.local", "*.b.local"]))
        .expect("a certificate");
    let chain = certificates(&issued.certificate_pem);
    assert_eq!(chain[1..], *authority.chain());
    let leaf = parsed(&chain[0]);
    assert_eq!(leaf.subject().to_string(), "CN=a.local");
    assert_eq!(
        extension(&leaf, "SubjectAltName"),
        (
            "IPAddress(c0:a8:00:01) DNSName(a.local) DNSName(*.b.local)".to_owned(),
            false
        )
    );
    assert_eq!(
        extension(&leaf, "KeyUsage"),
        ("Digital Signature".to_owned(), true)
    );
    assert_eq!(
        extension(&leaf, "BasicConstraints"),
        ("false None".to_owned(), true)
    );
    let usage = leaf.extended_key_usage().expect("readable").expect("there");
    assert!(usage.value.server_auth && !usage.value.client_auth && !usage.value.any);
    let lifetime = issued
        .not_after
        .duration_since(std::time::SystemTime::now());
    assert!(lifetime.expect("in the future") > DAY * 819);
}

#[test]
fn a_certificate_for_addresses_alone_has_no_subject_and_works() {
    let authority = authority();
    let issued = authority
        .issue(&server(&["192.168.86.201"]))
        .expect("a certificate");
    let chain = certificates(&issued.certificate_pem);
    let leaf = parsed(&chain[0]);
    assert_eq!(leaf.subject().to_string(), "");
    // As the standard wants it when the subject is empty.
    assert!(extension(&leaf, "SubjectAltName").1);
    handshake(&authority, &issued, "192.168.86.201", None).expect("it is accepted");
}

#[test]
fn a_long_name_stays_out_of_the_subject() {
    let long = format!("{}.{}", "a".repeat(40), "b".repeat(40));
    let issued = authority()
        .issue(&server(&[&long, "short.local"]))
        .expect("a certificate");
    let chain = certificates(&issued.certificate_pem);
    assert_eq!(parsed(&chain[0]).subject().to_string(), "CN=short.local");
}

#[test]
fn no_certificate_lives_longer_than_clients_accept() {
    let authority = authority();
    let mut options = server(&["a.local"]);
    options.valid = LONGEST_VALIDITY;
    let chain = certificates(&authority.issue(&options).expect("accepted").certificate_pem);
    let leaf = parsed(&chain[0]);
    let validity = leaf.validity();
    let lifetime = validity.not_after.timestamp() - validity.not_before.timestamp() + 1;
    assert_eq!(lifetime, 825 * 24 * 60 * 60);

    for valid in [LONGEST_VALIDITY + DAY, Duration::ZERO, Duration::MAX] {
        options.valid = valid;
        let error = authority.issue(&options).expect_err("refused");
        assert!(matches!(error, IssueError::Validity { .. }), "{error:?}");
    }
    options.valid = LONGEST_VALIDITY + DAY;
    assert_eq!(
        authority.issue(&options).expect_err("refused").to_string(),
        "a validity of 826 days is out of range: ask for at least a second and at most 825 days"
    );
}

#[test]
fn a_certificate_ends_with_its_authority() {
    let now = OffsetDateTime::now_utc();
    let mut options = AuthorityOptions::new("brief");
    options.valid = DAY * 30;
    let authority = Authority::new_at(&options, now).expect("an authority");
    let issued = authority
        .issue(&server(&["a.local"]))
        .expect("a certificate");
    assert_eq!(issued.not_after, authority.not_after());
    let error = authority
        .issue_at(&server(&["a.local"]), now + DAY * 31)
        .expect_err("the authority has expired");
    assert!(matches!(error, IssueError::AuthorityNotValid { .. }));
}

#[test]
fn a_clock_that_was_never_set_makes_no_certificate() {
    let error = Authority::new_at(&AuthorityOptions::new("pi"), OffsetDateTime::UNIX_EPOCH)
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "the clock of this machine says 1970-01-01: set it, then make the certificate"
    );
}

#[test]
fn names_that_no_subject_takes_are_refused() {
    let authority = authority();
    assert!(matches!(
        authority.issue(&server(&[])),
        Err(IssueError::NoHosts)
    ));
    for name in ["", "a\nb", &"x".repeat(65)] {
        let error = authority.issue_client(&ClientOptions::new(name));
        assert!(matches!(error, Err(IssueError::Name { .. })), "{name:?}");
    }
    assert!(matches!(
        Authority::new(&AuthorityOptions::new("")),
        Err(IssueError::Name { .. })
    ));
    let long = Authority::new(&AuthorityOptions::new("é".repeat(100))).expect("it is cut");
    let certificate = parsed(&long.chain()[0]);
    let name = certificate
        .subject()
        .iter_common_name()
        .next()
        .expect("a name");
    assert_eq!(name.as_str().expect("text").chars().count(), 64);
}

#[test]
fn a_renewal_keeps_the_key_when_asked_and_never_the_serial_number() {
    let authority = authority();
    let first = authority
        .issue(&server(&["a.local"]))
        .expect("a certificate");
    let mut options = server(&["b.local"]);
    options.key = KeyChoice::Keep(key(&first.key_pem));
    let loaded = Authority::load(authority.chain(), &key(&authority.key_pem())).expect("loaded");
    let kept = loaded.issue(&options).expect("renewed");
    let fresh = loaded.issue(&server(&["b.local"])).expect("renewed");

    assert_eq!(kept.key_pem.as_str(), first.key_pem.as_str());
    assert_ne!(fresh.key_pem.as_str(), first.key_pem.as_str());
    // Clients that trust the authority go on.
    handshake(&authority, &kept, "b.local", None).expect("accepted");
    handshake(&authority, &fresh, "b.local", None).expect("accepted");
    let (first, kept) = (
        certificates(&first.certificate_pem),
        certificates(&kept.certificate_pem),
    );
    let (first, kept) = (parsed(&first[0]), parsed(&kept[0]));
    assert_eq!(first.public_key().raw, kept.public_key().raw);
    assert_ne!(first.raw_serial(), kept.raw_serial());
    assert_eq!(first.raw_serial().len(), 16);
    assert!(first.raw_serial()[0] & 0x80 == 0, "it is positive");
}

#[test]
fn a_client_certificate_proves_a_user_and_serves_no_host() {
    let authority = authority();
    let server = authority
        .issue(&server(&["a.local"]))
        .expect("a certificate");
    let mut options = ClientOptions::new("alice");
    options.organization = Some("team".to_owned());
    let alice = authority.issue_client(&options).expect("a certificate");
    let chain = certificates(&alice.certificate_pem);
    assert_eq!(parsed(&chain[0]).subject().to_string(), "O=team, CN=alice");
    handshake(&authority, &server, "a.local", Some(&alice)).expect("alice is let in");

    let foreign = self::authority()
        .issue_client(&options)
        .expect("a certificate");
    handshake(&authority, &server, "a.local", Some(&foreign)).expect_err("a foreign authority");
    handshake(&authority, &server, "a.local", Some(&server)).expect_err("not for clients");
    handshake(&authority, &alice, "alice", None).expect_err("not for servers");
}

#[test]
fn rsa_keys_sign_and_serve() {
    let mut options = AuthorityOptions::new("old");
    options.key = KeyKind::Rsa4096;
    let authority = Authority::new(&options).expect("an authority");
    let mut options = server(&["a.local"]);
    options.key = KeyChoice::New(KeyKind::Rsa2048);
    let issued = authority.issue(&options).expect("a certificate");
    handshake(&authority, &issued, "a.local", None).expect("accepted");
    let chain = certificates(&issued.certificate_pem);
    let leaf = parsed(&chain[0]);
    assert_eq!(
        extension(&leaf, "KeyUsage").0,
        "Digital Signature, Key Encipherment"
    );
    let bits = |certificate: &X509Certificate<'_>| {
        certificate.public_key().parsed().expect("a key").key_size()
    };
    assert_eq!((bits(&leaf), bits(&parsed(&chain[1]))), (2048, 4096));
    Authority::load(authority.chain(), &key(&authority.key_pem())).expect("it loads again");
}

#[test]
fn no_key_is_in_debug_output() {
    let authority = authority();
    let issued = authority
        .issue(&server(&["a.local"]))
        .expect("a certificate");
    assert!(format!("{issued:?}").contains("KeyPem(..)"));
    assert!(!format!("{issued:?}").contains("PRIVATE"));
    assert!(format!("{authority:?}").contains("elided"));
}

#[test]
fn an_authority_is_made_for_a_key_that_exists() {
    let old = authority();
    let again = Authority::with_key(&AuthorityOptions::new("home"), &key(&old.key_pem()))
        .expect("an authority is made");
    assert_eq!(again.key_pem().as_str(), old.key_pem().as_str());
    let issued = again.issue(&server(&["registry.local"])).expect("issued");
    let chain = certificates(&issued.certificate_pem);
    assert_eq!(parsed(&chain[0]).issuer(), parsed(&chain[1]).subject());
    Authority::load(again.chain(), &key(&old.key_pem())).expect("key and certificate fit");
}
