//! What the tests share.

use futures_util::TryStreamExt as _;
use registry_spec::storage::{PutManifest, Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, MediaType, RepositoryName, UploadId};
use rusqlite::Connection;
use sqlite_backend::SqliteStorage;
use tempfile::TempDir;

/// A storage's directory, which outlives the storage.
pub(crate) struct Dir(TempDir);

impl Dir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn open(&self) -> SqliteStorage {
        SqliteStorage::open(self.0.path()).expect("a storage")
    }

    /// The database, as an administrator would open it beside the program.
    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.0.path().join("registry.db")).expect("a database")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> std::path::PathBuf {
        let algorithm = digest.algorithm().as_str();
        self.0
            .path()
            .join("blobs")
            .join(algorithm)
            .join(digest.hex())
    }

    pub(crate) fn upload(&self, id: &UploadId) -> std::path::PathBuf {
        self.0.path().join("uploads").join(id.as_str())
    }

    pub(crate) fn uploads(&self) -> usize {
        let entries = self.0.path().join("uploads").read_dir();
        entries.expect("a directory").count()
    }
}

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

pub(crate) fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

pub(crate) async fn push_blob(
    storage: &dyn Storage,
    repository: &str,
    content: &'static str,
) -> Result<Digest, StorageError> {
    let (name, digest) = (name(repository), sha256(content.as_bytes()));
    let id = storage.start_upload(&name, Algorithm::Sha256).await?;
    storage.append_upload(&name, &id, 0, content.into()).await?;
    storage.finish_upload(&name, &id, &digest).await?;
    Ok(digest)
}

pub(crate) async fn read_blob(
    storage: &dyn Storage,
    repository: &str,
    digest: &Digest,
) -> Result<Vec<u8>, StorageError> {
    let blob = storage.read_blob(&name(repository), digest, None).await?;
    let chunks: Vec<_> = blob.content.try_collect().await.expect("the blob reads");
    Ok(chunks.concat())
}

pub(crate) fn manifest(text: &str, tag: &str) -> PutManifest {
    let bytes = format!("{{\"schemaVersion\":2,\"annotations\":{{\"text\":\"{text}\"}}}}");
    let digest = sha256(bytes.as_bytes());
    let mut manifest = PutManifest::new(digest, MediaType::OCI_MANIFEST, bytes.into());
    manifest.tags = vec![tag.parse().expect("a tag")];
    manifest
}
