//! One certificate of a server or a client.

use rcgen::string::Ia5String;
use rcgen::{CustomExtension, SanType, SerialNumber};

use super::super::{CertificateSummary, Problem};
use super::*;

/// Made like a good one, but for one change.
fn changed(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = server_params();
    change(&mut params);
    signed_by(&authority("pi CA"), params).der
}

fn inspected(der: CertificateDer<'_>, hosts: &[&str]) -> Vec<Finding> {
    inspect(
        &Subject::server(&[der], None),
        &expectations(hosts),
        &provider(),
    )
}

fn only(mut findings: Vec<Finding>) -> Finding {
    let finding = findings.pop().expect("a finding");
    assert_eq!(findings, []);
    finding
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).expect("ASCII"))
}

#[test]
fn names_are_missed() {
    for (entries, host, findings, go) in [
        (
            &["a.local", "b.local"][..],
            "c.local",
            &["Error NotCovered"][..],
            "certificate is valid for a.local, b.local, not c.local",
        ),
        (
            &["a.local"],
            "192.168.86.201",
            &["Error NotCovered"],
            "cannot validate certificate for 192.168.86.201 because it doesn't contain any IP SANs",
        ),
        (
            &["192.168.86.201"],
            "192.168.86.201",
            &["Error AddressAsName"],
            "cannot validate certificate for 192.168.86.201 because it doesn't contain any IP SANs",
        ),
        (
            &["*.cube.local"],
            "a.b.cube.local",
            &["Error NotCovered"],
            "certificate is valid for *.cube.local, not a.b.cube.local",
        ),
        (
            &["*"],
            "registry",
            &["Warning UselessEntry", "Error NotCovered"],
            "certificate is valid for *, not registry",
        ),
        (
            &["registry.local:5000"],
            "registry.local",
            &["Warning UselessEntry", "Error NotCovered"],
            "certificate is valid for registry.local:5000, not registry.local",
        ),
        (
            &["registry.local."],
            "registry.local",
            &["Warning UselessEntry", "Error NotCovered"],
            "certificate is valid for registry.local., not registry.local",
        ),
        (
            &["[fd00::1]"],
            "fd00::1",
            &["Warning UselessEntry", "Error NotCovered"],
            "cannot validate certificate for fd00::1 because it doesn't contain any IP SANs",
        ),
    ] {
        let sans = entries.iter().map(|name| dns(name)).collect();
        let found = inspected(changed(|params| params.subject_alt_names = sans), &[host]);
        assert_eq!(short(&found), findings, "{entries:?}");
        let messages = said(found.last().expect("a finding"));
        assert_eq!(
            messages[0],
            format!("tls: failed to verify certificate: x509: {go}")
        );
        let curl = "SSL: no alternative certificate subject name matches target host name";
        assert_eq!(messages[1], format!("{curl} '{host}'"));
    }
}

#[test]
fn a_certificate_without_names_names_its_common_name() {
    let der = changed(|params| params.subject_alt_names.clear());
    let finding = only(inspected(der.clone(), &["registry.local"]));
    assert_eq!(
        said(&finding)[0],
        "tls: failed to verify certificate: x509: certificate relies on legacy Common Name field, \
         use SANs instead"
    );
    assert_eq!(
        finding.to_string(),
        "the certificate names its host only as common name (CN=registry.local), which clients \
         ignore: make it again with subjectAltName DNS:registry.local"
    );
    let finding = only(inspected(der, &["other.local"]));
    assert_eq!(
        said(&finding)[0],
        "tls: failed to verify certificate: x509: certificate is not valid for any names, but \
         wanted to match other.local"
    );
    let der = changed(|params| {
        params.subject_alt_names.clear();
        params.distinguished_name = rcgen::DistinguishedName::new();
    });
    let finding = only(inspected(der, &["registry.local"]));
    assert!(matches!(finding.problem, Problem::NoNames { .. }));
    assert_eq!(
        said(&finding)[1],
        "SSL: unable to obtain common name from peer certificate"
    );
}

#[test]
fn a_wildcard_below_a_top_level_domain_fails_in_openssl_only() {
    let der = changed(|params| params.subject_alt_names = vec![dns("*.local")]);
    let finding = only(inspected(der, &["registry.local"]));
    assert_eq!(
        short(std::slice::from_ref(&finding)),
        ["Warning WideWildcard"]
    );
    let text = "SSL: no alternative certificate subject name matches target host name";
    assert_eq!(said(&finding), [format!("{text} 'registry.local'")]);
}

#[test]
fn dates_are_looked_at_with_the_clock() {
    let der = changed(|params| {
        params.not_before = new_year(2024);
        params.not_after = new_year(2025);
    });
    let chain = [der];
    let at = |year: i32, day: i64| {
        let expectations = Expectations::default().now(new_year(year) + Duration::days(day));
        inspect(&Subject::server(&chain, None), &expectations, &provider())
    };
    assert_eq!(at(2024, 300), []);
    assert_eq!(short(&at(2025, -30)), [""; 0]);
    let soon = only(at(2025, -29));
    assert_eq!(
        soon.to_string(),
        "the certificate expires on 2025-01-01T00:00:00Z, in 29 days: renew it"
    );
    assert_eq!(soon.complaints(), []);
    let expired = only(at(2025, 1));
    assert_eq!(
        said(&expired)[..2],
        [
            "tls: failed to verify certificate: x509: certificate has expired or is not yet \
             valid: current time 2025-01-02T00:00:00Z is after 2025-01-01T00:00:00Z",
            "SSL certificate problem: certificate has expired"
        ]
    );
    assert!(!expired.to_string().contains("clock"));
    let early = only(at(1970, 0));
    assert_eq!(
        said(&early)[..2],
        [
            "tls: failed to verify certificate: x509: certificate has expired or is not yet \
             valid: current time 1970-01-01T00:00:00Z is before 2024-01-01T00:00:00Z",
            "SSL certificate problem: certificate is not yet valid"
        ]
    );
    assert!(early.to_string().contains("Raspberry Pi"));
}

#[test]
fn usages_and_forms_are_found() {
    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &[&str]); 9] = [
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            &["Error WrongPurpose"],
        ),
        (
            |params| params.extended_key_usages.clear(),
            &["Warning NoPurpose"],
        ),
        (
            |params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
            &["Warning NoDigitalSignature"],
        ),
        (
            |params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
            &["Error NoDigitalSignature"],
        ),
        (
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            &["Warning AuthorityAsLeaf"],
        ),
        (
            |params| params.not_after = params.not_before + Duration::days(826),
            &["Warning LongValidity"],
        ),
        (
            |params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            },
            &["Error UnknownCriticalExtension"],
        ),
        (
            |params| params.serial_number = Some(SerialNumber::from_slice(&[1; 24])),
            &["Warning LongSerial"],
        ),
        (
            |params| params.serial_number = Some(SerialNumber::from_slice(&[0])),
            &[],
        ),
    ];
    for (change, findings) in cases {
        assert_eq!(found(&[changed(change)], None), findings);
    }
}

#[test]
fn a_client_is_held_to_a_clients_rules() {
    let root = authority("pi CA");
    let client = |change: fn(&mut CertificateParams)| {
        let mut params = params("pi-node-1");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let chain = [signed_by(&root, params).der];
        short(&inspect(
            &Subject::client(&chain, None),
            &expectations(&[]),
            &provider(),
        ))
    };
    assert_eq!(client(|_| ()), [""; 0]);
    assert_eq!(
        client(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ["Error WrongPurpose"]
    );
    assert_eq!(
        client(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ["Error AuthorityAsLeaf"]
    );
}

#[test]
fn what_is_no_certificate_is_said_to_be_none() {
    let good = changed(|_| ());
    let mut trailing = good.to_vec();
    trailing.push(0);
    for (der, reason) in [
        (vec![], "it is no X.509 certificate"),
        (b"hello".to_vec(), "it is no X.509 certificate"),
        (
            good[..good.len() - 1].to_vec(),
            "it is no X.509 certificate",
        ),
        (trailing, "more bytes follow it"),
    ] {
        let finding = only(inspected(der.into(), &[]));
        let reason = reason.to_owned();
        assert_eq!(finding.problem, Problem::Unreadable { reason });
    }
    let none = inspect(&Subject::server(&[], None), &expectations(&[]), &provider());
    assert_eq!(short(&none), ["Error NoCertificate"]);
}

#[test]
fn a_summary_prints_for_people() {
    let mut params = server_params();
    params.not_before = new_year(2024);
    params.not_after = new_year(2025);
    params.serial_number = Some(SerialNumber::from_slice(&[0x01, 0xab]));
    let der = signed_by(&authority("pi CA"), params).der;
    let summary = CertificateSummary::of(&der).expect("a certificate");
    let fingerprint = summary.fingerprint;
    assert_eq!(
        summary.to_string(),
        format!(
            "subject:    CN=registry.local\n\
             issuer:     CN=pi CA\n\
             hosts:      registry.local, 192.168.0.201\n\
             valid:      2024-01-01T00:00:00Z to 2025-01-01T00:00:00Z\n\
             authority:  no\n\
             key:        ECDSA P-256\n\
             signature:  ecdsa-with-SHA256\n\
             serial:     01:ab\n\
             sha256:     {fingerprint}"
        )
    );
    assert_eq!(
        fingerprint.to_string().replace(':', "").to_lowercase(),
        fingerprint.hex()
    );
    assert_eq!(fingerprint.to_string().len(), 95);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let mut params = server_params();
    params
        .distinguished_name
        .push(DnType::CommonName, "a\u{1b}[31m\nb");
    params.subject_alt_names = vec![dns("x\u{1b}[2J")];
    let found = inspected(
        signed_by(&authority("pi CA"), params).der,
        &["registry.local"],
    );
    assert!(!found.is_empty());
    for finding in found {
        let complaints = said(&finding).concat();
        let all = format!("{finding}{}{complaints}", finding.subject);
        assert!(!all.contains(char::is_control), "{all:?}");
    }
}
