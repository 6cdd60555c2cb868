//! The `verify` command: exit codes, texts and JSON.
#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs;

use common::{Fixture, data, run};
use registry_spec::types::{Algorithm, Digest};
use serde_json::Value;

#[test]
fn a_whole_tree_is_healthy() {
    let fixture = Fixture::new();
    let (code, out, err) = fixture.run("verify", &[]);
    assert_eq!(
        out,
        "verified: 2 blobs (234 B hashed), 1 manifest and 1 tag in 1 repository\nresult: healthy\n"
    );
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let (code, out, _) = fixture.run("verify", &["--quick", "--workers", "1", "--rate", "1M"]);
    assert_eq!(
        out,
        "verified: 2 blobs (229 B hashed), 1 manifest and 1 tag in 1 repository\nresult: healthy\n"
    );
    assert_eq!(code, Some(0));
}

#[test]
fn a_damage_is_told_with_what_it_hurts_and_what_heals_it() {
    let fixture = Fixture::new();
    let path = data(&fixture.layer);
    fixture.write(&path, b"lay\n\x1b");
    let shown = fixture.path(&path).display().to_string();
    let actual = Digest::of(Algorithm::Sha256, b"lay\n\x1b");
    let (code, out, err) = fixture.run("verify", &[]);
    let expected = format!(
        "problem: blob-corrupt: {shown}: its 5 bytes are not its own: they hash to {actual}\n    \
         hurts: app:v1\n    needs: verify --repair, then a push of what is hurt\n"
    );
    assert!(out.starts_with(&expected), "{out}");
    let end = "push again: app:v1\nresult: 1 problem, 1 for --repair\n";
    assert!(out.ends_with(end), "{out}");
    assert_eq!((code, err.as_str()), (Some(1), ""));

    let (code, out, _) = fixture.run("verify", &["--repair"]);
    assert!(out.contains("\n    repaired: put aside as "), "{out}");
    let end = "push again: app:v1\nresult: 1 problem, 1 for a push\n";
    assert!(out.ends_with(end), "{out}");
    assert_eq!(code, Some(1));

    fixture.write(&path, b"layer");
    let (code, out, _) = fixture.run("verify", &[]);
    assert!(out.ends_with("result: healthy\n"), "{out}");
    assert_eq!(code, Some(0));
}

#[test]
fn what_a_repair_mends_wholly_is_a_success() {
    let fixture = Fixture::new();
    let link = fixture.path("repositories/app/_manifests/tags/v1/current/link");
    fs::write(&link, "").expect("written");
    assert_eq!(fixture.run("verify", &[]).0, Some(1));
    let (code, out, _) = fixture.run("verify", &["--repair"]);
    assert!(out.ends_with("result: 1 problem, 1 repaired\n"), "{out}");
    assert_eq!(code, Some(0));
    assert!(fs::read_to_string(&link).is_ok_and(|text| text.starts_with("sha256:")));
}

#[test]
fn programs_get_one_object() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.path(&data(&fixture.layer))).expect("removed");
    fixture.write("repositories/app/mine", b"");
    let (code, out, err) = fixture.run("verify", &["--json"]);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["healthy"], false);
    assert_eq!(report["blobs"], 1);
    assert_eq!(report["push"], serde_json::json!(["app:v1"]));
    let problem = &report["problems"][0];
    assert_eq!(problem["kind"], "blob-missing");
    assert_eq!(problem["hurts"], serde_json::json!(["app:v1"]));
    assert_eq!(problem["needs"], "push");
    assert_eq!(problem["repaired"], Value::Null);
    let note = &report["problems"][1];
    assert_eq!(
        (&note["kind"], &note["note"]),
        (&"foreign".into(), &true.into())
    );
    let path = fixture.path("repositories/app/mine");
    assert_eq!(note["path"].as_str(), path.to_str());
}

#[test]
fn what_cannot_be_done_is_refused_with_its_reason() {
    let fixture = Fixture::new();
    let dir = fixture.dir.path();
    for (config, expected) in [
        (
            "storage: {filesystem: {rootdirectory: missing}}",
            "No such file or directory",
        ),
        (
            "storage: {filesystem: {rootdirectory: .}}",
            "is no registry's root",
        ),
        ("storage: {nowhere: {}}", "nowhere"),
    ] {
        fs::write(dir.join("other.yml"), format!("version: 0.1\n{config}\n")).expect("written");
        let (code, out, err) = run(dir, "verify", &["--repair", "other.yml"]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{config}");
        assert!(
            err.starts_with("pi-registry: ") && err.contains(expected),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    assert!(!dir.join("missing").exists());
    for arguments in [&["--rate", "0"] as &[_], &["--workers", "0"], &["none.yml"]] {
        assert_eq!(run(dir, "verify", arguments).0, Some(2), "{arguments:?}");
    }
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_not_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = "version: 0.1\nstorage: {s3: {region: us-east-1, bucket: b}}\n";
    fs::write(dir.path().join("c.yml"), config).expect("written");
    let (code, out, err) = run(dir.path(), "verify", &["c.yml"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("verify is for storage.filesystem"), "{err}");
}
