//! Why the registry does not start with a configuration, in one line.

use std::fmt;

use super::node::{Node, Source};
use super::secret;

/// A configuration that cannot be used. Prints as one line: where, which key,
/// its value, and what is expected.
#[derive(Debug, thiserror::Error)]
#[error("{line}")]
#[non_exhaustive]
pub struct ConfigError {
    line: String,
}

impl ConfigError {
    /// A complaint about a place as a whole.
    pub(super) fn at(place: impl fmt::Display, message: impl fmt::Display) -> Self {
        let line = format!("{place}: {message}");
        // Values and paths come from outside; a line break in one must not
        // make two lines of a report that scripts read by line.
        let line = line.replace(['\n', '\r'], " ");
        Self { line }
    }

    /// A complaint about the value of a key.
    pub(super) fn value(key: &str, node: &Node, expected: impl fmt::Display) -> Self {
        let value = secret::describe(key, node);
        Self::at(
            &node.source,
            format_args!("{key} is {value}: expected {expected}"),
        )
    }

    /// A key that would change what the registry does, if it were obeyed.
    pub(super) fn unsupported(key: &str, source: &Source) -> Self {
        Self::at(
            source,
            format_args!(
                "{key} is not supported yet, and ignoring it would change what the registry does: \
                 remove it to start without it"
            ),
        )
    }
}
