//! What stands before the registry, in the built program, over real sockets:
//! prefixes, URLs, headers, the debug server, health.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A running registry; killed when the test ends, however it ends.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Where it listens, as its log has it.
    registry: String,
    debug: Option<String>,
    dir: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a registry with a configuration in which `DIR` is a directory of its
/// own, and waits until it listens.
fn start(config: &str) -> Running {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut child = spawn(&dir, config);
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let (mut line, mut debug) = (String::new(), None);
    let registry = loop {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "ended early");
        let Some((before, rest)) = line.split_once("listens on ") else {
            continue;
        };
        let address = rest.split([',', '\n']).next().expect("an address");
        let address = address.trim_start_matches("http://").to_owned();
        if before.ends_with("debug server ") {
            debug = Some(address);
        } else {
            break address;
        }
    };
    Running {
        child,
        stderr,
        registry,
        debug,
        dir,
    }
}

fn spawn(dir: &TempDir, config: &str) -> Child {
    let root = dir.path().to_str().expect("UTF-8");
    let storage = if config.contains("storage: ") {
        ""
    } else {
        "storage: {filesystem: {rootdirectory: DIR/data}}"
    };
    let config = format!("version: 0.1\n{config}\n{storage}").replace("DIR", root);
    fs::write(dir.path().join("c.yml"), config).expect("written");
    Command::new(env!("CARGO_BIN_EXE_pi-registry"))
        .args(["serve", "c.yml"])
        .current_dir(dir.path())
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Sends a request without a body and returns the whole answer.
fn exchange(stream: impl Read + Write, line: &str, headers: &[&str]) -> String {
    exchange_body(stream, line, headers, "")
}

fn exchange_body(
    mut stream: impl Read + Write,
    line: &str,
    headers: &[&str],
    body: &str,
) -> String {
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        request.push_str("Host: r.example:5000\r\n");
    }
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

fn tcp(address: &str, line: &str, headers: &[&str]) -> String {
    let stream = TcpStream::connect(address).expect("listening");
    stream.set_read_timeout(Some(LONG)).expect("set");
    exchange(stream, line, headers)
}

fn status(answer: &str) -> &str {
    let line = answer.strip_prefix("HTTP/1.1 ").expect("a status line");
    line.get(..3).expect("a status")
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
    let mut found = head.lines().filter_map(|line| {
        let (this, value) = line.split_once(": ")?;
        this.eq_ignore_ascii_case(name).then_some(value)
    });
    let value = found.next();
    assert_eq!(found.next(), None, "{name} comes twice: {head}");
    value
}

impl Running {
    fn send(&self, line: &str, headers: &[&str]) -> String {
        tcp(&self.registry, line, headers)
    }

    fn send_body(&self, line: &str, headers: &[&str], body: &str) -> String {
        let stream = TcpStream::connect(&self.registry).expect("listening");
        stream.set_read_timeout(Some(LONG)).expect("set");
        exchange_body(stream, line, headers, body)
    }

    fn debug(&self, line: &str) -> String {
        let address = self.debug.as_deref().expect("a debug server");
        tcp(address, line, &[])
    }

    /// The path of an upload session that was opened.
    fn location(&self, line: &str, headers: &[&str]) -> String {
        let answer = self.send(line, headers);
        assert_eq!(status(&answer), "202", "{answer}");
        header(&answer, "location").expect("where").to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stops it; returns the access log and the rest of the application's.
    fn finish(mut self) -> (String, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("signalled");
        let start = Instant::now();
        while self.child.try_wait().expect("a child").is_none() {
            assert!(start.elapsed() < LONG, "does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (mut access, mut log) = (String::new(), String::new());
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout.read_to_string(&mut access).expect("text");
        self.stderr.read_to_string(&mut log).expect("text");
        (access, log)
    }
}

#[test]
fn a_registry_below_a_prefix_is_found_there_and_nowhere_else() {
    let running = start("http: {addr: '127.0.0.1:0', prefix: /images/}");
    assert_eq!(status(&running.send("GET /images/v2/", &[])), "200");
    let outside = running.send("GET /v2/", &[]);
    assert_eq!(status(&outside), "404");
    assert!(outside.ends_with("below /images/v2/\"}]}"), "{outside}");
    assert_eq!(status(&running.send("GET /", &[])), "200", "the probe");
    assert_eq!(status(&running.send("GET /images/v2", &[])), "200");
    let location = running.location("POST /images/v2/a/blobs/uploads/", &[]);
    assert!(
        location.starts_with("/images/v2/a/blobs/uploads/"),
        "{location}"
    );
    // It is where it says.
    let answer = running.send(&format!("GET {location}"), &[]);
    assert_eq!(status(&answer), "204", "{answer}");
    let (access, _) = running.finish();
    assert!(
        access.contains("\"GET /images/v2/ HTTP/1.1\" 200"),
        "{access}"
    );
    assert!(access.contains("\"GET /v2/ HTTP/1.1\" 404"), "{access}");
}

#[test]
fn locations_are_relative_absolute_or_as_a_trusted_proxy_says() {
    const POST: &str = "POST /v2/a/blobs/uploads/";
    let proxied = [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: p.example:8443",
    ];

    let running = start("http: {addr: '127.0.0.1:0'}");
    let location = running.location(POST, &proxied);
    assert!(location.starts_with("/v2/a/"), "{location}");
    let nested = [proxied[0], "X-Forwarded-Prefix: /nested"];
    let location = running.location(POST, &nested);
    assert!(location.starts_with("/nested/v2/a/"), "{location}");

    let running = start("http: {addr: '127.0.0.1:0', relativeurls: false}");
    let location = running.location(POST, &[]);
    assert!(
        location.starts_with("http://r.example:5000/v2/a/"),
        "{location}"
    );
    let location = running.location(POST, &proxied);
    assert!(
        location.starts_with("https://p.example:8443/v2/a/"),
        "{location}"
    );
    let forwarded = [
        "Forwarded: proto=https;host=f.example",
        proxied[0],
        proxied[1],
    ];
    let location = running.location(POST, &forwarded);
    assert!(
        location.starts_with("https://f.example/v2/a/"),
        "{location}"
    );

    let running =
        start("http: {addr: '127.0.0.1:0', relativeurls: false, trustedproxies: [192.0.2.0/24]}");
    let location = running.location(POST, &proxied);
    assert!(
        location.starts_with("http://r.example:5000/v2/a/"),
        "{location}"
    );

    let running = start("http: {addr: '127.0.0.1:0', host: 'https://r.example'}");
    let location = running.location(POST, &proxied);
    assert!(
        location.starts_with("https://r.example/v2/a/"),
        "{location}"
    );
}

#[test]
fn the_access_log_names_the_client_behind_a_trusted_proxy() {
    const GET: &str = "GET /v2/";
    let running = start("http: {addr: '127.0.0.1:0'}");
    running.send(
        GET,
        &["X-Forwarded-For: 203.0.113.1, 198.51.100.7, 10.0.0.1"],
    );
    let (access, _) = running.finish();
    assert!(access.starts_with("198.51.100.7 - - ["), "{access}");

    let running = start("http: {addr: '127.0.0.1:0', trustedproxies: []}");
    running.send(GET, &["X-Forwarded-For: 203.0.113.1"]);
    let (access, _) = running.finish();
    assert!(access.starts_with("127.0.0.1 - - ["), "{access}");
}

#[test]
fn the_access_log_can_be_switched_off() {
    let running = start("http: {addr: '127.0.0.1:0'}\nlog: {accesslog: {disabled: true}}");
    assert_eq!(status(&running.send("GET /v2/", &[])), "200");
    let (access, _) = running.finish();
    assert_eq!(access, "");
}

#[test]
fn configured_headers_are_in_every_response_once() {
    let running = start(
        "http: {addr: '127.0.0.1:0', prefix: /r, \
         headers: {X-Content-Type-Options: [nosniff], Access-Control-Allow-Origin: ['*']}}",
    );
    for (line, expected) in [
        ("GET /", "200"),
        ("GET /r/v2/", "200"),
        ("GET /r/v2/a/manifests/b", "404"),
        ("GET /elsewhere", "404"),
    ] {
        let answer = running.send(line, &[]);
        assert_eq!(status(&answer), expected, "{line}");
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
    }
}

#[test]
fn a_header_of_the_registry_itself_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = "http: {addr: '127.0.0.1:0', headers: {Location: [x]}}";
    let output = spawn(&dir, config).wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).expect("text");
    assert!(line.to_lowercase().contains("location"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn a_unix_socket_is_served_replaced_when_stale_and_removed_at_the_end() {
    const CONFIG: &str = "http: {net: unix, addr: DIR/r.sock, relativeurls: false}";
    let running = start(CONFIG);
    let socket = running.path("r.sock");
    assert_eq!(running.registry, format!("unix:{}", socket.display()));
    let connect = || UnixStream::connect(&socket).expect("listening");
    assert_eq!(status(&exchange(connect(), "GET /v2/", &[])), "200");
    // Whoever is on this machine is a proxy, where loopback is trusted.
    let headers = ["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1"];
    let answer = exchange(connect(), "POST /v2/a/blobs/uploads/", &headers);
    let location = header(&answer, "location").expect("where");
    assert!(
        location.starts_with("https://r.example:5000/v2/"),
        "{location}"
    );

    // A second one does not take it away.
    let second = spawn(&running.dir, CONFIG)
        .wait_with_output()
        .expect("ended");
    assert_eq!(second.status.code(), Some(1));
    let line = String::from_utf8(second.stderr).expect("text");
    assert!(line.contains("stop it or choose another path"), "{line}");

    let (access, _) = running.finish();
    let clients: Vec<_> = access
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(clients, ["-", "192.0.2.1"]);
    assert!(!socket.exists());
}

#[test]
fn a_killed_registry_finds_its_socket_again() {
    const CONFIG: &str = "http: {net: unix, addr: DIR/r.sock}";
    let mut first = start(CONFIG);
    first.child.kill().expect("killed");
    first.child.wait().expect("ended");
    let socket = first.path("r.sock");
    assert!(socket.exists());
    let mut second = spawn(&first.dir, CONFIG);
    let begun = Instant::now();
    let stream = loop {
        if let Ok(stream) = UnixStream::connect(&socket) {
            break stream;
        }
        assert!(begun.elapsed() < LONG, "does not listen");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status(&exchange(stream, "GET /v2/", &[])), "200");
    second.kill().expect("killed");
    second.wait().expect("ended");
}

#[test]
fn http_2_without_tls_can_be_switched_off() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (setting, speaks) in [
        ("", true),
        (", h2c: {enabled: false}", false),
        (", http2: {disabled: true}", false),
    ] {
        let running = start(&format!("http: {{addr: '127.0.0.1:0'{setting}}}"));
        let mut stream = TcpStream::connect(&running.registry).expect("listening");
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream.write_all(PREFACE).expect("sent");
        let mut start = [0; 9];
        let answered = stream.read_exact(&mut start);
        // An answer of HTTP/2 begins with a frame of settings; without it the
        // connection is closed.
        assert_eq!(answered.is_ok(), speaks, "{setting}: {start:?}");
        assert_eq!(start[3], if speaks { 4 } else { 0 }, "{setting}: {start:?}");
        assert_eq!(status(&running.send("GET /v2/", &[])), "200", "{setting}");
    }
}

#[test]
fn the_debug_server_has_metrics_and_health_and_nothing_else() {
    let running = start(
        "http: {addr: '127.0.0.1:0', prefix: /r, debug: {addr: '127.0.0.1:0', \
         prometheus: {enabled: true, path: /my-metrics}}}",
    );
    running.send("GET /r/v2/", &[]);
    running.send("GET /r/v2/secret-name/manifests/secret-tag", &[]);
    running.send("BREW /r/v2/secret-name/manifests/secret-tag", &[]);
    running.location("POST /r/v2/a/blobs/uploads/", &[]);

    let health = running.debug("GET /debug/health");
    assert_eq!(status(&health), "200");
    assert!(health.ends_with("\r\n\r\n{}"), "{health}");
    let metrics = running.debug("GET /my-metrics");
    let kind = header(&metrics, "content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4"));
    for line in [
        "registry_http_requests_total{handler=\"base\",method=\"get\",code=\"200\"} 1",
        "registry_http_requests_total{handler=\"manifest\",method=\"get\",code=\"404\"} 1",
        "registry_http_requests_total{handler=\"manifest\",method=\"other\",code=\"405\"} 1",
        "registry_http_requests_total{handler=\"blob_upload\",method=\"post\",code=\"202\"} 1",
        "registry_http_in_flight_requests{handler=\"base\"} 0",
        "registry_storage_action_seconds_count{driver=\"filesystem\",action=\"ReadManifest\"} 1",
        "# TYPE registry_http_request_duration_seconds histogram",
        "process_start_time_seconds 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("secret"), "{metrics}");
    for line in [
        "GET /",
        "GET /v2/",
        "GET /r/v2/",
        "GET /metrics",
        "GET /debug/pprof/",
        "POST /r/v2/a/blobs/uploads/",
    ] {
        assert_eq!(status(&running.debug(line)), "404", "{line}");
    }
    assert_eq!(status(&running.debug("POST /debug/health")), "405");
    // And the registry has none of it.
    assert_eq!(status(&running.send("GET /my-metrics", &[])), "404");
}

#[test]
fn without_prometheus_the_debug_server_has_no_metrics() {
    let running = start("http: {addr: '127.0.0.1:0', debug: {addr: '127.0.0.1:0'}}");
    assert_eq!(status(&running.debug("GET /metrics")), "404");
    assert_eq!(status(&running.debug("GET /debug/health")), "200");
}

#[test]
fn a_failing_check_answers_for_everything_until_it_holds_again() {
    let running = start(
        "http: {addr: '127.0.0.1:0', debug: {addr: '127.0.0.1:0'}}\n\
         health: {file: [{file: DIR/down, interval: 100ms}]}",
    );
    let until = |expected: &str| {
        let begun = Instant::now();
        loop {
            let answer = running.send("GET /v2/", &[]);
            if status(&answer) == expected {
                return answer;
            }
            assert!(begun.elapsed() < LONG, "{answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("200");
    fs::write(running.path("down"), "").expect("written");
    let answer = until("503");
    assert_eq!(header(&answer, "retry-after"), Some("10"));
    assert!(
        answer.contains("{\"errors\":[{\"code\":\"UNAVAILABLE\""),
        "{answer}"
    );
    for line in ["GET /", "GET /v2/a/tags/list", "PUT /v2/a/manifests/b"] {
        assert_eq!(status(&running.send(line, &[])), "503", "{line}");
    }
    let health = running.debug("GET /debug/health");
    assert_eq!(status(&health), "503");
    assert!(health.contains("down\":\"file exists\""), "{health}");
    fs::remove_file(running.path("down")).expect("removed");
    until("200");
    assert_eq!(status(&running.send("GET /", &[])), "200");
    assert_eq!(status(&running.debug("GET /debug/health")), "200");
    let (_, log) = running.finish();
    assert_eq!(log.matches("unhealthy").count(), 1, "{log}");
    assert_eq!(log.matches("healthy again").count(), 1, "{log}");
}

#[test]
fn checks_work_without_a_debug_server_and_storage_is_one_of_them() {
    let running = start(
        "http: {addr: '127.0.0.1:0'}\n\
         health: {storagedriver: {enabled: true, interval: 100ms, threshold: 2}}",
    );
    assert_eq!(status(&running.send("GET /", &[])), "200");
    // Not even root can list what leads nowhere.
    let repositories = running.path("data/docker/registry/v2/repositories");
    let _ = fs::remove_dir_all(&repositories);
    fs::create_dir_all(repositories.parent().expect("below")).expect("made");
    std::os::unix::fs::symlink(&repositories, &repositories).expect("linked");
    let begun = Instant::now();
    while status(&running.send("GET /", &[])) != "503" {
        assert!(begun.elapsed() < LONG, "stays healthy");
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(&repositories).expect("removed");
    while status(&running.send("GET /", &[])) != "200" {
        assert!(begun.elapsed() < LONG, "stays unhealthy");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_check_of_an_https_url_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = "health: {http: [{uri: 'https://r.example/'}]}";
    let output = spawn(&dir, config).wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).expect("text");
    assert!(
        line.contains("health.http") && line.contains("without https"),
        "{line}"
    );
}

#[test]
fn a_read_only_registry_serves_pulls_alone() {
    /// The digest of `{}`.
    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    const TYPE: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"config\":{{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\
         \"digest\":\"{DIGEST}\",\"size\":2}},\"layers\":[]}}"
    );
    let data = tempfile::tempdir().expect("temporary directory");
    let config = |more: &str| {
        format!(
            "http: {{addr: '127.0.0.1:0'}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}{more}}}",
            data.path().display()
        )
    };

    let running = start(&config(""));
    let location = running.location("POST /v2/a/blobs/uploads/", &[]);
    let and = if location.contains('?') { '&' } else { '?' };
    let answer = running.send_body(&format!("PUT {location}{and}digest={DIGEST}"), &[], "{}");
    assert_eq!(status(&answer), "201", "{answer}");
    let answer = running.send_body("PUT /v2/a/manifests/t", &[TYPE], &manifest);
    assert_eq!(status(&answer), "201", "{answer}");
    let pushed = header(&answer, "docker-content-digest").expect("its digest");
    let upload = running.location("POST /v2/a/blobs/uploads/", &[]);
    running.finish();

    let running = start(&config(", maintenance: {readonly: {enabled: true}}"));
    for (line, headers, body) in [
        ("POST /v2/a/blobs/uploads/", &[][..], ""),
        (&format!("PATCH {upload}"), &[], "{}"),
        (&format!("PUT {upload}{and}digest={DIGEST}"), &[], "{}"),
        (&format!("DELETE {upload}"), &[], ""),
        ("PUT /v2/a/manifests/u", &[TYPE], &manifest),
        ("DELETE /v2/a/manifests/t", &[], ""),
        (&format!("DELETE /v2/a/manifests/{pushed}"), &[], ""),
        (&format!("DELETE /v2/a/blobs/{DIGEST}"), &[], ""),
    ] {
        let answer = running.send_body(line, headers, body);
        assert_eq!(status(&answer), "405", "{line}: {answer}");
        assert!(answer.contains("\"UNSUPPORTED\""), "{line}: {answer}");
    }
    let answer = running.send("GET /v2/a/manifests/t", &[]);
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.ends_with(&manifest), "{answer}");
    let answer = running.send(&format!("GET /v2/a/blobs/{DIGEST}"), &[]);
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.ends_with("\r\n\r\n{}"), "{answer}");
    assert_eq!(status(&running.send("GET /v2/a/manifests/u", &[])), "404");
    assert_eq!(status(&running.send("GET /v2/", &[])), "200");
}
