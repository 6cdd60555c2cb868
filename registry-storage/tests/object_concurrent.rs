//! Several registries on one store. Each `ObjectStorage` stands for one: they
//! share nothing but the store, which answers whenever it likes.

#![cfg(feature = "object-store")]

mod object_store_wrapper;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store_wrapper::late::Late;
use registry_spec::storage::{Expected, Precondition, PutManifest, Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, MediaType, Reference, RepositoryName, Tag};
use registry_storage::ObjectStorage;

fn replicas(seed: u64) -> [ObjectStorage; 2] {
    let store: Arc<dyn ObjectStore> = Arc::new(Late::new(seed));
    [
        ObjectStorage::new(Arc::clone(&store)),
        ObjectStorage::new(store),
    ]
}

fn name() -> RepositoryName {
    "a".parse().expect("a name")
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn manifest(n: usize, tags: &[&str]) -> PutManifest {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","n":{n}}}"#
    );
    let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
    let mut put = PutManifest::new(digest, MediaType::OCI_MANIFEST, Bytes::from(text));
    put.tags = tags.iter().map(|text| tag(text)).collect();
    put
}

async fn stands_at(storage: &ObjectStorage, reference: Reference) -> Option<Digest> {
    match storage.read_manifest(&name(), &reference).await {
        Ok(stored) => Some(stored.digest),
        Err(StorageError::ManifestUnknown) => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_beside_a_push_of_the_same_manifest_comes_before_or_after_it() {
    let [mut before, mut after] = [0, 0];
    for seed in 0..2000 {
        let [a, b] = replicas(seed);
        let put = manifest(1, &["new"]);
        let digest = put.digest;
        a.put_manifest(&name(), manifest(1, &["old"]))
            .await
            .expect("put");
        let name = name();
        let (pushed, deleted) = tokio::join!(
            a.put_manifest(&name, put),
            b.delete_manifest(&name, &digest)
        );
        pushed.expect("pushed");
        deleted.expect("deleted");

        let manifest = stands_at(&b, digest.into()).await;
        let new = stands_at(&b, tag("new").into()).await;
        assert_eq!(new, manifest, "seed {seed}");
        assert_eq!(stands_at(&b, tag("old").into()).await, None, "seed {seed}");
        let listed = a.list_tags(&name, None, 10).await;
        let listed = listed.map_or_else(|_| Vec::new(), |page| page.items);
        assert_eq!(listed.len(), usize::from(new.is_some()), "seed {seed}");
        match manifest {
            Some(_) => before += 1,
            None => after += 1,
        }
    }
    // Both orders were seen.
    assert!(before > 50 && after > 50, "{before} {after}");
}

#[tokio::test(start_paused = true)]
async fn of_two_conditional_pushes_one_succeeds() {
    for seed in 0..300 {
        for expected in [
            Expected::Absent,
            Expected::OneOf(vec![manifest(0, &[]).digest]),
        ] {
            let [a, b] = replicas(seed);
            if expected != Expected::Absent {
                a.put_manifest(&name(), manifest(0, &["t"]))
                    .await
                    .expect("put");
            }
            let conditional = |n| {
                let mut put = manifest(n, &["t"]);
                put.precondition = Some(Precondition::new(tag("t").into(), expected.clone()));
                put
            };
            let name = name();
            let (one, two) = tokio::join!(
                a.put_manifest(&name, conditional(1)),
                b.put_manifest(&name, conditional(2))
            );
            let won = match (one, two) {
                (Ok(()), Err(StorageError::PreconditionFailed)) => 1,
                (Err(StorageError::PreconditionFailed), Ok(())) => 2,
                other => panic!("seed {seed}: {other:?}"),
            };
            let stands = stands_at(&a, tag("t").into()).await;
            assert_eq!(stands, Some(manifest(won, &[]).digest), "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_moved_twice_at_once_stands_at_one_of_them() {
    for seed in 0..300 {
        let [a, b] = replicas(seed);
        let name = name();
        let u = tag("u");
        let (one, two, deleted) = tokio::join!(
            a.put_manifest(&name, manifest(1, &["t", "u"])),
            b.put_manifest(&name, manifest(2, &["u", "t"])),
            a.delete_tag(&name, &u)
        );
        one.expect("put");
        two.expect("put");
        assert!(matches!(
            deleted,
            Ok(()) | Err(StorageError::ManifestUnknown)
        ));
        let digests = [1, 2].map(|n| manifest(n, &[]).digest);
        let t = stands_at(&b, tag("t").into()).await.expect("somewhere");
        assert!(digests.contains(&t));
        for digest in digests {
            assert_eq!(stands_at(&b, digest.into()).await, Some(digest));
        }
    }
}

/// A store cannot remove a tag only if it is unchanged, so that a few
/// milliseconds are left in which a tag may be lost. Not more.
#[tokio::test(start_paused = true)]
async fn a_delete_leaves_tags_that_have_moved_on() {
    for late in [40, 80, 120, 160] {
        let [a, b] = replicas(late);
        let name = name();
        let tags: Vec<String> = (0..100).map(|n| format!("t{n:02}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        a.put_manifest(&name, manifest(1, &tags))
            .await
            .expect("put");
        let digest = manifest(1, &[]).digest;
        let moved = async {
            tokio::time::sleep(Duration::from_millis(late)).await;
            a.put_manifest(&name, manifest(2, &["t99"])).await
        };
        let (moved, deleted) = tokio::join!(moved, b.delete_manifest(&name, &digest));
        moved.expect("moved");
        deleted.expect("deleted");
        let stands = stands_at(&b, tag("t99").into()).await;
        assert_eq!(stands, Some(manifest(2, &[]).digest), "after {late} ms");
        let listed = a.list_tags(&name, None, 1000).await.expect("lists");
        assert_eq!(listed.items, [tag("t99")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_dropped_goes_on_to_its_end() {
    for late in (0..100).step_by(5) {
        let [a, b] = replicas(late);
        let name = name();
        let put = manifest(1, &["t", "u"]);
        let digest = put.digest;
        a.put_manifest(&name, put).await.expect("put");
        let delete = b.delete_manifest(&name, &digest);
        let _ = tokio::time::timeout(Duration::from_millis(late), delete).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        for reference in [digest.into(), tag("t").into(), tag("u").into()] {
            assert_eq!(stands_at(&a, reference).await, None, "after {late} ms");
        }
    }
}
