//! Tokens that bring certificates (`x5c`).

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::*;

struct Signer {
    certificate: Certificate,
    params: CertificateParams,
    key: KeyPair,
}

/// Valid around the time of these tests.
fn params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["tokens.example".to_owned()]).expect("a name");
    let at = |seconds: i64| {
        let now = i64::try_from(NOW).expect("small");
        OffsetDateTime::from_unix_timestamp(now + seconds).expect("in range")
    };
    params.not_before = at(-1000);
    params.not_after = at(1000);
    params
}

fn ca() -> CertificateParams {
    let mut params = params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn make(params: CertificateParams, by: Option<&Signer>) -> Signer {
    let key = KeyPair::generate().expect("random");
    let certificate = match by {
        Some(by) => {
            let issuer = Issuer::from_params(&by.params, &by.key);
            params.signed_by(&key, &issuer).expect("signed")
        }
        None => params.self_signed(&key).expect("signed"),
    };
    Signer {
        certificate,
        params,
        key,
    }
}

/// A token of the first one's key, with the certificates of all.
fn token(chain: &[&Signer]) -> String {
    token_of(&claims(), chain)
}

fn token_of(claims: &serde_json::Value, chain: &[&Signer]) -> String {
    let key = SigningKey::from_pem("k", chain[0].key.serialize_pem().as_bytes()).expect("P-256");
    let x5c: Vec<String> = chain
        .iter()
        .map(|signer| BASE64.encode(signer.certificate.der()))
        .collect();
    let header = json!({"alg": "ES256", "x5c": x5c, "kid": key.id()}).to_string();
    key.sign_parts(&header, &claims.to_string())
        .expect("signed")
}

fn trusting(roots: &[&Signer]) -> Verifier {
    let pem: String = roots.iter().map(|root| root.certificate.pem()).collect();
    let mut keys = Keys::new();
    keys.add_certificates("roots", pem.as_bytes())
        .expect("certificates");
    verifier(keys)
}

fn outcome(verifier: &Verifier, chain: &[&Signer]) -> Result<(), TokenError> {
    verifier.verify(&token(chain), now()).map(drop)
}

#[test]
fn certificates_must_lead_to_a_trusted_one() {
    let root = make(ca(), None);
    let middle = make(ca(), Some(&root));
    let leaf = make(params(), Some(&middle));
    let lower = make(ca(), Some(&middle));
    let lowest = make(params(), Some(&lower));
    let direct = make(params(), Some(&root));
    let stranger = make(ca(), None);
    let forged = make(params(), Some(&stranger));
    let verifier = trusting(&[&root]);
    assert_eq!(outcome(&verifier, &[&direct]), Ok(()));
    assert_eq!(outcome(&verifier, &[&leaf, &middle]), Ok(()));
    assert_eq!(outcome(&verifier, &[&leaf, &middle, &root]), Ok(()));
    let longest = [&lowest, &lower, &middle, &root];
    assert_eq!(outcome(&verifier, &longest), Ok(()));
    for chain in [
        &[&leaf][..],
        &[&leaf, &root],
        &[&forged],
        &[&forged, &stranger],
        &[&forged, &root],
        &[&stranger],
        // More than it takes to try all ways through.
        &[&direct; 5],
    ] {
        assert_eq!(outcome(&verifier, chain), Err(TokenError::Chain));
    }
}

#[test]
fn one_that_is_trusted_itself_needs_no_other() {
    for params in [params(), ca_that_signs()] {
        let own = make(params, None);
        assert_eq!(outcome(&trusting(&[&own]), &[&own]), Ok(()));
    }
}

fn ca_that_signs() -> CertificateParams {
    let mut params = ca();
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

#[test]
fn a_leaf_is_no_authority() {
    let root = make(ca(), None);
    let leaf = make(params(), Some(&root));
    let below = make(params(), Some(&leaf));
    assert_eq!(
        outcome(&trusting(&[&root]), &[&below, &leaf]),
        Err(TokenError::Chain)
    );
}

#[test]
fn certificates_must_hold_now_and_may_have_to_sign() {
    let root = make(ca(), None);
    let past = OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("in range");
    let future = OffsetDateTime::from_unix_timestamp(1_900_000_000).expect("in range");
    let changed = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params();
        change(&mut params);
        params
    };
    let verifier = trusting(&[&root]);
    for (params, expected) in [
        (changed(&|p| p.not_after = past), Err(TokenError::Chain)),
        (changed(&|p| p.not_before = future), Err(TokenError::Chain)),
        (
            changed(&|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
            Err(TokenError::Chain),
        ),
        (
            changed(&|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            Ok(()),
        ),
        (
            changed(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            Ok(()),
        ),
    ] {
        let leaf = make(params.clone(), Some(&root));
        assert_eq!(outcome(&verifier, &[&leaf]), expected);
        // Nor does trusting it by itself help.
        let own = make(params, None);
        assert_eq!(outcome(&trusting(&[&own]), &[&own]), expected);
    }
}

#[test]
fn a_token_ends_with_the_first_of_its_certificates() {
    let root = make(ca(), None);
    let mut short = ca();
    short.not_after -= Duration::from_secs(500);
    let middle = make(short, Some(&root));
    let verifier = trusting(&[&root]);
    for (chain, holds) in [
        (&[&make(params(), Some(&root))][..], 1000),
        (&[&make(params(), Some(&middle)), &middle], 500),
    ] {
        let mut claims = claims();
        claims["exp"] = (NOW + 10_000).into();
        let token = token_of(&claims, chain);
        assert!(verifier.verify(&token, now()).is_ok());
        let later = now() + Duration::from_secs(holds + 1);
        assert!(verifier.verify(&token, later).is_err(), "{holds}");
    }
}

#[test]
fn an_authority_may_have_to_sign_certificates() {
    let root = make(ca(), None);
    for (usage, expected) in [
        (KeyUsagePurpose::KeyCertSign, Ok(())),
        (KeyUsagePurpose::DigitalSignature, Err(TokenError::Chain)),
    ] {
        let mut params = ca();
        params.key_usages = vec![usage];
        let middle = make(params, Some(&root));
        let leaf = make(self::params(), Some(&middle));
        assert_eq!(outcome(&trusting(&[&root]), &[&leaf, &middle]), expected);
    }
}

#[test]
fn the_key_of_a_trusted_certificate_is_found_without_it() {
    let root = make(ca(), None);
    let key = SigningKey::from_pem("k", root.key.serialize_pem().as_bytes()).expect("P-256");
    let token = key.sign(&claims()).expect("signed");
    assert!(trusting(&[&root]).verify(&token, now()).is_ok());
    // What it has issued is found only by its certificate.
    let leaf = make(params(), Some(&root));
    let key = SigningKey::from_pem("k", leaf.key.serialize_pem().as_bytes()).expect("P-256");
    let token = key.sign(&claims()).expect("signed");
    let outcome = trusting(&[&root]).verify(&token, now()).map(drop);
    assert_eq!(outcome, Err(TokenError::UnknownKey));
}

#[test]
fn a_certificate_of_another_key_signs_nothing() {
    let root = make(ca(), None);
    let leaf = make(params(), Some(&root));
    let key = key();
    let header = json!({"alg": "ES256", "x5c": [BASE64.encode(leaf.certificate.der())]});
    let token = key
        .sign_parts(&header.to_string(), &claims().to_string())
        .expect("signed");
    let outcome = trusting(&[&root]).verify(&token, now()).map(drop);
    assert_eq!(outcome, Err(TokenError::Signature));
}
