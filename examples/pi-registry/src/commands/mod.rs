//! What the program does besides serving.

mod amounts;
pub(crate) mod cert;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod garbage_collect;
pub(crate) mod htpasswd;
pub(crate) mod init;
mod password;
pub(crate) mod policy;
mod progress;
mod remote;
mod report;
pub(crate) mod retention;
pub(crate) mod trust;
pub(crate) mod user;
pub(crate) mod verify;

use std::io::{self, Write as _};
use std::process::ExitCode;

/// Writes to standard output. Unlike `print!` it does not panic when nobody
/// reads.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The exit code of what is done: 1 after a complaint, else 0.
fn exit_code(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            complain(line);
            ExitCode::FAILURE
        }
    }
}

/// Writes a line in the program's name to standard error.
fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "pi-registry: {line}");
}

/// A word of the shell, for commands that people copy.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_the_shell_would_take_apart_are_quoted() {
        for (text, expected) in [
            ("https://[::1]:5000", "'https://[::1]:5000'"),
            ("https://r.local:5000", "https://r.local:5000"),
            ("", "''"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
