//! What can go wrong in a backend.

use crate::BoxError;
use crate::types::{Digest, Tag};

/// Why a backend could not do what it was asked; each variant maps to one
/// answer of the spec's error table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no such repository (code-9 `NAME_UNKNOWN`, 404).
    #[error("repository name not known to registry")]
    NameUnknown,
    /// The repository has no such blob (code-1 `BLOB_UNKNOWN`, 404).
    #[error("blob unknown to registry")]
    BlobUnknown,
    /// The repository has no such manifest or tag (code-7 `MANIFEST_UNKNOWN`, 404).
    #[error("manifest unknown to registry")]
    ManifestUnknown,
    /// The repository has no such upload session (code-3 `BLOB_UPLOAD_UNKNOWN`, 404).
    #[error("blob upload unknown to registry")]
    UploadUnknown,
    /// A chunk does not start where the session stands (416, with the true `Range`).
    #[error("chunk starts at {at}, session is at {offset}")]
    OutOfOrder {
        /// Where the chunk would have started, in bytes.
        at: u64,
        /// Where the session stands, in bytes.
        offset: u64,
    },
    /// The content has another digest than the client said (code-4 `DIGEST_INVALID`, 400).
    #[error("provided digest did not match uploaded content, which has {actual}")]
    DigestMismatch {
        /// The digest of what was uploaded.
        actual: Digest,
    },
    /// Content that a pushed manifest needs is not there any more (code-5
    /// `MANIFEST_BLOB_UNKNOWN`, 404).
    #[error("manifest references a manifest or blob unknown to registry")]
    ContentUnknown {
        /// Some or all of what is missing.
        missing: Vec<Digest>,
    },
    /// A conditional push found something else (412).
    #[error("the reference does not stand where the request expects it")]
    PreconditionFailed,
    /// A tag stands at another manifest than is pushed, or is to be deleted,
    /// and the registry's rules let it do neither (409, code-12 `DENIED`).
    #[error("tag {tag} is immutable here, it cannot be moved or deleted")]
    TagImmutable {
        /// The tag.
        tag: Tag,
    },
    /// The request's body failed or was not as long as announced (400).
    #[error("could not read the request's body")]
    Body {
        /// What the body's stream said.
        #[source]
        source: BoxError,
    },
    /// There is no room for what is pushed (507). Logged with its sources; the
    /// client is told no more than that.
    #[error("{backend} backend has no room")]
    Full {
        /// Which backend: `filesystem`, say.
        backend: &'static str,
        /// How full it is.
        #[source]
        source: BoxError,
    },
    /// What the backend relies on cannot be reached or refuses to serve at the
    /// moment: the same request may work later (503, with `Retry-After`).
    /// Logged with its sources, never shown to the client.
    #[error("{backend} backend is unavailable")]
    Unavailable {
        /// Which backend: `object store`, say.
        backend: &'static str,
        /// What happened.
        #[source]
        source: BoxError,
    },
    /// The backend itself failed. Logged with its sources, never shown to the
    /// client (500).
    #[error("{backend} backend failed")]
    Backend {
        /// Which backend: `filesystem`, say.
        backend: &'static str,
        /// What happened.
        #[source]
        source: BoxError,
    },
}

impl StorageError {
    /// [`Backend`](Self::Backend): the backend of that name failed.
    pub fn backend(backend: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Backend { backend, source }
    }

    /// [`Full`](Self::Full): the backend of that name has no room.
    pub fn full(backend: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Full { backend, source }
    }

    /// [`Unavailable`](Self::Unavailable): the backend of that name cannot
    /// serve for a while.
    pub fn unavailable(backend: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Unavailable { backend, source }
    }
}
