//! What both backends read into memory at most.

/// The largest manifest, in bytes. The spec expects 4 MiB to work, and somebody
/// may have configured more; but any blob can be linked as a manifest.
pub(crate) const MAX_MANIFEST_LEN: u64 = 16 * 1024 * 1024;

/// Longer than any link, in bytes; what is longer is not one.
pub(crate) const MAX_LINK_LEN: usize = 1024;
