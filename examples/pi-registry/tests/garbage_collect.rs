//! The `garbage-collect` command: exit codes, texts and JSON.
#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;

use common::{Fixture, data, pair};
use serde_json::Value;

#[test]
fn what_nothing_uses_is_removed_and_told() {
    let fixture = Fixture::new();
    let unused = fixture.data(b"unused");
    let (code, out, err) = fixture.run("garbage-collect", &["--grace=0s", "-d"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let line = format!("would remove blob {unused} (6 B): no repository has it\n");
    assert!(out.starts_with(&line), "{out}");
    assert!(fixture.path(&data(&unused)).exists());

    let (_, out, _) = fixture.run("garbage-collect", &["--dry-run"]);
    assert!(out.contains("; 1 younger than the grace period"), "{out}");

    let (code, out, err) = fixture.run("garbage-collect", &["--grace=0s"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(
        out,
        format!(
            "removed blob {unused} (6 B): no repository has it\n\
             removed: 0 manifests, 0 layer links, 1 blob (6 B), 0 uploads, 0 repositories; \
             of 1 repository and 3 blobs\n"
        )
    );
    assert!(!fixture.path(&data(&unused)).exists());
    assert!(fixture.path(&data(&fixture.layer)).exists());
}

#[test]
fn untagged_manifests_go_when_asked_for() {
    let fixture = Fixture::new();
    let tag = fixture.path("repositories/app/_manifests/tags/v1");
    fs::remove_dir_all(tag).expect("removed");
    let (_, out, _) = fixture.run("garbage-collect", &["--grace", "0s", "-q"]);
    assert!(
        out.starts_with("removed: 0 manifests, 0 layer links"),
        "{out}"
    );
    let (code, out, err) = fixture.run(
        "garbage-collect",
        &["--delete-untagged=true", "--grace=0s", "--json"],
    );
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&out).expect("JSON");
    let kinds: Vec<_> = report["removed"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["manifest", "layer", "blob", "blob"]);
    assert_eq!(report["bytes_freed"], 234);
    assert_eq!(report["problem_count"], 0);
    let (_, out, _) = fixture.run("garbage-collect", &["--json", "--grace=0s"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    // It had changed while it was emptied.
    assert_eq!(report["removed"][0]["kind"], "repository");
    let (_, out, _) = fixture.run("garbage-collect", &["--json", "--grace=0s"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["removed"], Value::Array(vec![]));
}

#[test]
fn what_cannot_be_read_is_told_and_is_no_success() {
    let fixture = Fixture::new();
    let link = format!("repositories/app/_layers/{}/link", pair(&fixture.layer));
    fixture.write(&link, b"");
    let (code, out, err) = fixture.run("garbage-collect", &["--grace=0s"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(err.starts_with("pi-registry: app: "), "{err}");
    assert!(err.contains("not a link"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(out.ends_with("; 1 problem\n"), "{out}");
    assert!(fixture.path(&data(&fixture.layer)).exists());
}

#[test]
fn what_is_no_registry_is_refused_in_one_line() {
    let fixture = Fixture::new();
    let tree = fixture.path("");
    fs::rename(tree.join("repositories"), tree.join("moved")).expect("moved");
    for (arguments, expected) in [
        (&["-d"] as &[_], ""),
        (&["--json"], r#"{"removed":[],"error":""#),
    ] {
        let (code, out, err) = fixture.run("garbage-collect", arguments);
        assert_eq!(code, Some(1));
        assert!(out.starts_with(expected), "{out}");
        assert_eq!(out.is_empty(), expected.is_empty(), "{out}");
        assert!(
            err.starts_with("pi-registry: nothing was removed: "),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    assert!(fixture.path(&data(&fixture.layer)).exists());
    let (code, _, err) = fixture.run("garbage-collect", &["--grace", "7"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("expected a duration, as 24h or 90m"), "{err}");
}
