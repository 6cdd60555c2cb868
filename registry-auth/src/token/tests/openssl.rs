//! Keys, signatures and names made by the `openssl` command.

use std::fs;
use std::path::Path;
use std::process::Command;

use data_encoding::BASE32_NOPAD;
use tempfile::TempDir;

use super::*;

fn openssl(dir: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("openssl must be installed (Debian: openssl)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
    output.stdout
}

/// A key and a certificate of it, `key` and `certificate`.
fn made(kind: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    openssl(dir.path(), &format!("genpkey {kind} -out key"));
    let request = "req -new -x509 -key key -subj /CN=tokens -days 10 -out certificate";
    openssl(dir.path(), request);
    dir
}

/// libtrust's name, from the key in DER.
fn libtrust_name(dir: &Path) -> String {
    openssl(dir, "pkey -in key -pubout -outform DER -out public.der");
    let digest = openssl(dir, "dgst -sha256 -binary public.der");
    let text = BASE32_NOPAD.encode(&digest[..30]);
    let groups: Vec<&str> = (0..12).map(|at| &text[at * 4..][..4]).collect();
    groups.join(":")
}

/// The two numbers of a signature in DER, of `size` bytes each.
fn fixed(der: &[u8], size: usize) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut fixed = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        fixed.resize(fixed.len() + size - number.len(), 0);
        fixed.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    fixed
}

fn token(dir: &Path, algorithm: &str, sign: &str, coordinate: usize) -> String {
    let header = json!({"alg": algorithm, "kid": libtrust_name(dir)}).to_string();
    let part = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
    let message = format!("{}.{}", part(&header), part(&claims().to_string()));
    fs::write(dir.join("message"), &message).expect("written");
    let signature = openssl(dir, sign);
    let signature = match coordinate {
        0 => signature,
        size => fixed(&signature, size),
    };
    format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))
}

#[test]
fn its_signatures_are_good() {
    const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    for (kind, algorithm, sign, coordinate) in [
        (RSA, "RS256", "dgst -sha256 -sign key message".to_owned(), 0),
        (RSA, "RS384", "dgst -sha384 -sign key message".to_owned(), 0),
        (RSA, "RS512", "dgst -sha512 -sign key message".to_owned(), 0),
        (
            RSA,
            "PS256",
            format!("dgst -sha256 {pss} -sign key message"),
            0,
        ),
        (
            RSA,
            "PS384",
            format!("dgst -sha384 {pss} -sign key message"),
            0,
        ),
        (
            RSA,
            "PS512",
            format!("dgst -sha512 {pss} -sign key message"),
            0,
        ),
        (
            P256,
            "ES256",
            "dgst -sha256 -sign key message".to_owned(),
            32,
        ),
        (
            P384,
            "ES384",
            "dgst -sha384 -sign key message".to_owned(),
            48,
        ),
        (
            "-algorithm ed25519",
            "EdDSA",
            "pkeyutl -sign -inkey key -rawin -in message".to_owned(),
            0,
        ),
    ] {
        let dir = made(kind);
        let mut keys = Keys::new();
        let certificate = fs::read(dir.path().join("certificate")).expect("made");
        keys.add_certificates("certificate", &certificate)
            .expect("a certificate");
        let verifier = verifier(keys);
        let token = token(dir.path(), algorithm, &sign, coordinate);
        assert_eq!(
            verifier.verify(&token, now()).map(drop),
            Ok(()),
            "{algorithm}"
        );
        let (start, _) = token.split_at(token.len() - 6);
        let outcome = verifier.verify(&format!("{start}AAAAAA"), now()).map(drop);
        assert_eq!(outcome, Err(TokenError::Signature), "{algorithm}");
    }
}

#[test]
fn its_keys_sign_and_it_reads_ours() {
    for (kind, algorithm) in [
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            Algorithm::Es256,
        ),
        ("-algorithm ed25519", Algorithm::EdDsa),
    ] {
        let dir = made(kind);
        let pem = fs::read(dir.path().join("key")).expect("made");
        let key = SigningKey::from_pem("key", &pem).expect("a key");
        assert_eq!(key.algorithm(), algorithm);
        let token = key.sign(&claims()).expect("signed");
        assert!(verifier(key.public()).verify(&token, now()).is_ok());

        let own = SigningKey::generate(algorithm).expect("random");
        fs::write(dir.path().join("own"), own.to_pem().reveal()).expect("written");
        openssl(dir.path(), "pkey -in own -noout -text");
    }
    let dir = made("-algorithm EC -pkeyopt ec_paramgen_curve:P-384");
    let pem = fs::read(dir.path().join("key")).expect("made");
    SigningKey::from_pem("key", &pem).expect_err("of another kind");
}
