//! YAML text to a tree of located nodes.

use std::path::Path;
use std::sync::Arc;

use saphyr::{MarkedYaml, Scalar, YamlData, YamlLoader};
use saphyr_parser::{BufferedInput, Parser, ScalarStyle, ScanError};

use super::error::ConfigError;
use super::node::{Node, Source, Value};

/// Parses a configuration file.
pub(super) fn file(path: &Path, text: &str) -> Result<Node, ConfigError> {
    let path: Arc<Path> = path.into();
    let source = |line| Source::File {
        path: Arc::clone(&path),
        line,
    };
    parse(text, &source).map_err(|fault| {
        let place = format!("{}:{}:{}", path.display(), fault.line, fault.column);
        ConfigError::at(place, format_args!("not valid YAML: {}", fault.message))
    })
}

/// Parses the value of an environment variable, as distribution does: so
/// `true`, `[a, b]` and `{enabled: true}` are what they look like.
///
/// What is no YAML is a plain text: `[::]:5000` is an address and `%x` the
/// start of a password. A broken list or map is then told as a text where its
/// key expects something else.
pub(super) fn variable(name: &str, value: &str) -> Node {
    let source = Source::Env(name.into());
    parse(value, &|_| source.clone())
        .unwrap_or_else(|_| Node::new(Value::Scalar(value.to_owned()), source))
}

/// Parses text of our own, which has no lines that matter.
pub(super) fn text(text: &str, source: &Source) -> Node {
    parse(text, &|_| source.clone()).unwrap_or_else(|_| Node::new(Value::Null, source.clone()))
}

/// What is wrong with a text, and where.
struct Fault {
    line: usize,
    column: usize,
    message: String,
}

impl From<&ScanError> for Fault {
    fn from(error: &ScanError) -> Self {
        Self {
            line: error.marker().line(),
            column: error.marker().col() + 1,
            message: error.info().to_owned(),
        }
    }
}

fn parse(text: &str, source: &dyn Fn(usize) -> Source) -> Result<Node, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    // Scalars stay as written: `0123` may be a password.
    loader.early_parse(false);
    Parser::new(BufferedInput::new(text.chars()))
        .load(&mut loader, true)
        .map_err(|error| Fault::from(&error))?;
    if let Some(error) = loader.error() {
        return Err(Fault::from(error));
    }
    let mut documents = loader.into_documents();
    if let Some(second) = documents.get(1) {
        return Err(Fault {
            line: second.span.start.line(),
            column: second.span.start.col() + 1,
            message: "a second document starts here, only one is read".to_owned(),
        });
    }
    match documents.pop() {
        Some(document) => convert(&document, source),
        None => Ok(Node::new(Value::Null, source(1))),
    }
}

fn convert(yaml: &MarkedYaml<'_>, source: &dyn Fn(usize) -> Source) -> Result<Node, Fault> {
    let line = yaml.span.start.line();
    let value = match &yaml.data {
        YamlData::Representation(text, style, _) => scalar(text, *style),
        YamlData::Value(Scalar::String(text)) => Value::Scalar(text.to_string()),
        YamlData::Value(_) => Value::Null,
        YamlData::BadValue | YamlData::Alias(_) => {
            return Err(Fault {
                line,
                column: yaml.span.start.col() + 1,
                message: "this value cannot be resolved".to_owned(),
            });
        }
        YamlData::Tagged(_, inner) => return convert(inner, source),
        YamlData::Sequence(items) => Value::List(
            items
                .iter()
                .map(|item| convert(item, source))
                .collect::<Result<_, _>>()?,
        ),
        YamlData::Mapping(entries) => {
            let mut children: Vec<(String, Node)> = Vec::with_capacity(entries.len());
            for (key, item) in entries {
                let start = key.span.start;
                let fault = |message: &str| Fault {
                    line: start.line(),
                    column: start.col() + 1,
                    message: message.to_owned(),
                };
                let Value::Scalar(name) = convert(key, source)?.value else {
                    return Err(fault("a key must be a text"));
                };
                // The parser compares keys with their quotes.
                if children.iter().any(|(other, _)| *other == name) {
                    return Err(fault("duplicated key in mapping"));
                }
                let mut node = convert(item, source)?;
                // The line of the key: what a reader looks for, and the only
                // sensible one when the value is an alias or starts below.
                node.source = source(start.line());
                children.push((name, node));
            }
            Value::Map(children)
        }
    };
    Ok(Node::new(value, source(line)))
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        _ => Value::Scalar(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, ConfigError> {
        file(Path::new("c.yml"), text)
    }

    #[test]
    fn nodes_know_their_line_and_keep_their_text() {
        let root = read("version: 0.1\nstorage:\n  s3:\n    key: 0123\n    'quoted': \"true\"\n")
            .expect("valid");
        let key = root.at("storage.s3.key").expect("present");
        assert_eq!(key.value, Value::Scalar("0123".to_owned()));
        assert_eq!(key.source.to_string(), "c.yml:4");
        let quoted = root.at("storage.s3.quoted").expect("present");
        assert_eq!(quoted.value, Value::Scalar("true".to_owned()));
        assert_eq!(
            root.at("storage.s3").expect("present").source.to_string(),
            "c.yml:3"
        );
    }

    #[test]
    fn an_empty_file_is_null_and_an_alias_is_followed() {
        for text in ["", "# only a comment\n", "---\n", "~"] {
            assert_eq!(read(text).expect(text).value, Value::Null, "{text:?}");
        }
        let root = read("a: &x {b: c}\nd: *x\n").expect("valid");
        let b = root.at("d.b").expect("present");
        assert_eq!(b.value, Value::Scalar("c".to_owned()));
    }

    #[test]
    fn bad_yaml_is_told_with_line_and_column() {
        for (text, expected) in [
            (
                "a: 1\na: 2\n",
                "c.yml:2:1: not valid YAML: duplicated key in mapping",
            ),
            (
                "a: 1\n\"a\": 2\n",
                "c.yml:2:1: not valid YAML: duplicated key in mapping",
            ),
            (
                "a: 1\n---\nb: 2\n",
                "c.yml:3:1: not valid YAML: a second document starts here, only one is read",
            ),
            (
                "[a]: b\n",
                "c.yml:1:1: not valid YAML: a key must be a text",
            ),
        ] {
            assert_eq!(read(text).expect_err(text).to_string(), expected);
        }
        let error = read("http:\n  addr: [\n")
            .expect_err("open list")
            .to_string();
        assert!(error.starts_with("c.yml:"), "{error}");
        assert!(error.contains(": not valid YAML: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
