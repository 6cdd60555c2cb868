//! What Go would say, for chains and roots that were tried with Go 1.26.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};

use super::super::{Client, Problem, verify};
use super::*;

fn verified(chain: &[&Made], host: &str, roots: &[&Made]) -> Vec<Finding> {
    let der = |list: &[&Made]| list.iter().map(|made| made.der.clone()).collect::<Vec<_>>();
    let host = host.parse().expect("a host");
    let now = OffsetDateTime::now_utc();
    verify(&der(chain), &host, &der(roots), now, &provider())
        .err()
        .unwrap_or_default()
}

const UNKNOWN: &str =
    "tls: failed to verify certificate: x509: certificate signed by unknown authority";

#[test]
fn what_go_accepts_is_accepted() {
    let root = authority("root");
    let other = authority("other");
    let middle = signed_by(&root, authority_params("middle"));
    let own = signed_by(&middle, server_params());
    let direct = signed_by(&root, server_params());
    let flagged = with(server_params(), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let itself = self_signed(server_params());
    let itself_flagged = self_signed(flagged.clone());
    let flagged = signed_by(&middle, flagged);
    for (chain, roots) in [
        (vec![&direct], vec![&root]),
        (vec![&direct, &root], vec![&other, &root]),
        (vec![&own, &middle], vec![&root]),
        (vec![&own, &other, &middle], vec![&root]),
        (vec![&own], vec![&middle]),
        // Go's own: the served certificate is itself trusted.
        (vec![&direct], vec![&direct]),
        (vec![&itself], vec![&itself]),
        (vec![&itself_flagged], vec![&itself_flagged]),
        // Go's own: an authority may be a server.
        (vec![&flagged, &middle], vec![&root]),
    ] {
        assert_eq!(verified(&chain, "registry.local", &roots), []);
    }
}

#[test]
fn what_go_refuses_is_explained() {
    let root = authority("root");
    let anew = authority("root");
    let other = authority("other");
    let middle = signed_by(&root, authority_params("middle"));
    let own = signed_by(&middle, server_params());
    let direct = signed_by(&root, server_params());
    let itself = self_signed(with(server_params(), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }));
    let possibly = |why: &str, name: &str| {
        format!(
            "{UNKNOWN} (possibly because of \"x509: {why}\" while trying to verify candidate \
             authority certificate \"{name}\")"
        )
    };
    let flagless = self_signed(with(authority_params("flagless"), |params| {
        params.is_ca = IsCa::ExplicitNoCa;
    }));
    let under_flagless = signed_by(&flagless, server_params());
    let cannot_sign = "invalid signature: parent certificate cannot sign this kind of certificate";
    for (chain, roots, finding, message) in [
        (
            vec![&direct],
            vec![&other],
            "Error UnknownAuthority",
            UNKNOWN.to_owned(),
        ),
        (
            vec![&direct],
            vec![],
            "Error UnknownAuthority",
            UNKNOWN.to_owned(),
        ),
        (
            vec![&own],
            vec![&root],
            "Error UnknownAuthority",
            UNKNOWN.to_owned(),
        ),
        (
            vec![&itself],
            vec![&root],
            "Error UnknownAuthority",
            UNKNOWN.to_owned(),
        ),
        (
            vec![&direct],
            vec![&anew],
            "Error WrongAuthorityKey",
            possibly("ECDSA verification failure", "root"),
        ),
        (
            vec![&under_flagless],
            vec![&flagless],
            "Error NotAnAuthority of a root",
            possibly(cannot_sign, "flagless"),
        ),
    ] {
        let found = verified(&chain, "registry.local", &roots);
        assert_eq!(short(&found), [finding]);
        assert_eq!(said(&found[0])[0], message);
    }
}

#[test]
fn a_chain_that_leads_everywhere_ends() {
    let key = new_key();
    let issuer = Issuer::new(authority_params("all alike"), key);
    let alike = || {
        let made = authority_params("all alike").self_signed(issuer.key());
        made.expect("a certificate").der().clone()
    };
    let own = server_params().signed_by(&new_key(), &issuer);
    let mut chain = vec![own.expect("a certificate").der().clone()];
    chain.extend(std::iter::repeat_with(alike).take(20));
    let host = "registry.local".parse().expect("a host");
    let roots = [authority("another").der];
    let now = OffsetDateTime::now_utc();
    let found = verify(&chain, &host, &roots, now, &provider()).expect_err("no way to a root");
    assert_eq!(short(&found), ["Error UnknownAuthority"]);
}

#[test]
fn names_and_dates_come_before_trust() {
    let root = authority("root");
    let mut params = server_params();
    params.not_before = new_year(2020);
    params.not_after = new_year(2021);
    let own = signed_by(&root, params);
    let found = verified(&[&own], "other.local", &[&authority("other")]);
    assert_eq!(
        short(&found),
        [
            "Error Expired",
            "Error NotCovered",
            "Error UnknownAuthority"
        ]
    );
}

#[test]
fn an_expired_root_is_named() {
    let mut params = authority_params("late");
    params.not_before = new_year(2020);
    params.not_after = new_year(2021);
    let late = self_signed(params);
    let own = signed_by(&late, server_params());
    let found = verified(&[&own], "registry.local", &[&late]);
    assert_eq!(short(&found), ["Error Expired of a root"]);
    assert!(
        found[0]
            .to_string()
            .starts_with("the trusted authority (CN=late): ")
    );
}

#[test]
fn limits_of_an_authority_are_kept() {
    let limited = with(authority_params("limited"), |params| {
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("cube.local".to_owned())],
            excluded_subtrees: vec![],
        });
    });
    let limited = self_signed(limited);
    let own = signed_by(&limited, server_params());
    let found = verified(&[&own], "registry.local", &[&limited]);
    assert_eq!(short(&found), ["Error Refused"]);
}

/// What rustls prints.
pub(super) fn refused_by_rustls(own: &CertificateDer<'_>, root: &CertificateDer<'_>) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone().into_owned()).expect("a root");
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider().into());
    let verifier = verifier.build().expect("a verifier");
    let name = ServerName::try_from("registry.local").expect("a name");
    let refused = verifier.verify_server_cert(own, &[], &name, &[], UnixTime::now());
    refused.expect_err("a refusal").to_string()
}

#[test]
fn rustls_refuses_an_authority_as_a_server() {
    let itself = self_signed(with(server_params(), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }));
    let refused = refused_by_rustls(&itself.der, &itself.der);
    let chain = [itself.der];
    let found = inspect(
        &Subject::server(&chain, None),
        &expectations(&[]),
        &provider(),
    );
    let role = super::super::Role::Server;
    let finding = found
        .iter()
        .find(|it| it.problem == Problem::AuthorityAsLeaf { role });
    let complaints = finding.expect("the finding").complaints();
    assert_eq!(complaints[0].client, Client::Rustls);
    assert_eq!(complaints[0].message, refused);
}

#[test]
fn openssl_tells_a_served_root_from_a_missing_one() {
    let root = authority("root");
    let server = signed_by(&root, server_params());
    for (chain, expected) in [
        (&[&server][..], "unable to get local issuer certificate"),
        (
            &[&server, &root],
            "self-signed certificate in certificate chain",
        ),
        (&[&root], "self-signed certificate"),
    ] {
        let findings = verified(chain, "registry.local", &[]);
        let finding = findings
            .iter()
            .find(|finding| matches!(finding.problem, Problem::UnknownAuthority { .. }))
            .expect("nobody trusts it");
        let texts = said(finding);
        assert!(
            texts.iter().any(|text| text.ends_with(expected)),
            "{texts:?}"
        );
    }
}
