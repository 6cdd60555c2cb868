//! What the store knows of an upload session: the object `session`.
//!
//! ```text
//! {"stamp":…,"offset":25000000,"multipart":{"id":…,"parts":[…],"bytes":20971520},…}\n
//! <the 4028480 bytes that are in no part yet>
//! ```

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, PutPayload, UpdateVersion};
use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Hasher, UploadId};
use serde::{Deserialize, Serialize};

use super::error::{At, ObjectError};
use super::objects::{Objects, version_of};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// Another one in each save.
    pub(super) stamp: String,
    algorithm: Algorithm,
    /// Of all bytes, those of the parts and those that follow this header.
    pub(super) offset: u64,
    hash: Option<SavedHash>,
    pub(super) multipart: Option<Multipart>,
    /// Which process is at work on the parts.
    pub(super) writer: Option<String>,
}

/// Good for the version of this crate that wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedHash {
    version: String,
    state: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Multipart {
    pub(super) id: String,
    /// What the store calls the parts, in their order.
    pub(super) parts: Vec<String>,
    /// Of all parts.
    pub(super) bytes: u64,
}

impl Header {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let mut header = Self {
            stamp: String::new(),
            algorithm,
            offset: 0,
            hash: None,
            multipart: None,
            writer: None,
        };
        header.set_hasher(Some(&Hasher::new(algorithm)));
        header
    }

    /// How many bytes are in parts.
    pub(super) fn part_bytes(&self) -> u64 {
        self.multipart.as_ref().map_or(0, |parts| parts.bytes)
    }

    /// The hash of all bytes, in the algorithm with which the session began.
    /// `None` when it must be computed anew.
    pub(super) fn hasher(&self) -> Option<Hasher> {
        let hash = self.hash.as_ref()?;
        if hash.version != env!("CARGO_PKG_VERSION") {
            return None;
        }
        Hasher::resume(self.algorithm, &hash.state)
    }

    pub(super) fn set_hasher(&mut self, hasher: Option<&Hasher>) {
        self.hash = hasher.map(|hasher| SavedHash {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: hasher.save(),
        });
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The object to be put, under a new stamp.
    pub(super) fn stamped(&mut self, tail: Bytes) -> PutPayload {
        self.stamp = UploadId::random().to_string();
        let mut line = serde_json::to_vec(self).expect("numbers and texts always serialize");
        line.push(b'\n');
        [Bytes::from(line), tail].into_iter().collect()
    }
}

/// A session's object, of which the header has been read.
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) version: UpdateVersion,
    tail_len: usize,
    /// The beginning of the tail.
    first: Bytes,
    rest: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Opened {
    pub(super) const fn tail_len(&self) -> usize {
        self.tail_len
    }

    /// Reads the tail to a vector with room for `capacity` bytes.
    pub(super) async fn tail(
        mut self,
        key: &Path,
        capacity: usize,
    ) -> Result<Vec<u8>, StorageError> {
        let mut tail = Vec::with_capacity(capacity.max(self.tail_len));
        tail.extend_from_slice(&self.first);
        while let Some(chunk) = self.rest.try_next().await.at("read", key.as_ref())? {
            tail.extend_from_slice(&chunk);
        }
        if tail.len() != self.tail_len {
            return Err(ObjectError::broken(
                key,
                "has another length than it should",
            ));
        }
        Ok(tail)
    }
}

/// Longer than most headers: those of some thousand parts are longer.
const USUAL_HEADER: u64 = 64 * 1024;

impl Objects {
    /// Reads a session's header, without its tail; `None` when there is no such
    /// session.
    pub(super) async fn read_header(&self, key: &Path) -> Result<Option<Header>, StorageError> {
        let range = GetOptions {
            range: Some(GetRange::Bounded(0..USUAL_HEADER)),
            ..GetOptions::default()
        };
        let opened = match self.open_record(key, range).await {
            Err(StorageError::Backend { .. }) => self.open_session(key).await,
            opened => opened,
        };
        Ok(opened?.map(|opened| opened.header))
    }

    /// Opens a session's object; `None` when there is no such session.
    pub(super) async fn open_session(&self, key: &Path) -> Result<Option<Opened>, StorageError> {
        self.open_record(key, GetOptions::default()).await
    }

    async fn open_record(
        &self,
        key: &Path,
        options: GetOptions,
    ) -> Result<Option<Opened>, StorageError> {
        let got = self.bucket.objects.get_opts(key, options).await;
        let Some(got) = got.if_present("read", key.as_ref())? else {
            return Ok(None);
        };
        let version = version_of(&got.meta);
        let mut rest = got.into_stream();
        let mut line = Vec::new();
        let first = loop {
            let Some(mut chunk) = rest.try_next().await.at("read", key.as_ref())? else {
                return Err(ObjectError::broken(key, "is not an upload session"));
            };
            if let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&chunk.split_to(end + 1));
                break chunk;
            }
            line.extend_from_slice(&chunk);
        };
        let header: Option<Header> = serde_json::from_slice(&line).ok();
        let opened = header.and_then(|header| {
            let tail_len = header.offset.checked_sub(header.part_bytes())?;
            Some(Opened {
                tail_len: usize::try_from(tail_len).ok()?,
                header,
                version,
                first,
                rest,
            })
        });
        opened
            .map(Some)
            .ok_or_else(|| ObjectError::broken(key, "is not an upload session"))
    }
}
