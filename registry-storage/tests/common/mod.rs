//! A tree, seen from both sides: through the storage, and as files.

pub(crate) mod busy;
pub(crate) mod collecting;

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::TryStreamExt;
use registry_spec::BoxError;
use registry_spec::storage::{ByteStream, PutManifest, Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, MediaType, RepositoryName, Tag, UploadId};
use registry_storage::FileSystem;
use tempfile::TempDir;

/// More than any test lists.
pub(crate) const ALL: usize = 1000;

pub(crate) struct Fixture {
    dir: TempDir,
    pub(crate) storage: FileSystem,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = FileSystem::new(dir.path());
        Self { dir, storage }
    }

    /// Another process on the same tree, or this one after a restart.
    pub(crate) fn restarted(&self) -> FileSystem {
        FileSystem::new(self.dir.path())
    }

    /// A path below `docker/registry/v2`.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("docker/registry/v2").join(path)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    /// Writes a file, with its directories.
    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file")).expect("created");
        fs::write(path, bytes).expect("written");
    }

    pub(crate) fn create_dir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).expect("created");
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).expect("removed");
    }

    // Content as Distribution writes it.

    pub(crate) fn foreign_data(&self, bytes: &[u8]) -> Digest {
        let digest = sha256(bytes);
        self.write(&data(&digest), bytes);
        digest
    }

    pub(crate) fn foreign_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = self.foreign_data(bytes);
        self.write(&layer(name, &digest), digest.to_string());
        digest
    }

    pub(crate) fn foreign_manifest(&self, name: &str, bytes: &[u8], tags: &[&str]) -> Digest {
        let digest = self.foreign_data(bytes);
        self.write(&revision(name, &digest), digest.to_string());
        for tag in tags {
            let index = format!("index/{}/link", pair(&digest));
            self.write(&tag_file(name, tag, &index), digest.to_string());
            self.write(&tag_file(name, tag, "current/link"), digest.to_string());
        }
        digest
    }
}

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> Digest {
    Digest::of(Algorithm::Sha256, bytes.as_ref())
}

pub(crate) fn pair(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm(), digest.hex())
}

pub(crate) fn data(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/{}/{}/{hex}/data", digest.algorithm(), &hex[..2])
}

pub(crate) fn layer(name: &str, digest: &Digest) -> String {
    format!("repositories/{name}/_layers/{}/link", pair(digest))
}

pub(crate) fn revision(name: &str, digest: &Digest) -> String {
    format!(
        "repositories/{name}/_manifests/revisions/{}/link",
        pair(digest)
    )
}

pub(crate) fn tag_file(name: &str, tag: &str, file: &str) -> String {
    format!("repositories/{name}/_manifests/tags/{tag}/{file}")
}

pub(crate) fn upload(name: &str, id: &UploadId, file: &str) -> String {
    format!("repositories/{name}/_uploads/{id}/{file}")
}

/// The bytes of a manifest that says `text`.
pub(crate) fn image(text: &str) -> Bytes {
    document(text, "")
}

/// The same, referring to `subject`.
pub(crate) fn signature(text: &str, subject: &Digest) -> Bytes {
    let subject = format!(
        r#","subject":{{"mediaType":"{}","digest":"{subject}","size":1}}"#,
        MediaType::OCI_MANIFEST
    );
    document(text, &subject)
}

fn document(text: &str, subject: &str) -> Bytes {
    let (media_type, empty) = (MediaType::OCI_MANIFEST, sha256("{}"));
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","layers":[],"config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}}{subject},"annotations":{{"text":"{text}"}}}}"#
    ))
}

pub(crate) fn put(bytes: &Bytes, tags: &[&str]) -> PutManifest {
    let mut put = PutManifest::new(sha256(bytes), MediaType::OCI_MANIFEST, bytes.clone());
    put.tags = tags.iter().map(|text| tag(text)).collect();
    put
}

pub(crate) async fn push_blob(storage: &FileSystem, repository: &str, bytes: &[u8]) -> Digest {
    let (repository, digest) = (name(repository), sha256(bytes));
    let id = storage
        .start_upload(&repository, Algorithm::Sha256)
        .await
        .expect("started");
    storage
        .append_upload(&repository, &id, 0, Bytes::copy_from_slice(bytes).into())
        .await
        .expect("appended");
    storage
        .finish_upload(&repository, &id, &digest)
        .await
        .expect("finished");
    digest
}

pub(crate) async fn push_manifest(
    storage: &FileSystem,
    repository: &str,
    bytes: &Bytes,
    tags: &[&str],
) -> Digest {
    storage
        .put_manifest(&name(repository), put(bytes, tags))
        .await
        .expect("put");
    sha256(bytes)
}

pub(crate) async fn collect(content: ByteStream) -> Result<Vec<u8>, BoxError> {
    let chunks: Vec<Bytes> = content.try_collect().await?;
    Ok(chunks.concat())
}

pub(crate) async fn read_blob(storage: &FileSystem, repository: &str, digest: &Digest) -> Vec<u8> {
    let blob = storage
        .read_blob(&name(repository), digest, None)
        .await
        .expect("opened");
    collect(blob.content).await.expect("read")
}

/// What a tag stands at.
pub(crate) async fn tagged(storage: &FileSystem, repository: &str, text: &str) -> Option<Digest> {
    match storage
        .read_manifest(&name(repository), &tag(text).into())
        .await
    {
        Ok(manifest) => Some(manifest.digest),
        Err(StorageError::ManifestUnknown) => None,
        Err(error) => panic!("{error:?}"),
    }
}

pub(crate) async fn tags(storage: &FileSystem, repository: &str) -> Vec<String> {
    let page = storage
        .list_tags(&name(repository), None, ALL)
        .await
        .expect("listed");
    page.items.iter().map(ToString::to_string).collect()
}

pub(crate) async fn referrers(
    storage: &FileSystem,
    repository: &str,
    subject: &Digest,
) -> Vec<Digest> {
    storage
        .list_referrers(&name(repository), subject, None, ALL)
        .await
        .expect("listed")
        .items
}

pub(crate) async fn repositories(storage: &FileSystem) -> Vec<String> {
    let page = storage.list_repositories(None, ALL).await.expect("listed");
    page.items.iter().map(ToString::to_string).collect()
}

pub(crate) async fn is_blob(storage: &FileSystem, repository: &str, digest: &Digest) -> bool {
    match storage.stat_blob(&name(repository), digest).await {
        Ok(_) => true,
        Err(StorageError::BlobUnknown) => false,
        Err(error) => panic!("{error:?}"),
    }
}
