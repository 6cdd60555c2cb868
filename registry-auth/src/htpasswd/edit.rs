//! Changes to the file, by a program on the command line.
//!
//! | function | the user must be |
//! |---|---|
//! | [`add`] | new; so may be the file |
//! | [`set_password`] | there |
//! | [`remove`] | there |
//! | [`list`] | |
//!
//! Every line that is not the user's stays as it is, comments and mistakes as
//! well. A file is replaced in one step, so that a registry which reads it
//! finds the old or the new one, also after a crash; two such programs at once
//! wait for one another. Links are followed: what they lead to is replaced.
//!
//! The mode stays, and the owner where the system allows it. A new file has
//! mode 0600 and belongs to whoever makes it: where the registry runs as
//! another user, it must be given to that one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use super::entry::{EntryError, check_name, entry};
use super::error::HtpasswdError;
use super::file;

/// Adds a user. Takes as long as the cost says.
///
/// # Errors
/// * [`EditError::Exists`] when there is one of this name.
/// * [`EditError::Entry`] when name, password or cost are not as they must be.
/// * [`EditError::File`], [`EditError::Write`]: the file cannot be read or
///   replaced.
pub fn add(path: &Path, name: &str, password: &str, cost: u32) -> Result<(), EditError> {
    let line = entry(name, password, cost)?;
    change(path, Missing::IsEmpty, |content| {
        if has(content, name) {
            return Err(exists(path, name));
        }
        let line_break = line_break(content);
        let mut changed = content.to_vec();
        if !content.is_empty() && !content.ends_with(b"\n") {
            changed.extend_from_slice(line_break);
        }
        changed.extend_from_slice(line.as_bytes());
        changed.extend_from_slice(line_break);
        Ok(changed)
    })
}

/// Gives a user another password. Takes as long as the cost says.
///
/// # Errors
/// * [`EditError::Unknown`] when there is no such user.
/// * [`EditError::Entry`] when password or cost are not as they must be.
/// * [`EditError::File`], [`EditError::Write`]: the file cannot be read or
///   replaced.
pub fn set_password(path: &Path, name: &str, password: &str, cost: u32) -> Result<(), EditError> {
    let mut new = Some(entry(name, password, cost)?);
    change(path, Missing::Fails, |content| {
        let mut changed = Vec::new();
        for line in lines(content) {
            if !is_of(line, name) {
                changed.extend_from_slice(line);
            } else if let Some(new) = new.take() {
                // The user's later lines go: they would hold in its stead.
                changed.extend_from_slice(new.as_bytes());
                changed.extend_from_slice(line_break(line));
            }
        }
        if new.is_some() {
            return Err(unknown(path, name));
        }
        Ok(changed)
    })
}

/// Removes a user.
///
/// # Errors
/// * [`EditError::Unknown`] when there is no such user.
/// * [`EditError::File`], [`EditError::Write`]: the file cannot be read or
///   replaced.
pub fn remove(path: &Path, name: &str) -> Result<(), EditError> {
    change(path, Missing::Fails, |content| {
        let kept = lines(content).filter(|line| !is_of(line, name));
        let changed = kept.collect::<Vec<_>>().concat();
        if changed.len() == content.len() {
            return Err(unknown(path, name));
        }
        Ok(changed)
    })
}

/// The users' names in the order of the file, each once.
///
/// # Errors
/// [`EditError::File`] when the file cannot be read, or a line in it is not as
/// it must be.
pub fn list(path: &Path) -> Result<Vec<String>, EditError> {
    let mut names: Vec<String> = Vec::new();
    for line in file::parse(path, &file::read(path)?)? {
        if !names.contains(&line.name) {
            names.push(line.name);
        }
    }
    Ok(names)
}

/// Whether [`add`] would find the name free, before anybody is asked for a
/// password. A missing file has no users.
///
/// # Errors
/// As [`add`].
pub fn check_new(path: &Path, name: &str) -> Result<(), EditError> {
    check_name(name)?;
    let content = read(path, Missing::IsEmpty)?;
    if has(&content, name) {
        return Err(exists(path, name));
    }
    Ok(())
}

/// Whether [`set_password`] would find the user, before anybody is asked for a
/// password.
///
/// # Errors
/// As [`set_password`].
pub fn check_there(path: &Path, name: &str) -> Result<(), EditError> {
    let content = read(path, Missing::Fails)?;
    if !has(&content, name) {
        return Err(unknown(path, name));
    }
    Ok(())
}

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// There is a user of this name.
    #[error(
        "{}: user {name:?} is there already: set the password with: \
         pi-registry user passwd --file {} {name}", path.display(), path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
        /// The user.
        name: String,
    },
    /// There is no user of this name.
    #[error(
        "{}: no user {name:?}: see who is there with: pi-registry user list --file {}",
        path.display(), path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The user.
        name: String,
    },
    /// The line of the user cannot be made.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] HtpasswdError),
    /// The file cannot be replaced.
    #[error(
        "{}: cannot replace the htpasswd file: its directory must be writable for the user of \
         this process", path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

fn exists(path: &Path, name: &str) -> EditError {
    EditError::Exists {
        path: path.to_owned(),
        name: name.to_owned(),
    }
}

fn unknown(path: &Path, name: &str) -> EditError {
    EditError::Unknown {
        path: path.to_owned(),
        name: name.to_owned(),
    }
}

/// What a missing file stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsEmpty,
    Fails,
}

fn read(path: &Path, missing: Missing) -> Result<Vec<u8>, HtpasswdError> {
    match file::read(path) {
        Err(HtpasswdError::Unreadable { source, .. })
            if missing == Missing::IsEmpty && source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(Vec::new())
        }
        content => content,
    }
}

fn change(
    path: &Path,
    missing: Missing,
    change: impl FnOnce(&[u8]) -> Result<Vec<u8>, EditError>,
) -> Result<(), EditError> {
    let failed = |source| EditError::Write {
        path: path.to_owned(),
        source,
    };
    // A rename would put a file into the place of a link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let directory = Directory::lock(directory);
    // One that is not there has no file either, which says it better.
    let content = read(
        path,
        if directory.is_ok() {
            missing
        } else {
            Missing::Fails
        },
    )?;
    let changed = change(&content)?;
    directory
        .and_then(|directory| directory.replace(&target, &changed))
        .map_err(failed)
}

/// A directory in which nobody else changes a file of users.
struct Directory<'a> {
    path: &'a Path,
    handle: File,
}

impl<'a> Directory<'a> {
    fn lock(path: &'a Path) -> io::Result<Self> {
        let handle = File::open(path)?;
        handle.lock()?;
        Ok(Self { path, handle })
    }

    fn replace(&self, target: &Path, content: &[u8]) -> io::Result<()> {
        // Has mode 0600.
        let mut file = tempfile::Builder::new()
            .prefix(".htpasswd-")
            .tempfile_in(self.path)?;
        file.write_all(content)?;
        if let Ok(old) = fs::metadata(target) {
            // Only root may; and the mode after it, which it may change.
            let _ = fchown(file.as_file(), Some(old.uid()), Some(old.gid()));
            file.as_file().set_permissions(old.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(target).map_err(|error| error.error)?;
        self.handle.sync_all()
    }
}

/// The lines with their line breaks.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|&byte| byte == b'\n')
}

fn has(content: &[u8], name: &str) -> bool {
    lines(content).any(|line| is_of(line, name))
}

fn is_of(line: &[u8], name: &str) -> bool {
    let line = file::meaning(line).unwrap_or_default();
    line.strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.starts_with(b":"))
}

/// How the first of some lines ends.
fn line_break(content: &[u8]) -> &'static [u8] {
    match lines(content).next() {
        Some(line) if line.ends_with(b"\r\n") => b"\r\n",
        _ => b"\n",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::hash::MIN_COST;
    use super::*;

    struct Scratch {
        dir: tempfile::TempDir,
        path: PathBuf,
    }

    fn scratch(content: &str) -> Scratch {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users");
        if !content.is_empty() {
            fs::write(&path, content).expect("written");
        }
        Scratch { dir, path }
    }

    impl Scratch {
        fn text(&self) -> String {
            fs::read_to_string(&self.path).expect("text")
        }

        fn mode(&self) -> u32 {
            let metadata = fs::metadata(&self.path).expect("a file");
            metadata.permissions().mode() & 0o777
        }

        /// Nothing but the file is left behind.
        fn is_tidy(&self) -> bool {
            fs::read_dir(self.dir.path()).expect("a directory").count() == 1
        }
    }

    #[test]
    fn a_new_file_is_only_its_makers() {
        let scratch = scratch("");
        add(&scratch.path, "alice", "secret", MIN_COST).expect("added");
        assert_eq!(scratch.mode(), 0o600);
        assert_eq!(list(&scratch.path).expect("readable"), ["alice"]);
        check_there(&scratch.path, "alice").expect("there");
        check_new(&scratch.path, "alice").expect_err("there");
        check_new(&scratch.path, "ali").expect("not there");
        check_there(&scratch.path, "ali").expect_err("not there");
        assert!(scratch.text().ends_with('\n') && scratch.is_tidy());
    }

    #[test]
    fn what_is_not_the_users_stays() {
        let scratch = scratch("# team\r\nbroken line\r\n  bob:old:note\r\nbobby:x\r\nbob:older");
        fs::set_permissions(&scratch.path, fs::Permissions::from_mode(0o640)).expect("set");
        add(&scratch.path, "zoë", "secret", MIN_COST).expect("added");
        set_password(&scratch.path, "bob", "secret", MIN_COST).expect("changed");
        let text = scratch.text();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        assert_eq!(lines[..2], ["# team\r\n", "broken line\r\n"]);
        assert!(lines[2].starts_with("bob:$2y$04$") && lines[2].ends_with("\r\n"));
        assert_eq!(lines[3], "bobby:x\r\n");
        assert!(lines[4].starts_with("zoë:$2y$04$") && lines[4].ends_with("\r\n"));
        assert_eq!(lines.len(), 5);
        remove(&scratch.path, "bob").expect("removed");
        remove(&scratch.path, "zoë").expect("removed");
        assert_eq!(scratch.text(), "# team\r\nbroken line\r\nbobby:x\r\n");
        assert_eq!(scratch.mode(), 0o640);
        assert!(scratch.is_tidy());
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let scratch = scratch("alice:x\n#bob:x\n");
        let path = &scratch.path;
        for error in [
            add(path, "alice", "secret", MIN_COST).expect_err("is there"),
            add(path, "a:b", "secret", MIN_COST).expect_err("no name"),
            add(path, "carol", "", MIN_COST).expect_err("no password"),
            set_password(path, "bob", "secret", MIN_COST).expect_err("not there"),
            remove(path, "bob").expect_err("not there"),
            remove(path, "").expect_err("not there"),
            remove(path, "# bob").expect_err("not there"),
        ] {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        assert_eq!(scratch.text(), "alice:x\n#bob:x\n");
        assert!(scratch.is_tidy());
    }

    #[test]
    fn a_missing_file_is_made_by_add_alone() {
        let scratch = scratch("");
        for error in [
            set_password(&scratch.path, "a", "secret", MIN_COST).expect_err("missing"),
            remove(&scratch.path, "a").expect_err("missing"),
            list(&scratch.path).expect_err("missing"),
        ] {
            assert!(matches!(error, EditError::File(_)), "{error}");
        }
        assert!(!scratch.path.exists());
        let elsewhere = scratch.dir.path().join("none/users");
        let error = add(&elsewhere, "a", "secret", MIN_COST).expect_err("no directory");
        assert!(matches!(error, EditError::File(_)), "{error}");
    }

    #[test]
    fn a_link_stays_a_link() {
        let scratch = scratch("alice:x\n");
        let link = scratch.dir.path().join("link");
        symlink("users", &link).expect("linked");
        remove(&link, "alice").expect("removed");
        assert!(link.is_symlink());
        assert_eq!(scratch.text(), "");
    }

    #[test]
    fn programs_at_once_wait_for_one_another() {
        let scratch = scratch("");
        std::thread::scope(|scope| {
            for at in 0..8 {
                let path = &scratch.path;
                scope.spawn(move || add(path, &format!("u{at}"), "secret", MIN_COST));
            }
        });
        assert_eq!(list(&scratch.path).expect("readable").len(), 8);
    }
}
