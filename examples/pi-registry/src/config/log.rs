//! The `log` section: what is written down.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::node::{Node, Value};
use super::read;

/// The `log` section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// `log.level`. Default: info.
    pub level: tracing::Level,
    /// `log.formatter`. Default: text.
    pub format: LogFormat,
    /// `log.fields`: what is added to every line of the application's log.
    /// Default: nothing.
    pub fields: BTreeMap<String, String>,
    /// `log.accesslog.disabled`, inverted: whether there is a line per request
    /// on standard output. Default: yes.
    pub access: bool,
}

/// The form of the application's log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// One JSON object a line, with the names that Logstash expects.
    Logstash,
}

impl Log {
    pub(super) fn read(root: &Node, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        use tracing::Level;
        let level = |key: &str| {
            let expected = "error, warn, info or debug";
            read::parsed(root, key, expected, |text| {
                match &*text.to_ascii_lowercase() {
                    "error" => Some(Level::ERROR),
                    "warn" => Some(Level::WARN),
                    "info" => Some(Level::INFO),
                    "debug" => Some(Level::DEBUG),
                    "trace" => Some(Level::TRACE),
                    _ => None,
                }
            })
        };
        let (current, old) = (level("log.level")?, level("loglevel")?);
        if let (Some(_), Some(node)) = (old, root.at("loglevel")) {
            let source = &node.source;
            warnings.push(format!("{source}: loglevel is deprecated: use log.level"));
        }
        let format = read::parsed(
            root,
            "log.formatter",
            "text, json or logstash",
            |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                "logstash" => Some(LogFormat::Logstash),
                _ => None,
            },
        )?;
        let disabled = read::boolean(root, "log.accesslog.disabled")?;
        Ok(Self {
            level: current.or(old).unwrap_or(Level::INFO),
            format: format.unwrap_or(LogFormat::Text),
            fields: fields(root)?,
            access: !disabled.unwrap_or(false),
        })
    }
}

fn fields(root: &Node) -> Result<BTreeMap<String, String>, ConfigError> {
    const FIELDS: &str = "log.fields";
    let mut fields = BTreeMap::new();
    let Some(node) = root.at(FIELDS) else {
        return Ok(fields);
    };
    let children = match &node.value {
        Value::Map(children) => children,
        Value::Scalar(text) if text.is_empty() => return Ok(fields),
        _ => return Err(ConfigError::value(FIELDS, node, "a map of names to texts")),
    };
    for (name, node) in children {
        match &node.value {
            Value::Null => {}
            Value::Scalar(text) => {
                fields.insert(name.clone(), text.clone());
            }
            _ => {
                let key = format!("{FIELDS}.{name}");
                return Err(ConfigError::value(&key, node, "a text"));
            }
        }
    }
    Ok(fields)
}
