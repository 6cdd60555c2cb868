//! Why a file of users cannot be used, in one line each.

use std::io;
use std::path::{Path, PathBuf};

use registry_spec::auth::ChallengeError;

use super::file::MAX_SIZE;
use super::hash::{MAX_COST, MIN_COST};

/// A file of users that cannot be used. Names the file and what to do; never
/// a line's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HtpasswdError {
    /// It is missing, no file, or cannot be read.
    #[error("{}: cannot read the htpasswd file: {}", path.display(), advice(path, source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nobody has so many users: it is probably another file.
    #[error("{}: larger than {MAX_SIZE} bytes: expected an htpasswd file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is not as it must be.
    #[error("{}:{line}: {}", path.display(), problem.told_of(path))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, counted from one.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// The realm does not fit into a challenge.
    #[error("the realm of the htpasswd file cannot be used")]
    Realm {
        /// Why.
        #[source]
        source: ChallengeError,
    },
    /// The system gave no random bytes for the key of remembered passwords.
    #[error("cannot make a random key")]
    Random {
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

fn advice(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "make it with: pi-registry user add --file {} NAME",
            path.display()
        ),
        io::ErrorKind::PermissionDenied => {
            "make it readable for the user of this process".to_owned()
        }
        // Docker makes one where the file of a bind mount is missing.
        io::ErrorKind::IsADirectory => "give the path of a file".to_owned(),
        _ => "check the path".to_owned(),
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineProblem {
    /// It is not UTF-8.
    NotText,
    /// It has no colon.
    NoColon,
    /// The user's name is empty, too long, or has control characters.
    Name,
    /// The password is hashed in another way than with bcrypt; the way's name.
    OtherHash(&'static str),
    /// It begins as a bcrypt hash and is none.
    Malformed,
    /// A bcrypt hash whose cost is out of bounds.
    Cost(u32),
}

impl LineProblem {
    fn told_of(self, path: &Path) -> String {
        let path = path.display();
        let anew = format!(
            "set the password anew with: htpasswd -B {path} USER, \
             or: pi-registry user passwd --file {path} USER"
        );
        match self {
            Self::NotText => "the line is not UTF-8: save the file as UTF-8".to_owned(),
            Self::NoColon => {
                "the line has no colon: expected USER:HASH, a comment after #, or nothing"
                    .to_owned()
            }
            Self::Name => "the user name is empty, longer than 255 bytes, or has control \
                           characters: correct or remove the line"
                .to_owned(),
            Self::OtherHash(kind) => {
                format!("the password is {kind}, and a registry takes bcrypt only: {anew}")
            }
            Self::Malformed => format!("the bcrypt hash is cut or damaged: {anew}"),
            Self::Cost(cost) => format!(
                "the bcrypt hash has cost {cost}, expected {MIN_COST} to {MAX_COST}: {anew}"
            ),
        }
    }
}
