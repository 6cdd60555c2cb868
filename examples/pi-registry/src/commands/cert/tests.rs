//! The commands in directories of their own.

use std::fs;
use std::path::Path;

use registry_tls::inspect::{CertificateSummary, Fingerprint};
use registry_tls::issue::{Authority, AuthorityOptions, ClientOptions};
use registry_tls::{HostName, pem};

use super::files::{Files, Place};
use super::{check, new, renew, show};
use crate::commands::report::Report;

/// Runs `cert WORDS`, and returns what it prints.
fn cert(words: &[&str]) -> Result<String, String> {
    let arguments = parse(words);
    let mut out = String::new();
    let run = match &arguments.action {
        super::Action::New(arguments) => new::run(arguments, &mut out),
        super::Action::Renew(arguments) => renew::run(arguments, &mut out),
        super::Action::Show(arguments) => show::run(arguments, &mut out),
        super::Action::Check(arguments) => {
            let mut report = Report::default();
            check::look(arguments, &mut report)?;
            return match report.errors() {
                0 => Ok(report.text()),
                _ => Err(report.text()),
            };
        }
    };
    run.map(|()| out)
}

fn parse(words: &[&str]) -> super::Arguments {
    use clap::{CommandFactory as _, FromArgMatches as _, Parser};
    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: super::Arguments,
    }
    Cli::command().debug_assert();
    let words = ["cert"].iter().chain(words);
    let matches = Cli::command().get_matches_from(words);
    Cli::from_arg_matches(&matches).expect("valid").arguments
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn chain(path: &Path) -> Vec<CertificateSummary> {
    let chain = pem::certificates(path).expect("certificates");
    let summary = |der| CertificateSummary::of(der).expect("a summary");
    chain.iter().map(summary).collect()
}

fn hosts(path: &Path) -> Vec<String> {
    let hosts = &chain(path)[0].hosts;
    hosts.iter().map(HostName::to_string).collect()
}

fn fingerprint(path: &Path) -> Fingerprint {
    chain(path)[0].fingerprint
}

#[test]
fn new_makes_a_pair_with_its_ca_and_overwrites_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("made");
    let files = Files::in_dir(&at);
    let new = [
        "new",
        "--dir",
        text(&at),
        "--host",
        "*.cube.local",
        "--ip",
        "192.168.0.201",
    ];
    let out = cert(&new).expect("made");
    assert!(
        out.contains("tls.crt (for *.cube.local, 192.168.0.201, until"),
        "{out}"
    );
    assert!(!out.contains("BEGIN"), "{out}");
    assert_eq!(hosts(&files.certificate), ["*.cube.local", "192.168.0.201"]);

    let before = fs::read(&files.certificate).expect("there");
    let error = cert(&new).expect_err("it is there");
    assert!(error.contains("cert renew"), "{error}");
    assert_eq!(fs::read(&files.certificate).expect("there"), before);

    let error = cert(&["new", "--dir", text(&at)]).expect_err("no hosts");
    assert!(error.contains("--host"), "{error}");
    let checked = cert(&["check", "--dir", text(&at), "--host", "r.cube.local"]).expect("good");
    assert_eq!(checked.matches("ok: ").count(), 2, "{checked}");
}

#[test]
fn named_files_are_signed_by_the_ca_of_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name| dir.path().join(name);
    cert(&["new", "--dir", text(dir.path()), "--host", "a.local"]).expect("made");
    let (crt, key) = (at("b.pem"), at("b.key"));
    let named = [
        "--cert-file",
        text(&crt),
        "--key-file",
        text(&key),
        "--key",
        "rsa-2048",
    ];
    let new = [
        "new",
        "--dir",
        text(dir.path()),
        "--host",
        "b.local",
        "--days",
        "30",
    ];
    cert(&[&new[..], &named].concat()).expect("made");
    let chain = chain(&crt);
    assert_eq!(chain[0].key, "RSA 2048");
    assert_eq!(chain[1].fingerprint, fingerprint(&at("ca.crt")));
    let error = cert(&["check", text(&crt), "--key", text(&at("tls.key"))]).expect_err("swapped");
    assert!(error.contains("private key does not belong"), "{error}");
}

#[test]
fn renew_keeps_hosts_and_key_and_adds_hosts() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = Files::in_dir(dir.path());
    cert(&["new", "--dir", text(dir.path()), "--host", "a.local"]).expect("made");
    let (old, key) = (
        fingerprint(&files.certificate),
        fs::read(&files.key).expect("a key"),
    );

    let renew = ["renew", "--dir", text(dir.path()), "--ip", "10.0.0.1"];
    let out = cert(&renew).expect("renewed");
    assert!(out.contains("within 10 seconds"), "{out}");
    assert_eq!(hosts(&files.certificate), ["a.local", "10.0.0.1"]);
    assert_ne!(fingerprint(&files.certificate), old);
    assert_eq!(fs::read(&files.key).expect("a key"), key);

    cert(&[
        "renew",
        "--dir",
        text(dir.path()),
        "--new-key",
        "--key",
        "rsa-2048",
    ])
    .expect("renewed");
    assert_ne!(fs::read(&files.key).expect("a key"), key);
    assert_eq!(chain(&files.certificate)[0].key, "RSA 2048");
    assert_eq!(hosts(&files.certificate), ["a.local", "10.0.0.1"]);
    cert(&["check", "--dir", text(dir.path())]).expect("the pair fits");
}

#[test]
fn an_interrupted_renewal_is_mended_by_the_next() {
    let (dir, other) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    for dir in [&dir, &other] {
        cert(&["new", "--dir", text(dir.path()), "--host", "a.local"]).expect("made");
    }
    fs::copy(other.path().join("tls.key"), dir.path().join("tls.key")).expect("a new key");
    cert(&["check", "--dir", text(dir.path())]).expect_err("they do not fit");
    cert(&["renew", "--dir", text(dir.path())]).expect("renewed");
    cert(&["check", "--dir", text(dir.path())]).expect("the pair fits");
}

#[test]
fn what_another_ca_signed_is_not_renewed() {
    let (dir, other) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    for dir in [&dir, &other] {
        cert(&["new", "--dir", text(dir.path()), "--host", "a.local"]).expect("made");
    }
    for name in ["ca.crt", "ca.key"] {
        fs::copy(other.path().join(name), dir.path().join(name)).expect("copied");
    }
    let at = dir.path().join("tls.crt");
    let before = fs::read(&at).expect("there");
    let error = cert(&["renew", "--dir", text(dir.path())]).expect_err("another's");
    assert!(error.contains("was not signed by"), "{error}");
    let error = cert(&["check", "--dir", text(dir.path())]).expect_err("not trusted");
    assert!(error.contains("clients that trust it refuse"), "{error}");
    assert!(error.contains("signed by unknown authority"), "{error}");

    for name in ["ca.crt", "ca.key"] {
        fs::remove_file(dir.path().join(name)).expect("removed");
    }
    let error = cert(&["renew", "--dir", text(dir.path())]).expect_err("no CA");
    assert!(error.contains("there is no CA"), "{error}");
    assert_eq!(fs::read(&at).expect("there"), before);
}

#[test]
fn a_client_gets_the_files_that_docker_looks_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let new = ["new", "--dir", text(dir.path()), "--client", "ann"];
    let out = cert(&new).expect("made");
    assert!(out.contains("clientcas"), "{out}");
    let at = dir.path().join("clients/ann");
    let (certificate, key) = (at.join("client.cert"), at.join("client.key"));
    assert_eq!(chain(&certificate)[0].subject, "CN=ann");
    let check = [
        "check",
        "--as",
        "client",
        text(&certificate),
        "--key",
        text(&key),
    ];
    cert(&check).expect("good");

    cert(&new).expect_err("it is there");
    fs::remove_file(&certificate).expect("removed");
    cert(&new).expect("completed for the key that is there");
    cert(&check).expect("good");
    for name in ["../ann", ".", "", "a/b"] {
        cert(&["new", "--dir", text(dir.path()), "--client", name]).expect_err(name);
    }
}

#[test]
fn show_prints_each_certificate_with_its_fingerprint() {
    let dir = tempfile::tempdir().expect("a directory");
    cert(&["new", "--dir", text(dir.path()), "--host", "a.local"]).expect("made");
    let out = cert(&["show", "--dir", text(dir.path())]).expect("shown");
    assert!(out.contains("tls.crt: certificate 2 of 2"), "{out}");
    let ca = fingerprint(&dir.path().join("ca.crt"));
    assert!(out.contains(&format!("  sha256:     {ca}\n")), "{out}");
    let error = cert(&["show", text(&dir.path().join("tls.key"))]).expect_err("a key");
    assert!(error.contains("tls.key"), "{error}");
}

#[test]
fn a_strangers_name_does_not_turn_around_what_is_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new(&AuthorityOptions::new("test")).expect("a CA");
    let issued = authority.issue_client(&ClientOptions::new("a\u{202e}b\u{2066}c"));
    let path = dir.path().join("client.crt");
    fs::write(&path, issued.expect("issued").certificate_pem).expect("written");
    let out = cert(&["show", text(&path)]).expect("shown");
    assert!(
        out.contains("subject:    CN=a\u{fffd}b\u{fffd}c\n"),
        "{out}"
    );
}

#[test]
fn check_tells_what_clients_will_say() {
    let dir = tempfile::tempdir().expect("a directory");
    cert(&["new", "--dir", text(dir.path()), "--host", "a.local"]).expect("made");
    let crt = dir.path().join("tls.crt");
    let error = cert(&["check", text(&crt), "--ip", "10.0.0.1"]).expect_err("not covered");
    assert!(error.starts_with("error: certificate: "), "{error}");
    assert!(
        error
            .contains("\n    docker, containerd, k3s, podman: tls: failed to verify certificate: "),
        "{error}"
    );
    cert(&["check", text(&dir.path().join("ca.crt")), "--as", "ca"]).expect("a CA");
    cert(&["check", text(&crt), "--as", "ca"]).expect_err("a leaf is none");
    let error = cert(&["check", text(&dir.path().join("ca.crt"))]).expect_err("no server's");
    assert!(error.ends_with("add --as ca\n"), "{error}");
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "").expect("written");
    let error = cert(&["check", text(&empty)]).expect_err("empty");
    assert!(error.contains("is empty"), "{error}");
}

#[test]
fn a_configuration_names_its_files() {
    let dir = tempfile::tempdir().expect("a directory");
    cert(&["new", "--dir", text(dir.path()), "--host", "a.local"]).expect("made");
    let config = dir.path().join("config.yml");
    let at = |name| format!("{}", dir.path().join(name).display());
    let yaml = format!(
        "version: 0.1\nhttp:\n  tls:\n    certificate: {}\n    key: {}\n    publishca: {}\n",
        at("tls.crt"),
        at("tls.key"),
        at("ca.crt")
    );
    fs::write(&config, yaml).expect("written");
    let place = Place {
        dir: None,
        config: Some(config.clone()),
    };
    assert_eq!(
        place.find().expect("found").files(),
        &Files::in_dir(dir.path())
    );
    let text_of = text(&config);
    let checked = cert(&["check", "--config", text_of]).expect("good");
    assert!(checked.contains("ok: http.tls.publishca: "), "{checked}");
    cert(&["check", "--config", text_of, "--host", "b.local"]).expect_err("not covered");
    cert(&["renew", "--config", text_of, "--host", "b.local"]).expect("renewed");
    cert(&["check", "--config", text_of, "--host", "b.local"]).expect("good");

    fs::write(&config, "version: 0.1\n").expect("written");
    let error = cert(&["check", "--config", text_of]).expect_err("no TLS");
    assert!(error.contains("has no http.tls"), "{error}");
}
