use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use clap::Parser;
use registry_tls::inspect::Fingerprint;
use registry_tls::issue::{Authority, AuthorityOptions, Issued, LeafOptions};
use registry_tls::pem::PemFile;
use registry_tls::rustls::{ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn parsed(line: &[&str]) -> Result<Arguments, clap::Error> {
    let line = Line::try_parse_from([&["trust"], line].concat())?;
    Ok(line.arguments)
}

fn plan(line: &[&str]) -> Result<Plan, String> {
    parsed(line).expect("a command line").plan()
}

fn authority() -> Authority {
    Authority::new(&AuthorityOptions::new("home")).expect("an authority")
}

fn issued(by: &Authority, hosts: &[&str]) -> Issued {
    let hosts = hosts.iter().map(|host| host.parse().expect("a host"));
    by.issue(&LeafOptions::new(hosts.collect()))
        .expect("issued")
}

fn fingerprint(of: &Authority) -> String {
    Fingerprint::of(&of.chain()[0]).to_string()
}

/// A registry that shows the first `shown` certificates in its handshakes and
/// answers plain requests with `published`; it ends with the tests.
fn server(issued: &Issued, shown: usize, published: Option<String>) -> String {
    let pem = |text: &[u8]| PemFile::new("pem", text);
    let mut chain = pem(issued.certificate_pem.as_bytes())
        .certificates()
        .expect("certificates");
    chain.truncate(shown);
    let key = pem(issued.key_pem.as_ref()).private_key().expect("a key");
    let config = ServerConfig::builder_with_provider(tls_provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let _ = answer(tcp.expect("a client"), &config, published.as_deref());
        }
    });
    format!("https://127.0.0.1:{port}")
}

fn answer(
    mut tcp: TcpStream,
    config: &Arc<ServerConfig>,
    published: Option<&str>,
) -> std::io::Result<()> {
    let mut first = [0];
    tcp.peek(&mut first)?;
    if first[0] == 22 {
        let mut tls = ServerConnection::new(Arc::clone(config)).expect("a configuration");
        return tls.complete_io(&mut tcp).map(|_| ());
    }
    let mut lines = BufReader::new(tcp.try_clone()?).lines();
    let request = lines.next().expect("a request")?;
    while !lines.next().expect("headers")?.is_empty() {}
    let (status, body) = match published {
        Some(pem) if request == "GET /ca.crt HTTP/1.1" => ("200 OK", pem),
        _ => ("404 Not Found", ""),
    };
    let length = body.len();
    write!(
        tcp,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The files of a server, as `init` makes them, and its authority.
fn server_files(hosts: &[&str]) -> (TempDir, Authority) {
    let dir = tempfile::tempdir().expect("a folder");
    let authority = authority();
    let issued = issued(&authority, hosts);
    let path = |name: &str| dir.path().join(name).display().to_string();
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: :5000\n  \
         tls:\n    certificate: {}\n    key: {}\n",
        path("data"),
        path("tls.crt"),
        path("tls.key")
    );
    for (name, text) in [
        ("ca.crt", authority.certificate_pem().as_str()),
        ("tls.crt", issued.certificate_pem.as_str()),
        ("tls.key", issued.key_pem.as_str()),
        ("config.yml", config.as_str()),
    ] {
        fs::write(dir.path().join(name), text).expect("written");
    }
    (dir, authority)
}

#[test]
fn a_running_server_is_believed_by_its_fingerprint_alone() {
    let (authority, other) = (authority(), authority());
    let url = server(&issued(&authority, &["127.0.0.1"]), 2, None);
    let root = tempfile::tempdir().expect("a folder");
    let install = |fingerprint: &str| {
        run(&parsed(&[
            "docker",
            "--server",
            &url,
            "--fingerprint",
            fingerprint,
            "--install",
            "--root",
            root.path().to_str().expect("UTF-8"),
        ])
        .expect("a command line"))
    };
    assert_eq!(install(&fingerprint(&other)), ExitCode::FAILURE);
    assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 0);

    let folder = url.trim_start_matches("https://");
    let path = root
        .path()
        .join("etc/docker/certs.d")
        .join(folder)
        .join("ca.crt");
    for _ in 0..2 {
        assert_eq!(install(&fingerprint(&authority)), ExitCode::SUCCESS);
        let text = fs::read_to_string(&path).expect("installed");
        assert!(text.ends_with(&authority.certificate_pem()), "{text}");
    }
}

#[test]
fn a_wrong_fingerprint_says_what_the_server_has() {
    let authority = authority();
    let url = server(&issued(&authority, &["127.0.0.1"]), 2, None);
    let error = plan(&[
        "docker",
        "--server",
        &url,
        "--fingerprint",
        &"ab".repeat(32),
    ]);
    let error = error.expect_err("not that one");
    assert!(
        error.starts_with("nothing was written: the fingerprint is not"),
        "{error}"
    );
    assert!(error.contains(&fingerprint(&authority)), "{error}");
}

#[test]
fn a_server_that_shows_no_ca_may_publish_it() {
    let (authority, other) = (authority(), authority());
    let both = other.certificate_pem() + &authority.certificate_pem();
    let leaf = issued(&authority, &["127.0.0.1"]);
    let url = server(&leaf, 1, Some(both));
    let expected = fingerprint(&authority);
    let ask = ["docker", "--server", &url, "--fingerprint", &expected];
    let plan_ = plan(&ask).expect("published");
    assert!(
        plan_.files[0]
            .contents
            .ends_with(&authority.certificate_pem())
    );
    assert!(!plan_.files[0].contents.contains(&other.certificate_pem()));

    let url = server(&leaf, 1, None);
    let ask = ["docker", "--server", &url, "--fingerprint", &expected];
    let error = plan(&ask).expect_err("nowhere");
    assert!(
        error.contains("/ca.crt (the answer is 404 Not Found)"),
        "{error}"
    );
}

#[test]
fn a_ca_with_which_clients_would_still_refuse_the_server_is_refused() {
    let authority = authority();
    let expected = fingerprint(&authority);
    let url = server(&issued(&authority, &["registry.local"]), 2, None);
    let ask = ["docker", "--server", &url, "--fingerprint", &expected];
    let error = plan(&ask).expect_err("not its host");
    assert!(
        error.starts_with("clients would refuse 127.0.0.1:"),
        "{error}"
    );

    // By a name that it is good for it can be trusted.
    let named = [&ask[..], &["--registry", "registry.local:5000"]].concat();
    let registries = plan(&named).expect("its host").registries;
    assert_eq!(
        registries,
        ["registry.local:5000".parse().expect("an address")]
    );

    let (dir, _) = server_files(&["127.0.0.1"]);
    let foreign = dir.path().join("ca.crt");
    let foreign = foreign.to_str().expect("UTF-8");
    let ask = [
        "docker",
        "--server",
        &url,
        "--ca",
        foreign,
        "--registry",
        "registry.local",
    ];
    let error = plan(&ask).expect_err("another CA");
    assert!(error.contains("even with this CA"), "{error}");
}

#[test]
fn the_servers_files_tell_the_ca_and_the_names() {
    let hosts = [
        "registry.local",
        "*.cube.local",
        "localhost",
        "192.168.0.201",
        "127.0.0.1",
    ];
    let (dir, authority) = server_files(&hosts);
    let path = dir.path().to_str().expect("UTF-8");
    let plan_ = plan(&["containerd", "--dir", path]).expect("files");
    let names: Vec<_> = plan_.registries.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["registry.local:5000", "192.168.0.201:5000"]);
    assert!(
        plan_.files[0]
            .contents
            .ends_with(&authority.certificate_pem())
    );
    assert!(!plan_.script().contains("PRIVATE KEY"));

    // The certificate alone is served: the CA lies beside it.
    let own = fs::read_to_string(dir.path().join("tls.crt")).expect("there");
    let own = own.replace(&authority.certificate_pem(), "");
    fs::write(dir.path().join("tls.crt"), own).expect("written");
    let config = dir.path().join("config.yml");
    let ask = ["containerd", "--config", config.to_str().expect("UTF-8")];
    assert_eq!(plan(&ask).expect("files"), plan_);
    fs::remove_file(dir.path().join("ca.crt")).expect("removed");
    let error = plan(&ask).expect_err("no CA");
    assert!(error.contains("--ca FILE"), "{error}");
}

#[test]
fn the_secret_is_printed_only_when_asked_for() {
    let (dir, _) = server_files(&["registry.local"]);
    let path = dir.path().to_str().expect("UTF-8");
    let without = yaml(&plan(&["kubernetes", "--dir", path]).expect("files"));
    assert!(
        without.contains("kind: ConfigMap") && !without.contains("Secret"),
        "{without}"
    );
    let with = yaml(&plan(&["kubernetes", "--dir", path, "--secret"]).expect("files"));
    assert!(
        with.contains("\n---\n") && with.contains("\n  tls.key: "),
        "{with}"
    );
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    for line in [
        &["docker", "--server", "http://registry.local"] as &[_],
        &["docker", "--server", "https://r.local", "--dir", "/d"],
        &[
            "docker",
            "--server",
            "https://r.local",
            "--fingerprint",
            "abcd",
        ],
        &["docker", "--ca", "/ca.crt", "--config", "/c.yml"],
        &["docker", "--root", "/image"],
        &["docker", "--print", "--install"],
        &["kubernetes", "--secret", "--server", "https://r.local"],
        &["lynx"],
    ] {
        assert!(parsed(line).is_err(), "{line:?}");
    }
    for line in [
        &["docker", "--store", "debian"] as &[_],
        &["docker", "--user"],
        &["docker", "--secret"],
        &["windows", "--install"],
        &["kubernetes", "--install"],
    ] {
        let error = plan(line).expect_err("no sense");
        assert!(error.contains("leave "), "{error}");
    }
}

#[test]
fn a_ca_file_needs_a_name_for_the_registry() {
    let (dir, _) = server_files(&["registry.local"]);
    let ca = dir.path().join("ca.crt");
    let ask = [
        "system",
        "--store",
        "suse",
        "--ca",
        ca.to_str().expect("UTF-8"),
    ];
    let error = plan(&ask).expect_err("no name");
    assert!(error.contains("--registry"), "{error}");
    let named = [&ask[..], &["--registry", "registry.local"]].concat();
    assert_eq!(plan(&named).expect("named").files.len(), 1);
    let leaf = dir.path().join("tls.key");
    let key = [
        "docker",
        "--ca",
        leaf.to_str().expect("UTF-8"),
        "--registry",
        "r.local",
    ];
    let error = plan(&key).expect_err("a key");
    assert!(error.contains("tls.key"), "{error}");
}

#[test]
fn a_server_that_shows_nothing_is_for_the_doctor() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = plan(&["docker", "--server", &url]).expect_err("nobody listens");
    assert!(error.contains(&format!("doctor {url}`")), "{error}");
    assert!(!error.contains('\n'), "{error}");
}
