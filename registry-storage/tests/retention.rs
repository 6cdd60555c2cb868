//! Retention on a tree.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs::File;
use std::time::{Duration, SystemTime};

use common::*;
use registry_spec::storage::Storage;
use registry_storage::immutable::{ImmutableRule, ImmutableTags};
use registry_storage::retention::{Event, Retention, RetentionRule, Summary, Verdict};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// As if a tag had been pushed so many days ago.
fn age(fixture: &Fixture, repository: &str, tag: &str, days: u32) {
    let link = fixture.path(&tag_file(repository, tag, "current/link"));
    let file = File::open(link).expect("there");
    file.set_modified(SystemTime::now() - days * DAY)
        .expect("aged");
}

fn newest(count: usize) -> Retention {
    Retention::new([RetentionRule::new(["ci/**".parse().expect("a pattern")]).newest(count)])
}

/// Runs it and tells what became of each tag: `repository:tag why`, or `-`.
async fn run(
    storage: &dyn Storage,
    retention: &Retention,
    dry_run: bool,
) -> (Summary, Vec<String>) {
    let stable = ImmutableTags::new([ImmutableRule::new(
        ["**".parse().expect("a pattern")],
        ["stable".parse().expect("a pattern")],
    )]);
    let mut told = Vec::new();
    let tell = |event: Event<'_>| match event {
        Event::Decided(decision) => {
            let why = match &decision.verdict {
                Verdict::Kept { why, .. } => why.as_str(),
                _ => "-",
            };
            told.push(format!("{}:{} {why}", decision.repository, decision.tag));
        }
        Event::Failed { repository, .. } => told.push(format!("{repository} failed")),
        _ => {}
    };
    let now = SystemTime::now();
    let run = retention.run(storage, &stable, now, dry_run, tell);
    (run.await.expect("listed"), told)
}

#[tokio::test]
async fn the_newest_stay_and_a_dry_run_removes_nothing() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let digest = push_manifest(storage, "ci/a", &image("one"), &["a", "b", "c", "stable"]).await;
    push_manifest(storage, "other", &image("one"), &["old"]).await;
    for (tag, days) in [("a", 1), ("b", 3), ("c", 2), ("stable", 9)] {
        age(&fixture, "ci/a", tag, days);
    }
    age(&fixture, "other", "old", 900);
    let expected = [
        "ci/a:a newest",
        "ci/a:c newest",
        "ci/a:b -",
        "ci/a:stable immutable",
        "other:old no-rule",
    ];
    for dry_run in [true, false] {
        let (summary, told) = run(storage, &newest(2), dry_run).await;
        assert_eq!(told, expected);
        assert_eq!((summary.kept, summary.removed, summary.failed), (4, 1, 0));
        let left: &[&str] = match dry_run {
            true => &["a", "b", "c", "stable"],
            false => &["a", "c", "stable"],
        };
        assert_eq!(tags(storage, "ci/a").await, left);
    }
    // Removed is the tag alone.
    let read = storage.read_manifest(&name("ci/a"), &digest.into()).await;
    assert_eq!(read.expect("there").digest, digest);
    assert_eq!(run(storage, &newest(2), false).await.0.removed, 0);
}

#[tokio::test]
async fn a_push_of_the_same_makes_a_tag_young_again() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    push_manifest(storage, "ci/a", &image("one"), &["a", "b"]).await;
    for tag in ["a", "b"] {
        age(&fixture, "ci/a", tag, 30);
    }
    push_manifest(storage, "ci/a", &image("one"), &["b"]).await;
    run(storage, &newest(1), false).await;
    assert_eq!(tags(storage, "ci/a").await, ["b"]);
}

#[tokio::test]
async fn a_signature_stays_while_its_image_does() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let signed = push_manifest(storage, "ci/a", &image("signed"), &["signed"]).await;
    let signature = format!("sha256-{}.sig", signed.hex());
    let orphan = format!("sha256-{}", sha256("gone").hex());
    push_manifest(storage, "ci/a", &image("signature"), &[&signature, &orphan]).await;
    for tag in [&signature, &orphan] {
        age(&fixture, "ci/a", tag, 30);
    }
    let (_, told) = run(storage, &newest(1), false).await;
    assert!(
        told.contains(&format!("ci/a:{signature} companion")),
        "{told:?}"
    );
    assert!(told.contains(&format!("ci/a:{orphan} -")), "{told:?}");
    assert_eq!(
        tags(storage, "ci/a").await,
        [signature, "signed".to_owned()]
    );
}

#[tokio::test]
async fn what_cannot_be_read_keeps_the_rest_of_its_repository() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    for repository in ["ci/a", "ci/b"] {
        push_manifest(storage, repository, &image("one"), &["x", "y"]).await;
    }
    // A loop in place of a link: neither there nor absent.
    let link = fixture.path(&tag_file("ci/a", "x", "current/link"));
    std::fs::remove_file(&link).expect("there");
    std::os::unix::fs::symlink("link", &link).expect("made");
    let (summary, told) = run(storage, &newest(1), false).await;
    assert_eq!((summary.removed, summary.failed), (1, 1), "{told:?}");
    assert_eq!(told[0], "ci/a failed");
    assert!(
        fixture
            .path(&tag_file("ci/a", "y", "current/link"))
            .exists()
    );
}
