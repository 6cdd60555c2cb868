//! The bytes of blobs, and whether they are their digest's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::thread;

use registry_spec::types::{Algorithm, Digest, Hasher};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::beneath::{Dir, Entry, Opened, Place, called, is_same, len};
use super::report::{Mend, ProblemKind, Repair};
use super::run::{Run, add};
use crate::filesystem::layout;

/// How much is read at a time, by each worker.
const BUFFER: usize = 256 * 1024;

/// What was found in the place of some content.
pub(super) enum Content {
    Absent,
    /// There, and not known to be bad; with its length.
    Whole(u64),
    /// There, or put aside in this run, and bad.
    Bad,
}

/// What is wrong with a blob's bytes.
struct Fault {
    kind: ProblemKind,
    detail: String,
    mend: Mend,
}

impl Run<'_> {
    /// Looks at every blob, with all workers.
    pub(super) fn check_blobs(&self) {
        let Some(blobs) = self.dir(&self.base, layout::BLOBS) else {
            return;
        };
        let mut shards = Vec::new();
        for entry in self.entries(&blobs) {
            let algorithm: Option<Algorithm> = entry.text().parse().ok();
            match (algorithm, self.dir(&blobs, &entry.name)) {
                (Some(algorithm), Some(dir)) => {
                    for entry in self.entries(&dir) {
                        if is_shard(&entry) {
                            shards.push((algorithm, entry.name));
                        } else {
                            self.strange(&dir, &entry);
                        }
                    }
                }
                _ => self.strange(&blobs, &entry),
            }
        }
        shards.sort_unstable();
        let counts = &self.counts;
        counts.shards.store(shards.len() as u64, Ordering::Relaxed);
        let shards = Mutex::new(shards.into_iter());
        let next = || shards.lock().unwrap_or_else(PoisonError::into_inner).next();
        thread::scope(|scope| {
            for _ in 0..self.options.workers.get() {
                scope.spawn(|| {
                    let mut buffer = vec![0; BUFFER];
                    while !self.is_stopped()
                        && let Some((algorithm, shard)) = next()
                    {
                        let dir = self.dir(&blobs, algorithm.as_str());
                        if let Some(dir) = dir.and_then(|dir| self.dir(&dir, &shard)) {
                            self.check_shard(algorithm, &dir, &mut buffer);
                        }
                        add(&counts.shards_done, 1);
                    }
                });
            }
        });
    }

    fn check_shard(&self, algorithm: Algorithm, shard: &Dir, buffer: &mut [u8]) {
        for entry in self.entries(shard) {
            if self.is_stopped() {
                return;
            }
            let digest: Option<Digest> = format!("{algorithm}:{}", entry.text()).parse().ok();
            // One in another's folder is found by nobody.
            let digest = digest
                .filter(|digest| self.tree.layout.blob(digest) == shard.path.join(&entry.name));
            match (digest, self.dir(shard, &entry.name)) {
                (Some(digest), Some(dir)) => self.check_blob(&digest, &dir, buffer),
                _ => self.strange(shard, &entry),
            }
        }
    }

    fn check_blob(&self, digest: &Digest, dir: &Dir, buffer: &mut [u8]) {
        self.only(dir, &[layout::DATA]);
        let thorough = !self.options.quick;
        if !matches!(dir.look_kept(layout::DATA), Ok(Place::Absent)) {
            add(&self.counts.blobs, 1);
            self.judge_in(digest, dir, thorough, buffer);
        }
    }

    /// What some content is, by what this run knows of it.
    pub(super) fn content(&self, digest: &Digest) -> io::Result<Content> {
        if self.bad(digest).is_some() {
            return Ok(Content::Bad);
        }
        Ok(match self.look_kept(&self.tree.layout.blob_data(digest))? {
            Place::Absent => Content::Absent,
            Place::File(stat) => Content::Whole(len(&stat)),
            // Pushed after its folder was looked at.
            Place::Other(_) => Content::Absent,
        })
    }

    /// Hashes some content now. Tells of it, and puts it aside in a run that
    /// repairs, when it is bad.
    pub(super) fn is_whole(&self, digest: &Digest) -> bool {
        if self.bad(digest).is_some() {
            return false;
        }
        let path = self.tree.layout.blob(digest);
        match self.base.below(self.relative(&path)) {
            Ok(Some(dir)) => self.judge_in(digest, &dir, true, &mut vec![0; BUFFER]),
            Ok(None) => false,
            Err(error) => {
                self.unreadable(&path, &error);
                false
            }
        }
    }

    /// Whether a blob's `data` is as it should be. It may be replaced while it
    /// is read, by a push that mends it.
    fn judge_in(&self, digest: &Digest, dir: &Dir, thorough: bool, buffer: &mut [u8]) -> bool {
        loop {
            // Open until it is aside, so that no other file gets its number.
            let opened = dir.file_kept(layout::DATA);
            let (seen, fault) = match &opened {
                Ok(Opened::Absent) => return false,
                Ok(Opened::File(file, stat)) => {
                    let fault = self.fault_of(digest, file, stat, thorough, buffer);
                    (Some(*stat), fault)
                }
                Ok(Opened::Other(kind)) => (None, Some(not_a_file(*kind))),
                Err(error) => match dir.look_kept(layout::DATA) {
                    Ok(Place::File(stat)) => (Some(stat), Some(not_readable(error))),
                    _ => (None, Some(not_readable(error))),
                },
            };
            let Some(fault) = fault else { return true };
            if self.is_stopped() {
                return false;
            }
            let name = dir.kept(layout::DATA);
            let name = name.unwrap_or_else(|_| layout::DATA.into());
            match (seen, dir.look(&name)) {
                (Some(seen), Ok(Place::File(now))) if !is_same(&seen, &now) => {}
                (_, Ok(Place::Absent)) => return false,
                _ => {
                    self.tell_of_blob(digest, dir, Path::new(&name), seen.as_ref(), fault);
                    return false;
                }
            }
        }
    }

    fn tell_of_blob(
        &self,
        digest: &Digest,
        dir: &Dir,
        name: &Path,
        seen: Option<&Stat>,
        fault: Fault,
    ) {
        let path = dir.path.join(name);
        let Some(number) = self
            .ledger()
            .add(fault.kind, path, fault.detail, fault.mend)
        else {
            return;
        };
        if self.options.repair && fault.mend == Mend::Blob && !self.ledger().is_done(number) {
            let repair = match self.put_aside(dir, name, seen) {
                Ok(place) => Repair::Done(format!("put aside as {}", place.display())),
                Err(reason) => Repair::Failed(reason),
            };
            self.ledger().repaired(number, repair);
        }
        let mut bad = self.bad.write().unwrap_or_else(PoisonError::into_inner);
        bad.insert(*digest, number);
    }

    fn fault_of(
        &self,
        digest: &Digest,
        file: &File,
        stat: &Stat,
        thorough: bool,
        buffer: &mut [u8],
    ) -> Option<Fault> {
        let corrupt = |detail| {
            Some(Fault {
                kind: ProblemKind::BlobCorrupt,
                detail,
                mend: Mend::Blob,
            })
        };
        if len(stat) == 0 && *digest != Digest::of(digest.algorithm(), b"") {
            return corrupt("the bytes are gone: the file is empty".to_owned());
        }
        if !thorough {
            return None;
        }
        match self.hash(digest.algorithm(), file, buffer) {
            Ok(Some((actual, _))) if actual == *digest => None,
            Ok(Some((actual, len))) => corrupt(format!(
                "its {len} bytes are not its own: they hash to {actual}"
            )),
            // Stopped.
            Ok(None) => None,
            Err(error) => Some(not_readable(&error)),
        }
    }

    /// The digest and the length of what is in a file; `None` when stopped.
    ///
    /// From the disk, as far as the system can be talked into that: what is in
    /// memory says nothing about it, and has better use for its room.
    pub(super) fn hash(
        &self,
        algorithm: Algorithm,
        mut file: &File,
        buffer: &mut [u8],
    ) -> io::Result<Option<(Digest, u64)>> {
        forget(file);
        let mut hasher = Hasher::new(algorithm);
        let mut len = 0;
        let at_once = self.pace.at_most(buffer.len());
        loop {
            if self.is_stopped() {
                return Ok(None);
            }
            match file.read(&mut buffer[..at_once]) {
                Ok(0) => break,
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    len += read as u64;
                    add(&self.counts.bytes, read as u64);
                    self.pace.wait_for(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        forget(file);
        Ok(Some((hasher.finish(), len)))
    }
}

fn is_shard(entry: &Entry) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    entry.is_dir() && entry.text().len() == 2 && entry.text().bytes().all(is_hex)
}

fn not_a_file(kind: FileType) -> Fault {
    Fault {
        kind: ProblemKind::BlobNotAFile,
        detail: format!("{} stands in the place of its bytes", called(kind)),
        // It serves, where it leads to something; and somebody has made it.
        mend: match kind {
            FileType::Symlink => Mend::ByHand,
            _ => Mend::Blob,
        },
    }
}

/// A disk that cannot read a file will not learn it; other failures are about
/// who asks.
fn not_readable(error: &io::Error) -> Fault {
    let is_lost = error.raw_os_error() == Some(Errno::IO.raw_os_error());
    Fault {
        kind: ProblemKind::BlobUnreadable,
        detail: format!("its bytes cannot be read: {error}"),
        mend: match is_lost {
            true => Mend::Blob,
            false => Mend::ByHand,
        },
    }
}

#[cfg(target_os = "linux")]
fn forget(file: &File) {
    // Advice only.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File) {}
