//! A collection that ends after any of its steps.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use registry_spec::storage::PutManifest;
use registry_spec::types::{Algorithm, Digest, MediaType, Reference, RepositoryName};
use tempfile::TempDir;

use super::super::disk::script::{self, Fault};
use super::super::layout;
use super::super::tree::Tree;
use super::super::upload::Lock;
use crate::collect::{CollectOptions, Report};

fn name() -> RepositoryName {
    "demo".parse().expect("a name")
}

fn sha256(text: &str) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_bytes())
}

/// A tree with an image that lives, one that does not, and unused blobs.
struct Fixture {
    dir: TempDir,
    live: Digest,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = Tree::with_defaults(dir.path().to_path_buf());
        tree.prepare().expect("writable");
        push_image(&tree, "dead", None);
        let live = push_image(&tree, "live", Some("latest"));
        push_blob(&tree, "unused");
        let unlinked = tree.layout.blob_data(&sha256("unlinked"));
        fs::create_dir_all(layout::parent(&unlinked)).expect("created");
        fs::write(&unlinked, "unlinked").expect("written");
        Self { dir, live }
    }

    fn restarted(&self) -> Tree {
        Tree::with_defaults(self.dir.path().to_path_buf())
    }

    fn is_whole(&self) {
        let tree = self.restarted();
        let latest = Reference::Tag("latest".parse().expect("a tag"));
        let manifest = tree.read_manifest(&name(), &latest).expect("there");
        assert_eq!(manifest.digest, self.live);
        let blob = tree.open_blob(&name(), &sha256("layer of live"));
        blob.expect("there");
    }
}

fn push_blob(tree: &Tree, text: &str) {
    let id = tree
        .start_upload(&name(), Algorithm::Sha256)
        .expect("started");
    let session = tree.layout.upload(&name(), &id);
    fs::write(layout::upload_data(&session), text).expect("written");
    match tree.lock_session(&name(), &id).expect("locked") {
        Lock::Ours(session) => tree
            .finish_session(&name(), &session, &sha256(text))
            .expect("finished"),
        Lock::Busy { offset } => panic!("busy at {offset}"),
    }
}

fn push_image(tree: &Tree, text: &str, tag: Option<&str>) -> Digest {
    let layer = format!("layer of {text}");
    push_blob(tree, &layer);
    let bytes = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{}","size":1}},"layers":[]}}"#,
        sha256(&layer)
    );
    let digest = sha256(&bytes);
    let mut put = PutManifest::new(digest, MediaType::OCI_MANIFEST, Bytes::from(bytes));
    put.tags = tag
        .map(|tag| tag.parse().expect("a tag"))
        .into_iter()
        .collect();
    tree.put_manifest(&name(), &put).expect("put");
    digest
}

fn collect(tree: &Tree) -> Report {
    let options = CollectOptions {
        grace: Duration::ZERO,
        delete_untagged: true,
        ..CollectOptions::default()
    };
    tree.collect(&options, &mut |_| {}, &false.into())
        .unwrap_or_else(|_| Report::default())
}

fn files(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("listed") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a kind").is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path().display().to_string()),
        }
    }
}

#[test]
fn a_collection_that_died_leaves_what_lives_and_the_next_one_ends_its_work() {
    let whole = Fixture::new();
    let (report, steps) = script::run(None, || collect(&whole.restarted()));
    assert_eq!((report.manifests_removed, report.layers_removed), (1, 2));
    assert_eq!(report.blobs_removed.count, 4);
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    whole.is_whole();
    let is_garbage = |path: &String| path.ends_with(".aside") || path.ends_with(".tmp");
    for steps_taken in 0..steps.len() {
        let fixture = Fixture::new();
        script::run(Some(Fault::DiesAfter(steps_taken)), || {
            collect(&fixture.restarted())
        });
        fixture.is_whole();
        let report = collect(&fixture.restarted());
        assert_eq!(report.problem_count, 0, "{:?}", report.problems);
        fixture.is_whole();
        let mut left = Vec::new();
        files(fixture.dir.path(), &mut left);
        left.retain(|path| is_garbage(path) && !path.contains("clock"));
        assert_eq!(left, [""; 0], "after {steps_taken} steps");
        let blobs = left_blobs(&fixture);
        assert_eq!(blobs, 2, "after {steps_taken} steps");
    }
}

fn left_blobs(fixture: &Fixture) -> usize {
    let mut left = Vec::new();
    files(
        &fixture.dir.path().join("docker/registry/v2/blobs"),
        &mut left,
    );
    left.len()
}

#[test]
fn a_collection_that_may_change_nothing_says_so_and_loses_nothing() {
    for operation in ["rename", "remove_file", "hard_link"] {
        let fixture = Fixture::new();
        let (report, _) = script::run(Some(Fault::Fails(operation)), || {
            collect(&fixture.restarted())
        });
        fixture.is_whole();
        if operation == "rename" {
            assert!(report.problem_count > 0, "{operation}");
        }
        collect(&fixture.restarted());
        fixture.is_whole();
        assert_eq!(left_blobs(&fixture), 2, "{operation}");
    }
}
