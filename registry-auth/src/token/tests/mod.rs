//! Tokens, good and bad, before a verifier.

mod authorizer;
mod chains;
mod openssl;
mod setup;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use http::Extensions;
use registry_spec::Authorizer as _;
use registry_spec::auth::{
    Access, AuthError, AuthRequest, Challenge, Credentials, Grant, Identity, Secret,
};
use serde_json::{Value, json};

use super::crypto::hmac;
use super::jwk::Jwk;
use super::*;

/// When these tests are.
const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).expect("random")
}

fn options() -> VerifierOptions {
    VerifierOptions::new(
        Realm::fixed("https://t.example/token"),
        "registry",
        "issuer",
    )
}

fn verifier(keys: Keys) -> Verifier {
    Verifier::new(options(), keys).expect("valid")
}

/// Claims that are good now.
fn claims() -> Value {
    json!({
        "iss": "issuer", "sub": "alice", "aud": "registry",
        "exp": NOW + 300, "nbf": NOW, "iat": NOW, "jti": "1",
        "access": [{"type": "repository", "name": "a/b", "actions": ["pull"]}],
    })
}

/// The good claims with another value, or without it.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().expect("an object");
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    claims
}

#[test]
fn claims_are_checked() {
    let key = key();
    let verifier = verifier(key.public());
    let after = |seconds: i64| Some(json!(i64::try_from(NOW).expect("small") + seconds));
    for (name, value, expected) in [
        ("jti", None, Ok(())),
        ("other", Some(json!({"a": 1})), Ok(())),
        ("iss", None, Err(TokenError::Issuer)),
        ("iss", Some(json!("issuer/")), Err(TokenError::Issuer)),
        ("iss", Some(json!(["issuer"])), Err(TokenError::Claims)),
        ("aud", Some(json!(["other", "registry"])), Ok(())),
        ("aud", None, Err(TokenError::Audience)),
        ("aud", Some(json!([])), Err(TokenError::Audience)),
        ("aud", Some(json!("")), Err(TokenError::Audience)),
        ("aud", Some(json!("registry2")), Err(TokenError::Audience)),
        ("aud", Some(json!(["registry", 1])), Err(TokenError::Claims)),
        ("aud", Some(json!({"registry": 1})), Err(TokenError::Claims)),
        ("aud", Some(json!(null)), Err(TokenError::Claims)),
        ("exp", None, Err(TokenError::Claims)),
        ("exp", Some(json!(null)), Err(TokenError::Claims)),
        ("exp", Some(json!("1800000300")), Err(TokenError::Claims)),
        ("exp", Some(json!(1.9e9)), Err(TokenError::Claims)),
        ("exp", Some(json!(u64::MAX)), Err(TokenError::Claims)),
        ("exp", Some(json!(i64::MAX)), Ok(())),
        ("exp", Some(json!(i64::MIN)), Err(TokenError::Expired)),
        ("exp", after(-59), Ok(())),
        ("exp", after(-60), Err(TokenError::Expired)),
        ("nbf", None, Ok(())),
        ("nbf", after(60), Ok(())),
        ("nbf", after(61), Err(TokenError::NotYet)),
        ("nbf", Some(json!(i64::MAX)), Err(TokenError::NotYet)),
        ("nbf", Some(json!("0")), Err(TokenError::Claims)),
        ("nbf", Some(json!(null)), Err(TokenError::Claims)),
        ("iat", None, Ok(())),
        ("iat", after(61), Err(TokenError::NotYet)),
        ("iat", Some(json!(false)), Err(TokenError::Claims)),
        ("sub", None, Ok(())),
        ("sub", Some(json!("")), Ok(())),
        ("sub", Some(json!(7)), Err(TokenError::Claims)),
        ("access", None, Ok(())),
        ("access", Some(json!(null)), Ok(())),
        ("access", Some(json!([])), Ok(())),
        ("access", Some(json!({})), Err(TokenError::Claims)),
        ("access", Some(json!("*")), Err(TokenError::Claims)),
        (
            "access",
            Some(json!([{"type": "repository"}])),
            Err(TokenError::Claims),
        ),
        (
            "access",
            Some(json!([{"type": "repository", "name": "a", "actions": "pull"}])),
            Err(TokenError::Claims),
        ),
    ] {
        let told = format!("{name} {value:?}");
        let token = key.sign(&with(name, value)).expect("signed");
        assert_eq!(verifier.verify(&token, now()).map(drop), expected, "{told}");
    }
}

#[test]
fn headers_are_checked() {
    let key = key();
    let id = key.id();
    let verifier = verifier(key.public());
    let jwk = key.to_jwks();
    let jwk: Value = serde_json::from_str(&jwk).expect("JSON");
    let jwk = &jwk["keys"][0];
    let stranger: Value = serde_json::from_str(&self::key().to_jwks()).expect("JSON");
    let stranger = &stranger["keys"][0];
    for (header, expected) in [
        (format!(r#"{{"alg":"ES256","kid":"{id}"}}"#), Ok(())),
        (
            format!(r#"{{"alg":"ES256","kid":"{id}","typ":"jwt"}}"#),
            Ok(()),
        ),
        (r#"{"alg":"ES256"}"#.to_owned(), Ok(())),
        // Where to fetch keys is not looked at.
        (
            r#"{"alg":"ES256","jku":"http://evil.example","x5u":"x"}"#.to_owned(),
            Ok(()),
        ),
        (format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#), Ok(())),
        (
            format!(r#"{{"alg":"ES256","jwk":{jwk},"kid":"other"}}"#),
            Ok(()),
        ),
        (
            format!(r#"{{"alg":"ES256","jwk":{stranger}}}"#),
            Err(TokenError::UnknownKey),
        ),
        (
            format!(r#"{{"alg":"ES256","jwk":{stranger},"kid":"{id}"}}"#),
            Err(TokenError::UnknownKey),
        ),
        (
            format!(r#"{{"alg":"ES256","jwk":null,"kid":"{id}"}}"#),
            Err(TokenError::Header),
        ),
        (
            format!(r#"{{"alg":"ES256","x5c":[],"kid":"{id}"}}"#),
            Err(TokenError::Chain),
        ),
        (
            format!(r#"{{"alg":"ES256","x5c":["AA"],"kid":"{id}"}}"#),
            Err(TokenError::Chain),
        ),
        (
            format!(r#"{{"alg":"ES256","x5c":"AA","kid":"{id}"}}"#),
            Err(TokenError::Header),
        ),
        (
            r#"{"alg":"ES256","kid":"other"}"#.to_owned(),
            Err(TokenError::UnknownKey),
        ),
        (
            r#"{"alg":"ES256","kid":""}"#.to_owned(),
            Err(TokenError::UnknownKey),
        ),
        (
            r#"{"alg":"ES256","kid":null}"#.to_owned(),
            Err(TokenError::Header),
        ),
        (
            r#"{"alg":"ES256","kid":1}"#.to_owned(),
            Err(TokenError::Header),
        ),
        (
            format!(r#"{{"alg":"ES256","kid":"other","kid":"{id}"}}"#),
            Err(TokenError::Header),
        ),
        (
            r#"{"alg":"ES256","typ":"refresh+jwt"}"#.to_owned(),
            Err(TokenError::Header),
        ),
        (
            r#"{"alg":"ES256","crit":["b64"],"b64":false}"#.to_owned(),
            Err(TokenError::Critical),
        ),
        (
            r#"{"alg":"ES256","crit":[]}"#.to_owned(),
            Err(TokenError::Critical),
        ),
        (r#"{"alg":"none"}"#.to_owned(), Err(TokenError::Algorithm)),
        (r#"{"alg":"None"}"#.to_owned(), Err(TokenError::Algorithm)),
        (r#"{"alg":"HS256"}"#.to_owned(), Err(TokenError::Algorithm)),
        (r#"{"alg":"es256"}"#.to_owned(), Err(TokenError::Algorithm)),
        (r#"{"alg":"ES512"}"#.to_owned(), Err(TokenError::Algorithm)),
        // Known, and not the key's.
        (r#"{"alg":"ES384"}"#.to_owned(), Err(TokenError::Signature)),
        (r#"{"alg":"RS256"}"#.to_owned(), Err(TokenError::Signature)),
        (r#"{"alg":"EdDSA"}"#.to_owned(), Err(TokenError::Signature)),
        (r#"{"alg":["ES256"]}"#.to_owned(), Err(TokenError::Header)),
        (r#"{"kid":"x"}"#.to_owned(), Err(TokenError::Header)),
        (r#"["ES256"]"#.to_owned(), Err(TokenError::Header)),
        (r#""ES256""#.to_owned(), Err(TokenError::Header)),
        (String::new(), Err(TokenError::Header)),
        (r#"{"alg":"ES256"} x"#.to_owned(), Err(TokenError::Header)),
    ] {
        let token = key
            .sign_parts(&header, &claims().to_string())
            .expect("signed");
        assert_eq!(
            verifier.verify(&token, now()).map(drop),
            expected,
            "{header}"
        );
    }
}

#[test]
fn the_form_is_checked() {
    let key = key();
    let verifier = verifier(key.public());
    let good = key.sign(&claims()).expect("signed");
    let (message, signature) = good.rsplit_once('.').expect("dots");
    let (header, content) = message.split_once('.').expect("dots");
    let other = key
        .sign(&with("sub", Some(json!("mallory"))))
        .expect("signed");
    let forged = other.split('.').nth(1).expect("claims");
    let long = with("padding", Some("x".repeat(17 * 1024).into()));
    for (token, expected) in [
        (good.clone(), Ok(())),
        (String::new(), Err(TokenError::Form)),
        ("..".to_owned(), Err(TokenError::Header)),
        (message.to_owned(), Err(TokenError::Form)),
        (format!("{good}.{signature}"), Err(TokenError::Form)),
        (format!("{good}."), Err(TokenError::Form)),
        (format!("{good}="), Err(TokenError::Form)),
        (format!("{good} "), Err(TokenError::Form)),
        (format!("{message}."), Err(TokenError::Signature)),
        (
            format!("{message}.{}", &signature[4..]),
            Err(TokenError::Signature),
        ),
        (
            format!("{header}.{forged}.{signature}"),
            Err(TokenError::Signature),
        ),
        (format!("{header}.é.{signature}"), Err(TokenError::Claims)),
        (format!("{header}..{signature}"), Err(TokenError::Claims)),
        (
            format!("{content}.{content}.{signature}"),
            Err(TokenError::Header),
        ),
        (key.sign(&long).expect("signed"), Err(TokenError::TooLong)),
        (".".repeat(16 * 1024), Err(TokenError::Form)),
    ] {
        let start: String = token.chars().take(200).collect();
        assert_eq!(
            verifier.verify(&token, now()).map(drop),
            expected,
            "{start}"
        );
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let key = key();
    let verifier = verifier(key.public());
    let point: Value = serde_json::from_str(&key.to_jwks()).expect("JSON");
    let text = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
    for secret in [
        point["keys"][0].to_string(),
        point["keys"][0]["x"].to_string(),
    ] {
        let message = format!(
            "{}.{}",
            text(r#"{"alg":"HS256"}"#),
            text(&claims().to_string())
        );
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&secret, message.as_bytes());
        let token = format!("{message}.{}", BASE64URL_NOPAD.encode(tag.as_ref()));
        let outcome = verifier.verify(&token, now()).map(drop);
        assert_eq!(outcome, Err(TokenError::Algorithm));
    }
}

#[test]
fn only_allowed_algorithms_are_taken() {
    let key = key();
    let mut options = options();
    options.algorithms = vec![Algorithm::Rs256, Algorithm::EdDsa];
    let verifier = Verifier::new(options, key.public()).expect("valid");
    let token = key.sign(&claims()).expect("signed");
    let outcome = verifier.verify(&token, now()).map(drop);
    assert_eq!(outcome, Err(TokenError::Algorithm));
}

#[test]
fn a_key_is_found_by_each_of_its_names() {
    let (key, other) = (
        key(),
        SigningKey::generate(Algorithm::EdDsa).expect("random"),
    );
    let mut set: Value = serde_json::from_str(&key.to_jwks()).expect("JSON");
    set["keys"][0]["kid"] = "of my own".into();
    let mut keys = other.public();
    keys.add_jwks("jwks", set.to_string().as_bytes())
        .expect("valid");
    let jwk: Jwk = serde_json::from_value(set["keys"][0].clone()).expect("a key");
    let libtrust = jwk.read().expect("usable").0.libtrust_id();
    let verifier = verifier(keys);
    for (name, expected) in [
        (key.id(), Ok(())),
        (&*libtrust, Ok(())),
        ("of my own", Ok(())),
        (&*libtrust.to_lowercase(), Err(TokenError::UnknownKey)),
        (other.id(), Err(TokenError::Signature)),
    ] {
        let header = json!({"alg": "ES256", "kid": name}).to_string();
        let token = key
            .sign_parts(&header, &claims().to_string())
            .expect("signed");
        assert_eq!(verifier.verify(&token, now()).map(drop), expected, "{name}");
    }
    // Of two keys, neither goes without saying.
    let token = key.sign_parts(r#"{"alg":"ES256"}"#, &claims().to_string());
    let outcome = verifier.verify(&token.expect("signed"), now()).map(drop);
    assert_eq!(outcome, Err(TokenError::UnknownKey));
}

#[test]
fn a_remembered_token_ends_in_time_and_with_its_key() {
    let key = key();
    let verifier = verifier(key.public());
    let token = key.sign(&claims()).expect("signed");
    let later = |seconds| now() + Duration::from_secs(seconds);
    for _ in 0..2 {
        assert!(verifier.verify(&token, now()).is_ok());
    }
    assert!(verifier.verify(&token, later(359)).is_ok());
    let outcome = verifier.verify(&token, later(360)).map(drop);
    assert_eq!(outcome, Err(TokenError::Expired));
    verifier.set_keys(self::key().public());
    let outcome = verifier.verify(&token, now()).map(drop);
    assert_eq!(outcome, Err(TokenError::UnknownKey));
    verifier.set_keys(key.public());
    assert!(verifier.verify(&token, now()).is_ok());
}

#[test]
fn many_tokens_are_all_good() {
    let key = key();
    let verifier = verifier(key.public());
    for at in 0..600 {
        let token = key.sign(&with("jti", Some(at.into()))).expect("signed");
        assert!(verifier.verify(&token, now()).is_ok(), "{at}");
    }
}

#[tokio::test]
async fn an_unknown_key_is_told_of_once() {
    let key = key();
    let verifier = verifier(self::key().public());
    let token = key.sign(&claims()).expect("signed");
    for _ in 0..3 {
        verifier.verify(&token, now()).expect_err("another key");
    }
    verifier.unknown_key().await;
    let again = tokio::time::timeout(Duration::from_millis(20), verifier.unknown_key());
    again.await.expect_err("told before");
}

#[test]
fn nothing_secret_is_printed() {
    let key = key();
    let pem = key.to_pem();
    let token = key.sign(&claims()).expect("signed");
    let verifier = verifier(key.public());
    let verified = verifier.verify(&token, now()).expect("good");
    let parsed = Token::parse(&token).expect("a token");
    let printed = format!("{key:?} {pem:?} {verifier:?} {verified:?} {parsed:?}");
    let lines = pem.reveal().lines().filter(|line| !line.starts_with('-'));
    for secret in lines.chain(token.split('.')) {
        assert!(!printed.contains(secret), "{printed}");
    }
}
