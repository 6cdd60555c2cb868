//! `cert`: makes, renews, shows and checks certificates.
//!
//! | file | |
//! |---|---|
//! | `files.rs` | which files: of a directory or of a configuration |
//! | `authority.rs` | the CA: loaded, completed or made |
//! | `leaf.rs` | the registry's certificate: made, completed, renewed |
//! | `client.rs` | a user's certificate |
//! | `new.rs`, `renew.rs`, `show.rs`, `check.rs` | the commands |
//!
//! Keys are written before their certificates: a key alone is completed by the
//! next run, and a certificate alone would be of no use.

mod authority;
mod check;
mod client;
pub(super) mod files;
pub(super) mod leaf;
mod new;
mod options;
mod renew;
mod show;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub(super) use files::{Files, is_there};
pub(super) use leaf::{Wanted, complete};
pub(super) use options::{Hosts, Key};

use super::{exit_code, print};

/// Where `init` and `cert new` put their files unless told otherwise.
pub(super) const DEFAULT_DIR: &str = "./registry";

#[derive(Args, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
enum Action {
    /// Make a certificate, and a CA where there is none. Nothing is overwritten.
    New(new::Arguments),
    /// Replace a certificate by a new one from the same CA.
    Renew(renew::Arguments),
    /// Print what is in certificates.
    Show(show::Arguments),
    /// Tell what is wrong with certificates, and what clients will say.
    Check(check::Arguments),
}

/// Does it; 0 unless something is wrong.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.action {
        Action::New(arguments) => tell(|out| new::run(arguments, out)),
        Action::Renew(arguments) => tell(|out| renew::run(arguments, out)),
        Action::Show(arguments) => tell(|out| show::run(arguments, out)),
        Action::Check(arguments) => check::run(arguments),
    }
}

/// Prints what was done, also before a complaint: it was done.
pub(super) fn tell(act: impl FnOnce(&mut String) -> Result<(), String>) -> ExitCode {
    let mut out = String::new();
    let done = act(&mut out);
    let printed = print(&out).map_err(|error| format!("cannot print: {error}"));
    exit_code(done.and(printed))
}
