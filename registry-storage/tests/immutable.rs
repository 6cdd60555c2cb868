//! Immutable tags, over the filesystem and in memory.

#![cfg(unix)]

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::sync::Arc;

use common::*;
use futures_util::future::join_all;
use registry_spec::storage::{Expected, MemoryStorage, Precondition, Storage, StorageError};
use registry_storage::immutable::{CurrentImmutable, Immutable, ImmutableRule, ImmutableTags};

type Guarded = Immutable<Arc<dyn Storage>>;

fn rules() -> ImmutableTags {
    let rule = ImmutableRule::new(
        ["team/**".parse().expect("a pattern")],
        ["v*".parse().expect("a pattern")],
    );
    ImmutableTags::new([rule])
}

/// The same over each backend.
fn storages(fixture: &Fixture) -> [Guarded; 2] {
    let files: Arc<dyn Storage> = Arc::new(fixture.restarted());
    let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    [files, memory].map(|inner| Immutable::new(inner, rules()))
}

async fn push(
    storage: &dyn Storage,
    repository: &str,
    text: &str,
    tags: &[&str],
) -> Result<(), StorageError> {
    storage
        .put_manifest(&name(repository), put(&image(text), tags))
        .await
}

fn refused(result: Result<(), StorageError>, by: &str) {
    match result {
        Err(StorageError::TagImmutable { tag: there }) => assert_eq!(there, tag(by)),
        other => panic!("{other:?}"),
    }
}

async fn stands_at(storage: &dyn Storage, repository: &str, text: &str) -> Option<String> {
    let (name, tag) = (name(repository), tag(text).into());
    let read = storage.read_manifest(&name, &tag).await;
    read.ok().map(|manifest| manifest.digest.to_string())
}

#[tokio::test]
async fn an_immutable_tag_is_neither_moved_nor_deleted() {
    let fixture = Fixture::new();
    for storage in storages(&fixture) {
        let a = name("team/a");
        push(&storage, "team/a", "one", &["v1", "dev"])
            .await
            .expect("new");
        // The same again is no move.
        push(&storage, "team/a", "one", &["v1"])
            .await
            .expect("the same");
        refused(push(&storage, "team/a", "two", &["v1"]).await, "v1");
        // Nothing of a refused push is done.
        refused(
            push(&storage, "team/a", "two", &["dev", "v2", "v1"]).await,
            "v1",
        );
        let one = sha256(image("one"));
        for there in ["v1", "dev"] {
            assert_eq!(
                stands_at(&storage, "team/a", there).await,
                Some(one.to_string())
            );
        }
        assert_eq!(stands_at(&storage, "team/a", "v2").await, None);

        refused(storage.delete_tag(&a, &tag("v1")).await, "v1");
        refused(storage.delete_manifest(&a, &one).await, "v1");
        storage
            .delete_tag(&a, &tag("dev"))
            .await
            .expect("not immutable");
        let missing = storage.delete_tag(&a, &tag("v9")).await;
        assert!(matches!(missing, Err(StorageError::ManifestUnknown)));

        // What the rules say nothing of is as ever.
        push(&storage, "team/a", "two", &["dev"])
            .await
            .expect("moved");
        push(&storage, "team/a", "three", &["dev"])
            .await
            .expect("moved");
        storage
            .delete_manifest(&a, &sha256(image("two")))
            .await
            .expect("deleted");
        for text in ["one", "two"] {
            push(&storage, "other", text, &["v1"]).await.expect("moved");
        }
        storage
            .delete_tag(&name("other"), &tag("v1"))
            .await
            .expect("deleted");
        let at = storage.tag_pushed_at(&a, &tag("v1")).await.expect("there");
        let expired = storage.expire_tag(&a, &tag("v1"), at.expect("known")).await;
        assert!(!expired.expect("asked"));
    }
}

#[tokio::test]
async fn one_push_may_have_several_immutable_tags() {
    let fixture = Fixture::new();
    for storage in storages(&fixture) {
        push(&storage, "team/a", "one", &["v1", "dev", "v1.0", "v1.0.0"])
            .await
            .expect("new");
        let one = Some(sha256(image("one")).to_string());
        for there in ["v1", "dev", "v1.0", "v1.0.0"] {
            assert_eq!(stands_at(&storage, "team/a", there).await, one, "{there}");
        }
    }
}

#[tokio::test]
async fn a_client_s_own_precondition_holds_as_well() {
    let fixture = Fixture::new();
    for storage in storages(&fixture) {
        let (one, two) = (sha256(image("one")), sha256(image("two")));
        push(&storage, "team/a", "one", &["v1"]).await.expect("new");
        for (text, tag_, expected, allowed) in [
            ("one", "v1", Expected::Absent, Err("condition")),
            ("one", "v1", Expected::Present, Ok(())),
            ("one", "v1", Expected::OneOf(vec![one]), Ok(())),
            ("one", "v1", Expected::NoneOf(vec![one]), Err("condition")),
            ("two", "v1", Expected::OneOf(vec![one]), Err("immutable")),
            ("two", "v1", Expected::Present, Err("immutable")),
            ("two", "v2", Expected::Present, Err("condition")),
            ("two", "v2", Expected::OneOf(vec![one]), Err("condition")),
            ("two", "v2", Expected::NoneOf(vec![two]), Ok(())),
            ("two", "v3", Expected::Absent, Ok(())),
        ] {
            let mut push = put(&image(text), &[tag_]);
            push.precondition = Some(Precondition::new(tag(tag_).into(), expected.clone()));
            let result = match storage.put_manifest(&name("team/a"), push).await {
                Ok(()) => Ok(()),
                Err(StorageError::PreconditionFailed) => Err("condition"),
                Err(StorageError::TagImmutable { .. }) => Err("immutable"),
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(result, allowed, "{text} to {tag_} if {expected:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_pushes_to_a_new_tag_at_once_one_wins() {
    /// Through as many processes.
    const PUSHES: usize = 8;
    let fixture = Fixture::new();
    for round in 0..5 {
        let release = format!("v{round}");
        let texts: Vec<_> = (0..PUSHES).map(|n| format!("{round} {n}")).collect();
        let pushes = texts.iter().map(|text| {
            let storage = Immutable::new(fixture.restarted(), rules());
            let (text, release) = (text.clone(), release.clone());
            tokio::spawn(async move { push(&storage, "team/a", &text, &[&release]).await })
        });
        let mut winner = None;
        for (text, result) in texts.iter().zip(join_all(pushes).await) {
            match result.expect("no panic") {
                Ok(()) => assert_eq!(winner.replace(text), None, "a second one"),
                result => refused(result, &release),
            }
        }
        let winner = sha256(image(winner.expect("one wins"))).to_string();
        let there = stands_at(&fixture.storage, "team/a", &release).await;
        assert_eq!(there, Some(winner));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_pushed_beside_a_delete_of_its_manifest_stays() {
    let fixture = Fixture::new();
    let storage = Arc::new(Immutable::new(fixture.restarted(), rules()));
    for round in 0..20 {
        let (text, release) = (format!("text {round}"), format!("v{round}"));
        push(&*storage, "team/a", &text, &[]).await.expect("new");
        let digest = sha256(image(&text));
        let (one, other) = (Arc::clone(&storage), Arc::clone(&storage));
        let delete =
            tokio::spawn(async move { one.delete_manifest(&name("team/a"), &digest).await });
        let tagging = {
            let release = release.clone();
            tokio::spawn(async move { push(&*other, "team/a", &text, &[&release]).await })
        };
        tagging.await.expect("no panic").expect("a new tag");
        match delete.await.expect("no panic") {
            Ok(()) => {}
            result => refused(result, &release),
        }
        let there = stands_at(&*storage, "team/a", &release).await;
        assert_eq!(there, Some(digest.to_string()), "{round}");
    }
}

#[tokio::test]
async fn rules_that_are_replaced_hold_at_once() {
    let current = CurrentImmutable::default();
    let storage = Immutable::new(MemoryStorage::new(), current.clone());
    for text in ["one", "two"] {
        push(&storage, "team/a", text, &["v1"])
            .await
            .expect("no rule");
    }
    current.replace(rules());
    refused(push(&storage, "team/a", "one", &["v1"]).await, "v1");
    current.replace(ImmutableTags::default());
    push(&storage, "team/a", "one", &["v1"])
        .await
        .expect("no rule");
}

#[tokio::test]
async fn a_push_whose_client_is_gone_still_keeps_deletes_of_its_manifest_away() {
    let fixture = Fixture::new();
    let storage = Immutable::new(fixture.restarted(), rules());
    push(&storage, "team/a", "one", &[]).await.expect("put");
    // As if another process were changing the repository.
    let lock = fixture.path("repositories/team/a/_referrers/lock");
    let lock = std::fs::File::open(lock).expect("there");
    lock.lock().expect("locked");
    {
        let mut push = std::pin::pin!(push(&storage, "team/a", "one", &["v1"]));
        let moment = std::time::Duration::from_millis(50);
        let ended = tokio::time::timeout(moment, &mut push).await;
        assert!(ended.is_err(), "it waits for the lock");
    }
    let delete = {
        let storage = storage.clone();
        let digest = sha256(image("one"));
        tokio::spawn(async move { storage.delete_manifest(&name("team/a"), &digest).await })
    };
    tokio::task::yield_now().await;
    lock.unlock().expect("unlocked");
    refused(delete.await.expect("no panic"), "v1");
    assert!(stands_at(&storage, "team/a", "v1").await.is_some());
}

#[tokio::test]
async fn an_immutable_tag_at_what_cannot_be_served_can_be_pushed() {
    let fixture = Fixture::new();
    let storage = Immutable::new(fixture.restarted(), rules());
    push(&storage, "team/a", "one", &["v1"]).await.expect("put");
    fixture.write(&data(&sha256(image("one"))), "no manifest");
    assert_eq!(stands_at(&storage, "team/a", "v1").await, None);
    push(&storage, "team/a", "two", &["v1"]).await.expect("put");
    refused(push(&storage, "team/a", "three", &["v1"]).await, "v1");
}

/// As [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-13.1) has it, by
/// what a GET would be answered with.
#[tokio::test]
async fn a_tag_at_what_cannot_be_served_is_absent_to_a_condition() {
    for (expected, holds) in [
        (Expected::Absent, true),
        (Expected::NoneOf(vec![sha256(image("one"))]), true),
        (Expected::Present, false),
        (Expected::OneOf(vec![sha256(image("one"))]), false),
    ] {
        let fixture = Fixture::new();
        let storage = &fixture.storage;
        push(storage, "a", "one", &["x"]).await.expect("put");
        fixture.write(&data(&sha256(image("one"))), "no manifest");
        let mut put = put(&image("two"), &["x"]);
        put.precondition = Some(Precondition::new(tag("x").into(), expected.clone()));
        let result = storage.put_manifest(&name("a"), put).await;
        assert_eq!(result.is_ok(), holds, "{expected:?}: {result:?}");
    }
}
