//! Signing in with an htpasswd file: the app without a port, and the program.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use pi_registry::Config;
use pi_registry::auth::Auth;
use pi_registry::pulls::PullNotes;
use registry_auth::htpasswd::edit;
use registry_spec::Body;
use registry_spec::storage::MemoryStorage;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// A directory with a configuration and the user `alice`, `secret`.
fn scratch() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().display();
    let config = format!(
        "version: 0.1\nhttp: {{addr: '127.0.0.1:0'}}\nlog: {{level: warn}}\n\
         storage: {{filesystem: {{rootdirectory: '{root}/data'}}}}\n\
         auth: {{htpasswd: {{path: '{root}/users', realm: Test Realm}}}}\n"
    );
    fs::write(dir.path().join("c.yml"), config).expect("written");
    edit::add(&dir.path().join("users"), "alice", "secret", 4).expect("added");
    dir
}

/// The answers to one request with each of these credentials.
async fn answers(
    method: Method,
    path: &str,
    credentials: &[Option<&str>],
) -> Vec<(StatusCode, Vec<String>, String)> {
    let dir = scratch();
    let config = Config::load(Some(&dir.path().join("c.yml")), []).expect("valid");
    let auth = Auth::open(&config.auth).expect("usable");
    let app = pi_registry::app(
        &config,
        Arc::new(MemoryStorage::new()),
        &auth,
        PullNotes::default(),
    );
    let mut answers = Vec::new();
    for credentials in credentials {
        let mut request = Request::builder().method(&method).uri(path);
        if let Some(credentials) = credentials {
            request = request.header(header::AUTHORIZATION, *credentials);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges = challenges.iter().map(|value| value.to_str().expect("text"));
        let (status, challenges) = (response.status(), challenges.map(str::to_owned).collect());
        let body = response.into_body().collect().await.expect("a body");
        let body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        answers.push((status, challenges, body));
    }
    answers
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[tokio::test]
async fn without_the_right_password_there_is_one_challenge_everywhere() {
    let (right, wrong, unknown) = (
        basic("alice:secret"),
        basic("alice:wrong"),
        basic("bob:secret"),
    );
    for (method, path, signed_in) in [
        (Method::GET, "/v2/", StatusCode::OK),
        (Method::GET, "/v2", StatusCode::OK),
        (Method::GET, "/v2/_catalog", StatusCode::OK),
        (Method::GET, "/v2/a/manifests/v1", StatusCode::NOT_FOUND),
        (Method::HEAD, "/v2/a/manifests/v1", StatusCode::NOT_FOUND),
        (Method::POST, "/v2/a/blobs/uploads/", StatusCode::ACCEPTED),
    ] {
        let refused = [
            None,
            Some("Basic Og=="),
            Some(&*wrong),
            Some(&*unknown),
            Some("Bearer x"),
            Some("Basic !"),
        ];
        for (status, challenges, body) in answers(method.clone(), path, &refused).await {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(challenges, ["Basic realm=\"Test Realm\""]);
            if method != Method::HEAD {
                assert!(body.contains("\"UNAUTHORIZED\""), "{body}");
            }
        }
        // The second time it is remembered.
        for (status, challenges, _) in answers(method.clone(), path, &[Some(&*right); 2]).await {
            assert_eq!(status, signed_in, "{method} {path}");
            assert!(challenges.is_empty());
        }
    }
}

#[tokio::test]
async fn the_probe_needs_no_password() {
    let wrong = basic("alice:wrong");
    for (status, challenges, _) in answers(Method::GET, "/", &[None, Some(&*wrong)]).await {
        assert_eq!(status, StatusCode::OK);
        assert!(challenges.is_empty());
    }
}

fn program(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pi-registry"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `user` with something on standard input.
fn user(dir: &Path, arguments: &[&str], stdin: &str) -> Output {
    let arguments: Vec<&str> = ["user"].iter().chain(arguments).copied().collect();
    let mut child = program(dir, &arguments).spawn().expect("started");
    let mut input = child.stdin.take().expect("piped");
    // It may have ended already, without a look at it.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    child.wait_with_output().expect("ended")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn users_are_added_listed_changed_and_removed() {
    let dir = scratch();
    let hash = |name: &str| {
        let users = fs::read_to_string(dir.path().join("users")).expect("text");
        let line = users.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.strip_prefix(':'))
            .map(str::to_owned)
    };
    let file = &["--file", "users"];
    let config = &["--config", "c.yml"];
    for (arguments, place, stdin) in [
        (&["add", "bob", "-C", "4"] as &[_], config, "first\n"),
        (&["passwd", "bob", "-C", "5"], file, "second\r\nmore\n"),
        (&["remove", "alice"], config, ""),
    ] {
        let arguments = [arguments, place].concat();
        let output = user(dir.path(), &arguments, stdin);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("/users") || place == file);
        assert!(output.stderr.is_empty());
    }
    let output = user(dir.path(), &["list", "--file", "users"], "");
    assert_eq!(text(&output.stdout), "bob\n");
    let hash = hash("bob").expect("there");
    assert!(hash.starts_with("$2y$05$"), "{hash}");
    assert!(bcrypt::verify("second", &hash).expect("a hash"));
}

#[test]
fn a_refused_change_is_one_line_without_the_password() {
    let dir = scratch();
    let before = fs::read(dir.path().join("users")).expect("readable");
    fs::write(dir.path().join("open.yml"), "version: 0.1\n").expect("written");
    let long = "HUSH".repeat(20);
    let file = "--file=users";
    for (arguments, stdin, expected) in [
        (&["add", "alice", file] as &[_], "HUSH", "is there already"),
        (&["add", "a:b", file], "HUSH", "expected 1 to 255 bytes"),
        (&["add", "bob", file], "", "the password has 0 bytes"),
        (&["add", "bob", file], &long, "the password has 80 bytes"),
        (&["passwd", "bob", file], "HUSH", "no user \"bob\""),
        (&["remove", "bob", file], "", "no user \"bob\""),
        (
            &["list", "--file=none"],
            "",
            "cannot read the htpasswd file",
        ),
        (&["passwd", "bob", "--file=none"], "HUSH", "cannot read"),
        (
            &["list", "--config=open.yml"],
            "",
            "Give it with --file FILE",
        ),
        (&["list", "--config=none.yml"], "", "none.yml: cannot read"),
    ] {
        let output = user(dir.path(), arguments, stdin);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("HUSH") && output.stdout.is_empty());
    }
    let output = user(dir.path(), &["add", "bob", file, "-C", "3"], "HUSH");
    assert_eq!(output.status.code(), Some(2));
    let after = fs::read(dir.path().join("users")).expect("readable");
    assert_eq!(before, after);
}

#[test]
fn a_file_of_users_that_cannot_be_used_refuses_the_start() {
    let dir = scratch();
    let users = dir.path().join("users");
    fs::write(&users, "# x\nalice:HUSH\n").expect("written");
    let start = || program(dir.path(), &["serve", "c.yml"]).output();
    for expected in [":2: the password is plain text", "user add --file"] {
        let output = start().expect("started");
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(error.contains(users.to_str().expect("UTF-8")), "{error}");
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("HUSH"), "{error}");
        let check = program(dir.path(), &["check", "c.yml"]).output();
        let report = check.expect("started").stdout;
        let report = text(&report);
        assert!(report.contains("error: auth.htpasswd.path: "), "{report}");
        let _ = fs::remove_file(&users);
    }
    assert!(!users.exists(), "none is made, as distribution does");
}

#[test]
fn a_running_registry_tells_of_a_file_that_went_bad() {
    let dir = scratch();
    let config = fs::read_to_string(dir.path().join("c.yml")).expect("text");
    let config = config.replace("level: warn", "level: info");
    fs::write(dir.path().join("c.yml"), config).expect("written");
    let mut child = program(dir.path(), &["serve", "c.yml"])
        .spawn()
        .expect("started");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut lines = stderr.lines().map(|line| line.expect("text"));
    let mut line_with = |what: &str| lines.find(|line| line.contains(what));
    line_with("listens on ").expect("a start");
    fs::write(dir.path().join("users"), "HUSH\n").expect("written");
    // Or the end of its log, should it die.
    let error = line_with("the users read before stay in force");
    child.kill().expect("running");
    child.wait().expect("ended");
    let error = error.expect("told");
    assert!(error.contains(":1: the line has no colon"), "{error}");
    assert!(!error.contains("HUSH"), "{error}");
}
