//! Tags that nobody needs any more: which to keep, and removing the rest.
//!
//! A [`RetentionRule`] says what is kept of some repositories, and rules only
//! add up: a tag stays if any rule keeps it. A repository that no rule is
//! about keeps everything. So does, of the others,
//!
//! * whatever is immutable (see [`immutable`](crate::immutable));
//! * a tag of which the storage cannot tell when it was pushed;
//! * a tag in the name of another manifest (`sha256-<hex>`, `sha256-<hex>.sig`:
//!   a referrer of a client without the referrers API, or a signature) for as
//!   long as that manifest is there. It does not count among the newest.
//!
//! Removed is the tag alone. Its manifest stays, and can be pulled by its
//! digest, until garbage is collected.
//!
//! Rules about pulls need notes of them ([`Pulls`]). A tag that is not known to
//! have been pulled counts as pulled when it was pushed, or when the notes begin,
//! whichever is later; without notes it is kept.
//!
//! A tag that is pushed while this goes on is not removed: what decides is
//! when it was last pushed, and it is removed only if that is unchanged
//! ([`Storage::expire_tag`]). A repository in which something cannot be read
//! keeps everything.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use registry_spec::storage::MemoryStorage;
//! use registry_storage::immutable::ImmutableTags;
//! use registry_storage::retention::{Retention, RetentionRule};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let nightly = RetentionRule::new(["ci/**".parse()?])
//!     .newest(10)
//!     .tags(["release-*".parse()?])
//!     .pushed_within(Duration::from_secs(30 * 24 * 3600));
//! let retention = Retention::new([nightly]);
//! let storage = MemoryStorage::new();
//! let summary = retention
//!     .run(&storage, None, &ImmutableTags::default(), SystemTime::now(), false, |event| println!("{event:?}"))
//!     .await?;
//! assert_eq!(summary.removed, 0);
//! # Ok(()) }
//! ```

mod decide;
mod pulls;
mod rules;
mod run;

pub use decide::{Decision, Verdict, Why};
pub use pulls::{PULLS_NOTED_EVERY, Pulls};
pub use rules::{Retention, RetentionRule};
pub use run::{Event, Summary};

#[cfg(doc)]
use registry_spec::storage::Storage;
