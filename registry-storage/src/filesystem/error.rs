//! What can go wrong with a file, told with the path and the uid that was refused.

use std::io;
use std::path::{Path, PathBuf};

use registry_spec::storage::StorageError;
use tokio::sync::oneshot::error::RecvError;
use tokio::task::JoinError;

/// The name of this backend in [`StorageError::Backend`] and [`StorageError::Full`].
const BACKEND: &str = "filesystem";

#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// A call to the operating system failed. Most often it is a tree that
    /// belongs to another user, hence the uid.
    #[error("cannot {operation} {} as uid {uid}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        uid: u32,
        #[source]
        source: io::Error,
    },
    /// Room that pushes leave alone would be used.
    #[error(
        "{} has {free} bytes free, of which {reserve} are reserved: {bytes} more do not fit",
        root.display()
    )]
    NoRoom {
        root: PathBuf,
        bytes: u64,
        free: u64,
        reserve: u64,
    },
    /// Something is not as it should be.
    #[error("{}: {fault}", path.display())]
    Fault { path: PathBuf, fault: &'static str },
    /// There is no thread for a garbage collection.
    #[error("cannot start a thread")]
    Thread {
        #[source]
        source: io::Error,
    },
    /// A garbage collection panicked.
    #[error("the garbage collection did not finish")]
    Collector {
        #[source]
        source: RecvError,
    },
    /// A blocking task panicked, or the runtime is shutting down.
    #[error("a file task did not finish")]
    Task {
        #[source]
        source: JoinError,
    },
}

impl FileError {
    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            operation,
            path: path.to_path_buf(),
            uid: rustix::process::geteuid().as_raw(),
            source,
        }
    }
}

impl FileError {
    pub(super) fn fault(path: &Path, fault: &'static str) -> StorageError {
        let path = path.to_path_buf();
        Self::Fault { path, fault }.into()
    }
}

impl From<FileError> for StorageError {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::NoRoom { .. } => Self::full(BACKEND, error),
            FileError::Io { source, .. } if is_full(source) => Self::full(BACKEND, error),
            _ => Self::backend(BACKEND, error),
        }
    }
}

/// Says of an I/O result what was done where.
pub(super) trait At<T> {
    /// Any failure is the backend's.
    fn at(self, operation: &'static str, path: &Path) -> Result<T, StorageError>;

    /// What is not there is `None`; any other failure is the backend's.
    fn if_present(self, operation: &'static str, path: &Path) -> Result<Option<T>, StorageError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| FileError::io(operation, path, source).into())
    }

    fn if_present(self, operation: &'static str, path: &Path) -> Result<Option<T>, StorageError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error).at(operation, path),
        }
    }
}

/// Whether the disk, or the share of it that is ours, is full.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether the failure shows that the entry looked for is not there: also
/// when a foreign file stands where a directory should be, or the reverse.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}
