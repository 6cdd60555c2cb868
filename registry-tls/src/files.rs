//! Writes certificates and keys to disk: whole or not at all.
//!
//! | function         | for          | mode of a new file | who may read it |
//! |------------------|--------------|--------------------|-----------------|
//! | [`write_secret`] | private keys | 0600               | its owner       |
//! | [`write_public`] | certificates | 0644               | everybody       |
//!
//! A file is written under another name in the same directory, flushed to the
//! disk, and then given its name. So a server that reloads never sees half of
//! it, also after a power cut, and a key is never readable for others, not
//! even for a moment.
//!
//! ```
//! use registry_tls::files::{Overwrite, WriteError, write_public};
//!
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("tls.crt");
//! write_public(&path, b"first", Overwrite::Never)?;
//! let refused = write_public(&path, b"second", Overwrite::Never);
//! assert!(matches!(refused, Err(WriteError::Exists { .. })));
//! assert_eq!(std::fs::read(&path)?, b"first");
//! write_public(&path, b"second", Overwrite::Replace)?;
//! assert_eq!(std::fs::read(&path)?, b"second");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// What to do when there is a file of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overwrite {
    /// Leave it as it is, and fail. Of two who write at once, one fails.
    Never,
    /// Replace its content. Its owner and group stay if the system allows it,
    /// and with them a group's right to read a key: a server that runs as
    /// another user can still read what the administrator has renewed. A
    /// symbolic link is replaced itself, never what it leads to: whoever owns
    /// the directory could have it lead anywhere.
    Replace,
}

/// Why a file was not written. What was there before is still there, unless
/// only the last step failed, which makes the new name survive a power cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There is one, and it was not to be replaced.
    #[error("{} exists already: move it away, or ask explicitly to replace it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The directory does not exist.
    #[error(
        "cannot write {}: its directory does not exist, create {} first",
        path.display(),
        directory(path).display()
    )]
    NoDirectory {
        /// The file.
        path: PathBuf,
    },
    /// This user may not write there.
    #[error(
        "cannot write {}: no permission for {}, run this as a user who may write there or choose \
         another directory",
        path.display(),
        directory(path).display()
    )]
    NoPermission {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk, or this user's share of it, is full.
    #[error("cannot write {}: no space left there, free some and try again", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot write {}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Writes what only the owner may read: a private key.
///
/// # Errors
/// [`WriteError`] tells what to do about it.
pub fn write_secret(path: &Path, content: &[u8], overwrite: Overwrite) -> Result<(), WriteError> {
    write(path, content, overwrite, SECRET).map_err(|error| WriteError::of(path, error))
}

/// Writes what everybody may read: a certificate.
///
/// # Errors
/// [`WriteError`] tells what to do about it.
pub fn write_public(path: &Path, content: &[u8], overwrite: Overwrite) -> Result<(), WriteError> {
    write(path, content, overwrite, PUBLIC).map_err(|error| WriteError::of(path, error))
}

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

fn write(path: &Path, content: &[u8], overwrite: Overwrite, mode: u32) -> io::Result<()> {
    // Mode 0600 from its first byte.
    let mut file = NamedTempFile::new_in(directory(path))?;
    file.write_all(content)?;
    let replaced = fs::symlink_metadata(path)
        .ok()
        .filter(|found| found.is_file());
    set_access(file.as_file(), mode, replaced)?;
    file.as_file().sync_all()?;
    match overwrite {
        Overwrite::Never => file.persist_noclobber(path)?,
        Overwrite::Replace => file.persist(path)?,
    };
    sync_directory(directory(path))
}

/// Gives a new file its mode, and the owner and group of the one it replaces.
#[cfg(unix)]
fn set_access(file: &File, mode: u32, replaced: Option<fs::Metadata>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    const GROUP_READ: u32 = 0o040;
    let mut mode = mode;
    // Only the administrator may give files away; others keep their own.
    if let Some(replaced) = replaced
        && fchown(file, Some(replaced.uid()), Some(replaced.gid())).is_ok()
    {
        mode |= replaced.mode() & GROUP_READ;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_access(_: &File, _: u32, _: Option<fs::Metadata>) -> io::Result<()> {
    Ok(())
}

/// Makes the new name survive a power cut.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

impl WriteError {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::AlreadyExists => Self::Exists { path },
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NoDirectory { path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::NoPermission { path, source }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace { path, source },
            _ => Self::Failed { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .expect("the directory can be listed")
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).expect("the file exists").mode() & 0o7777
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_for_its_owner_and_a_certificate_for_everybody() {
        let dir = tempfile::tempdir().expect("a directory");
        let (key, certificate) = (dir.path().join("key"), dir.path().join("crt"));
        write_secret(&key, b"k", Overwrite::Never).expect("the key is written");
        write_public(&certificate, b"c", Overwrite::Never).expect("the certificate is written");
        assert_eq!((mode(&key), mode(&certificate)), (0o600, 0o644));
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_key_keeps_its_group_and_loses_the_rights_of_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tls.key");
        fs::write(&path, "old").expect("the old key is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode is set");

        write_secret(&path, b"new", Overwrite::Replace).expect("the key is replaced");

        assert_eq!(fs::read(&path).expect("the key is there"), b"new");
        assert_eq!(mode(&path), 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_is_never_touched() {
        let dir = tempfile::tempdir().expect("a directory");
        let (other, link) = (dir.path().join("other"), dir.path().join("tls.key"));
        fs::write(&other, "precious").expect("the file is written");
        std::os::unix::fs::symlink("other", &link).expect("the link is made");

        let refused = write_secret(&link, b"new", Overwrite::Never);
        assert!(matches!(refused, Err(WriteError::Exists { .. })));
        write_secret(&link, b"new", Overwrite::Replace).expect("the link is replaced");

        assert_eq!(fs::read(&other).expect("the file is there"), b"precious");
        assert_eq!(fs::read(&link).expect("the key is there"), b"new");
        assert_eq!(mode(&link), 0o600);
        assert_eq!(names_in(dir.path()), ["other", "tls.key"]);
    }

    #[test]
    fn nothing_is_overwritten_unasked_and_nothing_left_behind() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tls.key");
        fs::write(&path, "precious").expect("the file is written");

        let error = write_secret(&path, b"new", Overwrite::Never).expect_err("it exists");

        assert!(matches!(error, WriteError::Exists { .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "{} exists already: move it away, or ask explicitly to replace it",
                path.display()
            )
        );
        assert_eq!(fs::read(&path).expect("the file is there"), b"precious");
        assert_eq!(names_in(dir.path()), ["tls.key"]);
    }

    #[test]
    fn of_many_who_write_at_once_one_succeeds() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tls.key");
        let written: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8_u8)
                .map(|n| {
                    let path = &path;
                    scope.spawn(move || {
                        write_secret(path, &[n], Overwrite::Never)
                            .is_ok()
                            .then_some(n)
                    })
                })
                .collect();
            writers
                .into_iter()
                .filter_map(|writer| writer.join().expect("no writer panics"))
                .collect()
        });
        assert_eq!(fs::read(&path).expect("the file is there"), written);
        assert_eq!(names_in(dir.path()), ["tls.key"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("missing").join("tls.crt");
        for overwrite in [Overwrite::Never, Overwrite::Replace] {
            let error = write_public(&path, b"c", overwrite).expect_err("there is no directory");
            assert!(matches!(error, WriteError::NoDirectory { .. }), "{error:?}");
            assert!(error.to_string().ends_with("missing first"), "{error}");
        }
    }

    #[test]
    fn what_the_system_says_is_told_apart() {
        let told = |kind: ErrorKind| WriteError::of(Path::new("tls.key"), kind.into()).to_string();
        assert_eq!(
            told(ErrorKind::PermissionDenied),
            "cannot write tls.key: no permission for ., run this as a user who may write there or \
             choose another directory"
        );
        assert_eq!(
            told(ErrorKind::StorageFull),
            "cannot write tls.key: no space left there, free some and try again"
        );
        assert_eq!(told(ErrorKind::Other), "cannot write tls.key");
    }
}
