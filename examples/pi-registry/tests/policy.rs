//! Rights by the configuration: the app without a port, and the program.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, header};
use pi_registry::Config;
use pi_registry::auth::Auth;
use pi_registry::pulls::PullNotes;
use registry_auth::htpasswd::edit;
use registry_spec::Body;
use registry_spec::storage::MemoryStorage;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// A directory with users, and a configuration whose `auth` has more in it.
fn scratch(more: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let users = dir.path().join("users");
    for user in ["alice", "bob"] {
        edit::add(&users, user, "secret", 4).expect("added");
    }
    let text = format!("auth:\n  htpasswd: {{path: '{}'}}\n{more}", users.display());
    fs::write(dir.path().join("c.yml"), text).expect("written");
    dir
}

/// The status of one request, and whether there was a challenge.
async fn status(dir: &Path, line: &str, user: Option<&str>) -> (u16, bool) {
    let config = Config::load(Some(&dir.join("c.yml")), []).expect("valid");
    let auth = Auth::open(&config.auth).expect("usable");
    let app = pi_registry::app(
        &config,
        Arc::new(MemoryStorage::new()),
        &auth,
        PullNotes::default(),
    );
    let (method, uri) = line.split_once(' ').expect("a method and a path");
    let method: Method = method.parse().expect("a method");
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(user) = user {
        let pair = STANDARD.encode(format!("{user}:secret"));
        request = request.header(header::AUTHORIZATION, format!("Basic {pair}"));
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = app.oneshot(request).await.expect("infallible");
    let challenged = response.headers().contains_key(header::WWW_AUTHENTICATE);
    (response.status().as_u16(), challenged)
}

#[tokio::test]
async fn anonymous_pull_is_one_setting() {
    let dir = scratch("  anonymous: pull\n");
    for (line, anonymous, alice) in [
        ("GET /v2/", 401, 200),
        ("HEAD /v2/a/manifests/v1", 404, 404),
        ("GET /v2/a/tags/list", 404, 404),
        ("GET /v2/_catalog", 401, 200),
        ("POST /v2/a/blobs/uploads/", 401, 202),
    ] {
        let (status_, challenged) = status(dir.path(), line, None).await;
        assert_eq!(
            (status_, challenged),
            (anonymous, anonymous == 401),
            "{line}"
        );
        assert_eq!(
            status(dir.path(), line, Some("alice")).await,
            (alice, false),
            "{line}"
        );
    }
}

#[tokio::test]
async fn rules_of_a_file_are_obeyed() {
    let dir = scratch("");
    let rules = dir.path().join("rules.yml");
    let text = "rules:\n- {who: alice, repositories: [team/**], actions: [push]}\n";
    fs::write(&rules, text).expect("written");
    let config = dir.path().join("c.yml");
    let text = fs::read_to_string(&config).expect("there");
    let policy = format!("  policy: {{path: '{}'}}\n", rules.display());
    fs::write(&config, text + &policy).expect("written");
    for (line, anonymous, alice, bob) in [
        ("GET /v2/", 401, 200, 200),
        ("GET /v2/_catalog", 401, 403, 403),
        ("GET /v2/team/app/manifests/v1", 401, 404, 403),
        ("POST /v2/team/app/blobs/uploads/", 401, 202, 403),
        ("POST /v2/other/app/blobs/uploads/", 401, 403, 403),
        ("GET /v2/team/manifests/v1", 401, 403, 403),
    ] {
        for (user, expected) in [
            (None, anonymous),
            (Some("alice"), alice),
            (Some("bob"), bob),
        ] {
            let expected = (expected, expected == 401);
            assert_eq!(
                status(dir.path(), line, user).await,
                expected,
                "{line} {user:?}"
            );
        }
    }
}

fn policy_explain(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pi-registry"))
        .args(["policy", "explain"])
        .args(arguments)
        .arg("--config")
        .arg(dir.join("c.yml"))
        .env_clear()
        .output()
        .expect("run");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_program_explains_what_holds() {
    let dir =
        scratch("  policy:\n    rules:\n    - {who: alice, repositories: team/*, actions: push}\n");
    let (code, out, err) = policy_explain(dir.path(), &["alice", "team/app"]);
    let place = dir.path().join("c.yml").display().to_string() + ":5";
    let expected = format!(
        "pull    allowed  {place} (alice, team/*)\n\
         push    allowed  {place} (alice, team/*)\n\
         delete  denied   no rule allows it\n\
         catalog denied   no rule allows it\n"
    );
    assert_eq!((code, out, err), (Some(0), expected, String::new()));

    let (code, out, err) = policy_explain(dir.path(), &["carol", "team/app"]);
    assert_eq!(code, Some(0));
    assert!(
        out.starts_with("pull    denied   no rule allows it\n"),
        "{out}"
    );
    assert!(err.ends_with("users has no user \"carol\"\n"), "{err}");

    let (code, out, err) = policy_explain(dir.path(), &["alice", "Team"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.starts_with("pi-registry: repository \"Team\":"),
        "{err}"
    );
    assert_eq!(policy_explain(dir.path(), &["alice"]).0, Some(2));
}
