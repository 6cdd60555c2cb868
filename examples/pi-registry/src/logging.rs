//! The application's log, on standard error.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

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
        // The HTTP/2 library tells of every frame, and warns of what clients do;
        // that of object stores tells of every attempt, and we of their outcome.
        _ => EnvFilter::new(format!("{},h2=error,object_store=error", log.level)),
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
    let fields = log.fields.clone();
    match log.format {
        LogFormat::Text => builder
            .map_event_format(|inner| Text {
                inner: inner.with_ansi(colours),
                fields,
            })
            .init(),
        LogFormat::Json | LogFormat::Logstash => builder
            .json()
            .flatten_event(true)
            .map_event_format(|inner| Json {
                inner,
                fields,
                logstash: log.format == LogFormat::Logstash,
            })
            .init(),
    }
    Ok(Flush { _worker: worker })
}

/// Lines for people, with `log.fields` at their end.
struct Text<F> {
    inner: F,
    fields: BTreeMap<String, String>,
}

impl<S, N, F> FormatEvent<S, N> for Text<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.fields.is_empty() {
            return self.inner.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(line.trim_end_matches('\n'))?;
        for (name, value) in &self.fields {
            write!(writer, " {}={value:?}", name.escape_debug())?;
        }
        writeln!(writer)
    }
}

/// Lines for programs, with `log.fields` among their own.
struct Json<F> {
    inner: F,
    fields: BTreeMap<String, String>,
    logstash: bool,
}

impl<S, N, F> FormatEvent<S, N> for Json<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{}", self.rewritten(&line)?)
    }
}

impl<F> Json<F> {
    /// A line with the fields added; none of them takes the place of what the
    /// line says itself.
    fn rewritten(&self, line: &str) -> Result<serde_json::Value, fmt::Error> {
        let mut object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|_| fmt::Error)?;
        if self.logstash {
            for (name, theirs) in [("timestamp", "@timestamp"), ("target", "logger_name")] {
                if let Some(value) = object.remove(name) {
                    object.insert(theirs.to_owned(), value);
                }
            }
            if let Some(serde_json::Value::String(level)) = object.get_mut("level") {
                level.make_ascii_lowercase();
            }
            object.insert("@version".to_owned(), "1".into());
        }
        for (name, value) in &self.fields {
            object
                .entry(name.clone())
                .or_insert_with(|| value.clone().into());
        }
        Ok(object.into())
    }
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

    /// The lines of one warning, in a format.
    fn lines(format: LogFormat, fields: &[(&str, &str)]) -> String {
        let fields: BTreeMap<_, _> = fields
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("log");
        let file = std::fs::File::create(&path).expect("created");
        let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(file);
        let warn = || tracing::warn!(blob = 7, "it \"broke\"");
        if format == LogFormat::Text {
            let subscriber = builder
                .map_event_format(|inner| Text { inner, fields })
                .finish();
            tracing::subscriber::with_default(subscriber, warn);
        } else {
            let subscriber = builder
                .json()
                .flatten_event(true)
                .map_event_format(|inner| Json {
                    inner,
                    fields,
                    logstash: format == LogFormat::Logstash,
                })
                .finish();
            tracing::subscriber::with_default(subscriber, warn);
        }
        std::fs::read_to_string(path).expect("text")
    }

    #[test]
    fn fields_are_in_every_line() {
        let fields = [("service", "registry"), ("where", "the cellar\n")];
        let text = lines(LogFormat::Text, &fields);
        assert!(
            text.ends_with(" blob=7 service=\"registry\" where=\"the cellar\\n\"\n"),
            "{text}"
        );
        let json = lines(LogFormat::Json, &fields);
        let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
        assert_eq!(json["service"], "registry");
        assert_eq!(json["level"], "WARN");
        assert_eq!(json["message"], "it \"broke\"");
        assert_eq!(json["blob"], 7);
    }

    #[test]
    fn logstash_finds_its_own_names() {
        let json = lines(LogFormat::Logstash, &[("message", "x"), ("type", "y")]);
        let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
        assert_eq!(json["@version"], "1");
        assert!(json["@timestamp"].is_string() && json["timestamp"].is_null());
        assert_eq!(json["level"], "warn");
        assert_eq!(json["message"], "it \"broke\"");
        assert_eq!(json["type"], "y");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn sources_are_told_on_one_line() {
        let error = Outer(io::Error::other("in\nner"));
        assert_eq!(chain(&error), "outer: in ner");
    }
}
