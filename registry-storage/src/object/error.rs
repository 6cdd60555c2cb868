//! What can go wrong with an object, told with its key.

use object_store::path::Path;
use registry_spec::storage::StorageError;
use tokio::task::JoinError;

/// The name of this backend in [`StorageError`].
pub(super) const BACKEND: &str = "object store";

#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    /// The store refused a request, or gave no answer after several attempts.
    #[error("cannot {operation} {key}")]
    Store {
        operation: &'static str,
        key: String,
        #[source]
        source: object_store::Error,
    },
    /// The store has accepted to copy an object, and has not done it.
    #[error("no copy came to be at {key}")]
    CopyTimeout { key: String },
    /// A blocking task panicked, or the runtime is shutting down.
    #[error("a task did not finish")]
    Task {
        #[source]
        source: JoinError,
    },
    /// What the store holds is not what was put there.
    #[error("{key} {fault}")]
    Broken { key: String, fault: &'static str },
}

impl From<ObjectError> for StorageError {
    fn from(error: ObjectError) -> Self {
        match &error {
            ObjectError::Store { source, .. } if may_pass(source) || is_bucket_missing(source) => {
                Self::unavailable(BACKEND, error)
            }
            ObjectError::CopyTimeout { .. } => Self::unavailable(BACKEND, error),
            _ => Self::backend(BACKEND, error),
        }
    }
}

impl ObjectError {
    /// What the store says now it denies in the next moment: as if it were away.
    pub(super) fn inconsistent(key: &Path, fault: &'static str) -> StorageError {
        let key = key.to_string();
        StorageError::unavailable(BACKEND, Self::Broken { key, fault })
    }

    pub(super) fn broken(key: &Path, fault: &'static str) -> StorageError {
        Self::Broken {
            key: key.to_string(),
            fault,
        }
        .into()
    }
}

/// Whether the same request may work later: when the network, the store or
/// the operator has mended what was wrong. What the store cannot do at all
/// will not.
const fn may_pass(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(
        error,
        Error::Generic { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
    )
}

/// Whether it is the bucket that is not there, rather than the object: nothing
/// can be said of the object then. (To a `HEAD`, stores do not tell which.)
fn is_bucket_missing(error: &object_store::Error) -> bool {
    let object_store::Error::NotFound { source, .. } = error else {
        return false;
    };
    let answer = source.to_string();
    // S3, Google and Azure.
    ["NoSuchBucket", "bucket does not exist", "ContainerNotFound"]
        .iter()
        .any(|code| answer.contains(code))
}

/// Says of a store's answer what was done to which object.
pub(super) trait At<T> {
    /// Any failure is the store's.
    fn at(self, operation: &'static str, key: &str) -> Result<T, StorageError>;

    /// What is not there is `None`; any other failure is the store's.
    fn if_present(self, operation: &'static str, key: &str) -> Result<Option<T>, StorageError>;
}

impl<T> At<T> for object_store::Result<T> {
    fn at(self, operation: &'static str, key: &str) -> Result<T, StorageError> {
        self.map_err(|source| {
            ObjectError::Store {
                operation,
                key: key.to_owned(),
                source,
            }
            .into()
        })
    }

    fn if_present(self, operation: &'static str, key: &str) -> Result<Option<T>, StorageError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error @ object_store::Error::NotFound { .. }) if !is_bucket_missing(&error) => {
                Ok(None)
            }
            Err(error) => Err(error).at(operation, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_bucket_an_object_is_not_taken_as_absent() {
        let answer = |code: &str| {
            let error = object_store::Error::NotFound {
                path: "key".to_owned(),
                source: format!("404 Not Found: <Error><Code>{code}</Code></Error>").into(),
            };
            Err::<(), _>(error).if_present("read", "key")
        };
        assert!(matches!(answer("NoSuchKey"), Ok(None)));
        assert!(matches!(answer("BlobNotFound"), Ok(None)));
        for code in ["NoSuchBucket", "ContainerNotFound"] {
            let unavailable = answer(code);
            assert!(matches!(unavailable, Err(StorageError::Unavailable { .. })));
        }
    }
}
