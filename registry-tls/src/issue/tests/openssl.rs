//! Certificates that the `openssl` command makes, and what it says to ours.

use std::path::Path;
use std::process::Command;

use super::*;

fn openssl(directory: &Path, arguments: &str) -> String {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .output()
        .expect("the openssl command is installed, for these tests compare with it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "openssl {arguments}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn load(directory: &Path) -> Result<Authority, IssueError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(directory.join("ca.crt"))
        .expect("the certificate is there")
        .collect::<Result<_, _>>()
        .expect("PEM");
    let key = PrivateKeyDer::from_pem_file(directory.join("ca.key")).expect("a key");
    Authority::load(&chain, &key)
}

#[test]
fn authorities_made_by_openssl_issue_certificates_that_clients_accept() {
    for (make_key, convert) in [
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key",
            None,
        ),
        ("ecparam -name prime256v1 -genkey -noout -out ca.key", None),
        ("ecparam -name secp384r1 -genkey -out ca.key", None),
        ("genpkey -algorithm ED25519 -out ca.key", None),
        ("genrsa -out ca.key 2048", None),
        (
            "genrsa -out pkcs8.key 2048",
            Some("rsa -in pkcs8.key -traditional -out ca.key"),
        ),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        openssl(dir.path(), make_key);
        if let Some(convert) = convert {
            openssl(dir.path(), convert);
        }
        openssl(
            dir.path(),
            "req -x509 -new -key ca.key -days 3650 -out ca.crt -subj /C=DE/O=Cube/CN=Cube-CA \
             -addext keyUsage=critical,keyCertSign,cRLSign",
        );
        let authority = load(dir.path()).expect(make_key);
        let issued = authority.issue(&server(&["a.local"])).expect(make_key);
        let chain = certificates(&issued.certificate_pem);
        assert_eq!(
            parsed(&chain[0]).issuer().as_raw(),
            parsed(&chain[1]).subject().as_raw()
        );
        handshake(&authority, &issued, "a.local", None).expect(make_key);
    }
}

#[test]
fn openssl_accepts_what_is_issued_in_its_strictest_mode() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority();
    let issued = authority
        .issue(&server(&["registry.cube.local", "192.168.0.201"]))
        .expect("a certificate");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("the file is written");
    };
    write("ca.crt", &authority.certificate_pem());
    write("tls.crt", &issued.certificate_pem);
    write("tls.key", issued.key_pem.as_str());
    let verify = "verify -x509_strict -purpose sslserver -CAfile ca.crt";
    for check in [
        "-verify_hostname registry.cube.local",
        "-verify_ip 192.168.0.201",
    ] {
        let answer = openssl(dir.path(), &format!("{verify} {check} tls.crt"));
        assert_eq!(answer, "tls.crt: OK\n");
    }
    let without_subject = authority
        .issue(&server(&["192.168.86.201"]))
        .expect("a certificate");
    write("ip.crt", &without_subject.certificate_pem);
    let answer = openssl(
        dir.path(),
        &format!("{verify} -verify_ip 192.168.86.201 ip.crt"),
    );
    assert_eq!(answer, "ip.crt: OK\n");
    let public_key = openssl(dir.path(), "x509 -in tls.crt -noout -pubkey");
    assert_eq!(openssl(dir.path(), "pkey -in tls.key -pubout"), public_key);
}

#[test]
fn what_is_no_authority_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    openssl(
        dir.path(),
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key",
    );
    let refused = |subject: &str, extension: &str| {
        openssl(
            dir.path(),
            &format!("req -x509 -new -key ca.key -out ca.crt -subj {subject} -addext {extension}"),
        );
        load(dir.path()).expect_err("refused")
    };
    assert_eq!(
        refused("/CN=a", "basicConstraints=critical,CA:FALSE").to_string(),
        "\"CN=a\" is not the certificate of an authority (basicConstraints lacks CA:TRUE): give \
         the certificate that signs, not that of a server"
    );
    assert!(matches!(
        refused("/CN=a", "keyUsage=digitalSignature"),
        IssueError::MayNotSign { .. }
    ));
    assert!(matches!(
        refused("/DC=local/DC=cube/CN=a", "keyUsage=keyCertSign"),
        IssueError::Subject { .. }
    ));

    let (first, second) = (authority(), authority());
    let second_key = key(&second.key_pem());
    assert!(matches!(
        Authority::load(first.chain(), &second_key),
        Err(IssueError::KeyMismatch { .. })
    ));
    assert!(matches!(
        Authority::load(&[], &second_key),
        Err(IssueError::NoCertificate)
    ));
    assert!(matches!(
        Authority::load(&[CertificateDer::from(&b"no certificate"[..])], &second_key),
        Err(IssueError::Unreadable { .. })
    ));
    let damaged = PrivateKeyDer::Pkcs8(b"no key"[..].into());
    assert!(matches!(
        Authority::load(first.chain(), &damaged),
        Err(IssueError::UnusableKey)
    ));
}
