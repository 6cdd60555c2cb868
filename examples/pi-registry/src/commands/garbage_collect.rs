//! `garbage-collect`: says that it is not there yet.

use std::process::ExitCode;

use super::complain;

/// Touches nothing. The code is none that a job takes for success, nor 1,
/// which is a fault of the configuration.
pub(crate) fn run() -> ExitCode {
    complain(
        "garbage-collect is not supported yet and comes in a later version: nothing was read or \
         removed; deleted images keep their disk space until then",
    );
    ExitCode::from(2)
}
