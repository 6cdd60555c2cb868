//! The order of the steps, and a crash after each of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use registry_spec::storage::{PutManifest, Storage, StorageError};
use registry_spec::types::{
    Algorithm, Digest, MediaType, Reference, RepositoryName, Tag, UploadId,
};
use tempfile::TempDir;
use tokio::time::timeout;

use super::disk::script::{self, Fault, Step};
use super::places::turn;
use super::tree::Tree;
use super::upload::Lock;
use super::{Access, Durability, FileSystem, Reserve, layout};

const LIMIT: usize = 10;

fn name() -> RepositoryName {
    "demo".parse().expect("a name")
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

impl Tree {
    fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        match self.lock_session(name, id)? {
            Lock::Ours(session) => self.finish_session(name, &session, digest),
            Lock::Busy { offset } => panic!("busy at {offset}"),
        }
    }
}

/// A signature's manifest, with two tags.
fn signature() -> PutManifest {
    let subject = sha256(b"subject");
    let empty = sha256(b"{}");
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"{manifest}","layers":[],
        "config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},
        "subject":{{"mediaType":"{manifest}","digest":"{subject}","size":7}}}}"#,
        manifest = MediaType::OCI_MANIFEST,
    );
    let digest = sha256(bytes.as_bytes());
    let mut put = PutManifest::new(digest, MediaType::OCI_MANIFEST, Bytes::from(bytes));
    put.subject = Some(subject);
    put.tags = vec![tag("v1"), tag("latest")];
    put
}

struct Fixture {
    dir: TempDir,
    tree: Tree,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = Tree::with_defaults(dir.path().to_path_buf());
        tree.prepare().expect("writable");
        Self { dir, tree }
    }

    /// What another process, or this one after the crash, finds.
    fn restarted(&self) -> Tree {
        Tree::with_defaults(self.dir.path().to_path_buf())
    }

    fn upload(&self, bytes: &[u8]) -> UploadId {
        let id = self
            .tree
            .start_upload(&name(), Algorithm::Sha256)
            .expect("started");
        let session = self.tree.layout.upload(&name(), &id);
        fs::write(layout::upload_data(&session), bytes).expect("written");
        id
    }

    /// Steps as texts, below the tree's root, without what is random.
    fn show(&self, steps: &[Step]) -> Vec<String> {
        let known = [
            (sha256(b"blob"), "BLOB"),
            (signature().digest, "SIGNATURE"),
            (sha256(b"subject"), "SUBJECT"),
        ];
        let show_path = |path: &Path| {
            let path = path.strip_prefix(self.tree.layout.tree());
            let mut text = path.expect("in the tree").display().to_string();
            for (digest, short) in &known {
                let hex = digest.hex();
                text = text.replace(&hex, short);
                text = text.replace(&format!("blobs/sha256/{}", &hex[..2]), "blobs/sha256/hh");
            }
            if text.ends_with(".tmp") {
                let (name, _) = text.split_once('.').expect("a temporary file");
                text = format!("{name}.tmp");
            }
            text
        };
        steps
            .iter()
            .map(|(operation, path)| format!("{operation} {}", show_path(path)))
            .collect()
    }
}

/// The steps of writing a small file into a directory that is `missing` in
/// one that is there.
fn written(there: &str, missing: &str, file: &str) -> Vec<String> {
    put_in(there, missing, |dir| {
        ["create_file", "write", "sync_file"]
            .map(|step| format!("{step} {dir}/{file}.tmp"))
            .into_iter()
            .chain([format!("rename {dir}/{file}")])
            .collect()
    })
}

/// The steps of putting something into a directory that is `missing` in one
/// that is there.
fn put_in(there: &str, missing: &str, put: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let mut dir = there.to_owned();
    let (mut create, mut sync) = (Vec::new(), Vec::new());
    for component in missing.split('/') {
        sync.push(format!("sync_dir {dir}"));
        dir = format!("{dir}/{component}")
            .trim_start_matches('/')
            .to_owned();
        create.push(format!("create_dir {dir}"));
    }
    [create, put(&dir), vec![format!("sync_dir {dir}")], sync].concat()
}

#[test]
fn a_blob_is_synced_before_it_is_moved_and_linked_after_that() {
    let fixture = Fixture::new();
    let id = fixture.upload(b"blob");
    let (result, steps) = script::run(None, || {
        fixture.tree.finish_upload(&name(), &id, &sha256(b"blob"))
    });
    result.expect("finished");
    let session = format!("repositories/demo/_uploads/{id}");
    let mut expected = vec![format!("sync_file {session}/data")];
    expected.extend(put_in("", "blobs/sha256/hh/BLOB", |dir| {
        vec![format!("rename {dir}/data")]
    }));
    expected.extend(written("repositories/demo", "_layers/sha256/BLOB", "link"));
    expected.push(format!("remove_dir_all {session}"));
    assert_eq!(fixture.show(&steps), expected);
}

#[test]
fn a_manifest_is_durable_before_it_is_linked_and_linked_before_it_is_tagged() {
    let fixture = Fixture::new();
    let (result, steps) = script::run(None, || fixture.tree.put_manifest(&name(), &signature()));
    result.expect("put");
    let mut expected = written("", "blobs/sha256/hh/SIGNATURE", "data");
    // For the lock.
    for dir in [
        "repositories",
        "repositories/demo",
        "repositories/demo/_referrers",
    ] {
        expected.push(format!("create_dir {dir}"));
    }
    for dir in ["", "repositories", "repositories/demo"] {
        expected.push(format!("sync_dir {dir}"));
    }
    let manifests = "repositories/demo/_manifests";
    expected.extend(written(
        "repositories/demo",
        "_manifests/revisions/sha256/SIGNATURE",
        "link",
    ));
    // Derived, so not synced.
    let entry = "repositories/demo/_referrers/sha256/SUBJECT/sha256/SIGNATURE";
    expected.push(format!("create_dir_all {entry}"));
    expected.push(format!("create_file {entry}/link.tmp"));
    expected.push(format!("write {entry}/link.tmp"));
    expected.push(format!("rename {entry}/link"));
    let tags = format!("{manifests}/tags");
    expected.extend(written(manifests, "tags/v1/index/sha256/SIGNATURE", "link"));
    expected.extend(written(&format!("{tags}/v1"), "current", "link"));
    expected.extend(written(&tags, "latest/index/sha256/SIGNATURE", "link"));
    expected.extend(written(&format!("{tags}/latest"), "current", "link"));
    assert_eq!(fixture.show(&steps), expected);
}

#[test]
fn a_fast_push_takes_the_same_steps_and_waits_for_none() {
    let push = |durability| {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().to_path_buf();
        let tree = Tree::new(root, Reserve::default(), durability);
        tree.prepare().expect("writable");
        let fixture = Fixture { dir, tree };
        let id = fixture.upload(b"blob");
        let (result, mut steps) = script::run(None, || {
            // A new repository's directories are made when its upload begins.
            let finished = fixture.tree.finish_upload(&name(), &id, &sha256(b"blob"));
            finished.and_then(|()| fixture.tree.put_manifest(&name(), &signature()))
        });
        result.expect("pushed");
        steps.retain(|(_, path)| !path.ends_with(id.as_str()));
        fixture.show(&steps)
    };
    let (safe, fast) = (push(Durability::Safe), push(Durability::Fast));
    let is_sync = |step: &&String| step.starts_with("sync_");
    assert!(safe.iter().filter(is_sync).count() > 20);
    // The directory of the repository's lock, which is made once.
    let syncs: Vec<_> = fast.iter().filter(is_sync).collect();
    assert_eq!(syncs, ["sync_dir repositories/demo"]);
    let others = |steps: &[String]| {
        let others = steps.iter().filter(|step| !is_sync(step));
        others.cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&safe), others(&fast));
}

#[test]
fn what_is_there_already_is_synced_and_not_written_again() {
    let fixture = Fixture::new();
    let mut put = signature();
    put.subject = None;
    fixture.tree.put_manifest(&name(), &put).expect("put");
    let (result, steps) = script::run(None, || fixture.tree.put_manifest(&name(), &put));
    result.expect("put again");
    // Of a tag the time alone, by which it was pushed just now.
    assert!(
        steps.iter().all(|(operation, path)| match *operation {
            "sync_file" | "sync_dir" => true,
            "set_modified" => path.ends_with("current/link"),
            _ => false,
        }),
        "{steps:?}"
    );
    let touched = steps.windows(2).filter(|step| {
        matches!(step, [("set_modified", touched), ("sync_file", synced)] if touched == synced)
    });
    assert_eq!(touched.count(), put.tags.len(), "{steps:?}");
}

#[test]
fn the_time_of_a_tag_is_that_of_its_last_push_and_unknown_where_it_says_nothing() {
    let fixture = Fixture::new();
    let (put, pushed) = (signature(), &signature().tags[0]);
    fixture.tree.put_manifest(&name(), &put).expect("put");
    let link = layout::link_in(fixture.tree.layout.tag_current(&name(), pushed));
    let time = || fixture.tree.tag_pushed_at(&name(), pushed).expect("there");
    let set = |time| {
        let file = fs::File::open(&link).expect("opened");
        file.set_modified(time).expect("set");
    };
    set(SystemTime::UNIX_EPOCH);
    assert_eq!(time(), None);
    // As where the link is another user's.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    set(long_ago);
    let push = || fixture.tree.put_manifest(&name(), &put);
    let (result, _) = script::run(Some(Fault::Fails("set_modified")), push);
    result.expect("put again");
    assert!(time() > Some(long_ago + Duration::from_secs(1000)));
}

#[test]
fn a_delete_removes_tags_first_and_syncs_each_removal() {
    let fixture = Fixture::new();
    fixture
        .tree
        .put_manifest(&name(), &signature())
        .expect("put");
    let (result, steps) = script::run(None, || {
        fixture.tree.delete_manifest(&name(), &signature().digest)
    });
    result.expect("deleted");
    let manifests = "repositories/demo/_manifests";
    let tag_steps = |tag: &str| {
        [
            format!("remove_file {manifests}/tags/{tag}/current/link"),
            format!("remove_dir_all {manifests}/tags/{tag}"),
            format!("sync_dir {manifests}/tags"),
        ]
    };
    let steps = fixture.show(&steps);
    let tags: BTreeSet<String> = steps[..6].iter().cloned().collect();
    let expected: BTreeSet<String> = tag_steps("v1")
        .into_iter()
        .chain(tag_steps("latest"))
        .collect();
    assert_eq!(tags, expected);
    assert_eq!(
        steps[6..],
        [
            format!("remove_file {manifests}/revisions/sha256/SIGNATURE/link"),
            format!("remove_dir {manifests}/revisions/sha256/SIGNATURE"),
            format!("sync_dir {manifests}/revisions/sha256"),
        ]
    );
}

/// Runs `act` on a fresh tree once for each of its steps, dying after it.
fn crash_after_each_step(
    set_up: impl Fn(&Fixture),
    act: impl Fn(&Tree) -> Result<(), StorageError>,
    check: impl Fn(&Tree, &dyn Fn(&Tree) -> Result<(), StorageError>),
) {
    for step in 0.. {
        let fixture = Fixture::new();
        set_up(&fixture);
        let (result, steps) = script::run(Some(Fault::DiesAfter(step)), || act(&fixture.tree));
        check(&fixture.restarted(), &act);
        if steps.len() < step {
            result.expect("nothing was in its way");
            return;
        }
    }
}

#[test]
fn a_put_that_dies_anywhere_leaves_whole_manifests_and_can_be_repeated() {
    let put = signature();
    let subject = put.subject.expect("a subject");
    crash_after_each_step(
        |_| {},
        |tree| tree.put_manifest(&name(), &put),
        |tree, act| {
            let read = |reference: Reference| match tree.read_manifest(&name(), &reference) {
                Ok(manifest) => {
                    assert_eq!(manifest.bytes, put.bytes);
                    true
                }
                Err(StorageError::ManifestUnknown) => false,
                Err(error) => panic!("{error:?}"),
            };
            let referrers = || {
                let page = tree.list_referrers(&name(), &subject, None, LIMIT);
                page.expect("listed").items
            };
            let by_digest = read(put.digest.into());
            let (v1, latest) = (read(tag("v1").into()), read(tag("latest").into()));
            assert!(by_digest || !v1);
            assert!(v1 || !latest);
            // Whether or not the entry had been written.
            assert_eq!(referrers().len(), usize::from(by_digest));
            let listed = tree.list_tags(&name(), None, LIMIT).map(|page| page.items);
            match listed {
                Ok(tags) => assert_eq!(tags.len(), usize::from(v1) + usize::from(latest)),
                Err(StorageError::NameUnknown) => assert!(!by_digest),
                Err(error) => panic!("{error:?}"),
            }

            act(tree).expect("repeated");
            assert!(read(put.digest.into()) && read(tag("v1").into()));
            assert!(read(tag("latest").into()));
            assert_eq!(referrers(), [put.digest]);
        },
    );
}

#[test]
fn a_put_over_another_manifest_leaves_the_tag_at_the_old_or_the_new_one() {
    let new = signature();
    let mut old = PutManifest::new(
        sha256(br#"{"schemaVersion":2}"#),
        MediaType::OCI_MANIFEST,
        Bytes::from_static(br#"{"schemaVersion":2}"#),
    );
    old.tags = vec![tag("v1")];
    crash_after_each_step(
        |fixture| fixture.tree.put_manifest(&name(), &old).expect("put"),
        |tree| tree.put_manifest(&name(), &new),
        |tree, act| {
            let read = || {
                tree.read_manifest(&name(), &tag("v1").into())
                    .expect("tagged")
            };
            assert!([&old.bytes, &new.bytes].contains(&&read().bytes));
            act(tree).expect("repeated");
            assert_eq!(read().bytes, new.bytes);
        },
    );
}

#[test]
fn a_delete_that_dies_anywhere_can_be_repeated_and_brings_nothing_back() {
    let put = signature();
    let subject = put.subject.expect("a subject");
    crash_after_each_step(
        |fixture| fixture.tree.put_manifest(&name(), &put).expect("put"),
        |tree| tree.delete_manifest(&name(), &put.digest),
        |tree, act| {
            let exists = tree.read_manifest(&name(), &put.digest.into()).is_ok();
            match act(tree) {
                Ok(()) => assert!(exists),
                Err(StorageError::ManifestUnknown) => assert!(!exists),
                Err(error) => panic!("{error:?}"),
            }
            let referrers = || tree.list_referrers(&name(), &subject, None, LIMIT);
            assert_eq!(referrers().expect("listed").items, []);
            // Pushed again without tags, it has none.
            let mut untagged = put.clone();
            untagged.tags.clear();
            tree.put_manifest(&name(), &untagged).expect("put");
            let tags = tree.list_tags(&name(), None, LIMIT).expect("listed");
            assert_eq!(tags.items, []);
            assert_eq!(referrers().expect("listed").items, [put.digest]);
        },
    );
}

#[test]
fn an_untagging_that_dies_anywhere_leaves_the_tag_or_none() {
    let put = signature();
    crash_after_each_step(
        |fixture| fixture.tree.put_manifest(&name(), &put).expect("put"),
        |tree| tree.delete_tag(&name(), &tag("v1")),
        |tree, act| {
            let exists = tree.read_manifest(&name(), &tag("v1").into()).is_ok();
            assert_eq!(act(tree).is_ok(), exists);
            let tags = tree.list_tags(&name(), None, LIMIT).expect("listed");
            assert_eq!(tags.items, [tag("latest")]);
        },
    );
}

#[test]
fn a_finish_that_dies_anywhere_leaves_the_session_or_the_blob() {
    let digest = sha256(b"blob");
    for step in 0.. {
        let fixture = Fixture::new();
        let id = fixture.upload(b"blob");
        let (result, steps) = script::run(Some(Fault::DiesAfter(step)), || {
            fixture.tree.finish_upload(&name(), &id, &digest)
        });
        let tree = fixture.restarted();
        match tree.finish_upload(&name(), &id, &digest) {
            Ok(()) => assert_eq!(tree.stat_blob(&name(), &digest).expect("a blob"), 4),
            // Moved, perhaps linked; if not, the client pushes again.
            Err(StorageError::UploadUnknown) => {
                assert!(tree.content_len(&digest).expect("read").is_some());
                let again = fixture.upload(b"blob");
                tree.finish_upload(&name(), &again, &digest)
                    .expect("finished");
                assert_eq!(tree.stat_blob(&name(), &digest).expect("a blob"), 4);
            }
            Err(error) => panic!("{error:?}"),
        }
        if steps.len() < step {
            result.expect("nothing was in its way");
            return;
        }
    }
}

#[test]
fn a_mount_that_dies_anywhere_can_be_repeated() {
    let digest = sha256(b"blob");
    let other: RepositoryName = "other/place".parse().expect("a name");
    crash_after_each_step(
        |fixture| {
            let id = fixture.upload(b"blob");
            fixture
                .tree
                .finish_upload(&name(), &id, &digest)
                .expect("finished");
        },
        |tree| tree.mount_blob(&other, &digest, Some(&name())),
        |tree, act| {
            match tree.stat_blob(&other, &digest) {
                Ok(len) => assert_eq!(len, 4),
                Err(error) => assert!(matches!(error, StorageError::BlobUnknown), "{error:?}"),
            }
            act(tree).expect("repeated");
            assert_eq!(tree.stat_blob(&other, &digest).expect("mounted"), 4);
        },
    );
}

#[test]
fn a_sync_that_fails_ends_the_session() {
    let fixture = Fixture::new();
    let id = fixture.upload(b"blob");
    let digest = sha256(b"blob");
    let finish = || fixture.tree.finish_upload(&name(), &id, &digest);
    let (result, _) = script::run(Some(Fault::Fails("sync_file")), finish);
    assert!(
        matches!(result, Err(StorageError::Full { .. })),
        "{result:?}"
    );
    // A second try would find nothing wrong.
    let result = finish();
    assert!(
        matches!(result, Err(StorageError::UploadUnknown)),
        "{result:?}"
    );
    assert_eq!(fixture.tree.content_len(&digest).expect("read"), None);
}

#[test]
fn a_full_disk_leaves_what_was_there_and_no_temporary_files() {
    let mut old = PutManifest::new(
        sha256(br#"{"schemaVersion":2}"#),
        MediaType::OCI_MANIFEST,
        Bytes::from_static(br#"{"schemaVersion":2}"#),
    );
    old.tags = vec![tag("v1")];
    for operation in ["create_dir", "create_file", "write", "sync_file", "rename"] {
        let fixture = Fixture::new();
        fixture.tree.put_manifest(&name(), &old).expect("put");
        let (result, _) = script::run(Some(Fault::Fails(operation)), || {
            fixture.tree.put_manifest(&name(), &signature())
        });
        let error = result.expect_err("the disk is full");
        assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
        let kind = std::error::Error::source(&error)
            .and_then(std::error::Error::source)
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .map(std::io::Error::kind);
        assert_eq!(kind, Some(std::io::ErrorKind::StorageFull));
        let tree = fixture.restarted();
        let read = tree.read_manifest(&name(), &tag("v1").into());
        assert_eq!(read.expect("as before").bytes, old.bytes);
        assert_eq!(temporary_files(fixture.dir.path()), 0, "{operation}");
        tree.put_manifest(&name(), &signature())
            .expect("room again");
    }
}

fn temporary_files(dir: &Path) -> usize {
    fs::read_dir(dir)
        .expect("listed")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| match entry.path().is_dir() {
            true => temporary_files(&entry.path()),
            false => usize::from(layout::is_temporary(&entry.file_name())),
        })
        .sum()
}

#[test]
fn a_failure_names_the_operation_the_path_and_the_uid() {
    let fixture = Fixture::new();
    let repositories = fixture.tree.layout.repositories();
    fs::write(&repositories, "in the way").expect("written");
    let error = fixture
        .tree
        .start_upload(&name(), Algorithm::Sha256)
        .expect_err("a file is in the way");
    let source = std::error::Error::source(&error).expect("what failed");
    let uid = rustix::process::geteuid().as_raw();
    let text = source.to_string();
    assert!(text.starts_with("cannot create "), "{text}");
    assert!(text.contains(&*repositories.to_string_lossy()), "{text}");
    assert!(text.ends_with(&format!("as uid {uid}")), "{text}");
    assert!(
        source
            .source()
            .is_some_and(|source| source.is::<std::io::Error>())
    );
}

#[test]
fn a_tree_without_locks_can_only_be_read() {
    let fixture = Fixture::new();
    let (access, _) = script::run(Some(Fault::Fails("lock_own")), || fixture.tree.prepare());
    let Access::ReadOnly { reason } = access.expect("readable") else {
        panic!("no push can work");
    };
    let text = std::error::Error::source(&reason).map(ToString::to_string);
    let text = text.expect("what failed");
    assert!(text.starts_with("cannot lock "), "{text}");
    assert_eq!(temporary_files(fixture.dir.path()), 0);
}

#[test]
fn a_tag_that_moves_while_it_is_looked_at_is_followed() {
    let fixture = Fixture::new();
    let (old, new) = (sha256(b"old"), sha256(b"new"));
    let current = fixture.tree.layout.tag_current(&name(), &tag("v1"));
    fixture.tree.write_link(&current, &old).expect("written");
    let found = fixture
        .tree
        .follow_tag(&name(), &tag("v1"), Tree::read_link, |digest| {
            if *digest == old {
                // Deleted, after the tag had moved on.
                fixture.tree.write_link(&current, &new)?;
                return Ok(None);
            }
            Ok(Some("manifest"))
        });
    assert_eq!(found.expect("no error here"), Some((new, "manifest")));
    let found: Option<(Digest, ())> = fixture
        .tree
        .follow_tag(&name(), &tag("v1"), Tree::read_link, |_| Ok(None))
        .expect("no error here");
    assert_eq!(found, None);
}

#[tokio::test]
async fn an_index_is_completed_by_one_request_at_a_time() {
    let fixture = Fixture::new();
    let put = signature();
    let subject = put.subject.expect("a subject");
    let storage = FileSystem::new(fixture.dir.path());
    let name = name();
    storage.put_manifest(&name, put).await.expect("put");
    let list = || storage.list_referrers(&name, &subject, None, LIMIT);
    let permit = turn(&storage.places.refreshes).await;
    let waiting = timeout(Duration::from_millis(200), list()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    drop(permit);
    // Lets the file system's clock move on.
    tokio::time::sleep(Duration::from_millis(50)).await;
    list().await.expect("listed");
    // A complete one is read meanwhile.
    let _permit = turn(&storage.places.refreshes).await;
    let read = timeout(Duration::from_secs(10), list()).await;
    assert_eq!(read.expect("in time").expect("listed").items.len(), 1);
}
