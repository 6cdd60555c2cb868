//! Writing a plan's files, without taking anything from the user.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Plan, TrustFile};
use crate::files::{Overwrite, WriteError, write_public, write_secret};

/// What [`Plan::install`] did. The plan's commands are still to be run when
/// [`Installed::changed`] says so.
#[derive(Debug)]
#[must_use = "files that were kept need the user's hand"]
#[non_exhaustive]
pub struct Installed {
    /// Files that are new or were renewed.
    pub written: Vec<PathBuf>,
    /// Files that were right already.
    pub unchanged: Vec<PathBuf>,
    /// Files of the user's that lack our lines and were left alone.
    pub kept: Vec<Kept>,
}

/// A file of the user's that lacks what a client needs. Prints as what to add.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Where the file is.
    pub path: PathBuf,
    /// The lines that it needs, beside those that it has.
    pub missing: String,
}

/// Why files could not be installed. Nothing was changed, unless a disk failed
/// between two files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Something else is where a file should be.
    #[error(
        "{} exists with other content that was not made by this program: look at it, move it \
         away, and do this again", .path.display()
    )]
    Foreign {
        /// The file in the way.
        path: PathBuf,
    },
    /// Nobody knows where `~` is.
    #[error("the home folder is unknown: set HOME")]
    NoHome,
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file could not be read, or its folder not be made.
    #[error("{} cannot be {action}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "read", "made".
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What is to be done about one file.
enum Step {
    Write,
    Nothing,
    Keep,
}

impl Plan {
    /// Writes the files below `root`; `/` is this machine, where relative
    /// paths mean the current folder. Runs no command.
    ///
    /// A file is replaced, at once and as a whole, if its first line says that
    /// it is ours. One that differs only in comments is left as it is. So are
    /// shared files of the user's: [`Installed::kept`] says what they lack.
    ///
    /// # Errors
    /// [`InstallError`], before anything is written if a file that is not ours
    /// is in the way.
    pub fn install(&self, root: &Path) -> Result<Installed, InstallError> {
        let mut installed = Installed {
            written: Vec::new(),
            unchanged: Vec::new(),
            kept: Vec::new(),
        };
        let mut steps = Vec::new();
        for file in &self.files {
            let path = place(root, &file.path)?;
            steps.push((file, step(file, &path)?, path));
        }
        for (file, step, path) in steps {
            match step {
                Step::Write => {
                    write(file, &path)?;
                    installed.written.push(path);
                }
                Step::Nothing => {
                    if file.secret {
                        let private = Permissions::from_mode(0o600);
                        fs::set_permissions(&path, private)
                            .map_err(failed(&path, "made private"))?;
                    }
                    installed.unchanged.push(path);
                }
                Step::Keep => installed.kept.push(Kept {
                    path,
                    missing: without_comments(&file.contents),
                }),
            }
        }
        Ok(installed)
    }
}

impl Installed {
    /// Whether a file is new, so that clients must be told of it.
    #[must_use]
    pub fn changed(&self) -> bool {
        !self.written.is_empty()
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let missing = &self.missing;
        write!(
            f,
            "{path} exists and was kept: add to it by hand\n{missing}"
        )
    }
}

/// Where a path of a plan is below `root`.
fn place(root: &Path, path: &Path) -> Result<PathBuf, InstallError> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => std::env::home_dir().ok_or(InstallError::NoHome)?.join(rest),
        Err(_) if path.is_relative() && root == Path::new("/") => return Ok(path.to_owned()),
        Err(_) => path.to_owned(),
    };
    Ok(root.join(path.strip_prefix("/").unwrap_or(&path)))
}

fn step(file: &TrustFile, path: &Path) -> Result<Step, InstallError> {
    let there = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Step::Write),
        Err(error) => return Err(failed(path, "read")(error)),
    };
    let lines = without_comments(&there);
    if lines == without_comments(&file.contents) {
        return Ok(Step::Nothing);
    }
    match &file.shared[..] {
        texts if !texts.is_empty() => match texts.iter().all(|text| lines.contains(text)) {
            true => Ok(Step::Nothing),
            false => Ok(Step::Keep),
        },
        _ if is_ours(&there, &file.contents) => Ok(Step::Write),
        _ => Err(InstallError::Foreign {
            path: path.to_owned(),
        }),
    }
}

fn is_ours(there: &str, contents: &str) -> bool {
    let first = contents.lines().next().unwrap_or_default();
    first.starts_with('#') && there.lines().next() == Some(first)
}

fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn write(file: &TrustFile, path: &Path) -> Result<(), InstallError> {
    if let Some(folder) = path.parent() {
        make_folders(folder)?;
    }
    let write = if file.secret {
        write_secret
    } else {
        write_public
    };
    Ok(write(path, file.contents.as_bytes(), Overwrite::Replace)?)
}

/// Makes what is missing, for everybody to read whatever the umask is: clients
/// of other users look there.
fn make_folders(folder: &Path) -> Result<(), InstallError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folders(above)?;
    }
    fs::create_dir(folder).map_err(failed(folder, "made"))?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
        .map_err(failed(folder, "made readable for all"))
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Io {
        path,
        action,
        source,
    }
}

#[cfg(test)]
mod tests;
