//! Giving way to whoever waits for an answer.

/// The calling thread, and those that it starts from now on, give way to
/// others; in their use of disks too, where the system tells that from this.
pub(super) fn be_nice() {
    /// Of 19.
    #[cfg(target_os = "linux")]
    const NICE: i32 = 15;

    // Elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}
