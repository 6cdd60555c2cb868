//! What is known of pulls.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use registry_spec::storage::StorageError;
use registry_spec::types::{RepositoryName, Tag};

/// How long a tag may go on being pulled before that is noted again: a day. By
/// so much longer it is kept than a rule says.
pub const PULLS_NOTED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Notes of when tags were pulled, as a backend may have them.
#[async_trait]
pub trait Pulls: Debug + Send + Sync {
    /// Since when every pull is noted without a gap; `None` while they are not.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    async fn noted_since(&self) -> Result<Option<SystemTime>, StorageError>;

    /// When it was last noted that a tag was pulled. It may have been pulled
    /// for [`PULLS_NOTED_EVERY`] after that.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    async fn pulled_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError>;
}
