//! What every method works on: the store, and small things that they share.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult,
    UpdateVersion,
};
use registry_spec::storage::StorageError;
use registry_spec::types::Digest;
use tokio::time::{Instant, sleep};

use super::bucket::Bucket;
use super::error::At;
use super::layout::{Layout, verbatim};
use super::manifest_cache::ManifestCache;
use super::referrers::Indexed;
use super::renew::Renewals;
use super::tombstones::PATIENCE as FOR_DELETIONS;
use crate::limits::MAX_LINK_LEN;
use crate::warned::Warned;

/// How many requests of one call are under way at once.
pub(super) const CONCURRENCY: usize = 16;

/// For how long a conditional write is tried again, and the pause after the
/// first time.
const PATIENCE: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The methods that answer requests are in the file of their resource.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) bucket: Bucket,
    pub(super) layout: Layout,
    pub(super) manifests: ManifestCache,
    pub(super) indexed: Indexed,
    pub(super) renewals: Renewals,
    /// For how long to wait for a collection that is just removing something.
    pub(super) pauses: &'static [Duration],
    /// Whether the store has refused to compare before it writes.
    unconditional: AtomicBool,
    warned: Warned<Path>,
}

/// What must hold for an object to be written.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// There is none.
    Absent,
    /// It is the one that was read.
    Unchanged(UpdateVersion),
}

/// An object of few bytes.
#[derive(Debug)]
pub(super) struct Small {
    pub(super) bytes: Bytes,
    pub(super) version: UpdateVersion,
    /// When it was written, by the store's clock.
    pub(super) modified: SystemTime,
}

/// A link as it was read.
#[derive(Debug)]
pub(super) struct Link {
    /// What it names; `None` when it is broken.
    pub(super) digest: Option<Digest>,
    pub(super) version: UpdateVersion,
    pub(super) modified: SystemTime,
}

/// What the content of a link names.
pub(super) fn digest_in(link: &[u8]) -> Option<Digest> {
    std::str::from_utf8(link).ok()?.trim().parse().ok()
}

impl Condition {
    fn mode(&self) -> PutMode {
        match self {
            Self::Absent => PutMode::Create,
            Self::Unchanged(version) => PutMode::Update(version.clone()),
        }
    }
}

/// Whether it says that the store knows no conditions.
pub(super) const fn cannot_compare(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(
        error,
        Error::NotImplemented { .. } | Error::NotSupported { .. }
    )
}

impl Objects {
    pub(super) fn new(bucket: Bucket, root: &Path) -> Self {
        Self {
            bucket,
            layout: Layout::new(root),
            manifests: ManifestCache::default(),
            indexed: Indexed::default(),
            renewals: Renewals::default(),
            pauses: FOR_DELETIONS,
            unconditional: AtomicBool::new(false),
            warned: Warned::default(),
        }
    }

    /// Reads an object, `None` when it is not there, or longer than `most`
    /// bytes.
    pub(super) async fn get(&self, path: &Path, most: u64) -> Result<Option<Small>, StorageError> {
        let key = path.as_ref();
        let got = self.bucket.objects.get(path).await;
        let Some(got) = got.if_present("read", key)? else {
            return Ok(None);
        };
        if got.meta.size > most {
            self.warn_once(path, "too large, taken as absent");
            return Ok(None);
        }
        let version = version_of(&got.meta);
        let modified = got.meta.last_modified.into();
        let bytes = got.bytes().await.at("read", key)?;
        Ok(Some(Small {
            bytes,
            version,
            modified,
        }))
    }

    /// Reads a link. One that is empty or cut short is as good as absent.
    pub(super) async fn read_link(&self, path: &Path) -> Result<Option<Digest>, StorageError> {
        let link = self.read_whole_link(path).await?;
        Ok(link.and_then(|link| link.digest))
    }

    /// Reads a link, with what the store tells of the object.
    pub(super) async fn read_whole_link(&self, path: &Path) -> Result<Option<Link>, StorageError> {
        let Some(read) = self.get(path, MAX_LINK_LEN as u64).await? else {
            return Ok(None);
        };
        let digest = digest_in(&read.bytes);
        if digest.is_none() {
            self.warn_once(path, "not a link, taken as absent");
        }
        Ok(Some(Link {
            digest,
            version: read.version,
            modified: read.modified,
        }))
    }

    /// Writes a link. Distribution accepts no newline.
    pub(super) async fn write_link(
        &self,
        path: &Path,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.put(path, digest.to_string().into()).await
    }

    pub(super) async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), StorageError> {
        let options = self.options(PutMode::Overwrite);
        let put = self
            .bucket
            .objects
            .put_opts(path, PutPayload::from_bytes(bytes), options);
        put.await.map(|_| ()).at("write", path.as_ref())
    }

    /// Writes an object if the condition holds, and returns its new version;
    /// `None` when it does not hold.
    ///
    /// Who gets `None` must see whether it was an earlier attempt at the same
    /// write that changed the object: the answer to that may have been lost.
    ///
    /// A store that cannot compare writes in any case: the last writer wins.
    pub(super) async fn put_if(
        &self,
        path: &Path,
        payload: PutPayload,
        condition: &Condition,
    ) -> Result<Option<UpdateVersion>, StorageError> {
        use object_store::Error;
        let mode = condition.mode();
        if !self.unconditional.load(Ordering::Relaxed) {
            match self.put_patiently(path, &payload, mode).await {
                Ok(put) => return Ok(Some(put.into())),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(None),
                Err(error) if cannot_compare(&error) => {
                    self.unconditional.store(true, Ordering::Relaxed);
                    tracing::warn!(
                        "the store writes without comparing: let one registry only write to it"
                    );
                }
                Err(error) => return Err(error).at("write", path.as_ref()),
            }
        }
        let options = self.options(PutMode::Overwrite);
        let put = self.bucket.objects.put_opts(path, payload, options);
        Ok(Some(put.await.at("write", path.as_ref())?.into()))
    }

    /// The same, for what must not be written without comparing; whether it
    /// was. Fails where the store cannot compare.
    pub(super) async fn put_compared(
        &self,
        path: &Path,
        payload: PutPayload,
        condition: &Condition,
    ) -> object_store::Result<bool> {
        use object_store::Error;
        match self.put_patiently(path, &payload, condition.mode()).await {
            Ok(_) => Ok(true),
            Err(
                Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The store's client does not repeat a conditional write whose connection
    /// broke. We do, for the short time in which that is not an outage.
    async fn put_patiently(
        &self,
        path: &Path,
        payload: &PutPayload,
        mode: PutMode,
    ) -> object_store::Result<PutResult> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let options = self.options(mode.clone());
            let put = self.bucket.objects.put_opts(path, payload.clone(), options);
            match put.await {
                Err(object_store::Error::Generic { .. }) if began.elapsed() < PATIENCE => {
                    sleep(pause).await;
                    pause *= 3;
                }
                result => return result,
            }
        }
    }

    fn options(&self, mode: PutMode) -> PutOptions {
        PutOptions {
            mode,
            attributes: self.bucket.attributes.clone(),
            ..PutOptions::default()
        }
    }

    pub(super) async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>, StorageError> {
        let head = self.bucket.objects.head(path).await;
        head.if_present("look at", path.as_ref())
    }

    /// Removes objects. One that is not there is as good as removed.
    pub(super) async fn delete(&self, paths: Vec<Path>) -> Result<(), StorageError> {
        let first = paths.first().map(Path::to_string).unwrap_or_default();
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.bucket.objects.delete_stream(paths);
        while let Some(deleted) = deleted.next().await {
            deleted.if_present("remove", &first)?;
        }
        Ok(())
    }

    /// Removes all that lies below a prefix.
    pub(super) async fn delete_all(&self, prefix: &str) -> Result<(), StorageError> {
        let below = self.below(prefix).map_ok(|object| object.location);
        self.delete(below.try_collect().await.at("list", prefix)?)
            .await
    }

    /// Every object below a prefix.
    pub(super) fn below(
        &self,
        prefix: &str,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.bucket.objects.list(Some(&verbatim(prefix)))
    }

    /// All objects below a prefix that are few.
    pub(super) async fn list_all(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
        self.below(prefix).try_collect().await.at("list", prefix)
    }

    /// The length of some content, if its bytes are there.
    pub(super) async fn content_len(&self, digest: &Digest) -> Result<Option<u64>, StorageError> {
        let path = self.layout.blob_data(digest);
        let head = self.head(&path).await?;
        Ok(head.and_then(|meta| self.present_len(digest, &path, meta.size)))
    }

    /// Opens some content, or the bytes of `range`, if its bytes are there;
    /// with the length of the whole.
    pub(super) async fn open_content(
        &self,
        digest: &Digest,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Option<(BoxStream<'static, object_store::Result<Bytes>>, u64)>, StorageError> {
        let path = self.layout.blob_data(digest);
        let options = GetOptions {
            // A range of nothing cannot be asked for.
            range: range
                .filter(|range| !range.is_empty())
                .map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let got = self.bucket.objects.get_opts(&path, options).await;
        let Some(got) = got.if_present("read", path.as_ref())? else {
            return Ok(None);
        };
        let size = got.meta.size;
        Ok(self
            .present_len(digest, &path, size)
            .map(|size| (got.into_stream(), size)))
    }

    fn present_len(&self, digest: &Digest, path: &Path, len: u64) -> Option<u64> {
        // As Distribution leaves it where a finish was cut short; as it is
        // absent, the next push brings the content back.
        if len == 0 && *digest != Digest::of(digest.algorithm(), b"") {
            self.warn_once(path, "empty, taken as absent");
            return None;
        }
        Some(len)
    }

    /// Logs a fault of an object at its first sight.
    pub(super) fn warn_once(&self, path: &Path, fault: impl Display) {
        if self.warned.is_first(path) {
            tracing::warn!(key = %path, "{fault}");
        }
    }
}

pub(super) fn version_of(meta: &ObjectMeta) -> UpdateVersion {
    UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    }
}
