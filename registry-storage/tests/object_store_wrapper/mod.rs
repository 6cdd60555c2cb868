//! A store in memory that fails, freezes and is slow when it is told to.

// Each test file needs some of it.
#![allow(dead_code)]

pub(crate) mod late;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::sleep;

#[derive(Clone, Debug)]
pub(crate) struct Wrapper {
    inner: Arc<InMemory>,
    how: Arc<How>,
}

#[derive(Debug, Default)]
struct How {
    frozen: AtomicBool,
    /// In milliseconds.
    delay: AtomicU64,
    /// How many requests there will be up to the one that fails.
    failing: AtomicUsize,
    answer_lost: AtomicBool,
    has_failed: AtomicBool,
    /// Bytes of all objects that were put.
    written: AtomicUsize,
}

impl Wrapper {
    pub(crate) fn new(inner: Arc<InMemory>) -> Self {
        let how = Arc::default();
        Self { inner, how }
    }

    /// Leaves all requests without an answer.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.how.frozen.store(frozen, Ordering::Relaxed);
    }

    pub(crate) fn slow_down(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).expect("short");
        self.how.delay.store(delay, Ordering::Relaxed);
    }

    /// Fails the request with that number, counted from 1.
    pub(crate) fn fail(&self, number: usize, answer_lost: bool) {
        self.how.failing.store(number, Ordering::Relaxed);
        self.how.answer_lost.store(answer_lost, Ordering::Relaxed);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.how.has_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn written(&self) -> usize {
        self.how.written.load(Ordering::Relaxed)
    }

    async fn answer<T: Send>(&self, request: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let how = &self.how;
        while how.frozen.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100)).await;
        }
        let delay = how.delay.load(Ordering::Relaxed);
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        let left = how
            .failing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        if left != Ok(1) {
            return request.await;
        }
        how.has_failed.store(true, Ordering::Relaxed);
        if how.answer_lost.load(Ordering::Relaxed) {
            let _ = request.await;
        }
        Err(Error::Generic {
            store: "wrapper",
            source: "told to fail".into(),
        })
    }
}

impl fmt::Display for Wrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapper")
    }
}

#[async_trait]
impl ObjectStore for Wrapper {
    async fn put_opts(&self, to: &Path, data: PutPayload, how: PutOptions) -> Result<PutResult> {
        let len = data.content_length();
        let put = self.answer(self.inner.put_opts(to, data, how)).await;
        self.how.written.fetch_add(len, Ordering::Relaxed);
        put
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.answer(self.inner.put_multipart_opts(to, how)).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        self.answer(self.inner.get_opts(from, how)).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let wrapper = self.clone();
        paths
            .then(move |path| {
                let wrapper = wrapper.clone();
                async move {
                    let path = stream::iter([path]).boxed();
                    let deleted = wrapper.inner.delete_stream(path);
                    let mut deleted = wrapper.answer(deleted.try_collect::<Vec<_>>()).await?;
                    Ok(deleted.remove(0))
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (wrapper, listed) = (self.clone(), self.inner.list(prefix));
        stream::once(async move { wrapper.answer(listed.try_collect::<Vec<_>>()).await })
            .map_ok(|objects| stream::iter(objects.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.answer(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.answer(self.inner.copy_opts(from, to, how)).await
    }
}
