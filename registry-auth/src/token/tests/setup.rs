//! What is refused before any token comes.

use super::*;

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let outcome = |change: fn(&mut VerifierOptions), keys: Keys| {
        let mut options = options();
        change(&mut options);
        Verifier::new(options, keys).map(drop)
    };
    let keys = || key().public();
    assert_eq!(outcome(|_| {}, keys()), Ok(()));
    assert_eq!(outcome(|_| {}, Keys::new()), Err(VerifierError::NoKeys));
    let no_algorithms = outcome(|options| options.algorithms.clear(), keys());
    assert_eq!(no_algorithms, Err(VerifierError::NoAlgorithms));
    let no_issuer = outcome(|options| options.issuer.clear(), keys());
    assert_eq!(no_issuer, Err(VerifierError::Empty));
    let quoted = outcome(|options| options.service = "a\"b".to_owned(), keys());
    assert!(matches!(quoted, Err(VerifierError::Challenge { .. })));
    for realm in [
        "",
        "token",
        "/token",
        "ftp://t/token",
        "https://",
        "https://\"x",
    ] {
        let mut options = options();
        options.realm = Realm::fixed(realm);
        let outcome = Verifier::new(options, keys()).map(drop);
        assert_eq!(outcome, Err(VerifierError::Realm), "{realm}");
    }
    let no_path = outcome(|options| options.realm = Realm::of_request("token"), keys());
    assert_eq!(no_path, Err(VerifierError::Realm));
}

#[test]
fn key_files_that_cannot_be_used_are_named() {
    let mut keys = Keys::new();
    let private = key().to_pem();
    for (json, expected) in [
        ("", "k.json: not a JWK set"),
        ("[]", "k.json: not a JWK set"),
        (r#"{"kty":"RSA"}"#, "k.json: not a JWK set"),
        (r#"{"keys":{}}"#, "k.json: not a JWK set"),
        (
            r#"{"keys":[]}"#,
            "k.json: no key can be used: there is none",
        ),
        (
            r#"{"keys":[7]}"#,
            "k.json: no key can be used: its values are missing or broken",
        ),
        (
            r#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
            "k.json: no key can be used: it is a shared",
        ),
        (
            r#"{"keys":[{"kty":"RSA","use":"enc"}]}"#,
            "k.json: no key can be used: it is not meant",
        ),
    ] {
        let error = keys
            .add_jwks("k.json", json.as_bytes())
            .expect_err("unusable")
            .to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, expected) in [
        ("", "c.pem: no certificates"),
        ("text", "c.pem: no certificates"),
        (private.reveal(), "c.pem: no certificates"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA",
            "c.pem: no certificates",
        ),
        (broken, "c.pem: certificate 1 cannot be read"),
    ] {
        let error = keys
            .add_certificates("c.pem", pem.as_bytes())
            .expect_err("unusable");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    assert!(keys.is_empty());
    for pem in [
        "",
        "text",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        broken,
    ] {
        let error = SigningKey::from_pem("t.key", pem.as_bytes()).expect_err("unusable");
        assert!(
            error
                .to_string()
                .starts_with("t.key: no key that signs tokens"),
            "{error}"
        );
    }
}

#[test]
fn a_usable_key_among_others_is_taken_and_the_others_named() {
    let key = key();
    let mut set: Value = serde_json::from_str(&key.to_jwks()).expect("JSON");
    let keys = set["keys"].as_array_mut().expect("a list");
    keys.insert(
        0,
        json!({"kty": "RSA", "use": "enc", "n": "AA", "e": "AQAB"}),
    );
    keys.push(json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}));
    let mut keys = Keys::new();
    keys.add_jwks("set", set.to_string().as_bytes())
        .expect("one");
    assert_eq!(keys.len(), 1);
    let warnings: Vec<String> = keys.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[0].starts_with("set: key 1 is left out: "),
        "{warnings:?}"
    );
    assert!(
        warnings[1].starts_with("set: key 3 is left out: its kind"),
        "{warnings:?}"
    );
}
