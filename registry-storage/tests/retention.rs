//! Retention on a tree.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::fs::File;
use std::time::{Duration, SystemTime};

use common::*;
use registry_spec::storage::Storage;
use registry_storage::FileSystem;
use registry_storage::immutable::{Immutable, ImmutableRule, ImmutableTags};
use registry_storage::retention::{Event, Pulls, Retention, RetentionRule, Summary, Verdict};

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
async fn run(storage: &FileSystem, retention: &Retention, dry_run: bool) -> (Summary, Vec<String>) {
    run_over(storage, Some(storage), retention, dry_run).await
}

async fn run_over(
    storage: &dyn Storage,
    pulls: Option<&dyn Pulls>,
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
    let run = retention.run(storage, pulls, &stable, now, dry_run, tell);
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
async fn what_changes_meanwhile_is_told_as_what_it_is() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    push_manifest(
        storage,
        "ci/a",
        &image("one"),
        &["deleted", "new", "old", "v1"],
    )
    .await;
    for (tag, days) in [("old", 10), ("deleted", 8), ("v1", 9)] {
        age(&fixture, "ci/a", tag, days);
    }
    let rules = |tag: &str| {
        let pattern = |text: &str| text.parse().expect("a pattern");
        ImmutableTags::new([ImmutableRule::new(
            ["**".parse().expect("a pattern")],
            [pattern(tag)],
        )])
    };
    // The rules of the moment, which are newer than those of the run.
    let guarded = Immutable::new(storage.clone(), rules("v*"));
    let mut told = Vec::new();
    let tell = |event: Event<'_>| {
        let Event::Decided(decision) = event else {
            panic!("{event:?}");
        };
        if decision.tag.as_str() == "new" {
            // Somebody deletes the next one.
            let dir = fixture.path(&tag_file("ci/a", "deleted", ""));
            std::fs::remove_dir_all(dir).expect("there");
        }
        let why = match &decision.verdict {
            Verdict::Kept { why, .. } => why.as_str(),
            _ => "-",
        };
        told.push(format!("{} {why}", decision.tag));
    };
    let now = SystemTime::now();
    let (retention, older) = (newest(1), rules("none"));
    let run = retention.run(&guarded, None, &older, now, false, tell);
    assert_eq!(run.await.expect("listed").removed, 1);
    assert_eq!(told, ["new newest", "v1 immutable", "old -"]);
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

/// As if all of it had happened so many days earlier.
fn age_file(fixture: &Fixture, path: &str, days: u32) {
    let file = File::open(fixture.path(path)).expect("there");
    file.set_modified(SystemTime::now() - days * DAY)
        .expect("aged");
}

#[tokio::test]
async fn pulls_keep_tags_once_they_have_been_noted_for_long_enough() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    let rule = RetentionRule::new(["ci/**".parse().expect("a pattern")]);
    let retention = Retention::new([rule.pulled_within(30 * DAY)]);
    push_manifest(storage, "ci/a", &image("one"), &["idle", "used"]).await;
    for (tag, days) in [("idle", 100), ("used", 101)] {
        age(&fixture, "ci/a", tag, days);
    }
    let note = |tag: &'static str| async move {
        let tag = tag.parse().expect("a tag");
        storage.note_pull(&name("ci/a"), &tag).await.expect("noted");
    };
    let told = async |storage: &FileSystem| run(storage, &retention, false).await.1;
    let unknown = ["ci/a:idle pulls-unknown", "ci/a:used pulls-unknown"];
    assert_eq!(told(storage).await, unknown, "nobody notes them");
    storage.say_pulls_noted(true).await.expect("said");
    note("used").await;
    note("never-pushed").await;
    assert!(!fixture.path(&tag_file("ci/a", "never-pushed", "")).exists());
    let lately = ["ci/a:idle pulls-unknown", "ci/a:used pulled-within"];
    assert_eq!(told(storage).await, lately, "just begun");

    let since = SystemTime::now() - 40 * DAY;
    let since = since.duration_since(SystemTime::UNIX_EPOCH).expect("later");
    fixture.write("pulls-noted", since.as_secs().to_string());
    // Said again, also by another process, they are noted since then still.
    let other = fixture.restarted();
    other.say_pulls_noted(true).await.expect("said");
    // A gap: somebody else may have served it.
    age_file(&fixture, "pulls-noted", 2);
    assert_eq!(told(&other).await, lately, "a gap");
    age_file(&fixture, "pulls-noted", 0);
    // Without the notes nothing is known.
    let (_, without) = run_over(storage, None, &retention, false).await;
    assert_eq!(without, unknown);
    age_file(&fixture, &tag_file("ci/a", "used", "pulled"), 40);
    note("used").await;
    assert_eq!(
        told(&other).await,
        ["ci/a:idle -", "ci/a:used pulled-within"]
    );
    assert_eq!(tags(storage, "ci/a").await, ["used"]);
    age_file(&fixture, &tag_file("ci/a", "used", "pulled"), 40);

    // Whoever does not note them says so, and it begins anew.
    other.say_pulls_noted(false).await.expect("said");
    other.say_pulls_noted(false).await.expect("said again");
    assert_eq!(told(storage).await, ["ci/a:used pulls-unknown"]);
    storage.say_pulls_noted(true).await.expect("said");
    assert_eq!(told(storage).await, ["ci/a:used pulls-unknown"]);
    for text in ["", "soon", "99999999999999999999999"] {
        fixture.write("pulls-noted", text);
        assert_eq!(told(storage).await, ["ci/a:used pulls-unknown"], "{text}");
    }
}
