//! What every list of rules is read by, in the configuration or in a file.

use std::fmt::Display;
use std::str::FromStr;

use super::error::ConfigError;
use super::node::{Node, Value};
use super::read;

/// A list of at least one, each of which parses. `node` is told of when there
/// is none.
pub(super) fn list<T>(
    root: &Node,
    key: &str,
    node: &Node,
    such_as: &str,
) -> Result<Vec<T>, ConfigError>
where
    T: FromStr<Err: Display>,
{
    let parsed = some(root, key, such_as)?;
    if parsed.is_empty() {
        return Err(ConfigError::at(
            &node.source,
            format_args!("{key} is missing: expected a list of {such_as}"),
        ));
    }
    Ok(parsed)
}

/// The same, which may be empty.
pub(super) fn some<T>(root: &Node, key: &str, such_as: &str) -> Result<Vec<T>, ConfigError>
where
    T: FromStr<Err: Display>,
{
    let items = match root.at(key) {
        Some(node) => read::items(key, node, &format!("a list of {such_as}"))?,
        None => Vec::new(),
    };
    let parsed = items.into_iter();
    parsed.map(|(text, node)| parse(key, text, node)).collect()
}

pub(super) fn parse<T: FromStr<Err: Display>>(
    key: &str,
    text: &str,
    node: &Node,
) -> Result<T, ConfigError> {
    text.parse().map_err(|error| bad(key, text, node, error))
}

pub(super) fn bad(key: &str, text: &str, node: &Node, why: impl Display) -> ConfigError {
    let text = Node::new(Value::Scalar(text.to_owned()), node.source.clone());
    ConfigError::at(
        &node.source,
        format_args!("{key} has {}: {why}", text.describe()),
    )
}

/// Refuses what is no map, and what has other keys: a rule that means more
/// than was understood must not be taken for one that means less.
pub(super) fn known(key: &str, node: &Node, names: &[&str]) -> Result<(), ConfigError> {
    let children = match &node.value {
        Value::Map(children) => children.as_slice(),
        Value::Null => &[],
        _ => return Err(ConfigError::value(key, node, "a map of keys")),
    };
    let unknown = children
        .iter()
        .find(|(name, _)| !names.contains(&name.as_str()));
    match unknown {
        None => Ok(()),
        Some((name, node)) => {
            let dot = if key.is_empty() { "" } else { "." };
            Err(ConfigError::at(
                &node.source,
                format_args!(
                    "{key}{dot}{} is unknown: expected {}",
                    name.escape_debug(),
                    names.join(", ")
                ),
            ))
        }
    }
}

/// The nodes of a list of rules, each with its key.
pub(super) fn each<'a>(root: &'a Node, key: &str) -> Result<Vec<(String, &'a Node)>, ConfigError> {
    let items = match root.at(key) {
        None => return Ok(Vec::new()),
        Some(node) => match &node.value {
            Value::List(items) => items,
            _ => return Err(ConfigError::value(key, node, "a list of rules")),
        },
    };
    let items = items.iter().enumerate();
    Ok(items
        .map(|(index, node)| (format!("{key}[{index}]"), node))
        .collect())
}
