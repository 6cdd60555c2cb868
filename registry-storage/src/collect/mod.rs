//! Garbage collection beside pushes, from any process.
//!
//! | unit | lives while | is removed as |
//! |---|---|---|
//! | a manifest: its link in a repository | a tag stands at it, a live index names it, its `subject` lives, or untagged manifests are kept | untagged manifest |
//! | a layer link: a blob belongs to a repository | a manifest of the repository names it | unused layer link |
//! | a blob: its bytes | a link of either kind in any repository names it | unlinked blob |
//!
//! Each lives as long as it is younger than the grace period, too. Who keeps a
//! unit alive is its keeper; keepers are above what they keep in the table, or
//! are tags.
//!
//! # The protocol
//!
//! Nothing is locked, and no clock is relied upon (in object stores, the time
//! that a request may be on its way is). All that is asked of the
//! store are atomic steps on one unit, each of which sees what was
//! acknowledged before it began.
//!
//! *A writer* publishes, then checks: it writes the keeper, and then looks at
//! each unit that the keeper needs. What it finds set aside it puts back; if
//! something is gone, it takes the keeper away again and fails.
//!
//! *A collector* works down the table, and ends each row before it begins the
//! next. Manifests, which keep each other, are a row for each generation: first
//! those that nothing keeps which is to go as well, then those that only these
//! kept. In each row it
//!
//! 1. **marks**: lists the keepers, and what they keep;
//! 2. **sets aside** each unit that no keeper keeps and that is old: one atomic
//!    step to a name of its own, after which the unit is not in its place, and
//!    anybody can put it back;
//! 3. **looks again**: lists the keepers once more, and whether the unit was
//!    touched before it was set aside;
//! 4. **puts back** what has a keeper now, and **deletes** the rest under the
//!    name of its own. If it is not there any more, somebody has put it back,
//!    and it lives, with all that it keeps.
//!
//! *Everybody* takes a unit that is set aside for one that is there, in two
//! ways: readers read it where it is, and to a collector it keeps what it
//! names, like one in its place. Only a deletion ends it.
//!
//! # Why it is safe
//!
//! Let a writer acknowledge a keeper `k` of a unit `u`. It published `k`, then
//! found `u` in its place or put it back: call that moment the check. Suppose
//! a collector deletes `u` afterwards; it has set it aside before.
//!
//! * *Set aside before the check.* The writer found `u` not in its place, and
//!   put it back, so that the name under which the collector would delete it
//!   was gone. (Or it was back already, as another writer's or collector's
//!   doing; the same holds.)
//! * *Set aside after the check.* `k` was published before the check, hence
//!   before the collector looked again: it has seen `k`, and put `u` back.
//!
//! Either contradicts the deletion. That `k` itself is not deleted follows the
//! same way from its own keeper, up to a tag; and since rows are ended from
//! the top down, and what is set aside still keeps, a manifest that is put
//! back finds all that it needs. (Manifests keep each other in a circle only
//! where an index has its subject for a child, too. These go together, and one
//! that is tagged at that moment may lose its referrer.)
//!
//! *Two collectors* set aside under different names. One takes over what the
//! other has set aside by another atomic step, after which the other's
//! deletion finds nothing. So each deletion has a look again between it and
//! the last time that its unit was set aside.
//!
//! *A collector that dies* leaves units set aside. They are read where they
//! are, and the next collection puts back those that live and takes over the
//! others.
//!
//! *Several machines* must see each other's steps at once. NFS shows them after
//! a while only, unless it is mounted with `noac`.
//!
//! *A delete by a client* removes what is in its place and what is set aside,
//! so that no collector brings it back.
//!
//! # In object stores
//!
//! These know no renames. There a unit that is set aside stays in its place,
//! with an object beside it that says so: a tombstone, of each collector its
//! own. Who puts the unit back withdraws that. A collector deletes in three
//! steps: it condemns the tombstone, unless it was withdrawn, which the store
//! tells in one step; then the unit goes, and then the tombstone. Writers wait
//! for the end of that. A manifest is published by another object, which only
//! collectors see, until all that it needs is known to be there. With this the
//! argument is the same. A store that cannot write on a condition is refused.
//!
//! # The grace period
//!
//! It is a courtesy to clients, not what the argument rests on: one that was
//! told that a blob is there has that long to push the manifest that needs it.
//! A `HEAD` of a blob, a mount and the end of an upload renew its link's time,
//! at most every quarter of an hour; a push of a manifest renews the
//! manifest's. A shorter grace period makes such pushes fail, never lie; what a manifest
//! names without requiring it, as with validation turned off, has no other
//! protection. One
//! that is shorter than a push may also find a manifest collected between its
//! push and the push of the tag.
//!
//! Ages are told by the store's clock alone: the times of units are compared
//! with that of a file or object written at the start. What comes from the future is
//! young. Programs that take no part in this, such as Distribution, are
//! protected by the grace period only.
//!
//! # Damage
//!
//! A manifest or link that cannot be read may keep anything in its repository:
//! the repository's manifests and layer links are then all kept, and with them
//! its blobs. Where even a repository's links cannot be listed, no blob is
//! deleted at all. Each is told as a [`Problem`], and nothing else is kept.

mod keys;
mod mark;
mod options;
mod relied;
mod report;
mod run;
mod steps;

#[cfg(test)]
pub(crate) mod model;

pub use options::CollectOptions;
pub use report::{Consequence, Counted, Event, Item, Problem, Reason, Report};

pub(crate) use relied::{Shelf, YOUNG, link_blob, push_manifest};
pub(crate) use run::Run;
#[cfg(feature = "object-store")]
pub(crate) use steps::Told;
pub(crate) use steps::{Found, Listed, Repositories, Steps, Unit};
