//! A container registry for small private clusters; see the README.

use std::process::ExitCode;

/// musl's own gives each large buffer back to the kernel, and is given zeros
/// for it the next time: a push takes half as much CPU time again with it.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pi_registry::run()
}
