//! The calls that change the tree, so that tests can see their order and stop
//! after any of them.
//!
//! The beginning of an upload session and the bytes appended to it are the
//! exception: nobody relies on them before they are synced and moved, here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    step("create_dir", path, || fs::create_dir(path))
}

/// Creates directories of which none needs to last.
pub(super) fn create_dir_all(path: &Path) -> io::Result<()> {
    step("create_dir_all", path, || fs::create_dir_all(path))
}

/// Creates a file that must not exist yet.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    step("create_file", path, || {
        OpenOptions::new().write(true).create_new(true).open(path)
    })
}

/// Locks a file that nobody else knows, which shows whether locks work here.
pub(super) fn lock_own(file: &File, path: &Path) -> io::Result<()> {
    step("lock_own", path, || {
        file.try_lock().map_err(io::Error::from)
    })
}

pub(super) fn write(mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    step("write", path, || file.write_all(bytes))
}

/// Changes a file's time alone.
pub(super) fn set_modified(file: &File, path: &Path, time: SystemTime) -> io::Result<()> {
    step("set_modified", path, || file.set_modified(time))
}

pub(super) fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    step("sync_file", path, || file.sync_all())
}

/// Makes durable which entries a directory has.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    step("sync_dir", path, || match File::open(path)?.sync_all() {
        // Some network and FUSE file systems cannot sync a directory.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    })
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step("rename", to, || fs::rename(from, to))
}

/// Gives a file another name. Fails when there is something under that name.
pub(super) fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    step("hard_link", to, || fs::hard_link(from, to))
}

/// Sets a file's times to the file system's own now, which needs a right to
/// write only; another time, or one of both, would need to own it.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(UTIME_NOW),
        last_modification: time(UTIME_NOW),
    };
    step("touch", path, || {
        Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
    })
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    step("remove_file", path, || fs::remove_file(path))
}

/// Removes a directory that is empty.
pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    step("remove_dir", path, || fs::remove_dir(path))
}

pub(super) fn remove_dir_all(path: &Path) -> io::Result<()> {
    step("remove_dir_all", path, || fs::remove_dir_all(path))
}

#[cfg(not(test))]
fn step<T>(
    _operation: &'static str,
    _path: &Path,
    take: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    take()
}

#[cfg(test)]
use script::step;

/// The steps of the current thread, and what goes wrong with them.
#[cfg(test)]
pub(super) mod script {
    use std::cell::RefCell;
    use std::io;
    use std::path::{Path, PathBuf};

    pub(in super::super) type Step = (&'static str, PathBuf);

    pub(in super::super) enum Fault {
        /// After so many steps no further one takes effect, not even those
        /// that clean up.
        DiesAfter(usize),
        /// This operation fails each time, as on a full disk.
        Fails(&'static str),
    }

    #[derive(Default)]
    struct Script {
        taken: Vec<Step>,
        fault: Option<Fault>,
    }

    thread_local! {
        static SCRIPT: RefCell<Script> = RefCell::default();
    }

    pub(super) fn step<T>(
        operation: &'static str,
        path: &Path,
        take: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let fails = SCRIPT.with_borrow(|script| match script.fault {
            Some(Fault::DiesAfter(steps)) => script.taken.len() >= steps,
            Some(Fault::Fails(failing)) => failing == operation,
            None => false,
        });
        if fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let value = take()?;
        SCRIPT.with_borrow_mut(|script| script.taken.push((operation, path.to_path_buf())));
        Ok(value)
    }

    /// Runs `task` and tells its steps.
    pub(in super::super) fn run<T>(
        fault: Option<Fault>,
        task: impl FnOnce() -> T,
    ) -> (T, Vec<Step>) {
        SCRIPT.replace(Script {
            taken: Vec::new(),
            fault,
        });
        let result = task();
        (result, SCRIPT.take().taken)
    }
}
