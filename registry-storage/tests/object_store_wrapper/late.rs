//! A store in memory that takes its time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A store whose answers, and whose acts, come late by a few milliseconds of a
/// clock that does not really run.
#[derive(Debug)]
pub(crate) struct Late {
    store: InMemory,
    random: Arc<Random>,
}

impl Late {
    /// Late by other times for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            store: InMemory::new(),
            random: Arc::new(Random(AtomicU64::new(seed))),
        }
    }
}

/// The same numbers for the same seed.
#[derive(Debug)]
struct Random(AtomicU64);

impl Random {
    fn next(&self, below: Range<u64>) -> u64 {
        let step = |x: u64| {
            x.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
        };
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(step(x)))
            .expect("always some");
        below.start + (step(before) >> 33) % (below.end - below.start)
    }

    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(self.next(0..6))).await;
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late")
    }
}

#[async_trait]
impl ObjectStore for Late {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.random.wait().await;
        let result = self.store.put_opts(location, payload, opts).await;
        self.random.wait().await;
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.random.wait().await;
        let result = self.store.get_opts(location, options).await;
        self.random.wait().await;
        result
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let random = Arc::clone(&self.random);
        let locations = locations.then(move |location| {
            let random = Arc::clone(&random);
            async move {
                random.wait().await;
                location
            }
        });
        self.store.delete_stream(locations.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let random = Arc::clone(&self.random);
        let listed = self.store.list(prefix);
        stream::once(async move { random.wait().await })
            .flat_map(|()| stream::empty())
            .chain(listed)
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.random.wait().await;
        self.store.copy_opts(from, to, options).await
    }
}
