//! The built program, from its start to its end.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A command with none of this machine's own configuration.
fn command(dir: &Path) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_pi-registry")), dir)
}

fn command_of(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    command
}

/// The program under another name, in `dir`.
fn link(dir: &Path, name: &str) -> PathBuf {
    let link = dir.join(name);
    symlink(env!("CARGO_BIN_EXE_pi-registry"), &link).expect("linked");
    link
}

/// The exit code, standard output and standard error.
fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
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
    start_as(None, &["serve", "c.yml"], config)
}

/// The same, by another name and with other arguments.
fn start_as(name: Option<&str>, arguments: &[&str], config: &str) -> Running {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = config.replace("DATA", dir.path().join("data").to_str().expect("UTF-8"));
    fs::write(dir.path().join("c.yml"), config).expect("written");
    let mut command = match name {
        Some(name) => command_of(&link(dir.path(), name), dir.path()),
        None => command(dir.path()),
    };
    let mut child = command
        .args(arguments)
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
    // C libraries have words of their own for it.
    let in_use = std::io::Error::from_raw_os_error(98);
    for (config, variable, expected) in [
        (
            "log: {level: loud}\n".to_owned(),
            ("X", ""),
            "c.yml:1: log.level is \"loud\": expected error, warn, info or debug".to_owned(),
        ),
        (
            String::new(),
            ("REGISTRY_AUTH", "silly"),
            "environment variable REGISTRY_AUTH: auth.silly is not supported yet, and \
             ignoring it would change what the registry does: remove it to start without it"
                .to_owned(),
        ),
        (
            format!("http: {{addr: '127.0.0.1:{port}'}}\n"),
            ("X", ""),
            format!(
                "cannot listen on 127.0.0.1:{port} (http.addr): {in_use}: \
                 another program listens there, stop it or choose another port"
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

#[test]
fn called_registry_it_serves_as_distribution_does() {
    for arguments in [
        &["c.yml"] as &[_],
        &["serve", "c.yml"],
        &["registry", "serve", "c.yml"],
    ] {
        let running = start_as(Some("registry"), arguments, CONFIG);
        let answer = running.send("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    let registry = link(dir.path(), "registry");
    let (code, out, _) = output(command_of(&registry, dir.path()).arg("--version"));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        (code, out),
        (Some(0), format!("registry pi-registry {version}\n"))
    );
    let (code, out, _) = output(command_of(&registry, dir.path()).arg("help"));
    assert_eq!(code, Some(0));
    assert!(out.contains("Usage: registry"), "{out}");
}

#[test]
fn called_htpasswd_it_prints_a_user() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let htpasswd = link(dir.path(), "htpasswd");
    let (code, out, log) = output(command_of(&htpasswd, dir.path()).args(["-Bbn", "u", "pass"]));
    assert_eq!((code, log.as_str()), (Some(0), ""));
    assert!(
        out.starts_with("u:$2y$05$") && out.ends_with("\n\n"),
        "{out}"
    );
    assert_eq!(out.trim_end().len(), "u:".len() + 60, "{out}");

    let mut child = command_of(&htpasswd, dir.path())
        .args(["-n", "-i", "-B", "-C", "4", "u"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"pass\n").expect("read");
    drop(stdin);
    let out = child.wait_with_output().expect("ended");
    assert!(out.stdout.starts_with(b"u:$2y$04$"), "{out:?}");

    let (code, out, log) = output(command_of(&htpasswd, dir.path()).args(["-bnm", "u", "p"]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(log.starts_with("htpasswd: -m: "), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn config_prints_values_sources_and_no_secrets() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let text = "http:\n  addr: :1\n  secret: HUSH\n";
    fs::write(dir.path().join("c.yml"), text).expect("written");
    let (code, out, log) = output(
        command(dir.path())
            .args(["config", "c.yml"])
            .env("REGISTRY_LOG_LEVEL", "debug"),
    );
    assert_eq!(code, Some(0), "{log}");
    for line in [
        "# c.yml",
        "  addr: \":1\"  # c.yml:2",
        "  secret: \"********\"  # c.yml:3, ignored",
        "  level: debug  # environment variable REGISTRY_LOG_LEVEL",
        "  draintimeout: 30s  # built-in default",
    ] {
        assert!(out.lines().any(|printed| printed == line), "{line}\n{out}");
    }
    assert_eq!(
        log,
        "pi-registry: c.yml:3: http.secret is ignored: uploads carry no signed state\n"
    );

    // One that cannot start is printed all the same.
    let (code, out, log) = output(
        command(dir.path())
            .args(["config", "c.yml"])
            .env("REGISTRY_STORAGE", "s3")
            .env("REGISTRY_STORAGE_S3_SECRETKEY", "HUSH")
            .env("REGISTRY_PROXY_PASSWORD", "HUSH"),
    );
    assert_eq!(code, Some(1), "{out}");
    assert!(!(out.clone() + &log).contains("HUSH"), "{out}{log}");
    assert!(
        out.contains("REGISTRY_PROXY_PASSWORD, not supported\n"),
        "{out}"
    );
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// Nothing listens there: a port that was free a moment ago.
#[cfg(feature = "s3")]
#[test]
fn a_store_that_does_not_answer_stops_the_start_with_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let endpoint = listener.local_addr().expect("bound");
    drop(listener);
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = format!(
        "http: {{addr: '127.0.0.1:0'}}\nstorage: {{s3: {{bucket: b, region: r, accesskey: HUSH, \
         secretkey: HUSH, regionendpoint: 'http://{endpoint}'}}}}\n"
    );
    fs::write(dir.path().join("c.yml"), config).expect("written");
    let line = format!(
        "storage.s3 is s3://b at http://{endpoint}: Connection refused (os error 111): start the \
         store, or correct storage.s3.regionendpoint"
    );
    let (code, out, log) = output(command(dir.path()).args(["serve", "c.yml"]));
    assert_eq!(code, Some(1), "{out}");
    assert_eq!(log, format!("pi-registry: {line}\n"));

    let (code, out, _) = output(command(dir.path()).args(["check", "c.yml"]));
    assert_eq!(code, Some(1), "{out}");
    let line = format!("error: storage.s3: cannot list objects: {line}");
    assert!(out.lines().any(|printed| printed == line), "{out}");
    assert!(!out.contains("HUSH"), "{out}");
}

const CHECKED: &str = "http: {addr: '127.0.0.1:0'}\nstorage: {filesystem: {rootdirectory: DATA}}\n";

/// Checks a registry with its data in `data`, perhaps as another user.
fn check(dir: &Path, data: &Path, user: Option<u32>) -> (Option<i32>, String) {
    let config = CHECKED.replace("DATA", data.to_str().expect("UTF-8"));
    fs::write(dir.join("c.yml"), config).expect("written");
    let mut command = command(dir);
    command.args(["check", "c.yml"]);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let (code, out, log) = output(&mut command);
    assert_eq!(log, "");
    for line in out.lines() {
        let word = line.split(": ").next().expect("a word");
        assert!(["ok", "warning", "error"].contains(&word), "{line}");
    }
    (code, out)
}

#[test]
fn check_finds_a_good_directory_good() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data");
    let (code, out) = check(dir.path(), &data, None);
    assert_eq!(code, Some(0), "{out}");
    for start in [
        "ok: configuration: c.yml".to_owned(),
        format!(
            "ok: storage.filesystem.rootdirectory: {} can be written, renamed and synced: ",
            data.display()
        ),
        "ok: http.addr: 127.0.0.1:0 can be listened on".to_owned(),
    ] {
        assert!(
            out.lines().any(|line| line.starts_with(&start)),
            "{start}\n{out}"
        );
    }
    assert!(out.contains(" MiB are free"), "{out}");
    let left: Vec<_> = fs::read_dir(&data)
        .expect("made")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(left.iter().all(|name| name == "docker"), "{left:?}");
}

#[test]
fn check_explains_a_directory_that_cannot_be_written() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("made");
    // Nothing is read-only for root, so that another user has to look.
    let user = rustix::process::geteuid().is_root().then_some(65534);
    for (path, mode) in [(dir.path(), 0o755), (&data, 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let (code, out) = check(dir.path(), &data, user);
    assert_eq!(code, Some(1), "{out}");
    let line = out
        .lines()
        .find(|line| line.starts_with("error: "))
        .expect("one");
    assert!(line.contains("can be read but not written: "), "{line}");
    assert!(
        line.contains("with mode 0555, this process runs as "),
        "{line}"
    );
    let advice = match user {
        Some(_) => format!("chown -R 65534:65534 {}", data.display()),
        None => format!("chmod -R u+rwX {}", data.display()),
    };
    assert!(line.contains(&advice), "{line}");
}

#[test]
fn check_points_out_data_in_memory() {
    // The one place that is in memory on all machines, where it can be used.
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let (code, out) = check(dir.path(), &dir.path().join("data"), None);
    assert_eq!(code, Some(0), "{out}");
    let warning = out
        .lines()
        .find(|line| line.starts_with("warning: storage"))
        .expect("one");
    assert!(
        warning.contains("is in memory (tmpfs at /dev/shm): everything is gone"),
        "{warning}"
    );
}

#[test]
fn check_tells_what_prevents_a_start() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let addr = taken.local_addr().expect("bound").to_string();
    let socket = dir.path().join("s.sock");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("free");
    let socket = socket.to_str().expect("UTF-8");
    for (variables, expected) in [
        (
            vec![("REGISTRY_HTTP_ADDR", addr.as_str())],
            "error: http.addr: cannot listen on 127.",
        ),
        (
            vec![("REGISTRY_HTTP_DEBUG_ADDR", &addr)],
            "error: http.debug.addr: cannot listen on 127.",
        ),
        (
            vec![
                ("REGISTRY_HTTP_NET", "unix"),
                ("REGISTRY_HTTP_ADDR", socket),
            ],
            "error: http.addr: unix:",
        ),
        (
            vec![("REGISTRY_LOG_LEVEL", "loud")],
            "error: configuration: environment variable REGISTRY_LOG_LEVEL",
        ),
        (
            vec![("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/proc/none")],
            "error: storage.filesystem.rootdirectory: /proc/none cannot be used: ",
        ),
    ] {
        fs::write(
            dir.path().join("c.yml"),
            "http: {addr: '127.0.0.1:0'}\nstorage: {filesystem: {rootdirectory: data}}\n",
        )
        .expect("written");
        let (code, out, _) = output(command(dir.path()).args(["check", "c.yml"]).envs(variables));
        assert_eq!(code, Some(1), "{out}");
        assert!(
            out.lines().any(|line| line.starts_with(expected)),
            "{expected}\n{out}"
        );
    }
}

#[test]
fn the_service_manager_is_told_when_it_answers_and_when_it_stops() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bound");
    manager.set_read_timeout(Some(LONG)).expect("set");
    let told = || {
        let mut bytes = [0; 4096];
        let len = manager.recv(&mut bytes).expect("told");
        String::from_utf8(bytes[..len].to_vec()).expect("text")
    };
    fs::write(
        dir.path().join("c.yml"),
        CONFIG.replace("DATA", dir.path().join("data").to_str().expect("UTF-8")),
    )
    .expect("written");
    let mut child = command(dir.path())
        .args(["serve", "c.yml"])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let ready = told();
    let listens = ready.strip_prefix("READY=1\nSTATUS=listens on http://127.0.0.1:");
    let port = listens.expect(&ready).trim_end();
    TcpStream::connect(("127.0.0.1", port.parse().expect("a port"))).expect("it answers");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("sent");
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert!(child.wait().expect("ended").success());
}
