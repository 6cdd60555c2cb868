//! The built program, from its start to its end.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A command with none of this machine's own configuration.
fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pi-registry"));
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    command
}

/// A running registry; killed when the test ends, however it ends.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    port: u16,
    dir: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a registry with this file, and waits for the line with its address.
fn start(config: &str) -> Running {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = config.replace("DATA", dir.path().join("data").to_str().expect("UTF-8"));
    fs::write(dir.path().join("c.yml"), config).expect("written");
    let mut child = command(dir.path())
        .args(["serve", "c.yml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    let port = loop {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "ended early");
        if let Some((_, rest)) = line.split_once("listens on http://127.0.0.1:") {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            break digits.expect("a port").parse().expect("a port");
        }
    };
    Running {
        child,
        stderr,
        port,
        dir,
    }
}

const CONFIG: &str = "
version: 0.1
http: {addr: '127.0.0.1:0'}
storage: {filesystem: {rootdirectory: DATA}}
";

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("listening");
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream
    }

    /// Sends one request and returns the whole answer.
    fn send(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("signalled");
    }

    /// Waits for the end; returns the exit code, the access log and the rest
    /// of the application log.
    fn finish(mut self) -> (Option<i32>, String, String) {
        let start = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status.code();
            }
            assert!(start.elapsed() < LONG, "does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let (mut access, mut log) = (String::new(), String::new());
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout.read_to_string(&mut access).expect("text");
        self.stderr.read_to_string(&mut log).expect("text");
        (code, access, log)
    }
}

#[test]
fn the_registry_answers_probes_and_clients_and_logs_them() {
    let running = start(CONFIG);
    let answer = running.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\r\ncache-control: no-cache\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = running.send("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("docker-distribution-api-version: registry/2.0"),
        "{answer}"
    );
    let answer =
        running.send("DELETE /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 405 "),
        "deletes are off with a file: {answer}"
    );
    assert!(running.dir.path().join("data").is_dir());

    running.signal(Signal::INT);
    let (code, access, log) = running.finish();
    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<&str> = access.lines().collect();
    assert_eq!(lines.len(), 3, "{access}");
    assert!(lines[0].starts_with("127.0.0.1 - - ["), "{access}");
    assert!(
        lines[0].ends_with("] \"GET / HTTP/1.1\" 200 0 \"\" \"\""),
        "{access}"
    );
    assert!(
        lines[1].contains("\"GET /v2/ HTTP/1.1\" 200 2 "),
        "{access}"
    );
}

#[test]
fn an_upload_in_flight_survives_the_signal_to_stop() {
    let running = start(CONFIG);
    let answer = running.send(
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let location = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .expect("a location")
        .to_owned();
    let mut busy = running.connect();
    // The digest of "hello".
    let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let mark = if location.contains('?') { '&' } else { '?' };
    let head = format!(
        "PUT {location}{mark}digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe"
    );
    busy.write_all(head.as_bytes()).expect("sent");
    std::thread::sleep(Duration::from_millis(500));
    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        TcpStream::connect(("127.0.0.1", running.port)).is_err(),
        "still listening"
    );
    busy.write_all(b"llo").expect("still connected");
    let mut answer = String::new();
    busy.read_to_string(&mut answer)
        .expect("answered, then closed");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let (code, access, log) = running.finish();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("SIGTERM: stopping"), "{log}");
    assert!(access.contains(" 201 0 "), "{access}");
    assert!(!access.contains("aborted"), "{access}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut running = start(CONFIG);
    let mut busy = running.connect();
    busy.write_all(b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        .expect("sent");
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Signal::TERM);
    // Two signals at the same moment may come as one.
    let mut line = String::new();
    while !line.contains("SIGTERM: stopping") {
        line.clear();
        assert_ne!(
            running.stderr.read_line(&mut line).expect("text"),
            0,
            "ended early"
        );
    }
    running.signal(Signal::TERM);
    let (code, access, log) = running.finish();
    assert_eq!(code, Some(143), "{log}");
    assert!(access.contains("\" 499 0 "), "{access}");
    assert!(access.ends_with(" aborted\n"), "{access}");
}

#[test]
fn without_a_configuration_it_tells_how_to_push() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut child = command(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut text = String::new();
    // Until the last of the lines, or the end.
    while !text.contains("podman push") && stderr.read_line(&mut text).expect("text") > 0 {}
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    stderr.read_to_string(&mut text).expect("text");
    let status = child.wait().expect("a child");
    // The port may be taken on this machine.
    if status.code() == Some(1) {
        let taken = "pi-registry: cannot listen on 127.0.0.1:5000 (http.addr): ";
        assert!(text.starts_with(taken), "{text}");
        return;
    }
    assert_eq!(status.code(), Some(0), "{text}");
    let data = dir.path().join("registry-data");
    let first = format!(
        "listens on http://127.0.0.1:5000, data in {}\n",
        data.display()
    );
    assert!(text.contains(&first), "{text}");
    assert!(
        text.contains("\n  docker push localhost:5000/alpine\n"),
        "{text}"
    );
}

#[test]
fn what_cannot_start_says_why_in_one_line() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let port = taken.local_addr().expect("bound").port();
    for (config, variable, expected) in [
        (
            "log: {level: loud}\n".to_owned(),
            ("X", ""),
            "c.yml:1: log.level is \"loud\": expected error, warn, info or debug".to_owned(),
        ),
        (
            String::new(),
            ("REGISTRY_AUTH", "htpasswd"),
            "environment variable REGISTRY_AUTH: auth.htpasswd is not supported yet, and \
             ignoring it would change what the registry does: remove it to start without it"
                .to_owned(),
        ),
        (
            format!("http: {{addr: '127.0.0.1:{port}'}}\n"),
            ("X", ""),
            format!(
                "cannot listen on 127.0.0.1:{port} (http.addr): Address already in use (os error \
                 98): another program listens there, stop it or choose another port"
            ),
        ),
        (
            "http: {addr: '127.0.0.1:0'}\nstorage: {filesystem: {rootdirectory: c.yml}}\n"
                .to_owned(),
            ("X", ""),
            format!(
                "storage.filesystem.rootdirectory is {:?}: ",
                dir.path().join("c.yml")
            ),
        ),
        (
            String::new(),
            ("RUST_LOG", "=="),
            "environment variable RUST_LOG: ".to_owned(),
        ),
    ] {
        fs::write(dir.path().join("c.yml"), &config).expect("written");
        let (name, value) = variable;
        let output = command(dir.path())
            .arg("c.yml")
            .env(name, value)
            .output()
            .expect("started");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.starts_with(&format!("pi-registry: {expected}")),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_and_version_are_printed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let help = command(dir.path()).arg("--help").output().expect("started");
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("serve"));
    let version = command(dir.path())
        .arg("--version")
        .output()
        .expect("started");
    let expected = format!("pi-registry {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
}
