//! Lists and reads, over a store that was filled by somebody else.

mod lists;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::memory::InMemory;
use object_store::{ListResult, ObjectStoreExt, PutPayload};
use registry_spec::types::MediaType;

use super::*;

const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;

/// Gives only a few keys at once, and counts how often it is asked.
struct Few {
    lists: Arc<dyn PaginatedListStore>,
    most: usize,
    asked: AtomicUsize,
    how: AtomicU8,
    /// Keys that the store has, and that the store's client refuses.
    no_paths: &'static [&'static str],
}

/// Begins each list with an answer that holds nothing, as Azure and GCS may.
const SLOWLY: u8 = 1;
/// Begins each list at the first key, whatever it is asked for.
const ANYHOW: u8 = 2;

#[async_trait]
impl PaginatedListStore for Few {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        mut opts: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        assert!(asked < 100_000, "asks for ever");
        opts.max_keys = Some(opts.max_keys.map_or(self.most, |keys| keys.min(self.most)));
        match (self.how.load(Ordering::Relaxed), opts.page_token.take()) {
            (SLOWLY, None) => {
                let nothing = ListResult {
                    common_prefixes: Vec::new(),
                    objects: Vec::new(),
                    extensions: Default::default(),
                };
                return Ok(PaginatedListResult {
                    result: nothing,
                    page_token: Some(opts.offset.unwrap_or_default()),
                });
            }
            (SLOWLY, Some(token)) => opts.offset = Some(token),
            (ANYHOW, _) => opts.offset = None,
            (_, token) => opts.page_token = token,
        }
        let (from, delimiter) = (opts.offset.clone(), opts.delimiter.clone());
        let page = self.lists.list_paginated(prefix, opts).await?;
        let prefix = prefix.unwrap_or_default();
        for key in self.no_paths {
            let key = format!("some/where/docker/registry/v2/{key}");
            let rest = key.strip_prefix(prefix);
            let folder = rest
                .filter(|_| delimiter.is_some())
                .and_then(|rest| rest.find('/'));
            let seen = folder.map_or(&*key, |end| &key[..=prefix.len() + end]);
            let objects = page.result.objects.iter().map(|object| &object.location);
            let last = objects.chain(&page.result.common_prefixes).max();
            // With one key at once, it comes instead of the one after it.
            let before_end =
                page.page_token.is_none() || last.is_none_or(|last| *seen < *last.as_ref());
            if rest.is_some() && before_end && from.as_ref().is_none_or(|from| *seen > **from) {
                Path::parse(seen)?;
            }
        }
        Ok(page)
    }
}

struct Filled {
    storage: ObjectStorage,
    store: Arc<InMemory>,
    lists: Arc<Few>,
}

impl Filled {
    fn new(most: usize) -> Self {
        Self::beside(&[], most)
    }

    fn beside(no_paths: &'static [&'static str], most: usize) -> Self {
        let store = Arc::new(InMemory::new());
        let mut bucket = Bucket::new(Arc::clone(&store) as _);
        let lists = Arc::new(Few {
            lists: Arc::clone(&bucket.lists),
            most,
            asked: AtomicUsize::new(0),
            how: AtomicU8::new(0),
            no_paths,
        });
        bucket.lists = Arc::clone(&lists) as _;
        Self {
            storage: ObjectStorage::builder(bucket)
                .root_directory(Path::from("some/where"))
                .build(),
            store,
            lists,
        }
    }

    async fn put(&self, key: &str, content: &str) {
        let path = Path::from(format!("some/where/docker/registry/v2/{key}"));
        let payload = PutPayload::from(content.to_owned());
        self.store.put(&path, payload).await.expect("in memory");
    }

    /// As `registry:2` writes it.
    async fn put_manifest(&self, name: &str, tag: Option<&str>, content: &str) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let (hex, link) = (digest.hex(), digest.to_string());
        let data = format!("blobs/sha256/{}/{hex}/data", &hex[..2]);
        let manifests = format!("repositories/{name}/_manifests");
        self.put(&data, content).await;
        self.put(&format!("{manifests}/revisions/sha256/{hex}/link"), &link)
            .await;
        if let Some(tag) = tag {
            let tag = format!("{manifests}/tags/{tag}");
            self.put(&format!("{tag}/index/sha256/{hex}/link"), &link)
                .await;
            self.put(&format!("{tag}/current/link"), &link).await;
        }
        digest
    }

    fn asked(&self) -> usize {
        self.lists.asked.swap(0, Ordering::Relaxed)
    }
}

fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

/// Every text of up to three of these characters that is a tag, and some more.
fn tags() -> BTreeSet<Tag> {
    let mut texts = vec![String::new()];
    for length in 0..3 {
        for text in texts.clone() {
            if text.len() == length {
                texts.extend(["a", "0", "-", ".", "_"].map(|end| format!("{text}{end}")));
            }
        }
    }
    texts.push("latest".to_owned());
    // Thinned out in a fixed way, so that prefixes are missing.
    let thinned = texts.iter().enumerate().filter(|(n, _)| n % 3 != 1);
    thinned.filter_map(|(_, text)| text.parse().ok()).collect()
}

#[tokio::test]
async fn tags_are_listed_in_their_own_order_page_by_page() {
    let filled = Filled::new(7);
    let tags = tags();
    for tag in &tags {
        let link = format!("repositories/a/_manifests/tags/{tag}");
        filled.put(&format!("{link}/current/link"), "x").await;
        for n in 0..tag.as_str().len() * 3 {
            filled
                .put(&format!("{link}/index/sha256/{n}/link"), "x")
                .await;
        }
    }
    filled
        .put(
            "repositories/a/_manifests/tags/ghost/index/sha256/0/link",
            "x",
        )
        .await;
    filled
        .put("repositories/a/_manifests/tags/.DS_Store", "x")
        .await;
    for limit in [1, 2, 5, 64, 1000] {
        let mut listed: Vec<Tag> = Vec::new();
        loop {
            let page = filled
                .storage
                .list_tags(&name("a"), listed.last(), limit)
                .await
                .expect("a list");
            assert!(page.items.len() <= limit);
            listed.extend(page.items);
            if !page.more {
                break;
            }
        }
        assert!(listed.iter().eq(&tags), "limit {limit}");
    }
}

#[tokio::test]
async fn a_page_of_tags_costs_what_it_holds() {
    let filled = Filled::new(1000);
    let (storage, a, b) = (&filled.storage, name("a"), name("b"));
    for n in 0..3000 {
        let tag = format!("main-{n:04}");
        let link = format!("repositories/a/_manifests/tags/{tag}/current/link");
        filled.put(&link, "x").await;
    }
    filled
        .put("repositories/a/_manifests/tags/main/current/link", "x")
        .await;
    let after = "main-1000".parse().expect("a tag");
    let list = storage.list_tags(&a, Some(&after), 100);
    assert_eq!(list.await.expect("a list").items.len(), 100);
    assert_eq!(filled.asked(), 1);
    let list = storage.list_tags(&a, None, 100);
    assert_eq!(list.await.expect("a list").items[0].as_str(), "main");
    assert_eq!(filled.asked(), 2);
    // Much history of one tag is leapt over.
    for n in 0..3000 {
        let link = format!("repositories/b/_manifests/tags/latest/index/sha256/{n:04}/link");
        filled.put(&link, "x").await;
    }
    filled
        .put("repositories/b/_manifests/tags/latest/current/link", "x")
        .await;
    filled
        .put("repositories/b/_manifests/tags/v1/current/link", "x")
        .await;
    let list = storage.list_tags(&b, None, 100);
    assert_eq!(list.await.expect("a list").items.len(), 2);
    assert_eq!(filled.asked(), 2);
}

#[tokio::test]
async fn repositories_are_listed_in_their_own_order_page_by_page() {
    let filled = Filled::new(3);
    let mut names = BTreeSet::new();
    for text in [
        "a",
        "a/b",
        "a/b/c",
        "a-b",
        "a.b",
        "a-b/c",
        "a/b-c",
        "a/b.c/d",
        "b",
        "a_b",
        "a__b",
        "0",
        "deep/er/and/deep/er",
        "z/y",
    ] {
        filled.put_manifest(text, Some("v1"), MANIFEST).await;
        names.insert(name(text));
    }
    // Neither has a manifest.
    filled
        .put("repositories/uploads/only/_uploads/x/startedat", "x")
        .await;
    filled
        .put("repositories/layers/_layers/sha256/x/link", "x")
        .await;
    filled.put("repositories/.DS_Store", "x").await;
    for limit in [1, 2, 3, 100] {
        let mut listed: Vec<RepositoryName> = Vec::new();
        loop {
            let page = filled
                .storage
                .list_repositories(listed.last(), limit)
                .await
                .expect("a list");
            listed.extend(page.items);
            if !page.more {
                break;
            }
        }
        assert!(listed.iter().eq(&names), "limit {limit}: {listed:?}");
    }
    // From where there is none.
    let page = filled
        .storage
        .list_repositories(Some(&name("a/b/b")), 1)
        .await;
    assert_eq!(page.expect("a list").items, [name("a/b/c")]);
}

#[tokio::test]
async fn what_another_program_wrote_is_served() {
    let filled = Filled::new(1000);
    let (storage, a) = (&filled.storage, name("a"));
    let digest = filled.put_manifest("a", Some("v1"), MANIFEST).await;
    let tag = "v1".parse().expect("a tag");
    let stored = storage.read_manifest(&a, &Reference::Tag(tag)).await;
    let stored = stored.expect("there");
    assert_eq!(
        (stored.digest, &stored.bytes[..]),
        (digest, MANIFEST.as_bytes())
    );
    assert_eq!(stored.media_type, MediaType::OCI_MANIFEST);

    // A blob that was pushed by sha512 is kept under its sha256.
    let content = "content";
    let (short, long) = [Algorithm::Sha256, Algorithm::Sha512]
        .map(|algorithm| Digest::of(algorithm, content.as_bytes()))
        .into();
    let hex = short.hex();
    filled
        .put(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), content)
        .await;
    let link = format!("repositories/a/_layers/sha512/{}/link", long.hex());
    filled.put(&link, &format!("{short}\n")).await;
    assert_eq!(storage.stat_blob(&a, &long).await.expect("there"), 7);
    let blob = storage
        .read_blob(&a, &long, Some(1..3))
        .await
        .expect("there");
    assert_eq!(blob.size, 7);
    assert!(storage.stat_blob(&a, &short).await.is_err());
    storage
        .mount_blob(&name("b"), &long, Some(&a))
        .await
        .expect("mounted");
    assert_eq!(
        storage.stat_blob(&name("b"), &long).await.expect("there"),
        7
    );

    // A link alone proves nothing, nor does one that is cut short.
    let gone = Digest::of(Algorithm::Sha256, b"gone");
    let link = format!("repositories/a/_layers/sha256/{}/link", gone.hex());
    filled.put(&link, &gone.to_string()).await;
    assert!(matches!(
        storage.stat_blob(&a, &gone).await,
        Err(StorageError::BlobUnknown)
    ));
    for broken in ["", "sha256:", "x"] {
        filled
            .put("repositories/a/_manifests/tags/broken/current/link", broken)
            .await;
        let tag = Reference::Tag("broken".parse().expect("a tag"));
        let read = storage.read_manifest(&a, &tag).await;
        assert!(
            matches!(read, Err(StorageError::ManifestUnknown)),
            "{broken:?}"
        );
    }
}

#[tokio::test]
async fn referrers_that_another_program_wrote_are_listed() {
    let filled = Filled::new(2);
    let (storage, a) = (&filled.storage, name("a"));
    let subject = filled.put_manifest("a", Some("v1"), MANIFEST).await;
    let mut expected = BTreeSet::new();
    for n in 0..5 {
        let mut manifest = MANIFEST.trim_end_matches('}').to_owned();
        let descriptor = format!(r#"{{"mediaType":"a/b","size":76,"digest":"{subject}"}}"#);
        write!(manifest, r#","n":{n},"subject":{descriptor}}}"#).expect("a text");
        expected.insert(filled.put_manifest("a", None, &manifest).await);
    }
    for limit in [1, 2, 9] {
        let mut listed: Vec<Digest> = Vec::new();
        loop {
            let page = storage
                .list_referrers(&a, &subject, listed.last(), limit)
                .await;
            let page = page.expect("a list");
            listed.extend(page.items);
            if !page.more {
                break;
            }
        }
        assert!(listed.iter().eq(&expected), "limit {limit}");
    }
    // The entry goes with its manifest.
    let first = *expected.first().expect("five");
    storage.delete_manifest(&a, &first).await.expect("deleted");
    let page = storage.list_referrers(&a, &subject, None, 9).await;
    assert_eq!(page.expect("a list").items.len(), 4);
}

#[tokio::test]
async fn a_delete_takes_every_tag_with_it() {
    let filled = Filled::new(3);
    let (storage, a) = (&filled.storage, name("a"));
    let mut digest = None;
    for n in 0..40 {
        digest = Some(
            filled
                .put_manifest("a", Some(&format!("v{n}")), MANIFEST)
                .await,
        );
    }
    let other = MANIFEST.replace('}', r#","a":1}"#);
    filled.put_manifest("a", Some("other"), &other).await;
    let digest = digest.expect("forty times");
    storage.delete_manifest(&a, &digest).await.expect("deleted");
    let page = storage.list_tags(&a, None, 100).await.expect("a list");
    assert_eq!(page.items, ["other".parse().expect("a tag")]);
    let below = filled
        .storage
        .objects
        .below("some/where/docker/registry/v2/repositories/a/_manifests/tags/v1/");
    let left: Vec<_> = futures_util::StreamExt::collect(below).await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_look_at_the_store_leaves_nothing_behind() {
    let filled = Filled::new(1000);
    let probed = filled.storage.probe().await.expect("it works");
    assert!(probed.compares);
    let left: Vec<_> = futures_util::StreamExt::collect(filled.store.list(None)).await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_store_that_cannot_compare_is_told() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let files = object_store::local::LocalFileSystem::new_with_prefix(dir.path());
    let storage = ObjectStorage::new(Arc::new(files.expect("a directory")));
    assert!(!storage.probe().await.expect("it works").compares);
}
