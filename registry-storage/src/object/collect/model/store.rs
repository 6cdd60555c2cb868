//! A store in memory, each request to which is one step.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use crate::collect::model::Breakage;

/// What each key holds. The version of an object is made of its content, as in
/// S3: to write the same again changes nothing.
pub(super) type Objects = BTreeMap<String, Bytes>;

type Entries = Vec<(String, Bytes)>;

/// The store, as one task asks it.
#[derive(Clone)]
pub(super) struct Requests {
    objects: Arc<Mutex<Objects>>,
    /// What the task has seen so far.
    seen: Arc<Mutex<u64>>,
    /// Whether a request may be answered now.
    may_step: Arc<Mutex<bool>>,
    /// Takes the place of random names.
    run: usize,
    breakage: Breakage,
    first_looks: Arc<Mutex<HashMap<String, Entries>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn e_tag(bytes: &Bytes) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

fn meta(key: &str, bytes: &Bytes) -> ObjectMeta {
    // Everything is of the same old time.
    let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    ObjectMeta {
        location: Path::from(key),
        last_modified: modified.into(),
        size: bytes.len() as u64,
        e_tag: Some(e_tag(bytes)),
        version: None,
    }
}

fn is_way(prefix: &str) -> bool {
    let below = prefix
        .strip_prefix("docker/registry/v2/")
        .unwrap_or_default();
    let parts: Vec<&str> = below.split_terminator('/').collect();
    let is_list = prefix.ends_with('/');
    is_list
        && matches!(
            parts[..],
            ["repositories"] | ["repositories", _] | ["blobs", _]
        )
}

fn precondition(key: &str) -> Error {
    Error::Precondition {
        path: key.to_owned(),
        source: "changed".into(),
    }
}

impl Requests {
    pub(super) fn new(objects: &Arc<Mutex<Objects>>, run: usize, breakage: Breakage) -> Self {
        Self {
            objects: Arc::clone(objects),
            seen: Arc::default(),
            may_step: Arc::default(),
            run,
            breakage,
            first_looks: Arc::default(),
        }
    }

    pub(super) fn seen(&self) -> u64 {
        *lock(&self.seen)
    }

    pub(super) fn begin_step(&self) {
        *lock(&self.may_step) = true;
    }

    async fn step<T: Hash>(&self, key: &str, take: impl FnOnce(&mut Objects) -> T) -> T {
        // What nobody else looks at is no step worth an order, nor known before.
        if key.contains("/probes") {
            return take(&mut lock(&self.objects));
        }
        // The way to repositories and parts of the blobs is one step with what
        // comes before.
        let mut is_due = is_way(key);
        poll_fn(|context| {
            if is_due && (is_way(key) || std::mem::take(&mut *lock(&self.may_step))) {
                return Poll::Ready(());
            }
            is_due = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let result = take(&mut lock(&self.objects));
        let mut seen = lock(&self.seen);
        let mut hasher = DefaultHasher::new();
        (*seen, &result).hash(&mut hasher);
        *seen = hasher.finish();
        result
    }

    /// A push has a random name, of which a task has one at a time.
    fn key(&self, path: &Path) -> String {
        let key = path.to_string();
        match key.rsplit_once('/') {
            Some((push, _)) if key.contains("/pushes/") => format!("{push}/{}", self.run),
            _ => key,
        }
    }

    async fn listed(&self, prefix: String) -> Entries {
        let is_below = |key: &String| key.starts_with(&prefix);
        let below = |objects: &mut Objects| {
            let found = objects.iter().filter(|(key, _)| is_below(key));
            found
                .map(|(key, bytes)| (key.clone(), bytes.clone()))
                .collect::<Entries>()
        };
        let listed = self.step(&prefix, below).await;
        match self.breakage {
            Breakage::ChecksNothing if prefix.contains("/tombstones") => Vec::new(),
            Breakage::SeesNoPushes if prefix.contains("/pushes") => Vec::new(),
            Breakage::LooksOnce
                if prefix.contains("/repositories/") || prefix.contains("/pushes") =>
            {
                let mut looks = lock(&self.first_looks);
                looks.entry(prefix).or_insert(listed).clone()
            }
            _ => listed,
        }
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("model")
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("model")
    }
}

#[async_trait]
impl ObjectStore for Requests {
    async fn put_opts(&self, to: &Path, data: PutPayload, how: PutOptions) -> Result<PutResult> {
        let (key, bytes) = (self.key(to), Bytes::from(data));
        let compares = self.breakage != Breakage::ComparesNothing || key.contains("/probes/");
        let put = |objects: &mut Objects| {
            let there = objects.get(&key).map(e_tag);
            let holds = match &how.mode {
                PutMode::Overwrite => true,
                PutMode::Create => there.is_none(),
                PutMode::Update(version) => there.is_some() && there == version.e_tag,
            };
            if holds || !compares {
                objects.insert(key.clone(), bytes.clone());
            }
            holds || !compares
        };
        if !self.step(&key, put).await {
            return Err(precondition(&key));
        }
        Ok(PutResult {
            e_tag: Some(e_tag(&bytes)),
            version: None,
            extensions: Default::default(),
        })
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "put_multipart_opts".to_owned(),
            implementer: "model".to_owned(),
        })
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        let key = self.key(from);
        let got = self.step(&key, |objects| objects.get(&key).cloned()).await;
        let bytes = got.ok_or_else(|| Error::NotFound {
            path: key.clone(),
            source: "nothing".into(),
        })?;
        let meta = meta(&key, &bytes);
        how.check_preconditions(&meta)?;
        Ok(GetResult {
            range: 0..meta.size,
            payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
            meta,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let requests = self.clone();
        paths
            .then(move |path| {
                let requests = requests.clone();
                async move {
                    let path = path?;
                    let key = requests.key(&path);
                    let remove = |objects: &mut Objects| objects.remove(&key).is_some();
                    requests.step(&key, remove).await;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (requests, prefix) = (
            self.clone(),
            prefix.map_or(String::new(), |of| format!("{of}/")),
        );
        stream::once(async move { requests.listed(prefix).await })
            .flat_map(|listed| {
                let metas = listed
                    .into_iter()
                    .map(|(key, bytes)| Ok(meta(&key, &bytes)));
                stream::iter(metas.collect::<Vec<_>>())
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented {
            operation: "list_with_delimiter".to_owned(),
            implementer: "model".to_owned(),
        })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented {
            operation: "copy_opts".to_owned(),
            implementer: "model".to_owned(),
        })
    }
}
