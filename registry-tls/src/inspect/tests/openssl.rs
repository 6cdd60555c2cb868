//! Certificates that only OpenSSL makes, and those of the guides that people
//! follow.

use std::path::Path;
use std::process::Command;

use rustls::pki_types::pem::PemObject;

use super::super::{Fingerprint, verify};
use super::*;

fn openssl(dir: &Path, line: &str) -> String {
    let mut command = Command::new("openssl");
    let arguments = line.split_whitespace().map(|word| word.replace('~', " "));
    let output = command.args(arguments).current_dir(dir).output();
    let output = output.expect("these tests need the openssl program");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

fn certificate(dir: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(dir.join(name)).expect("a certificate")
}

/// What the guides' command makes; they ask for 4096 bits, which takes longer
/// and changes nothing here.
#[test]
fn the_guides_self_signed_certificates_work_with_warnings() {
    for (entries, hosts) in [
        ("DNS:pi-dockerregistry", &["pi-dockerregistry"][..]),
        (
            "DNS:registry.cube.local,DNS:*.cube.local,IP:192.168.0.201",
            &["registry.cube.local", "192.168.0.201"],
        ),
        ("IP:192.168.86.201", &["192.168.86.201"]),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        openssl(
            dir.path(),
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -sha256 -keyout domain.key -out domain.crt \
                 -days 3650 -subj /CN=registry -addext subjectAltName~=~{entries}"
            ),
        );
        let chain = [certificate(dir.path(), "domain.crt")];
        let key = PrivateKeyDer::from_pem_file(dir.path().join("domain.key")).expect("a key");
        let expectations = expectations(hosts);
        let found = inspect(
            &Subject::server(&chain, Some(&key)),
            &expectations,
            &provider(),
        );
        assert_eq!(
            short(&found),
            [
                "Warning LongValidity",
                "Warning NoPurpose",
                "Warning AuthorityAsLeaf"
            ]
        );
        assert_eq!(
            said(&found[0]),
            ["“registry” certificate is not standards compliant"]
        );
        assert_eq!(
            inspect(&Subject::authority(&chain), &expectations, &provider()),
            []
        );
        for host in &expectations.hosts {
            assert_eq!(
                verify(&chain, host, &chain, expectations.now, &provider()),
                Ok(())
            );
        }
        let printed = openssl(
            dir.path(),
            "x509 -in domain.crt -noout -fingerprint -sha256",
        );
        let fingerprint = Fingerprint::of(&chain[0]);
        assert_eq!(printed.trim(), format!("sha256 Fingerprint={fingerprint}"));
    }
}

#[test]
fn weak_keys_and_signatures_and_old_forms_are_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    openssl(
        dir,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 90 -subj /CN=ca",
    );
    let extensions = "subjectAltName=DNS:registry.local\nextendedKeyUsage=serverAuth\n";
    std::fs::write(dir.join("ext"), extensions).expect("a file");
    let p224 = "-newkey ec -pkeyopt ec_paramgen_curve:P-224";
    let p256 = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
    let k256 = "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1";
    for (key, sign, findings, messages) in [
        (p256, "-extfile ext", &[][..], &[][..]),
        (
            "-newkey rsa:1024",
            "-extfile ext",
            &["Error WeakKey"],
            &["SSL certificate problem: EE certificate key too weak"],
        ),
        (p224, "-extfile ext", &["Error WeakKey"], &[]),
        (
            k256,
            "-extfile ext",
            &["Error WeakKey"],
            &["tls: failed to parse certificate from server: x509: unsupported elliptic curve"],
        ),
        (
            p256,
            "-extfile ext -sha1",
            &["Error WeakSignature"],
            &[
                "tls: failed to verify certificate: x509: certificate signed by unknown authority \
                 (possibly because of \"x509: cannot verify signature: insecure algorithm \
                 SHA1-RSA\" while trying to verify candidate authority certificate \"ca\")",
                "SSL certificate problem: CA signature digest algorithm too weak",
            ],
        ),
        (p256, "-extfile ext -md5", &["Error WeakSignature"], &[]),
        (
            p256,
            "-extfile ext -set_serial -5",
            &["Error NegativeSerial"],
            &["tls: failed to parse certificate from server: x509: negative serial number"],
        ),
        (
            p256,
            "",
            &[
                "Error OldVersion",
                "Error CommonNameOnly",
                "Warning NoPurpose",
            ],
            &[],
        ),
    ] {
        openssl(
            dir,
            &format!("req -new {key} -nodes -keyout own.key -out own.csr -subj /CN=own"),
        );
        openssl(
            dir,
            &format!(
                "x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 90 \
                 -out own.crt {sign}"
            ),
        );
        let chain = [certificate(dir, "own.crt")];
        let expectations = expectations(&["registry.local"]);
        let found = inspect(&Subject::server(&chain, None), &expectations, &provider());
        assert_eq!(short(&found), findings, "{key} {sign}");
        if findings.contains(&"Error OldVersion") {
            let root = certificate(dir, "ca.crt");
            assert_eq!(
                said(&found[0]),
                [super::verify::refused_by_rustls(&chain[0], &root)]
            );
        }
        if !messages.is_empty() {
            assert_eq!(said(&found[0]), messages);
        }
    }
}

#[test]
fn a_version_1_authority_is_accepted_with_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    openssl(
        dir,
        "req -new -newkey rsa:2048 -nodes -keyout ca.key -out ca.csr -subj /CN=ca",
    );
    openssl(
        dir,
        "x509 -req -in ca.csr -signkey ca.key -days 90 -out ca.crt",
    );
    let chain = [certificate(dir, "ca.crt")];
    let found = inspect(&Subject::authority(&chain), &expectations(&[]), &provider());
    assert_eq!(short(&found), ["Warning OldVersion"]);
}

/// Such a signature is not checked, which is no reason to call it wrong.
#[test]
fn a_weak_authority_is_called_weak_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    openssl(
        dir,
        "req -x509 -newkey rsa:1024 -nodes -keyout ca.key -out ca.crt -days 90 -subj /CN=ca",
    );
    let extensions = "subjectAltName=DNS:registry.local\nextendedKeyUsage=serverAuth\n";
    std::fs::write(dir.join("ext"), extensions).expect("a file");
    openssl(
        dir,
        "req -new -newkey rsa:2048 -nodes -keyout own.key -out own.csr -subj /CN=own",
    );
    let sign = "x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile ext";
    openssl(dir, &format!("{sign} -days 90 -out own.crt"));
    let chain = [certificate(dir, "own.crt"), certificate(dir, "ca.crt")];
    let found = inspect(
        &Subject::server(&chain, None),
        &expectations(&[]),
        &provider(),
    );
    assert_eq!(short(&found), ["Error WeakKey at 1"]);
    assert_eq!(
        said(&found[0]),
        ["SSL certificate problem: CA certificate key too weak"]
    );
    let host = "registry.local".parse().expect("a host");
    let now = OffsetDateTime::now_utc();
    let found = verify(&chain, &host, &chain[1..], now, &provider()).expect_err("unchecked");
    assert_eq!(short(&found), ["Error Refused"]);
    assert!(
        found[0]
            .to_string()
            .contains("CN=ca (RSA 1024, sha256WithRSAEncryption)")
    );
}
