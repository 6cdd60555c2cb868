//! Certificates, good and bad, each with exactly the findings that it deserves.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

use super::{Expectations, Finding, Subject, inspect};

mod authority;
mod chain;
mod openssl;
mod server;
mod verify;

fn provider() -> CryptoProvider {
    #[cfg(feature = "ring")]
    return rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "ring"))]
    return rustls::crypto::aws_lc_rs::default_provider();
}

/// A certificate, and what signs with it.
struct Made {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Made {
    fn key(&self) -> PrivateKeyDer<'static> {
        let der = self.issuer.key().serialize_der();
        PrivateKeyDer::try_from(der).expect("rcgen writes PKCS#8")
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a P-256 key")
}

/// Valid from yesterday, for 398 days.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = params.not_before + Duration::days(398);
    params.use_authority_key_identifier_extension = true;
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.not_after = params.not_before + Duration::days(3650);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// As `registry-tls` issues them, for registry.local and 192.168.0.201.
fn server_params() -> CertificateParams {
    let mut params = params("registry.local");
    params.subject_alt_names = CertificateParams::new(names(&["registry.local", "192.168.0.201"]))
        .expect("good names")
        .subject_alt_names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn with(
    mut params: CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn self_signed(params: CertificateParams) -> Made {
    let key = new_key();
    let der = params
        .self_signed(&key)
        .expect("a certificate")
        .der()
        .clone();
    let issuer = Issuer::new(params, key);
    Made { der, issuer }
}

fn signed_by(authority: &Made, params: CertificateParams) -> Made {
    let key = new_key();
    let made = params.signed_by(&key, &authority.issuer);
    let der = made.expect("a certificate").der().clone();
    let issuer = Issuer::new(params, key);
    Made { der, issuer }
}

fn authority(name: &str) -> Made {
    self_signed(authority_params(name))
}

fn expectations(hosts: &[&str]) -> Expectations {
    Expectations::default().hosts(hosts.iter().map(|host| host.parse().expect("a host")))
}

/// What is found in a server's chain that clients reach as registry.local.
fn found(chain: &[CertificateDer<'_>], key: Option<&PrivateKeyDer<'_>>) -> Vec<String> {
    let expectations = expectations(&["registry.local"]);
    short(&inspect(
        &Subject::server(chain, key),
        &expectations,
        &provider(),
    ))
}

/// `Error Expired`, and the position of any but the first certificate.
fn short(findings: &[Finding]) -> Vec<String> {
    let short = |finding: &Finding| {
        let problem = format!("{:?}", finding.problem);
        let name = problem.split([' ', '{']).next().unwrap_or_default();
        match finding.position {
            Some(0) => format!("{:?} {name}", finding.severity),
            Some(at) => format!("{:?} {name} at {at}", finding.severity),
            None => format!("{:?} {name} of a root", finding.severity),
        }
    };
    findings.iter().map(short).collect()
}

/// The message of each client.
fn said(finding: &Finding) -> Vec<String> {
    finding
        .complaints()
        .iter()
        .map(|complaint| complaint.message.clone())
        .collect()
}

#[test]
fn a_good_chain_has_no_findings() {
    let root = authority("pi CA");
    let own = signed_by(&root, server_params());
    let chain = [own.der.clone(), root.der.clone()];
    let expectations = expectations(&["registry.local", "192.168.0.201"]);
    let key = own.key();
    let subject = Subject::server(&chain, Some(&key));
    assert_eq!(inspect(&subject, &expectations, &provider()), []);
    assert_eq!(found(std::slice::from_ref(&own.der), None), [""; 0]);
    // The same certificate twice harms nobody.
    let chain = [own.der.clone(), own.der.clone(), root.der.clone()];
    assert_eq!(found(&chain, None), [""; 0]);
    let subject = Subject::authority(&chain[2..]);
    assert_eq!(inspect(&subject, &expectations, &provider()), []);
}

fn new_year(year: i32) -> OffsetDateTime {
    rcgen::date_time_ymd(year, 1, 1)
}
