//! Whether a file is still the one that was read.
//!
//! | since the file was read | shows in |
//! |---|---|
//! | it was removed, or a directory above it was moved | the path leads nowhere |
//! | another one was renamed over it | the inode, or the time of change if that number was used again |
//! | it was written to in place | the time of change |
//! | its tree was mounted anew from elsewhere | the device, else the inode and the time of change |
//!
//! The time of change (`ctime`) is set by the kernel alone: whoever restores
//! the time of modification, as `cp -p` and `rsync` do, changes it as well.
//! But it is as coarse as a clock's tick, on old file systems a second. A
//! change in the tick of an earlier one cannot be told from it; hence only a
//! file that had been left alone for [`SETTLED`] when it was read has a
//! version that can be relied upon.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Longer than the ticks of all file systems that we rely on.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
    /// In seconds. Tells nothing that `changed` does not, but for how old it
    /// is to a garbage collection.
    modified: i64,
}

impl Version {
    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: metadata.mtime(),
        }
    }

    /// The version of an open file whose bytes have not been read yet; `None`
    /// when later ones might look the same, or not be seen without waiting.
    pub(super) fn to_rely_on(file: &File) -> Option<Self> {
        // Before the look: a change after it is as late, at least.
        let now = SystemTime::now();
        let metadata = file.metadata().ok()?;
        let version = Self::new(&metadata);
        let is_sure = metadata.is_file() && version.is_settled(now) && cached::is_local(file);
        is_sure.then_some(version)
    }

    /// As `to_rely_on`, of what is at `path`. Waits for the disk when it must.
    pub(super) fn at_to_rely_on(path: &Path) -> Option<Self> {
        let now = SystemTime::now();
        let metadata = fs::metadata(path).ok()?;
        let version = Self::new(&metadata);
        let is_sure = metadata.is_file() && version.is_settled(now) && cached::is_local_at(path);
        is_sure.then_some(version)
    }

    /// What is at `path` now. Waits for the disk when it must, which it need
    /// not when somebody looked a moment ago.
    pub(super) fn at(path: &Path) -> Option<Self> {
        Some(Self::new(&fs::metadata(path).ok()?))
    }

    /// What is at `path` now, if that can be told without waiting.
    pub(super) fn at_without_waiting(path: &Path) -> Option<Self> {
        Self::of(&cached::look_at(path)?)
    }

    pub(super) fn of(file: &File) -> Option<Self> {
        Some(Self::new(&file.metadata().ok()?))
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn modified(&self) -> i64 {
        self.modified
    }

    /// A clock that was set back makes files of the future, which are not settled.
    fn is_settled(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) else {
            return false;
        };
        let (Ok(seconds), Ok(nanoseconds)) =
            (u64::try_from(self.changed.0), u32::try_from(self.changed.1))
        else {
            // Before 1970.
            return false;
        };
        now.checked_sub(Duration::new(seconds, nanoseconds))
            .is_some_and(|age| age >= SETTLED)
    }
}

/// Opens a file for reading, if that can be done without waiting.
pub(super) fn open_without_waiting(path: &Path) -> Option<File> {
    cached::open(path)
}

/// Looking at files as far as the kernel has them in memory (Linux 5.12).
#[cfg(target_os = "linux")]
mod cached {
    use std::fs::File;
    use std::path::Path;

    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, StatFs, fstatfs, openat2, statfs};

    use crate::filesystem::kind::{BTRFS, EXT, F2FS, OVERLAY, TMPFS, XFS, kind};

    pub(super) fn look_at(path: &Path) -> Option<File> {
        resolve(path, OFlags::PATH)
    }

    pub(super) fn open(path: &Path) -> Option<File> {
        resolve(path, OFlags::RDONLY)
    }

    fn resolve(path: &Path, flags: OFlags) -> Option<File> {
        let flags = flags | OFlags::CLOEXEC;
        openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED)
            .ok()
            .map(File::from)
    }

    /// Whether the file's attributes are in this kernel's memory while its
    /// name is, and are those that everybody sees: a network's file system
    /// would have to ask its server.
    pub(super) fn is_local(file: &File) -> bool {
        fstatfs(file).is_ok_and(|found| is_local_kind(&found))
    }

    pub(super) fn is_local_at(path: &Path) -> bool {
        statfs(path).is_ok_and(|found| is_local_kind(&found))
    }

    fn is_local_kind(found: &StatFs) -> bool {
        matches!(kind(found), BTRFS | EXT | F2FS | OVERLAY | TMPFS | XFS)
    }
}

#[cfg(not(target_os = "linux"))]
mod cached {
    use std::fs::File;
    use std::path::Path;

    pub(super) fn look_at(_: &Path) -> Option<File> {
        None
    }

    pub(super) fn open(_: &Path) -> Option<File> {
        None
    }

    pub(super) fn is_local(_: &File) -> bool {
        false
    }

    pub(super) fn is_local_at(_: &Path) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_was_left_alone_for_a_while_is_relied_upon() {
        let changed_at = |seconds| Version {
            device: 1,
            inode: 1,
            len: 1,
            changed: (seconds, 500_000_000),
            modified: seconds,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for (seconds, settled) in [
            (0, true),
            (997, true),
            (998, false),
            (999, false),
            (1000, false),
            // A clock that was set back, and one that was never set.
            (5000, false),
            (-5, false),
        ] {
            assert_eq!(changed_at(seconds).is_settled(now), settled, "{seconds}");
        }
        assert!(!changed_at(0).is_settled(SystemTime::UNIX_EPOCH));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_kernel_makes_up_is_not_relied_upon() {
        let file = File::open("/proc/version").expect("a file");
        assert!(!cached::is_local(&file));
        assert!(!cached::is_local_at(Path::new("/proc/version")));
    }
}
