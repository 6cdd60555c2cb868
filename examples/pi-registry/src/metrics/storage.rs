//! Calls of the storage, measured.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use registry_spec::Storage;
use registry_spec::storage::{
    Blob, BlobUrl, ByteStream, Page, PutManifest, StorageError, StoredManifest,
};
use registry_spec::types::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};

/// The histograms of a storage's calls. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct StorageMetrics {
    seconds: Family<Action, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    driver: &'static str,
    action: &'static str,
}

impl StorageMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        // Distribution's buckets.
        let buckets = || {
            Histogram::new([
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ])
        };
        let seconds = Family::new_with_constructor(buckets as fn() -> Histogram);
        let help = "The number of seconds that the storage action takes";
        registry.register("registry_storage_action_seconds", help, seconds.clone());
        Self { seconds }
    }
}

/// A storage whose calls are measured.
///
/// Our storage does more in one call than distribution's drivers, so the
/// actions have names of their own. `ReadBlob` is the opening alone, and
/// `AppendUpload` includes the waiting for the client.
#[derive(Clone, Debug)]
pub struct MeasuredStorage {
    inner: Arc<dyn Storage>,
    driver: &'static str,
    metrics: StorageMetrics,
}

impl MeasuredStorage {
    pub(super) fn new(
        inner: Arc<dyn Storage>,
        driver: &'static str,
        metrics: StorageMetrics,
    ) -> Self {
        Self {
            inner,
            driver,
            metrics,
        }
    }

    async fn time<T>(&self, action: &'static str, call: impl Future<Output = T> + Send) -> T {
        let start = Instant::now();
        let result = call.await;
        let labels = Action {
            driver: self.driver,
            action,
        };
        let seconds = start.elapsed().as_secs_f64();
        let histogram = self.metrics.seconds.get_or_create(&labels);
        histogram.observe(seconds);
        result
    }
}

// A new method must not slip past unmeasured.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Storage for MeasuredStorage {
    async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, StorageError> {
        let call = self.inner.stat_blob(name, digest);
        self.time("StatBlob", call).await
    }

    async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Blob, StorageError> {
        let call = self.inner.read_blob(name, digest, range);
        self.time("ReadBlob", call).await
    }

    async fn redirect_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobUrl>, StorageError> {
        let call = self.inner.redirect_blob(name, digest);
        self.time("RedirectBlob", call).await
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        let call = self.inner.read_manifest(name, reference);
        self.time("ReadManifest", call).await
    }

    async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        let call = self.inner.start_upload(name, algorithm);
        self.time("StartUpload", call).await
    }

    async fn append_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        at: u64,
        body: ByteStream,
    ) -> Result<u64, StorageError> {
        let call = self.inner.append_upload(name, id, at, body);
        self.time("AppendUpload", call).await
    }

    async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let call = self.inner.finish_upload(name, id, digest);
        self.time("FinishUpload", call).await
    }

    async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: PutManifest,
    ) -> Result<(), StorageError> {
        let call = self.inner.put_manifest(name, manifest);
        self.time("PutManifest", call).await
    }

    async fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        let call = self.inner.list_tags(name, after, limit);
        self.time("ListTags", call).await
    }

    async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let call = self.inner.delete_manifest(name, digest);
        self.time("DeleteManifest", call).await
    }

    async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        let call = self.inner.delete_tag(name, tag);
        self.time("DeleteTag", call).await
    }

    async fn tag_pushed_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        let call = self.inner.tag_pushed_at(name, tag);
        self.time("TagPushedAt", call).await
    }

    async fn expire_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed_at: SystemTime,
    ) -> Result<bool, StorageError> {
        let call = self.inner.expire_tag(name, tag, pushed_at);
        self.time("ExpireTag", call).await
    }

    async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let call = self.inner.delete_blob(name, digest);
        self.time("DeleteBlob", call).await
    }

    async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<(), StorageError> {
        let call = self.inner.mount_blob(name, digest, from);
        self.time("MountBlob", call).await
    }

    async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let call = self.inner.list_referrers(name, subject, after, limit);
        self.time("ListReferrers", call).await
    }

    async fn stat_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StorageError> {
        let call = self.inner.stat_upload(name, id);
        self.time("StatUpload", call).await
    }

    async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), StorageError> {
        let call = self.inner.cancel_upload(name, id);
        self.time("CancelUpload", call).await
    }

    async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        let call = self.inner.list_repositories(after, limit);
        self.time("ListRepositories", call).await
    }
}

#[cfg(test)]
mod tests {
    use registry_spec::storage::MemoryStorage;

    use super::super::Metrics;
    use super::*;

    #[tokio::test]
    async fn a_call_is_measured_and_passed_on() {
        let metrics = Metrics::new();
        let storage = metrics.storage(Arc::new(MemoryStorage::new()), "s3aws");
        let name: RepositoryName = "demo".parse().expect("valid");
        let id = storage.start_upload(&name, Algorithm::Sha256).await;
        let id = id.expect("a session");
        assert_eq!(storage.stat_upload(&name, &id).await.expect("there"), 0);
        let text = metrics.text().expect("text");
        for action in ["StartUpload", "StatUpload"] {
            let line = format!(
                "registry_storage_action_seconds_count{{driver=\"s3aws\",action=\"{action}\"}} 1"
            );
            assert!(text.contains(&line), "{text}");
        }
    }
}
