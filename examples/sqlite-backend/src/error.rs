//! What can go wrong behind the trait.

use std::io;
use std::path::{Path, PathBuf};

use registry_spec::storage::StorageError;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// An answer of the contract, or a failure of what is underneath. One type for
/// both, so that `?` works on SQLite's errors as on the contract's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Answer(#[from] StorageError),
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    #[error("the database has schema version {0}, which this program does not know")]
    Schema(i64),
    #[error("{} failed", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("a blocking task did not end")]
    Task(#[from] tokio::task::JoinError),
}

impl From<Error> for StorageError {
    fn from(error: Error) -> Self {
        match error {
            Error::Answer(answer) => answer,
            failure => Self::backend("sqlite", failure),
        }
    }
}

/// Names the file that an error is about.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File {
            path: path.to_path_buf(),
            source,
        })
    }
}
