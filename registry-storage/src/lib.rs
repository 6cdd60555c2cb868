//! Storage backends for [`registry_spec`], in CNCF Distribution's own layout,
//! so that a registry can take over what `registry:2` has written, and hand it
//! back.
//!
//! * [`FileSystem`] keeps everything in a directory tree. It is there on Unix
//!   only, since it relies on renames over open files and on syncing
//!   directories.
//! * `ObjectStorage` (feature `object-store`) keeps the same tree in the keys of
//!   S3, MinIO, Google Cloud Storage, Azure Blob Storage or any other store of
//!   the `object_store` crate, for any number of registries at once; see its
//!   module `object`. All that follows here is about [`FileSystem`].
//!
//! Over any storage:
//!
//! * [`immutable`] has tags that stay where they are.
//! * [`retention`] removes the tags that no rule keeps.
//!
//! # The tree
//!
//! ```text
//! <root>/docker/registry/v2/
//! ├── blobs/<alg>/<hh>/<hex>/data            content of blobs and manifests
//! └── repositories/<name>/
//!     ├── _layers/<alg>/<hex>/link           a blob belongs to the repository
//!     ├── _manifests/
//!     │   ├── revisions/<alg>/<hex>/link     so does a manifest
//!     │   └── tags/<tag>/
//!     │       ├── current/link               where the tag stands
//!     │       └── index/<alg>/<hex>/link     where it ever stood
//!     ├── _uploads/<id>/                     upload sessions
//!     │   ├── data, startedat
//!     │   └── hashstate.json                 ours: the hash so far
//!     └── _referrers/                        ours: derived
//!         ├── <subject>/<referrer>/link      two levels each: <alg>/<hex>
//!         ├── indexed
//!         └── lock
//! ```
//!
//! A link is a file that holds a digest. Existence is the presence of `data`,
//! never of a link. Distribution walks past what is ours. `_referrers/` is made
//! again when it is missing; delete it only while nothing writes, since the
//! repository's lock is in it. Nothing else removes the entries of manifests
//! that were deleted.
//!
//! # What is remembered
//!
//! Links and manifests that were asked for are kept in memory, in at most 4 MiB.
//! Each use looks at the file again, by path: a change by anybody is seen by
//! the next request. Only that a manifest was removed by hand, but not the tags
//! at it, is seen within a second. It is done on Linux 5.12 and later, on btrfs, ext4, f2fs,
//! overlayfs, tmpfs and XFS, where such a look does not wait for the disk, and
//! for files that were left alone for two seconds; all else is read each time.
//!
//! # When the disk fills up
//!
//! Pushes leave some of the disk free (`filesystem::Reserve`, by default 256 MiB or
//! 2 %), so that pulls, deletes and whatever else is on it go on. A push that
//! would use it is refused with `StorageError::Full`: when it begins, if its
//! length was announced or nothing is left, else in the middle, and then its
//! upload session is removed. Manifests may use three quarters of the reserve, so that
//! an image whose layers have arrived can be completed; links and deletes
//! all of it. A disk that is full in earnest gives the same error.
//!
//! # What survives a power cut
//!
//! A method's acknowledgement means that what it did is on the disk, as far as
//! the disk and its file system keep what they promise about `fsync`. Each
//! line is durable before the next begins (unless `filesystem::Durability::Fast`
//! is asked for):
//!
//! | push of a blob | push of a manifest | delete of a manifest |
//! |---|---|---|
//! | `data` is synced | its bytes, as a blob | each tag at it: `current/link`, then the rest |
//! | `data` is renamed to its place, the directory synced, and new ones in their parents | the link in `revisions` | the link in `revisions` |
//! | the link in `_layers` | its entry among the referrers (not synced, see below) | |
//! | | per tag `index/…/link`, then `current/link` | |
//!
//! Small files are written beside their place, synced, renamed, and their
//! directory is synced: a reader sees the old content or the new. What a crash
//! leaves half-way is content that nothing refers to, `*.tmp` files, or an
//! upload session; readers pass over all of these.
//!
//! # What is not promised
//!
//! * **Upload sessions** are not synced before they are finished. After a
//!   power cut a session may be shorter than it was reported, or gone. Its
//!   hash is then computed anew from what is stored.
//! * **Uploads over several hosts** are right but slow: a saved hash is believed
//!   only by the host and the boot that saved it, so that an upload in chunks
//!   that is balanced over hosts is hashed from its beginning at each switch.
//!   Send the requests of one upload to one host.
//! * **Hosts on one NFS** see each other's changes as late as their attribute
//!   and directory caches allow, by default up to a minute for what was absent
//!   when it was first asked for: a tag pushed through one host may still be
//!   unknown to another. Mount with `lookupcache=positive` or a short `actimeo`.
//! * **The referrers index** is not synced either; it is checked against the
//!   manifests once per boot, and completed after another program has written.
//! * **A reader may be ahead of the disk**: between a rename and the sync of
//!   its directory, content is seen that a power cut at that moment takes back.
//! * **A disk that loses writes without a reboot** (a USB drive pulled out and
//!   put back, say) may have a session's saved hash cover bytes that it lost.
//! * **File systems without a journal** may lose new directories whose creator
//!   had not got to syncing them, though another push is acknowledged in them
//!   meanwhile, or it was killed.
//! * **Garbage collection by Distribution** must not run beside pushes; that
//!   is Distribution's own rule, and nothing here makes up for it.
//! * **Distribution writing at the same time** takes no lock: conditional
//!   pushes and deletes are atomic among processes that use this crate only.
//! * Locks are `flock`s. A file system that has none cannot be pushed to.
//! * **A repository behind a symbolic link** is served but not listed: links may
//!   lead round in a circle.
//!
//! # Example
//!
//! ```
//! use registry_storage::FileSystem;
//! use registry_storage::filesystem::Access;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! let storage = FileSystem::new(root.path());
//! if let Access::ReadOnly { reason } = storage.prepare().await? {
//!     eprintln!("pulls only: {reason}");
//! }
//! # Ok(()) }
//! ```

#[cfg(any(unix, feature = "object-store"))]
pub mod collect;
#[cfg(unix)]
pub mod filesystem;
pub mod immutable;
#[cfg(any(unix, feature = "object-store"))]
mod limits;
#[cfg(feature = "object-store")]
pub mod object;
mod purged;
#[cfg(any(unix, feature = "object-store"))]
mod recent;
pub mod retention;
#[cfg(any(unix, feature = "object-store"))]
mod warned;

#[cfg(unix)]
pub use filesystem::FileSystem;
#[cfg(feature = "object-store")]
pub use object::ObjectStorage;
pub use purged::PurgedUploads;
