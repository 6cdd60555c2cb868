//! A container registry for small private clusters; see the README.

use std::process::ExitCode;

fn main() -> ExitCode {
    pi_registry::run()
}
