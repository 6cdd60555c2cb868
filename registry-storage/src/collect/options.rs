//! What a collection may remove.

use std::time::Duration;

/// What a collection may remove.
///
/// ```
/// use std::time::Duration;
/// use registry_storage::collect::CollectOptions;
///
/// let mut options = CollectOptions::default();
/// options.delete_untagged = true;
/// assert_eq!(options.grace, Duration::from_secs(24 * 60 * 60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectOptions {
    /// How old garbage must be. Default: 24 hours, which is longer than any
    /// push takes from its first look at a blob to its manifest.
    pub grace: Duration,
    /// Whether manifests go that no tag reaches and that refer to nothing
    /// live. Default: no, since somebody may pull by digest.
    pub delete_untagged: bool,
    /// Whether to tell only what would be removed. Default: no. What others
    /// change meanwhile is not looked at again.
    pub dry_run: bool,
    /// For how long nothing must have been written to an upload session.
    /// Default: a week, as Distribution's purging has it. `None` leaves them.
    pub stale_uploads: Option<Duration>,
    /// Whether repositories go that hold nothing any more. Default: yes.
    pub empty_repositories: bool,
    /// Whether a registry that is not there yet has nothing to be removed, which
    /// is so before the first push. Default: no, it is an error, since the place
    /// may be a wrong one, or a volume that is not mounted.
    pub may_be_absent: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            grace: DAY,
            delete_untagged: false,
            dry_run: false,
            stale_uploads: Some(7 * DAY),
            empty_repositories: true,
            may_be_absent: false,
        }
    }
}
