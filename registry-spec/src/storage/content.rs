//! What goes in and out of a storage.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use http::HeaderValue;

use super::{ByteStream, StorageError};
use crate::types::{Digest, MediaType, Reference, Requirement, Tag};

/// A blob, opened for reading.
#[derive(Debug)]
#[non_exhaustive]
pub struct Blob {
    /// Length of the whole blob in bytes, also when only a range is read.
    pub size: u64,
    /// The bytes asked for.
    pub content: ByteStream,
}

impl Blob {
    /// A blob of `size` bytes in all, of which `content` has those asked for.
    #[must_use]
    pub const fn new(size: u64, content: ByteStream) -> Self {
        Self { size, content }
    }
}

/// Where a blob can be had without the registry.
#[derive(Clone)]
#[non_exhaustive]
pub struct BlobUrl {
    /// An absolute URL. Whoever has it may read the blob: `Debug` does not tell it.
    pub url: HeaderValue,
    /// Length of the whole blob in bytes.
    pub size: u64,
}

impl BlobUrl {
    /// `url` leads to a blob of `size` bytes.
    #[must_use]
    pub const fn new(url: HeaderValue, size: u64) -> Self {
        Self { url, size }
    }
}

impl fmt::Debug for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobUrl")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredManifest {
    /// The digest asked for, or the one that the tag stands at.
    pub digest: Digest,
    /// The type it was pushed as.
    pub media_type: MediaType,
    /// The exact bytes pushed.
    pub bytes: Bytes,
}

impl StoredManifest {
    /// A manifest that was read.
    #[must_use]
    pub const fn new(digest: Digest, media_type: MediaType, bytes: Bytes) -> Self {
        Self {
            digest,
            media_type,
            bytes,
        }
    }
}

/// A manifest to be stored: parsed, and checked against its digest, already.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PutManifest {
    /// The digest of `bytes`, in the algorithm that the client chose.
    pub digest: Digest,
    /// The type it was pushed as.
    pub media_type: MediaType,
    /// The exact bytes pushed.
    pub bytes: Bytes,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
    /// The tags to move to it.
    pub tags: Vec<Tag>,
    /// What must hold for the push to take place, checked and acted upon as one step.
    pub precondition: Option<Precondition>,
    /// What the repository must hold when the push is acknowledged. The caller
    /// has seen it there a moment ago, if it wants that at all.
    pub requirements: BTreeSet<Requirement>,
}

impl PutManifest {
    /// A manifest without subject, tags, precondition and requirements.
    #[must_use]
    pub const fn new(digest: Digest, media_type: MediaType, bytes: Bytes) -> Self {
        Self {
            digest,
            media_type,
            bytes,
            subject: None,
            tags: Vec::new(),
            precondition: None,
            requirements: BTreeSet::new(),
        }
    }
}

/// A condition on what a reference stands at before a push
/// ([RFC 9110, 13.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.1)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Precondition {
    /// The tag or digest being pushed.
    pub reference: Reference,
    /// What it must stand at.
    pub expected: Expected,
}

/// What a reference must stand at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// Nothing: it does not exist (`If-None-Match: *`).
    Absent,
    /// Anything: it exists (`If-Match: *`).
    Present,
    /// One of these digests (`If-Match: "<digest>", …`).
    OneOf(Vec<Digest>),
    /// Nothing, or this digest: what does not move.
    AbsentOr(Digest),
    /// Nothing, or something other than these (`If-None-Match: "<digest>", …`).
    NoneOf(Vec<Digest>),
}

impl Precondition {
    /// A condition on `reference`.
    #[must_use]
    pub const fn new(reference: Reference, expected: Expected) -> Self {
        Self {
            reference,
            expected,
        }
    }

    /// Compares with what the reference stands at.
    ///
    /// # Errors
    /// [`StorageError::PreconditionFailed`] when that is not as expected.
    pub fn check(&self, current: Option<&Digest>) -> Result<(), StorageError> {
        let holds = match (&self.expected, current) {
            (Expected::Absent, current) => current.is_none(),
            (Expected::Present, current) => current.is_some(),
            (Expected::OneOf(digests), Some(current)) => digests.contains(current),
            (Expected::OneOf(_), None) => false,
            (Expected::AbsentOr(digest), current) => current.is_none_or(|there| there == digest),
            (Expected::NoneOf(digests), Some(current)) => !digests.contains(current),
            (Expected::NoneOf(_), None) => true,
        };
        if holds {
            Ok(())
        } else {
            Err(StorageError::PreconditionFailed)
        }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Whether there is at least one more after the last of them.
    pub more: bool,
}

impl<T> Page<T> {
    /// A page of a list.
    #[must_use]
    pub const fn new(items: Vec<T>, more: bool) -> Self {
        Self { items, more }
    }

    /// The first `limit` of `items`, which may have any number more.
    pub fn take(items: impl IntoIterator<Item = T>, limit: usize) -> Self {
        let mut items = items.into_iter();
        let page: Vec<T> = items.by_ref().take(limit).collect();
        // A page of nothing has nowhere to go on from.
        let more = limit > 0 && items.next().is_some();
        Self::new(page, more)
    }
}
