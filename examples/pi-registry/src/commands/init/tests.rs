//! `init` in directories of its own, first and again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use registry_auth::htpasswd::edit;
use registry_tls::pem;

use super::*;

fn machine() -> Machine {
    Machine {
        names: vec!["pi4".parse().expect("a name")],
        addresses: vec!["192.168.1.20".parse().expect("an address")],
        contained: false,
    }
}

fn arguments(hosts: &[&str]) -> Arguments {
    Arguments {
        hosts: Hosts {
            names: hosts
                .iter()
                .map(|host| host.parse().expect("valid"))
                .collect(),
            addresses: Vec::new(),
        },
        dir: PathBuf::new(),
        port: 5000,
        users: Vec::new(),
        anonymous_pull: false,
        key: Key::default(),
    }
}

fn run(dir: &Path, hosts: &[&str]) -> Result<String, String> {
    run_with(dir, &arguments(hosts), &[])
}

fn run_with(dir: &Path, arguments: &Arguments, users: &[User]) -> Result<String, String> {
    let mut out = String::new();
    init(arguments, dir, &machine(), users, &mut out)?;
    Ok(out)
}

fn user(name: &str, password: &str) -> User {
    User::new(name, password)
}

/// Every file with its content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| (path.clone(), fs::read(&path).expect("read")))
        .collect()
}

fn hosts(dir: &Path) -> String {
    listed(&current(&dir.join("tls.crt")).expect("a certificate").hosts)
}

#[test]
fn everything_is_made_and_a_registry_starts_with_it() {
    let temporary = tempfile::tempdir().expect("a directory");
    // A path that YAML and the shell would misread.
    let dir = temporary.path().join("a: #b 'c'");
    let out = run_with(&dir, &arguments(&["r.lan"]), &[user("ann", "secret")]).expect("made");

    let mode = |name: &str| {
        let metadata = fs::metadata(dir.join(name)).expect(name);
        metadata.permissions().mode() & 0o777
    };
    for (name, expected) in [
        ("ca.key", 0o600),
        ("tls.key", 0o600),
        ("htpasswd", 0o600),
        ("ca.crt", 0o644),
        ("tls.crt", 0o644),
        ("config.yml", 0o644),
    ] {
        assert_eq!(mode(name), expected, "{name}");
    }
    assert_eq!(
        hosts(&dir),
        "r.lan, pi4, localhost, 192.168.1.20, 127.0.0.1, ::1"
    );

    let config = Config::load(Some(&dir.join("config.yml")), []).expect("a configuration");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.storage.driver.directory(), Some(&*dir.join("data")));
    assert!(config.storage.deletes && config.storage.gc.enabled);
    let tls = config.http.tls.as_ref().expect("TLS");
    assert_eq!(
        tls.publish_ca.as_deref(),
        Some(dir.join("ca.crt").as_path())
    );
    Certificates::load(tls, &config.http).expect("certificates");
    let htpasswd = config.auth.htpasswd.as_ref().expect("users");
    assert_eq!(edit::list(&htpasswd.path).expect("users"), ["ann"]);

    for expected in [
        "given    r.lan\n",
        "trust docker --server https://r.lan:5000",
        "docker login r.lan:5000\n",
        "docker push r.lan:5000/IMAGE\n",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let ca = current(&dir.join("ca.crt")).expect("the CA").fingerprint;
    assert!(out.contains(&ca.to_string()), "{out}");
    for secret in ["PRIVATE", "secret", "$2y$"] {
        assert!(!out.contains(secret), "{secret}: {out}");
    }
}

#[test]
fn anonymous_pull_comes_with_tokens_and_users() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut arguments = arguments(&["r.lan"]);
    arguments.anonymous_pull = true;
    let error = run_with(dir.path(), &arguments, &[]).expect_err("nobody could push");
    assert!(error.contains("--user"), "{error}");
    assert!(!dir.path().join("config.yml").exists());

    run_with(dir.path(), &arguments, &[user("ann", "secret")]).expect("made");
    let key = dir.path().join("token.key");
    let mode = fs::metadata(&key).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = Config::load(Some(&dir.path().join("config.yml")), []).expect("loads");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let server = config.auth.token_server.as_ref().expect("a token server");
    assert_eq!(server.key.as_deref(), Some(key.as_path()));
    assert!(server.refresh_tokens);
    let pull = registry_spec::auth::Access::pull("a".parse().expect("a name"));
    let anonymous = registry_spec::auth::Identity::anonymous();
    assert!(config.auth.policy.allows(&anonymous, &pull));

    let before = content(dir.path());
    run_with(dir.path(), &arguments, &[]).expect("nothing to do");
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_second_run_touches_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), &["r.lan"]).expect("made");
    let before = content(dir.path());
    for (hosts, used) in [(&[][..], "r.lan"), (&["r.lan"], "r.lan"), (&["pi4"], "pi4")] {
        let out = run(dir.path(), hosts).expect("nothing to do");
        let push = format!("docker push {used}:5000/IMAGE");
        assert!(out.contains(&push), "{push}: {out}");
        assert_eq!(out.matches("already there").count(), 5, "{out}");
        assert!(!out.contains("made "), "{out}");
        assert_eq!(content(dir.path()), before);
    }
}

#[test]
fn a_new_host_renews_the_certificate_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), &["r.lan"]).expect("made");
    let mut before = content(dir.path());
    let out = run(dir.path(), &["*.cube.lan"]).expect("renewed");
    assert!(out.contains("renewed "), "{out}");
    assert!(out.contains("it was not for *.cube.lan"), "{out}");
    assert_eq!(
        hosts(dir.path()),
        "r.lan, pi4, localhost, *.cube.lan, 192.168.1.20, 127.0.0.1, ::1"
    );
    let mut after = content(dir.path());
    let changed = dir.path().join("tls.crt");
    assert_ne!(before.remove(&changed), after.remove(&changed));
    assert_eq!(before, after);
    // What the wildcard is good for needs no more.
    let out = run(dir.path(), &["r.cube.lan"]).expect("nothing to do");
    assert!(!out.contains("renewed "), "{out}");
}

#[test]
fn an_interrupted_run_is_completed() {
    let order = [
        "ca.key",
        "ca.crt",
        "tls.key",
        "tls.crt",
        "htpasswd",
        "config.yml",
    ];
    for done in 0..order.len() {
        let dir = tempfile::tempdir().expect("a directory");
        let users = [user("ann", "secret")];
        run_with(dir.path(), &arguments(&["r.lan"]), &users).expect("made");
        for name in &order[done..] {
            fs::remove_file(dir.path().join(name)).expect("removed");
        }
        let before = content(dir.path());
        let again: &[User] = if done > 4 { &[] } else { &users };
        run_with(dir.path(), &arguments(&["r.lan"]), again).expect("completed");
        let after = content(dir.path());
        assert_eq!(after.len(), order.len());
        for (path, bytes) in before {
            assert_eq!(after[&path], bytes, "{}", path.display());
        }
        let config = Config::load(Some(&dir.path().join("config.yml")), []).expect("loads");
        assert!(config.auth.htpasswd.is_some(), "never open by mistake");
    }
}

#[test]
fn a_lost_ca_certificate_is_the_served_one_again() {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), &[]).expect("made");
    let before = content(dir.path());
    fs::remove_file(dir.path().join("ca.crt")).expect("removed");
    run(dir.path(), &[]).expect("completed");
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_lost_key_is_told() {
    for (name, hosts) in [("tls.key", &[][..]), ("ca.key", &["new.lan"])] {
        let dir = tempfile::tempdir().expect("a directory");
        run(dir.path(), &[]).expect("made");
        fs::remove_file(dir.path().join(name)).expect("removed");
        let before = content(dir.path());
        let error = run(dir.path(), hosts).expect_err("a key is lost");
        assert!(error.contains(name), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(content(dir.path()), before);
    }
    // Without a new host the CA's key may be kept elsewhere.
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), &[]).expect("made");
    fs::remove_file(dir.path().join("ca.key")).expect("removed");
    run(dir.path(), &[]).expect("it is not needed");
    assert!(!dir.path().join("ca.key").exists());
}

#[test]
fn a_pair_of_somebody_elses_is_served_without_a_ca() {
    let (dir, other) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    run(other.path(), &["r.lan"]).expect("made");
    for name in ["tls.crt", "tls.key"] {
        fs::copy(other.path().join(name), dir.path().join(name)).expect("copied");
    }
    let out = run(dir.path(), &[]).expect("completed");
    assert!(!dir.path().join("ca.key").exists());
    assert!(!out.contains("ca.crt"), "{out}");
    let error = run(dir.path(), &["new.lan"]).expect_err("no CA");
    assert!(error.contains("there is no CA"), "{error}");
}

#[test]
fn a_pair_that_does_not_fit_is_told() {
    let (dir, other) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    run(dir.path(), &[]).expect("made");
    run(other.path(), &[]).expect("made");
    fs::copy(other.path().join("tls.key"), dir.path().join("tls.key")).expect("copied");
    let error = run(dir.path(), &[]).expect_err("they do not fit");
    assert!(error.contains("pi-registry check"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_configuration_that_is_there_stays_and_differences_are_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("config.yml");
    let yaml =
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /data\nhttp:\n  addr: :444\n";
    fs::write(&config, yaml).expect("written");
    let mut arguments = arguments(&[]);
    arguments.port = 5001;
    let out = run_with(dir.path(), &arguments, &[user("ann", "secret")]).expect("completed");
    assert_eq!(fs::read_to_string(&config).expect("there"), yaml);
    for note in ["has no http.tls", "listens on :444", "lets everybody in"] {
        assert!(out.contains(note), "{note}: {out}");
    }
    assert!(out.contains("docker push 192.168.1.20:444/IMAGE"), "{out}");
}

#[test]
fn old_clients_get_an_rsa_key_and_ca() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut arguments = arguments(&[]);
    arguments.key = Key::Rsa2048;
    run_with(dir.path(), &arguments, &[]).expect("made");
    for name in ["ca.crt", "tls.crt"] {
        let summary = current(&dir.path().join(name)).expect(name);
        assert_eq!(summary.key, "RSA 2048", "{name}");
    }
    pem::private_key(dir.path().join("tls.key")).expect("a key");
}

#[test]
fn what_is_to_be_copied_is_quoted() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = run(dir.path(), &["fd00::1"]).expect("made");
    for command in [
        "trust docker --server 'https://[fd00::1]:5000' --install\n",
        "docker push '[fd00::1]:5000/IMAGE'\n",
    ] {
        assert!(out.contains(command), "{command}: {out}");
    }
    let dir = dir.path().join("a b");
    run(&dir, &[]).expect("made");
    fs::remove_file(dir.join("tls.key")).expect("removed");
    let error = run(&dir, &[]).expect_err("a key is lost");
    let renewal = format!(
        "`pi-registry cert renew --new-key --dir '{}'`",
        dir.display()
    );
    assert!(error.contains(&renewal), "{error}");
}

#[test]
fn a_container_is_told_to_name_its_hosts() {
    let dir = tempfile::tempdir().expect("a directory");
    let machine = Machine {
        contained: true,
        ..Machine::default()
    };
    let mut out = String::new();
    init(&arguments(&[]), dir.path(), &machine, &[], &mut out).expect("made");
    assert!(out.contains("This is a container"), "{out}");
    assert_eq!(hosts(dir.path()), "localhost, 127.0.0.1, ::1");
}

#[test]
fn a_place_that_cannot_be_written_is_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "precious").expect("written");
    for place in [file.clone(), file.join("below")] {
        let error = run(&place, &[]).expect_err("no directory");
        assert!(!error.contains('\n'), "{error}");
        assert!(error.contains(place.to_str().expect("UTF-8")), "{error}");
    }
    assert_eq!(fs::read(&file).expect("there"), b"precious");
}
