use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    fs::read(path).expect("kept in the repository")
}

fn certificate_problem(bytes: &[u8]) -> PemProblem {
    problem(PemFile::new("/certs/f", bytes).certificates())
}

fn key_problem(bytes: &[u8]) -> PemProblem {
    problem(PemFile::new("/certs/f", bytes).private_key())
}

/// Checks on the way what holds for every text.
fn problem<T>(result: Result<T, PemError>) -> PemProblem {
    let Err(error) = result else {
        panic!("expected a problem");
    };
    let text = error.to_string();
    assert!(text.starts_with("/certs/f "), "{text}");
    assert!(text.contains("expected a PEM"), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    error.problem().clone()
}

fn concat(names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| data(name)).collect()
}

#[test]
fn keys_of_all_three_kinds_are_read() {
    for (name, kind) in [
        ("sec1.key", "SEC1"),
        ("pkcs8.key", "PKCS#8"),
        ("pkcs1.key", "PKCS#1"),
    ] {
        let key = PemFile::new(name, data(name)).private_key().expect(name);
        let found = match key {
            PrivateKeyDer::Pkcs1(_) => "PKCS#1",
            PrivateKeyDer::Pkcs8(_) => "PKCS#8",
            PrivateKeyDer::Sec1(_) => "SEC1",
            _ => "another",
        };
        assert_eq!(found, kind, "{name}");
    }
}

#[test]
fn certificates_are_read_in_order() {
    let chain = PemFile::new("chain", concat(&["self-signed.crt", "v1.crt", "rsa.crt"]));
    let chain = chain.certificates().expect("three certificates");
    assert_eq!(chain.len(), 3);
    assert_eq!(chain[0].as_ref(), data("self-signed.der"));
}

#[test]
fn one_file_may_hold_key_and_certificate_with_text_around_them() {
    let mut bytes = b"\xef\xbb\xbfBag Attributes\n    friendlyName: registry\n".to_vec();
    bytes.extend(concat(&["sec1.key", "self-signed.crt"]));
    bytes.extend(b"subject=CN = registry.local");
    let crlf = String::from_utf8(bytes.clone())
        .expect("text")
        .replace('\n', "\r\n");
    for bytes in [bytes, crlf.into_bytes()] {
        let file = PemFile::new("both", bytes);
        assert_eq!(file.certificates().expect("a certificate").len(), 1);
        assert!(matches!(file.private_key(), Ok(PrivateKeyDer::Sec1(_))));
    }
}

#[test]
fn a_byte_order_mark_may_stand_right_before_the_first_block() {
    let mut bytes = b"\xef\xbb\xbf".to_vec();
    bytes.extend(data("self-signed.crt"));
    assert!(PemFile::new("bom", bytes).certificates().is_ok());
}

#[test]
fn an_encrypted_key_beside_the_certificate_does_not_matter_to_it() {
    let file = PemFile::new("both", concat(&["sec1-encrypted.key", "self-signed.crt"]));
    assert!(file.certificates().is_ok());
}

#[test]
fn swapped_and_other_files_are_told_apart() {
    for (name, as_certificate, as_key) in [
        ("sec1.key", PemProblem::KeyInstead, None),
        (
            "pkcs8-encrypted.key",
            PemProblem::KeyInstead,
            Some(PemProblem::EncryptedKey),
        ),
        (
            "sec1-encrypted.key",
            PemProblem::KeyInstead,
            Some(PemProblem::EncryptedKey),
        ),
        (
            "request.csr",
            PemProblem::Request,
            Some(PemProblem::Request),
        ),
        (
            "public.key",
            PemProblem::PublicKeyOnly,
            Some(PemProblem::PublicKeyOnly),
        ),
        (
            "openssh.key",
            PemProblem::OpenSshKey,
            Some(PemProblem::OpenSshKey),
        ),
        (
            "trusted.crt",
            PemProblem::TrustedCertificate,
            Some(PemProblem::TrustedCertificate),
        ),
        ("self-signed.der", PemProblem::Der, Some(PemProblem::Der)),
        ("pkcs8.der", PemProblem::DerKey, Some(PemProblem::DerKey)),
        ("store.p12", PemProblem::Pkcs12, Some(PemProblem::Pkcs12)),
        ("bundle.p7b", PemProblem::Pkcs7, Some(PemProblem::Pkcs7)),
    ] {
        assert_eq!(certificate_problem(&data(name)), as_certificate, "{name}");
        if let Some(expected) = as_key {
            assert_eq!(key_problem(&data(name)), expected, "{name}");
        }
    }
    assert_eq!(
        key_problem(&data("self-signed.crt")),
        PemProblem::CertificateInstead
    );
}

#[test]
fn several_keys_are_refused() {
    let both = concat(&["sec1.key", "pkcs1.key"]);
    assert_eq!(key_problem(&both), PemProblem::SeveralKeys { count: 2 });
}

#[test]
fn files_without_blocks_say_what_they_are() {
    let pem = data("self-signed.crt");
    let text = String::from_utf8(pem.clone()).expect("PEM is text");
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let bare: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let indented = text
        .replace("-----BEGIN", "  -----BEGIN")
        .replace("-----END", "  -----END");
    for (bytes, expected) in [
        (Vec::new(), PemProblem::Empty),
        (b" \r\n\n".to_vec(), PemProblem::Empty),
        (utf16, PemProblem::Utf16),
        (
            BASE64_STANDARD.encode(&pem).into_bytes(),
            PemProblem::EncodedTwice,
        ),
        (bare.into_bytes(), PemProblem::Bare),
        (indented.into_bytes(), PemProblem::BrokenLines),
        (
            text.replace('\n', "\\n").into_bytes(),
            PemProblem::BrokenLines,
        ),
        (
            text.replace('\n', " ").into_bytes(),
            PemProblem::BrokenLines,
        ),
        (b"/certs/tls.crt\n".to_vec(), PemProblem::NoPem),
        (b"\x00\xff\x30".to_vec(), PemProblem::NoPem),
    ] {
        assert_eq!(certificate_problem(&bytes), expected);
        assert_eq!(key_problem(&bytes), expected);
    }
}

#[test]
fn cut_off_blocks_are_found_wherever_they_end() {
    let pem = data("self-signed.crt");
    let truncated = PemProblem::Truncated {
        label: "CERTIFICATE".to_owned(),
    };
    let begin = b"-----BEGIN CERTIFICATE-----".len();
    // But for the last dash and the line break, every end is too early.
    for end in begin..pem.len() - 1 {
        assert_eq!(certificate_problem(&pem[..end]), truncated, "at {end}");
    }
    let joined = [&pem[..200], &b"\n"[..], &pem].concat();
    assert_eq!(certificate_problem(&joined), truncated);
    assert_eq!(
        certificate_problem(&pem[100..]),
        PemProblem::EndWithoutBegin
    );
}

#[test]
fn damaged_blocks_are_found() {
    let text = String::from_utf8(data("self-signed.crt")).expect("PEM is text");
    let lines: Vec<&str> = text.lines().collect();
    let without_a_line = [&lines[..2], &lines[3..]].concat().join("\n");
    let damaged = PemProblem::DamagedCertificate { number: 2 };
    for second in [without_a_line, text.replace("MII", "M!I")] {
        assert_eq!(
            certificate_problem(format!("{text}{second}\n").as_bytes()),
            damaged
        );
    }
    let key = String::from_utf8(data("pkcs8.key")).expect("PEM is text");
    let key = key.replacen("MI", "M*", 1);
    assert_eq!(key_problem(key.as_bytes()), PemProblem::DamagedKey);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let missing = certificates(dir.path().join("tls.crt")).expect_err("not there");
    assert_eq!(*missing.problem(), PemProblem::Missing);
    assert_eq!(missing.expected(), PemExpected::Certificates);
    let directory = private_key(dir.path()).expect_err("a directory");
    assert_eq!(*directory.problem(), PemProblem::Directory);
    let large = dir.path().join("large");
    fs::write(&large, vec![b'\n'; MAX_FILE_SIZE + 1]).expect("space for a MiB");
    let large = private_key(large).expect_err("too large");
    assert_eq!(*large.problem(), PemProblem::TooLarge);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let pipe = dir.path().join("tls.crt");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(certificates(pipe)));
    let read = receiver.recv_timeout(std::time::Duration::from_secs(10));
    let error = read.expect("in time").expect_err("a pipe").to_string();
    assert!(error.contains("(not a regular file)"), "{error}");
}

#[test]
fn a_forbidden_file_names_the_user() {
    let failed = PemError::new(
        Path::new("/certs/tls.key"),
        PemExpected::PrivateKey,
        PemProblem::Forbidden,
    );
    let text = failed.to_string();
    assert!(text.contains("chown"), "{text}");
    #[cfg(target_os = "linux")]
    assert!(text.contains("(uid "), "{text}");
}

#[test]
fn keys_are_never_shown() {
    let key = String::from_utf8(data("pkcs8.key")).expect("PEM is text");
    let secret: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let cut = &key[..key.len() - 10];
    let spliced = key.replace(
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----",
    );
    for text in [&*key, cut, &spliced, &key.replace("-----END", "----END")] {
        let file = PemFile::new("f", text);
        let shown = format!(
            "{file:?} {:?} {:?}",
            file.certificates(),
            file.private_key().map(|_| ())
        );
        let printed = [
            file.certificates().map(|_| ()),
            file.private_key().map(|_| ()),
        ]
        .map(|result| result.err().map(|error| error.to_string()));
        for line in &secret {
            assert!(!shown.contains(line), "{shown}");
            assert!(!format!("{printed:?}").contains(line), "{printed:?}");
        }
    }
}
