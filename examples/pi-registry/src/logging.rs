//! The application's log, on standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// A filter in `RUST_LOG` that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "environment variable RUST_LOG: {0}: expected a filter such as debug or pi_registry=debug,info"
)]
pub(crate) struct FilterError(tracing_subscriber::filter::ParseError);

/// Writes what is left of the log when it is dropped.
#[must_use]
pub(crate) struct Flush {
    _worker: WorkerGuard,
}

/// Starts the log. `RUST_LOG`, where set, has the last word.
///
/// A thread of its own writes it, so that a standard error which nobody reads
/// never holds up a request; what does not fit into its queue is lost.
pub(crate) fn init(log: &Log) -> Result<Flush, FilterError> {
    /// A burst, in at most a few MiB.
    const QUEUED_LINES: usize = 1024;
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(filter).map_err(FilterError)?,
        // The HTTP/2 library tells of every frame, and warns of what clients do.
        _ => EnvFilter::new(format!("{},h2=error", log.level)),
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(writer)
        // Would report a closed standard error on standard error, and panic.
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(Flush { _worker: worker })
}

/// An error and its sources on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(line, ": {error}");
        source = error.source();
    }
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn sources_are_told_on_one_line() {
        let error = Outer(io::Error::other("in\nner"));
        assert_eq!(chain(&error), "outer: in ner");
    }
}
