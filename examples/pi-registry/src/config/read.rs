//! Typed values out of the tree, by dotted key.

use std::time::Duration;

use super::duration;
use super::error::ConfigError;
use super::node::{Node, Value};

/// The text of a key; absent, null and empty are all `None`.
pub(super) fn text<'a>(
    root: &'a Node,
    key: &str,
    expected: &str,
) -> Result<Option<(&'a str, &'a Node)>, ConfigError> {
    let Some(node) = root.at(key) else {
        return Ok(None);
    };
    match &node.value {
        Value::Scalar(text) if text.is_empty() => Ok(None),
        Value::Scalar(text) => Ok(Some((text, node))),
        _ => Err(ConfigError::value(key, node, expected)),
    }
}

/// A text that `parse` understands.
pub(super) fn parsed<T>(
    root: &Node,
    key: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let Some((text, node)) = text(root, key, expected)? else {
        return Ok(None);
    };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(ConfigError::value(key, node, expected)),
    }
}

/// The texts of a list, or those of one text with commas between; absent, null
/// and empty are all empty.
pub(super) fn texts<'a>(
    root: &'a Node,
    key: &str,
    expected: &str,
) -> Result<Vec<(&'a str, &'a Node)>, ConfigError> {
    match root.at(key) {
        Some(node) => items(key, node, expected),
        None => Ok(Vec::new()),
    }
}

/// The same of a node that is at hand.
pub(super) fn items<'a>(
    key: &str,
    node: &'a Node,
    expected: &str,
) -> Result<Vec<(&'a str, &'a Node)>, ConfigError> {
    match &node.value {
        Value::Scalar(text) if text.is_empty() => Ok(Vec::new()),
        Value::Scalar(text) => Ok(text.split(',').map(|text| (text.trim(), node)).collect()),
        Value::List(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::Scalar(text) => Ok((text.trim(), item)),
                _ => Err(ConfigError::value(key, item, expected)),
            })
            .collect(),
        Value::Map(_) | Value::Null => Err(ConfigError::value(key, node, expected)),
    }
}

/// A truth value, quoted or not, in the words of YAML 1.1 as well.
pub(super) fn boolean(root: &Node, key: &str) -> Result<Option<bool>, ConfigError> {
    parsed(root, key, "true or false", |text| {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some(true),
            "false" | "no" | "off" | "n" => Some(false),
            _ => None,
        }
    })
}

/// A duration in Go's form.
pub(super) fn duration(root: &Node, key: &str) -> Result<Option<Duration>, ConfigError> {
    parsed(
        root,
        key,
        "a duration such as 30s, 1m30s or 168h",
        duration::parse,
    )
}

/// A whole number that is not negative.
pub(super) fn number(root: &Node, key: &str) -> Result<Option<usize>, ConfigError> {
    parsed(root, key, "a whole number such as 1000", |text| {
        // `parse` alone would take `+1`.
        let digits = text.bytes().all(|c| c.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    })
}
