//! Putting something aside, and back if it was the wrong one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat, linkat, renameat, unlinkat};
use rustix::io::Errno;

use super::beneath::{Dir, Place, is_same};
use super::run::Run;
use crate::filesystem::owner::as_owner;
use crate::filesystem::{atomic, layout};

impl Run<'_> {
    /// Renames an entry of a directory into the place for what is bad, if it is
    /// still the file that was `seen`, or still none. Tells where it is now.
    pub(super) fn put_aside(
        &self,
        dir: &Dir,
        name: &Path,
        seen: Option<&Stat>,
    ) -> Result<PathBuf, String> {
        let (aside, new_name) = self.place_aside(dir, name)?;
        let failed = |error: io::Error| format!("cannot be put aside: {error}");
        renameat(&dir.fd, name, &aside.fd, &new_name).map_err(|error| failed(error.into()))?;
        // Something new may have come to its place since it was looked at. It
        // was away for a moment, which costs a client another try.
        let moved = aside.look(&new_name).map_err(failed)?;
        let is_another = match (seen, &moved) {
            (Some(seen), Place::File(moved)) => !is_same(seen, moved),
            (seen, moved) => seen.is_some() || matches!(moved, Place::File(_)),
        };
        if is_another {
            put_back(&aside, &new_name, dir, name).map_err(failed)?;
            return Err("was replaced meanwhile, and is left alone".to_owned());
        }
        sync(&aside).and_then(|()| sync(dir)).map_err(failed)?;
        Ok(aside.path.join(new_name))
    }

    /// The directory to which it goes, made if need be, and its new name.
    fn place_aside(&self, dir: &Dir, name: &Path) -> Result<(Dir, OsString), String> {
        let path = self.relative(&dir.path).join(name);
        let target = layout::put_aside_name(&self.tree.layout.put_aside_folder().join(path));
        let parent = layout::parent(&target);
        self.refuse_links(parent)?;
        as_owner(parent, || {
            atomic::create_dirs(parent)
                .map_err(|error| format!("{} cannot be made: {error}", parent.display()))
        })?;
        let aside = self
            .base
            .below(self.relative(parent))
            .map_err(|error| format!("{} cannot be opened: {error}", parent.display()))?
            .ok_or_else(|| format!("{} is no directory", parent.display()))?;
        let new_name = target.file_name().unwrap_or_default().to_owned();
        Ok((aside, new_name))
    }

    /// Fails when the way to a path leads over anything but directories.
    pub(super) fn refuse_links(&self, path: &Path) -> Result<(), String> {
        let mut dir = self.base.below(Path::new("")).ok().flatten();
        for name in self.relative(path).components() {
            let Some(here) = dir else { break };
            match here.look(name) {
                Ok(Place::Other(FileType::Directory)) => {}
                // What follows is not there either.
                Ok(Place::Absent) => break,
                Ok(_) => {
                    return Err(format!(
                        "{} is no directory",
                        here.path.join(name).display()
                    ));
                }
                Err(error) => {
                    return Err(format!("{} cannot be read: {error}", here.path.display()));
                }
            }
            dir = here
                .dir(name)
                .map_err(|error| format!("{} cannot be opened: {error}", here.path.display()))?;
        }
        Ok(())
    }
}

/// Undoes a rename, unless there is something new in the old place; then it
/// stays aside.
fn put_back(aside: &Dir, new_name: &OsString, dir: &Dir, name: &Path) -> io::Result<()> {
    match linkat(&aside.fd, new_name, &dir.fd, name, AtFlags::empty()) {
        Ok(()) => unlinkat(&aside.fd, new_name, AtFlags::empty())?,
        Err(Errno::EXIST) => {}
        // A file system without hard links.
        Err(_) if matches!(dir.look(name)?, Place::Absent) => {
            renameat(&aside.fd, new_name, &dir.fd, name)?;
        }
        Err(_) => {}
    }
    sync(dir)
}

/// Makes durable which entries a directory has, where that can be done.
fn sync(dir: &Dir) -> io::Result<()> {
    // One that was opened for listing can be synced too.
    match rustix::fs::fsync(&dir.fd) {
        Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
