//! Looking at a tree without being led out of it, and without opening what
//! would block or act: a FIFO, a socket, a device.
//!
//! Every directory is opened from the one above it, and none by a link. What is
//! read is a regular file, before it is opened and after.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use crate::filesystem::layout;

/// A directory that is open, so that it stays the same whatever is moved.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) kind: FileType,
}

impl Entry {
    /// Names that are not UTF-8 are none of a registry's.
    pub(super) fn text(&self) -> &str {
        self.name.to_str().unwrap_or_default()
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }
}

/// What stands at a place; a link is not followed.
#[derive(Debug)]
pub(super) enum Place {
    Absent,
    File(Stat),
    Other(FileType),
}

/// What stands at a place, opened if it is a file.
#[derive(Debug)]
pub(super) enum Opened {
    Absent,
    File(File, Stat),
    Other(FileType),
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Should a FIFO take the file's place after the look, nobody waits for its writer.
const REGULAR: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

impl Dir {
    /// The directory at a path whose last component is no link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let fd = openat(rustix::fs::CWD, path, DIRECTORY, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_path_buf(),
        })
    }

    /// `None` when there is nothing, or no directory.
    pub(super) fn dir(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Self>> {
        let name = name.as_ref();
        match openat(&self.fd, name, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Some(Self {
                fd,
                path: self.path.join(name),
            })),
            // Of a link one or the other is said, by operating system.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is in it, in no order.
    pub(super) fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        let listing = rustix::fs::Dir::read_from(&self.fd)?;
        Ok(listing.filter_map(|entry| match entry {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => None,
            Ok(entry) => {
                let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
                Some(self.entry(name, entry.file_type()))
            }
            Err(error) => Some(Err(error.into())),
        }))
    }

    fn entry(&self, name: OsString, kind: FileType) -> io::Result<Entry> {
        // Not every file system tells the kind without another look.
        let kind = match kind {
            FileType::Unknown => match statat(&self.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => FileType::Unknown,
                Err(error) => return Err(error.into()),
            },
            kind => kind,
        };
        Ok(Entry { name, kind })
    }

    pub(super) fn look(&self, name: impl AsRef<OsStr>) -> io::Result<Place> {
        match statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Place::File(stat),
                kind => Place::Other(kind),
            }),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Place::Absent),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn file(&self, name: impl AsRef<OsStr>) -> io::Result<Opened> {
        match self.look(name.as_ref())? {
            Place::Absent => return Ok(Opened::Absent),
            Place::Other(kind) => return Ok(Opened::Other(kind)),
            Place::File(_) => {}
        }
        let fd = match openat(&self.fd, name.as_ref(), REGULAR, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Opened::Absent),
            Err(Errno::LOOP) => return Ok(Opened::Other(FileType::Symlink)),
            result => result?,
        };
        let stat = fstat(&fd)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Opened::File(File::from(fd), stat),
            kind => Opened::Other(kind),
        })
    }

    /// As `look`; what a garbage collection has set aside, at its place.
    pub(super) fn look_kept(&self, name: &str) -> io::Result<Place> {
        let name = self.kept(name)?;
        self.look(name)
    }

    /// As `file`; what a garbage collection has set aside, at its place.
    pub(super) fn file_kept(&self, name: &str) -> io::Result<Opened> {
        match self.file(name)? {
            Opened::Absent => self.file(self.kept(name)?),
            opened => Ok(opened),
        }
    }

    /// How what belongs to a name is called at the moment.
    pub(super) fn kept(&self, name: &str) -> io::Result<OsString> {
        // A second time, since it may be put back while the others are listed.
        for _ in 0..2 {
            if !matches!(self.look(name)?, Place::Absent) {
                break;
            }
            for entry in self.entries()? {
                let entry = entry?;
                if is_set_aside(&entry, &[name]) {
                    return Ok(entry.name);
                }
            }
        }
        Ok(name.into())
    }

    /// The directory of a path below this one, and the last component.
    fn parent_of<'p>(&self, path: &'p Path) -> io::Result<Option<(Self, &'p OsStr)>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        Ok(self.below(parent)?.map(|dir| (dir, name)))
    }

    /// The directory at a path below this one.
    pub(super) fn below(&self, path: &Path) -> io::Result<Option<Self>> {
        let mut dir = Self {
            fd: self.fd.try_clone()?,
            path: self.path.clone(),
        };
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Ok(None);
            };
            match dir.dir(name)? {
                Some(next) => dir = next,
                None => return Ok(None),
            }
        }
        Ok(Some(dir))
    }

    /// As `look_kept`, for a path of several components.
    pub(super) fn look_kept_below(&self, path: &Path) -> io::Result<Place> {
        match self.parent_of(path)? {
            Some((dir, name)) => dir.look_kept(name.to_str().unwrap_or_default()),
            None => Ok(Place::Absent),
        }
    }

    /// As `look`, for a path of several components.
    pub(super) fn look_below(&self, path: &Path) -> io::Result<Place> {
        match self.parent_of(path)? {
            Some((dir, name)) => dir.look(name),
            None => Ok(Place::Absent),
        }
    }

    /// As `file_kept`, for a path of several components.
    pub(super) fn file_below(&self, path: &Path) -> io::Result<Opened> {
        match self.parent_of(path)? {
            Some((dir, name)) => dir.file_kept(name.to_str().unwrap_or_default()),
            None => Ok(Opened::Absent),
        }
    }
}

/// Whether a garbage collection has set aside there what belongs to a name.
pub(super) fn is_set_aside(entry: &Entry, names: &[&str]) -> bool {
    let of = |name: &&str| layout::is_aside(Path::new(name), &entry.name);
    entry.kind == FileType::RegularFile && names.iter().any(of)
}

/// The length of a file.
pub(super) fn len(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// What a kind of file is called.
pub(super) fn called(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}
