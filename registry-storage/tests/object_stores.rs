//! What stores do that is right and yet surprising.

#![cfg(feature = "object-store")]

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use registry_spec::storage::{ByteStream, Expected, Precondition, PutManifest, Storage};
use registry_spec::types::{Algorithm, Digest, MediaType, RepositoryName, Tag};
use registry_storage::ObjectStorage;
use registry_storage::object::Bucket;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Nothing,
    /// The answer to each conditional write is lost, and the client of the
    /// store asks again.
    LoseAnswers,
    /// A copy goes on after it has been answered, as in Azure.
    CopyLater,
    /// It is slow, and what it holds is from many years.
    BeOld,
}

#[derive(Clone, Debug)]
struct Surprising(Arc<InMemory>, Does);

impl fmt::Display for Surprising {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("surprising")
    }
}

#[async_trait]
impl ObjectStore for Surprising {
    async fn put_opts(&self, to: &Path, data: PutPayload, how: PutOptions) -> Result<PutResult> {
        if self.1 == Does::LoseAnswers && how.mode != PutMode::Overwrite {
            let _ = self.0.put_opts(to, data.clone(), how.clone()).await;
        }
        self.0.put_opts(to, data, how).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        if self.1 == Does::BeOld {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.0.get_opts(from, how).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.0.list(prefix);
        if self.1 != Does::BeOld {
            return listed;
        }
        let date = |mut object: ObjectMeta| {
            let digest = Digest::of(Algorithm::Sha256, object.location.as_ref().as_bytes());
            let seconds = u32::from_str_radix(&digest.hex()[..7], 16).expect("hexadecimal");
            let age = Duration::from_secs(seconds.into());
            object.last_modified = (SystemTime::UNIX_EPOCH + age).into();
            object
        };
        listed.map_ok(date).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        if self.1 != Does::CopyLater {
            return self.0.copy_opts(from, to, how).await;
        }
        self.0.put(to, PutPayload::new()).await?;
        let (store, from, to) = (Arc::clone(&self.0), from.clone(), to.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let _ = store.copy_opts(&from, &to, how).await;
        });
        Ok(())
    }
}

fn name() -> RepositoryName {
    "a/b".parse().expect("valid")
}

fn manifest(n: usize, tag: &str) -> PutManifest {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","n":{n}}}"#
    );
    let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
    let mut put = PutManifest::new(digest, MediaType::OCI_MANIFEST, Bytes::from(text));
    put.tags = vec![tag.parse().expect("a tag")];
    put
}

async fn push(storage: &ObjectStorage, content: Bytes) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, &content);
    let id = storage.start_upload(&name(), Algorithm::Sha256).await;
    let id = id.expect("a session starts");
    let body = ByteStream::from(content);
    let appended = storage.append_upload(&name(), &id, 0, body).await;
    appended.expect("is taken");
    let finished = storage.finish_upload(&name(), &id, &digest).await;
    finished.expect("has that digest");
    digest
}

async fn read(storage: &ObjectStorage, digest: &Digest) -> Bytes {
    let blob = storage.read_blob(&name(), digest, None).await;
    let content = blob.expect("the blob opens").content;
    let chunks: Vec<Bytes> = content.try_collect().await.expect("the blob reads");
    chunks.concat().into()
}

#[tokio::test]
async fn a_root_directory_is_taken_as_it_is_written() {
    let root = "team~a/50%/[x]";
    let store = Arc::new(InMemory::new());
    let bucket = Bucket::new(Arc::clone(&store) as _);
    let storage = ObjectStorage::builder(bucket)
        .root_directory(Path::parse(root).expect("a path"))
        .part_size(1000)
        .build();
    let put = manifest(1, "t");
    let subject = put.digest;
    let mut referrer = manifest(2, "u");
    referrer.subject = Some(subject);
    let name = name();
    for put in [put, referrer.clone()] {
        storage.put_manifest(&name, put).await.expect("put");
    }
    let content = Bytes::from(vec![7; 3500]);
    let digest = push(&storage, content.clone()).await;
    assert!(read(&storage, &digest).await == content);

    let tags = storage.list_tags(&name, None, 10).await.expect("lists");
    assert_eq!(tags.items.len(), 2);
    let names = storage.list_repositories(None, 10).await.expect("lists");
    assert_eq!(names.items, std::slice::from_ref(&name));
    let referrers = storage.list_referrers(&name, &subject, None, 10).await;
    assert_eq!(referrers.expect("lists").items, [referrer.digest]);
    storage
        .delete_manifest(&name, &subject)
        .await
        .expect("deleted");
    let objects: Vec<_> = store.list(None).try_collect().await.expect("lists");
    for object in objects {
        let key = object.location.to_string();
        assert!(key.starts_with(&format!("{root}/docker/")), "{key}");
        assert!(!key.contains("_uploads"), "{key}");
    }
}

#[tokio::test]
async fn a_conditional_push_whose_answer_was_lost_has_succeeded() {
    let store = Surprising(Arc::new(InMemory::new()), Does::LoseAnswers);
    let storage = ObjectStorage::new(Arc::new(store));
    let tag: Tag = "t".parse().expect("a tag");
    let mut expected = Expected::Absent;
    for n in 0..3 {
        let mut put = manifest(n, "t");
        put.precondition = Some(Precondition::new(tag.clone().into(), expected));
        expected = Expected::OneOf(vec![put.digest]);
        let put = storage.put_manifest(&name(), put).await;
        put.expect("the condition holds");
    }
    let mut put = manifest(7, "v");
    put.precondition = Some(Precondition::new(put.digest.into(), Expected::Absent));
    let put = storage.put_manifest(&name(), put).await;
    put.expect("the condition holds");
}

#[tokio::test(start_paused = true)]
async fn a_blob_is_acknowledged_when_its_copy_has_ended() {
    for does in [Does::Nothing, Does::CopyLater] {
        let store = Surprising(Arc::new(InMemory::new()), does);
        let bucket = Bucket::new(Arc::new(store));
        let storage = ObjectStorage::builder(bucket).part_size(1000).build();
        let content = Bytes::from(vec![7; 3500]);
        let digest = push(&storage, content.clone()).await;
        assert!(read(&storage, &digest).await == content, "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn referrers_are_indexed_although_no_client_waits_so_long() {
    let memory = Arc::new(InMemory::new());
    let writer = ObjectStorage::new(Arc::clone(&memory) as _);
    let subject = manifest(0, "t").digest;
    let name = name();
    for n in 1..=2000 {
        let mut put = manifest(n, "t");
        let text = String::from_utf8_lossy(&put.bytes).replace(
            r#""n":"#,
            &format!(
                r#""subject":{{"mediaType":"{}","size":2,"digest":"{subject}"}},"n":"#,
                MediaType::OCI_MANIFEST
            ),
        );
        put.digest = Digest::of(Algorithm::Sha256, text.as_bytes());
        put.bytes = text.into();
        put.tags.clear();
        // As Distribution does it: without an entry.
        writer.put_manifest(&name, put).await.expect("put");
    }
    let mut waited = 0;
    let referrers = loop {
        // Another registry each time, which remembers nothing.
        let store = Surprising(Arc::clone(&memory), Does::BeOld);
        let storage = ObjectStorage::new(Arc::new(store));
        let list = storage.list_referrers(&name, &subject, None, 5000);
        match tokio::time::timeout(Duration::from_secs(4), list).await {
            Ok(referrers) => break referrers.expect("lists"),
            Err(_) => waited += 1,
        }
        assert!(waited < 10, "each request begins anew");
    };
    assert_eq!(referrers.items.len(), 2000);
    assert!(waited > 0, "the store was not slow enough");
}

#[tokio::test]
async fn a_session_that_went_on_since_it_was_listed_is_not_purged() {
    let store = Surprising(Arc::new(InMemory::new()), Does::BeOld);
    let storage = ObjectStorage::new(Arc::new(store));
    let name = name();
    let id = storage.start_upload(&name, Algorithm::Sha256).await;
    let id = id.expect("a session starts");
    let hour = Duration::from_secs(60 * 60);
    let purged = storage.purge_uploads(hour).await.expect("purges");
    assert_eq!(purged.sessions, 0);
    let appended = storage.append_upload(&name, &id, 0, "more".into());
    assert_eq!(appended.await.expect("is there"), 4);
}
