//! Files that clients are to trust.

use super::super::Problem;
use super::*;

fn trusted(made: &Made) -> Vec<Finding> {
    let chain = std::slice::from_ref(&made.der);
    inspect(&Subject::authority(chain), &expectations(&[]), &provider())
}

#[test]
fn a_certificate_in_place_of_its_authority_is_found() {
    let own = signed_by(&authority("pi CA"), server_params());
    let found = trusted(&own);
    let issuer = "CN=pi CA".to_owned();
    assert_eq!(short(&found), ["Error LeafAsAuthority"]);
    assert_eq!(found[0].problem, Problem::LeafAsAuthority { issuer });
}

#[test]
fn an_authority_needs_its_flag_and_its_usage() {
    let flagless = with(authority_params("pi CA"), |params| {
        params.is_ca = IsCa::ExplicitNoCa;
    });
    let silent = with(authority_params("pi CA"), |params| {
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![];
    });
    let signless = with(authority_params("pi CA"), |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let plain = with(authority_params("pi CA"), |params| {
        params.key_usages = vec![];
    });
    for (params, findings) in [
        (flagless, &["Error NotAnAuthority"][..]),
        (silent, &["Error NotAnAuthority"]),
        (signless, &["Error NotAnAuthority"]),
        (plain, &[]),
        // It is served and trusted at once, which clients accept.
        (server_params(), &["Warning TrustsOnlyItself"]),
    ] {
        assert_eq!(short(&trusted(&self_signed(params))), findings);
    }
}

#[test]
fn every_authority_of_a_bundle_is_looked_at() {
    let good = authority("good");
    let mut late = authority_params("late");
    late.not_before = new_year(2020);
    late.not_after = new_year(2021);
    let bundle = [good.der, self_signed(late).der];
    let found = inspect(
        &Subject::authority(&bundle),
        &expectations(&[]),
        &provider(),
    );
    assert_eq!(short(&found), ["Error Expired at 1"]);
    assert!(
        found[0]
            .to_string()
            .starts_with("certificate 2 in the file (CN=late): ")
    );
}
