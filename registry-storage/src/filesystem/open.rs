//! Opening a file for reading, whatever stands in its place.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// As [`File::open`], but waits for nobody: a FIFO or a device in the place of
/// a file would hold the thread until somebody else writes to it, for good
/// perhaps. Of a regular file the flags change nothing.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}
