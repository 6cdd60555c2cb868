//! Tags that stay where they are.
//!
//! [`Immutable`] is a storage around another one. A push that would move a tag
//! of its rules to another manifest is refused, and so is the deletion of
//! the tag, or of the manifest that it stands at, whoever asks:
//! [`StorageError::TagImmutable`]. Pushing what is there already succeeds.
//!
//! | two at once | what comes of it |
//! |---|---|
//! | pushes of two manifests to a new tag, through any number of processes | one succeeds |
//! | a push of a tag and a delete of the manifest, through one process | one after the other |
//! | the same through several processes | the tag may go with the manifest |
//! | pushes with several new tags each | each tag is decided by itself |
//!
//! The first holds as far as the storage keeps its promise about
//! preconditions. Blobs can still be deleted, and so can manifests of an index
//! whose own tag is immutable: by people, that is; whoever cleans up goes by
//! what tags reach.
//!
//! ```
//! use registry_spec::storage::MemoryStorage;
//! use registry_storage::immutable::{Immutable, ImmutableRule, ImmutableTags};
//!
//! let releases = ImmutableRule::new(["team/**".parse()?], ["v*".parse()?]).except(["*-rc*".parse()?]);
//! let storage = Immutable::new(MemoryStorage::new(), ImmutableTags::new([releases]));
//! # let _ = storage;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod rules;
mod storage;

pub use rules::{CurrentImmutable, ImmutableRule, ImmutableTags};
pub use storage::Immutable;

#[cfg(doc)]
use registry_spec::storage::StorageError;
