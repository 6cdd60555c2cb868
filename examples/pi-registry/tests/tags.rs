//! Tags that stay and tags that go, by the configuration: the app without a
//! port, and the program.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use pi_registry::Config;
use pi_registry::auth::Auth;
use pi_registry::backend::Backend;
use pi_registry::pulls::PullNotes;
use pi_registry::tag_rules::CurrentTagRules;
use registry_spec::Body;
use tempfile::TempDir;
use tower::ServiceExt as _;

const RULES: &str = "\
tags:
  immutable: [{repositories: ['team/**'], tags: ['v*']}]
  retention:
    rules: [{repositories: ['ci/**'], newest: 1, tags: [main]}]
";

fn scratch(more: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("data")).expect("made");
    let text = format!(
        "storage:\n  filesystem: {{rootdirectory: '{}/data'}}\n  delete: {{enabled: true}}\n{more}",
        dir.path().display()
    );
    fs::write(dir.path().join("c.yml"), text).expect("written");
    dir
}

/// One request to the app of the configuration.
async fn ask(dir: &Path, method: Method, uri: &str, body: &str) -> Response<Body> {
    ask_noting(dir, method, uri, body, PullNotes::default()).await
}

async fn ask_noting(
    dir: &Path,
    method: Method,
    uri: &str,
    body: &str,
    pulls: PullNotes,
) -> Response<Body> {
    let config = Config::load(Some(&dir.join("c.yml")), []).expect("valid");
    let auth = Auth::open(&config.auth).expect("open");
    let backend = Backend::open(&config.storage).await.expect("usable");
    let storage = CurrentTagRules::new(&config).guard(backend.storage());
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request");
    let app = pi_registry::app(&config, storage, &auth, pulls);
    app.oneshot(request).await.expect("infallible")
}

async fn put(dir: &Path, repository: &str, tag: &str, text: &str) -> Response<Body> {
    let uri = format!("/v2/{repository}/manifests/{tag}");
    // Without anything that must be there.
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"text":"{text}"}}}}"#
    );
    ask(dir, Method::PUT, &uri, &index).await
}

fn retention(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pi-registry"))
        .arg("retention")
        .args(arguments)
        .arg(dir.join("c.yml"))
        .output()
        .expect("run")
}

/// As if a tag had been pushed an hour ago, for each that comes before it.
fn age(dir: &Path, repository: &str, tags: &[&str]) {
    for (hours, tag) in (0..).zip(tags) {
        let link = format!(
            "data/docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}/current/link"
        );
        let file = File::open(dir.join(link)).expect("there");
        let time = SystemTime::now() - Duration::from_secs(3600 * hours);
        file.set_modified(time).expect("aged");
    }
}

#[tokio::test]
async fn an_immutable_tag_is_told_as_a_conflict() {
    let dir = scratch(RULES);
    let dir = dir.path();
    let pushed = put(dir, "team/a", "v1", "one").await;
    assert_eq!(pushed.status(), StatusCode::CREATED);
    let digest = pushed.headers()["docker-content-digest"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(
        put(dir, "team/a", "v1", "one").await.status(),
        StatusCode::CREATED
    );
    let by_digest = format!("/v2/team/a/manifests/{digest}");
    for refused in [
        put(dir, "team/a", "v1", "two").await,
        ask(dir, Method::DELETE, "/v2/team/a/manifests/v1", "").await,
        ask(dir, Method::DELETE, &by_digest, "").await,
    ] {
        assert_eq!(refused.status(), StatusCode::CONFLICT);
        let body = refused
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["errors"][0]["code"], "DENIED");
        assert_eq!(
            body["errors"][0]["message"],
            "tag v1 is immutable here, it cannot be moved or deleted"
        );
    }
    for text in ["one", "two"] {
        assert_eq!(
            put(dir, "team/a", "dev", text).await.status(),
            StatusCode::CREATED
        );
    }
}

#[tokio::test]
async fn retention_tells_and_removes() {
    let dir = scratch(RULES);
    let dir = dir.path();
    for tag in ["b3", "b2", "main"] {
        put(dir, "ci/app", tag, "one").await;
    }
    put(dir, "team/app", "v1", "one").await;
    age(dir, "ci/app", &["b3", "b2", "main"]);
    let place = format!("({}/c.yml:7)", dir.display());
    for (arguments, word, end) in [
        (
            &["--dry-run"][..],
            "would go",
            "3 tags kept, 1 would be removed",
        ),
        (&[], "removed ", "3 tags kept, 1 removed"),
    ] {
        let output = retention(dir, arguments);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines: Vec<_> = text.lines().collect();
        for (line, start) in lines.iter().zip([
            format!("kept     ci/app:b3  among the newest {place}, pushed 20"),
            format!("{word} ci/app:b2  no rule keeps it, pushed 20"),
            format!("kept     ci/app:main  matches a pattern {place}, pushed 20"),
            "kept     team/app:v1  no rule is about this repository".to_owned(),
            end.to_owned(),
        ]) {
            assert!(line.starts_with(&start), "{line}\n{start}");
        }
        assert_eq!(lines.len(), 5, "{text}");
    }
    let output = retention(dir, &["--json", "-d"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(lines[0]["repository"], "ci/app");
    assert_eq!(lines[0]["why"], "newest");
    assert_eq!(lines[0]["kept"], true);
    assert_eq!(lines[3]["removed"], 0);
}

/// Notes pulls as the server does; tells when the disk has all of it.
async fn noting(dir: &Path, pulls: &[(Method, &str)], noted: &[&str]) {
    let config = Config::load(Some(&dir.join("c.yml")), []).expect("valid");
    let backend = Backend::open(&config.storage).await.expect("usable");
    let files = backend.directory().expect("files");
    let (notes, writer) = PullNotes::new(files.clone(), CurrentTagRules::new(&config));
    let writing = tokio::spawn(writer.write());
    for (method, uri) in pulls {
        let answer = ask_noting(dir, method.clone(), uri, "", notes.clone()).await;
        assert!(answer.status().is_success(), "{uri}");
    }
    let needs = config.tags.retention.needs_pulls();
    let tree = dir.join("data/docker/registry/v2");
    let is_done = || {
        tree.join("pulls-noted").exists() == needs
            && noted.iter().all(|tag| tree.join(tag).exists())
    };
    for _ in 0..1000 {
        if is_done() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_done());
    writing.abort();
}

#[tokio::test]
async fn a_pull_keeps_a_tag_once_pulls_are_noted_for_long_enough() {
    const RULE: &str = "\
tags: {retention: {rules: [{repositories: ['ci/**'], pulledwithin: 240h}]}}
";
    let dir = scratch(RULE);
    let dir = dir.path();
    for tag in ["idle", "probed", "pulled"] {
        put(dir, "ci/app", tag, "one").await;
    }
    let pulled = |tag: &str| format!("repositories/ci/app/_manifests/tags/{tag}/pulled");
    let pulls = [
        (Method::GET, "/v2/ci/app/manifests/pulled"),
        (Method::HEAD, "/v2/ci/app/manifests/probed"),
        (Method::GET, "/v2/ci/app/tags/list"),
    ];
    noting(dir, &pulls, &[&pulled("probed"), &pulled("pulled")]).await;
    let tree = dir.join("data/docker/registry/v2");
    assert!(!tree.join(pulled("idle")).exists());
    let old = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    for tag in ["idle", "probed", "pulled"] {
        let link = tree.join(format!(
            "repositories/ci/app/_manifests/tags/{tag}/current/link"
        ));
        let link = File::open(link).expect("there");
        link.set_modified(old).expect("aged");
    }
    let told = || {
        let output = retention(dir, &["--dry-run"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines = text.lines().filter(|line| line.contains("ci/app"));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort_by_key(|line| line.split("ci/app").nth(1).map(str::to_owned));
        lines
    };
    assert!(told()[0].starts_with("kept     ci/app:idle  pulls are not noted for long enough ("));
    let since = old.duration_since(SystemTime::UNIX_EPOCH).expect("later");
    fs::write(tree.join("pulls-noted"), since.as_secs().to_string()).expect("written");
    let lines = told();
    assert!(lines[0].starts_with("would go ci/app:idle  no rule keeps it, pushed 20"));
    for (line, tag) in lines[1..].iter().zip(["probed", "pulled"]) {
        let start = format!("kept     ci/app:{tag}  pulled recently (");
        assert!(
            line.starts_with(&start) && line.contains(", pulled 20"),
            "{line}"
        );
    }

    // A server without such a rule does not note them, and says so.
    let text = fs::read_to_string(dir.join("c.yml")).expect("read");
    fs::write(
        dir.join("c.yml"),
        text.replace("pulledwithin", "pushedwithin"),
    )
    .expect("written");
    noting(dir, &[(Method::GET, "/v2/ci/app/manifests/idle")], &[]).await;
    assert!(!tree.join(pulled("idle")).exists());
}

#[test]
fn what_retention_must_not_touch_is_refused_in_one_line() {
    for (more, arguments, expected) in [
        (
            "  maintenance: {readonly: {enabled: true}}\n",
            &[][..],
            "storage.maintenance.readonly.enabled is true: nothing is removed: ",
        ),
        (
            "tags: {retention: {rules: [{repositories: ['**'], newest: 0}]}}\n",
            &[],
            "tags.retention.rules[0].newest is \"0\": expected at least 1",
        ),
    ] {
        let dir = scratch(more);
        let output = retention(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr).expect("text");
        let last = text.lines().last().expect("a line");
        assert!(last.contains(expected), "{text}");
        assert!(output.stdout.is_empty());
    }
    let dir = scratch(RULES);
    fs::remove_dir(dir.path().join("data")).expect("empty");
    let output = retention(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(
        text.contains("which is no directory: give that of the registry"),
        "{text}"
    );
    assert!(!dir.path().join("data").exists());
}

#[test]
fn without_rules_retention_says_that_all_is_kept() {
    let dir = scratch("");
    let output = retention(dir.path(), &[]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        text,
        "pi-registry: there are no tags.retention.rules: every tag is kept\n"
    );
    assert_eq!(output.stdout, b"0 tags kept, 0 removed\n");
}
