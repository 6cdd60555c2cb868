/// The upload sessions that a storage has removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgedUploads {
    /// How many sessions.
    pub sessions: u64,
    /// How many bytes they held.
    pub bytes: u64,
}
