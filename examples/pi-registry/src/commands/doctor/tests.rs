use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use registry_tls::issue::{Authority, AuthorityOptions, Issued, LeafOptions};
use registry_tls::rustls::ServerConfig;
use registry_tls::rustls::pki_types::PrivateKeyDer;
use registry_tls::rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

fn authority() -> Authority {
    Authority::new(&AuthorityOptions::new("test")).expect("an authority")
}

fn issue(authority: &Authority, host: &str) -> Issued {
    let hosts = vec![host.parse().expect("a host")];
    authority.issue(&LeafOptions::new(hosts)).expect("issued")
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes());
    all.collect::<Result<_, _>>().expect("PEM")
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

/// What the clients below `root` say to a server at r.local:5000.
fn verdicts(root: &Path, served: &Issued) -> Vec<String> {
    let patient = Patient::new("r.local:5000").expect("an address");
    let addresses: [SocketAddr; 1] = ["192.0.2.1:5000".parse().expect("an address")];
    let chain = certificates(&served.certificate_pem);
    let mut report = Report::default();
    trust::check(
        &Machine::below(root),
        &patient,
        &addresses,
        &chain,
        &mut report,
    );
    report.lines
}

fn has(lines: &[String], start: &str, part: &str) {
    let found = lines
        .iter()
        .any(|line| line.starts_with(start) && line.contains(part));
    assert!(found, "no {start:?} with {part:?} in {lines:#?}");
}

#[test]
fn each_client_trusts_by_its_own_files() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    let authority = authority();
    let (served, ca) = (issue(&authority, "r.local"), authority.certificate_pem());
    let lines = verdicts(root, &served);
    let absent = "not here: docker, podman, containerd, k3s, rke2, curl";
    has(&lines, "ok: clients: ", absent);
    assert_eq!(lines.len(), 1, "{lines:?}");

    for folder in [
        "etc/docker",
        "etc/containers",
        "etc/containerd",
        "etc/rancher/k3s",
    ] {
        fs::create_dir_all(root.join(folder)).expect("made");
    }
    write(root, "usr/bin/curl", "");
    let lines = verdicts(root, &served);
    for client in ["docker", "podman", "containerd", "k3s"] {
        let expected = format!(
            "error: {client}: will say \"tls: failed to verify certificate: x509: certificate \
             signed by unknown authority\": run sudo pi-registry trust {client} --server \
             https://r.local:5000 --install"
        );
        has(&lines, &expected, "");
    }
    has(
        &lines,
        "error: curl: will say \"SSL certificate problem: self-signed certificate in certificate \
         chain\"",
        "trust system",
    );
    let mut alone = issue(&authority, "r.local");
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, _) = alone.certificate_pem.split_once(end).expect("a leaf");
    alone.certificate_pem = format!("{leaf}{end}");
    let unseen = "\"SSL certificate problem: unable to get local issuer certificate\"";
    has(&verdicts(root, &alone), "error: curl: will say ", unseen);

    write(root, "etc/docker/certs.d/r.local:5000/ca.crt", &ca);
    write(root, "etc/containerd/certs.d/r.local:5000/ca.pem", &ca);
    write(
        root,
        "etc/containerd/certs.d/r.local:5000/hosts.toml",
        "server = \"https://r.local:5000\"\nca = [\"ca.pem\"]\n[host]\n",
    );
    write(root, "etc/rancher/k3s/r.crt", &ca);
    write(
        root,
        "etc/rancher/k3s/registries.yaml",
        &format!(
            "configs:\n  \"r.local:5000\":\n    tls:\n      ca_file: {}\n",
            "/etc/rancher/k3s/r.crt"
        ),
    );
    let lines = verdicts(root, &served);
    let docker = "/etc/docker/certs.d/r.local:5000/ca.crt";
    has(&lines, "ok: docker: ", docker);
    has(&lines, "ok: podman: ", docker);
    has(&lines, "warning: containerd: ", "config_path");
    has(
        &lines,
        "ok: containerd: ",
        "/etc/containerd/certs.d/r.local:5000/ca.pem",
    );
    has(&lines, "ok: k3s: ", "/etc/rancher/k3s/r.crt");

    // The first folder that is there is the only one that podman reads.
    write(
        root,
        "home/me/.config/containers/certs.d/r.local:5000/ca.cert",
        &ca,
    );
    let lines = verdicts(root, &served);
    has(
        &lines,
        "error: podman: /home/me/.config",
        "ca.cert has no .key",
    );
    has(&lines, "error: podman: will say ", "");
}

#[test]
fn settings_that_switch_the_check_off_are_told() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    let served = issue(&authority(), "r.local");
    for entry in ["r.local:5000", "192.0.2.0/24"] {
        let json = format!("{{\"insecure-registries\": [\"other:1\", \"{entry}\"]}}");
        write(root, "etc/docker/daemon.json", &json);
        has(
            &verdicts(root, &served),
            "ok: docker: takes any certificate",
            entry,
        );
    }
    write(
        root,
        "etc/containerd/certs.d/r.local:5000/hosts.toml",
        "[host.\"https://r.local:5000\"]\nskip_verify = true\n",
    );
    write(
        root,
        "etc/rancher/k3s/registries.yaml",
        "configs: {'r.local:5000': {tls: {insecure_skip_verify: true}}}",
    );
    let lines = verdicts(root, &served);
    has(&lines, "ok: containerd: takes any", "skip_verify");
    has(&lines, "ok: k3s: takes any", "insecure_skip_verify");

    write(
        root,
        "etc/containerd/certs.d/r.local:5000/hosts.toml",
        "ca = ",
    );
    write(root, "etc/rancher/k3s/registries.yaml", "a: [");
    let lines = verdicts(root, &served);
    has(&lines, "error: containerd: /etc/containerd", "hosts.toml");
    has(
        &lines,
        "error: k3s: /etc/rancher/k3s/registries.yaml: not valid YAML",
        "",
    );
}

#[test]
fn a_wrong_host_is_told_in_the_words_of_each_client() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    let authority = authority();
    let served = issue(&authority, "other.local");
    let ca = authority.certificate_pem();
    write(root, "etc/docker/certs.d/r.local:5000/ca.crt", &ca);
    write(root, "usr/bin/curl", "");
    let lines = verdicts(root, &served);
    has(
        &lines,
        "error: docker: ",
        "certificate is valid for other.local, not r.local",
    );
    has(
        &lines,
        "error: curl: ",
        "no alternative certificate subject name matches",
    );
}

/// Answers requests with a challenge, or with 200 to me:secret.
async fn registry(listener: TcpListener, served: Issued, challenge: String) {
    let key = PrivateKeyDer::from_pem_slice(served.key_pem.as_ref()).expect("PEM");
    let config = ServerConfig::builder_with_provider(crate::certificates::tls_provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates(&served.certificate_pem), key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let basic = format!("Basic {}", STANDARD.encode("me:secret"));
    while let Ok((tcp, _)) = listener.accept().await {
        let Ok(mut tls) = acceptor.accept(tcp).await else {
            continue;
        };
        let (mut request, mut buffer) = (String::new(), [0; 4096]);
        while !request.ends_with("\r\n\r\n") {
            let read = tls.read(&mut buffer).await.expect("a request");
            assert!(read > 0, "the request ends early: {request}");
            request += &String::from_utf8_lossy(&buffer[..read]);
        }
        let (status, body) = if request.starts_with("GET /token?") {
            assert!(request.contains("service=s&account=me&client_id=docker"));
            match request.contains(&basic) {
                true => ("200 OK", "{\"token\": \"good\"}"),
                false => ("401 Unauthorized", ""),
            }
        } else if request.contains("Bearer good") || request.contains(&basic) {
            ("200 OK", "{}")
        } else {
            ("401 Unauthorized", "")
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nDocker-Distribution-API-Version: registry/2.0\r\n\
             WWW-Authenticate: {challenge}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tls.write_all(answer.as_bytes()).await.expect("written");
    }
}

/// The lines about a registry on this machine, and how many are errors.
async fn examined(scheme: &str, pair: Option<&str>, trusted: bool) -> (Vec<String>, usize) {
    let root = tempfile::tempdir().expect("a folder");
    let authority = authority();
    let served = issue(&authority, "127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
    let address = listener.local_addr().expect("bound").to_string();
    let challenge = match scheme {
        "Bearer" => format!("Bearer realm=\"https://{address}/token\",service=\"s\""),
        other => format!("{other} realm=\"r\""),
    };
    let server = tokio::spawn(registry(listener, served, challenge));
    if let Some(pair) = pair {
        let auth = STANDARD.encode(pair);
        let json =
            format!("{{\"auths\": {{\"https://{address}/v2/\": {{\"auth\": \"{auth}\"}}}}}}");
        write(root.path(), "home/me/.docker/config.json", &json);
    }
    let mut patient = Patient::new(&format!("{address}/app:1")).expect("an address");
    let ca = match trusted {
        true => authority.chain().to_vec(),
        false => self::authority().chain().to_vec(),
    };
    patient.ca = Some(("/ca.crt".into(), ca));
    let mut report = Report::default();
    examine(&Machine::below(root.path()), &patient, &mut report).await;
    server.abort();
    let secret = |line: &String| ["secret", "good"].iter().any(|text| line.contains(text));
    assert!(!report.lines.iter().any(secret), "{report:?}");
    let errors = report.errors();
    (report.lines, errors)
}

#[tokio::test]
async fn a_registry_without_fault_has_no_error() {
    for scheme in ["Basic", "Bearer"] {
        let (lines, errors) = examined(scheme, Some("me:secret"), true).await;
        assert_eq!(errors, 0, "{lines:#?}");
        has(&lines, "ok: --ca: trusts the registry, by /ca.crt", "");
        has(&lines, "ok: http: GET /v2/ is 401", "");
        has(
            &lines,
            "ok: sign-in: works as me",
            "/home/me/.docker/config.json",
        );
    }
    let (lines, errors) = examined("Basic", None, true).await;
    assert_eq!(errors, 0, "{lines:#?}");
    has(&lines, "ok: sign-in: no password is at hand", "--user");
}

#[tokio::test]
async fn a_wrong_password_is_an_error() {
    for scheme in ["Basic", "Bearer"] {
        let (lines, errors) = examined(scheme, Some("me:wrong"), true).await;
        assert_eq!(errors, 1, "{lines:#?}");
        has(
            &lines,
            "error: sign-in: ",
            "the user or the password is wrong",
        );
    }
}

#[tokio::test]
async fn a_password_goes_to_no_server_that_nobody_trusts() {
    for scheme in ["Basic", "Bearer"] {
        let (lines, errors) = examined(scheme, Some("me:secret"), false).await;
        assert_eq!(errors, 2, "{lines:#?}");
        has(&lines, "error: --ca: will say ", "unknown authority");
        has(&lines, "error: sign-in: ", "not tried");
    }
}

#[tokio::test]
async fn a_registry_that_nobody_trusts_cannot_send_a_password_elsewhere() {
    let root = tempfile::tempdir().expect("a folder");
    let bind = || async { TcpListener::bind("127.0.0.1:0").await.expect("free") };
    let (elsewhere, between) = (bind().await, bind().await);
    let address = |of: &TcpListener| of.local_addr().expect("bound").to_string();
    let token = format!("Bearer realm=\"https://{}/token\"", address(&elsewhere));
    let url = address(&between);
    let server = tokio::spawn(registry(between, issue(&authority(), "127.0.0.1"), token));
    let auth = STANDARD.encode("me:secret");
    let json = format!("{{\"auths\": {{\"{url}\": {{\"auth\": \"{auth}\"}}}}}}");
    write(root.path(), "home/me/.docker/config.json", &json);
    let patient = Patient::new(&url).expect("an address");
    let mut report = Report::default();
    examine(&Machine::below(root.path()), &patient, &mut report).await;
    server.abort();
    let expected = format!("trusts the certificate of {url}");
    has(&report.lines, "error: sign-in: not tried", &expected);
    let asked = tokio::time::timeout(std::time::Duration::ZERO, elsewhere.accept()).await;
    asked.expect_err("nobody is asked there");
}

#[tokio::test]
async fn an_odd_challenge_is_an_error() {
    let (lines, errors) = examined("Digest", None, true).await;
    assert_eq!(errors, 1, "{lines:#?}");
    has(
        &lines,
        "error: sign-in: docker knows Basic and Bearer, not Digest",
        "",
    );
}

#[tokio::test]
async fn a_server_without_tls_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let read = tcp.read(&mut buffer).await.expect("a request");
            let status = match buffer[..read].starts_with(b"GET /v2/ ") {
                true => "200 OK",
                false => "400 Bad Request",
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            tcp.write_all(answer.as_bytes()).await.expect("written");
        }
    });
    let root = tempfile::tempdir().expect("a folder");
    let patient = Patient::new(&format!("http://{address}")).expect("an address");
    let mut report = Report::default();
    examine(&Machine::below(root.path()), &patient, &mut report).await;
    server.abort();
    let expected = format!("warning: tls: {address} speaks HTTP without TLS (GET /v2/ is 200 OK)");
    has(
        &report.lines,
        &expected,
        "docker takes that from the machine itself",
    );
}
