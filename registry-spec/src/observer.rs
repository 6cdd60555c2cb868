//! Being told what the registry did: for webhooks, metrics, and logs.
//!
//! ```
//! use registry_spec::{Event, EventKind, Failure, Observer};
//!
//! #[derive(Debug)]
//! struct Print;
//!
//! impl Observer for Print {
//!     fn event(&self, event: &Event<'_>) {
//!         if let EventKind::ManifestPushed { tags, .. } = &event.kind {
//!             println!("{} pushed {} {tags:?}", event.identity, event.repository);
//!         }
//!     }
//!     fn failure(&self, failure: &Failure<'_>) {
//!         eprintln!("{} {} failed: {}", failure.method, failure.path, failure.cause);
//!     }
//! }
//! ```

use std::fmt::Debug;

use http::{Extensions, HeaderMap, Method};

use crate::auth::Identity;
use crate::types::{Digest, MediaType, Reference, RepositoryName, Tag};

/// Is told of what happened, once it is durable.
///
/// Called on the task that answers the request, before the answer is sent: it
/// must not block. Longer work belongs into a queue of the observer's own.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Something was pushed, pulled, mounted or deleted.
    fn event(&self, event: &Event<'_>);

    /// The registry itself failed; the client was told nothing but that, or,
    /// in the middle of a body, found the connection cut. Each failure is told
    /// once.
    fn failure(&self, failure: &Failure<'_>);
}

/// What happened, to what, by whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// Who did it.
    pub identity: &'a Identity,
    /// What was done.
    pub kind: EventKind,
    /// The request's headers: its user agent, say. Credentials are among them.
    pub headers: &'a HeaderMap,
    /// The request's extensions: what the server's layers know of the
    /// connection, such as the client's address.
    pub extensions: &'a Extensions,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A blob is being sent: by `GET`, not `HEAD`.
    #[non_exhaustive]
    BlobPulled {
        /// The blob.
        digest: Digest,
        /// Its whole length in bytes, also when a range was asked for.
        size: u64,
    },
    /// A blob was uploaded.
    #[non_exhaustive]
    BlobPushed {
        /// The blob.
        digest: Digest,
    },
    /// A blob of another repository is one of this now, too.
    #[non_exhaustive]
    BlobMounted {
        /// The blob.
        digest: Digest,
        /// Where it was taken from; `None` for anywhere.
        from: Option<RepositoryName>,
    },
    /// A blob was deleted.
    #[non_exhaustive]
    BlobDeleted {
        /// The blob.
        digest: Digest,
    },
    /// A manifest is being sent: by `GET`, not `HEAD`.
    #[non_exhaustive]
    ManifestPulled {
        /// The manifest.
        digest: Digest,
        /// Its type.
        media_type: MediaType,
        /// What it was asked for by.
        reference: Reference,
    },
    /// A client has asked for a manifest without its content: by `HEAD`, or with
    /// `If-None-Match` of what there is. Kubernetes starts an image like this
    /// that its node has already, and docker and containerd look before a push.
    #[non_exhaustive]
    ManifestProbed {
        /// The manifest.
        digest: Digest,
        /// What it was asked for by.
        reference: Reference,
    },
    /// A manifest was pushed.
    #[non_exhaustive]
    ManifestPushed {
        /// The manifest.
        digest: Digest,
        /// Its type.
        media_type: MediaType,
        /// Its length in bytes.
        size: u64,
        /// The tags that stand at it now.
        tags: Vec<Tag>,
    },
    /// A manifest was deleted, and with it its tags.
    #[non_exhaustive]
    ManifestDeleted {
        /// The manifest.
        digest: Digest,
    },
    /// A tag was deleted; its manifest stays.
    #[non_exhaustive]
    TagDeleted {
        /// The tag.
        tag: Tag,
    },
}

/// A failure of the registry, for its operator.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's path, as it was sent: percent-encoded, so without
    /// control characters; without the query.
    pub path: &'a str,
    /// What happened; its sources say why.
    pub cause: &'a (dyn std::error::Error + Send + Sync + 'static),
}

/// Keeps everything to itself.
#[derive(Debug)]
pub(crate) struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event<'_>) {}

    fn failure(&self, _: &Failure<'_>) {}
}
