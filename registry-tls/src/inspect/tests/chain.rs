//! Several certificates in a file, and their key.

use super::*;

fn intermediate(by: &Made, name: &str) -> Made {
    signed_by(by, authority_params(name))
}

#[test]
fn order_and_strangers_are_found() {
    let root = authority("root");
    let upper = intermediate(&root, "upper");
    let lower = intermediate(&upper, "lower");
    let own = signed_by(&lower, server_params());
    let stranger = authority("stranger");
    let (key, der) = (own.key(), |made: &Made| made.der.clone());
    for (chain, findings) in [
        (vec![&own, &lower, &upper], &[][..]),
        (vec![&own, &lower, &upper, &root], &[]),
        // Clients fetch what is missing from their own roots, or say so.
        (vec![&own], &[]),
        (vec![&own, &upper, &lower], &["Warning OutOfOrder at 1"]),
        (vec![&lower, &own, &upper], &["Error LeafNotFirst"]),
        (
            vec![&own, &lower, &stranger, &upper],
            &["Warning Unrelated at 2"],
        ),
        (vec![&own, &stranger], &["Warning Unrelated at 1"]),
    ] {
        let chain: Vec<_> = chain.into_iter().map(der).collect();
        assert_eq!(found(&chain, Some(&key)), findings);
        assert_eq!(found(&chain, None), findings);
    }
}

#[test]
fn the_key_must_belong() {
    let root = authority("root");
    let (own, other) = (
        signed_by(&root, server_params()),
        signed_by(&root, server_params()),
    );
    let chain = [own.der.clone()];
    assert_eq!(found(&chain, Some(&own.key())), [""; 0]);
    assert_eq!(found(&chain, Some(&other.key())), ["Error KeyMismatch"]);
    // The authority's key is a frequent guess.
    assert_eq!(found(&chain, Some(&root.key())), ["Error KeyMismatch"]);
    let broken = PrivateKeyDer::Pkcs8(vec![1, 2, 3].into());
    assert_eq!(found(&chain, Some(&broken)), ["Error KeyUnusable"]);
}

#[test]
fn an_authority_made_anew_is_found() {
    let (old, new) = (authority("pi CA"), authority("pi CA"));
    let own = signed_by(&old, server_params());
    let chain = [own.der.clone(), new.der.clone()];
    assert_eq!(found(&chain, None), ["Error WrongAuthorityKey"]);
    // Beside the one that signed it does no harm.
    let chain = [own.der.clone(), new.der, old.der];
    assert_eq!(found(&chain, None), [""; 0]);
}

#[test]
fn those_that_signed_must_be_authorities_in_their_time() {
    let root = authority("root");
    let mut late = authority_params("late");
    late.not_before = new_year(2020);
    late.not_after = new_year(2021);
    let mut flagless = authority_params("flagless");
    flagless.is_ca = IsCa::ExplicitNoCa;
    let mut signless = authority_params("signless");
    signless.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    for (params, finding) in [
        (late, "Error Expired at 1"),
        (flagless, "Error NotAnAuthority at 1"),
        (signless, "Error NotAnAuthority at 1"),
    ] {
        let middle = signed_by(&root, params);
        let own = signed_by(&middle, server_params());
        assert_eq!(found(&[own.der, middle.der], None), [finding]);
    }
}

#[test]
fn a_loop_of_issuers_ends() {
    let (first, second) = (authority("a"), authority("b"));
    let a = signed_by(&second, authority_params("a"));
    let b = signed_by(&first, authority_params("b"));
    // Each is named as the other's issuer; a finding or none, but an end.
    let own = signed_by(&a, server_params());
    let found = found(&[own.der, a.der, b.der], None);
    assert_eq!(found, ["Error WrongAuthorityKey at 1"]);
}
