//! The configuration as a tree of nodes, each of which knows where it came
//! from, so that every complaint can name the place to change.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::secret;

/// Where a piece of the configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A line of a configuration file, counted from one.
    File { path: Arc<Path>, line: usize },
    /// An environment variable.
    Env(Arc<str>),
    /// Nobody said anything about it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("built-in default"),
        }
    }
}

/// A node's content. Scalars stay text: whether `0123` is a number or a
/// password is decided by the key that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    /// In the order written.
    Map(Vec<(String, Node)>),
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) source: Source,
}

impl Node {
    pub(super) fn new(value: Value, source: Source) -> Self {
        Self { value, source }
    }

    /// An empty map that nobody wrote.
    pub(super) fn empty() -> Self {
        Self::new(Value::Map(Vec::new()), Source::Default)
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(children) => children
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    fn item(&self, index: usize) -> Option<&Self> {
        match &self.value {
            Value::List(items) => items.get(index),
            _ => None,
        }
    }

    /// The node at a dotted key such as `health.file[0].interval`; `None` also
    /// when it is null, which YAML writes for "nothing here".
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        self.named(key).filter(|node| node.value != Value::Null)
    }

    /// The node of a key that was written, with a value or without.
    pub(super) fn named(&self, key: &str) -> Option<&Self> {
        let mut node = self;
        for segment in key.split('.') {
            let indexed = segment
                .strip_suffix(']')
                .and_then(|segment| segment.split_once('['));
            node = match indexed {
                Some((name, index)) => node.child(name)?.item(index.parse().ok()?)?,
                None => node.child(segment)?,
            };
        }
        Some(node)
    }

    /// Whether leaving this out would change nothing: null, an empty text,
    /// list or map, `false`, or a map of only such values.
    pub(super) fn is_off(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar(text) => text.is_empty() || text.eq_ignore_ascii_case("false"),
            Value::List(items) => items.is_empty(),
            Value::Map(children) => children.iter().all(|(_, child)| child.is_off()),
        }
    }

    /// Turns the short form `storage: filesystem` into the long form
    /// `storage: {filesystem: }`.
    pub(super) fn expand_short_form(&mut self) {
        // Anything but a name is broken YAML, and no driver.
        if let Value::Scalar(name) = &self.value
            && !name.is_empty()
            && name.bytes().all(|c| c.is_ascii_alphanumeric())
        {
            let child = Self::new(Value::Null, self.source.clone());
            self.value = Value::Map(vec![(name.to_ascii_lowercase(), child)]);
        }
    }

    /// The value in a message: a text quoted and cut, or what it is instead.
    pub(super) fn describe(&self) -> String {
        /// Enough to recognise a value by, on a line that stays readable.
        const LONGEST: usize = 60;
        match &self.value {
            Value::Null => "empty".to_owned(),
            Value::Scalar(text) => {
                let text = secret::without_password(text);
                let start: String = text.chars().take(LONGEST).collect();
                let cut = if start.len() < text.len() { "…" } else { "" };
                format!("{:?}", start + cut)
            }
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}
