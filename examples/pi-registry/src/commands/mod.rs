//! What the program does besides serving.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod garbage_collect;
pub(crate) mod htpasswd;

use std::io::{self, Write as _};

/// Writes to standard output. Unlike `print!` it does not panic when nobody
/// reads.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line in the program's name to standard error.
fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "pi-registry: {line}");
}
