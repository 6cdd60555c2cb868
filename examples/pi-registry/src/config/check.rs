//! Unknown, ignored and refused keys, before any value is read.

use super::error::ConfigError;
use super::node::{Node, Source, Value};
use super::schema::{self, Support};

/// Walks the tree and returns the warnings, one line each.
///
/// # Errors
/// At the first key that is refused, or a value where a map belongs.
pub(super) fn check(root: &Node) -> Result<Vec<String>, ConfigError> {
    let mut warnings = Vec::new();
    walk(&Key::root(), root, None, &mut warnings)?;
    warnings.extend(EMPTY.iter().filter_map(|gate| empty(root, gate)));
    Ok(warnings)
}

/// Sections that keep people out, and what holds while there is nothing in
/// them: perhaps their lines were lost, or commented out.
const EMPTY: &[(&str, &str)] = &[
    (
        "auth",
        "everybody may in; write auth: none if that is meant",
    ),
    (
        "http.tls",
        "plain HTTP is spoken; remove it if that is meant",
    ),
    (
        "http.tls.clientcas",
        "no client certificate is verified; remove it if that is meant",
    ),
];

fn empty(root: &Node, &(key, without): &(&str, &str)) -> Option<String> {
    let node = root.named(key)?;
    let empty = match &node.value {
        Value::Null => true,
        Value::Scalar(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(children) => children.is_empty(),
    };
    // An empty variable is as good as none, and templates set such.
    let written = matches!(node.source, Source::File { .. });
    (empty && written).then(|| format!("{}: {key} is empty: {without}", node.source))
}

/// A key by its name in the schema, and as a person would write it: the items
/// of a list have their own numbers there.
#[derive(Clone)]
struct Key {
    schema: String,
    shown: String,
}

impl Key {
    fn root() -> Self {
        Self {
            schema: String::new(),
            shown: String::new(),
        }
    }

    fn child(&self, name: &str) -> Self {
        let below = |key: &str| match key {
            "" => name.to_owned(),
            key => format!("{key}.{name}"),
        };
        Self {
            schema: below(&self.schema),
            shown: below(&self.shown),
        }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            schema: format!("{}[]", self.schema),
            shown: format!("{}[{index}]", self.shown),
        }
    }
}

/// `inherited` is the entry of the nearest ancestor that has one.
fn walk(
    key: &Key,
    node: &Node,
    inherited: Option<Support>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let own = schema::support(&key.schema);
    if schema::has_children(&key.schema) {
        let children = match &node.value {
            Value::Null => return Ok(()),
            Value::Map(children) => children,
            _ => return Err(ConfigError::value(name(&key.shown), node, "a map of keys")),
        };
        for (child, node) in children {
            plain_name(&key.shown, child, node)?;
            walk(&key.child(child), node, own.or(inherited), warnings)?;
        }
        return Ok(());
    }
    if let Value::List(items) = &node.value
        && schema::has_children(&key.item(0).schema)
    {
        for (index, item) in items.iter().enumerate() {
            walk(&key.item(index), item, None, warnings)?;
        }
    }
    let shown = &key.shown;
    match own.or(inherited) {
        Some(Support::Used) => {}
        Some(Support::Ignored(_) | Support::Refused) if node.is_off() => {}
        Some(Support::Ignored(why)) => {
            warnings.push(format!("{}: {shown} is ignored: {why}", node.source));
        }
        Some(Support::Refused | Support::RefusedIfPresent) => {
            return Err(ConfigError::unsupported(shown, &node.source));
        }
        None => return unknown(key, node, warnings),
    }
    Ok(())
}

/// Keys are nested; a name that only looks like one would be passed over
/// wherever the key is asked for.
fn plain_name(parent: &str, child: &str, node: &Node) -> Result<(), ConfigError> {
    let advice = match child {
        "" => "a key has no name",
        "<<" => "merge keys are not supported: write the keys out",
        _ if child.contains('.') => {
            "keys are nested, one level below the other, not joined by dots"
        }
        _ => return Ok(()),
    };
    Err(ConfigError::at(
        &node.source,
        format_args!("{child:?} below {}: {advice}", name(parent)),
    ))
}

/// Words of settings that keep people out.
fn is_about_security(segment: &str) -> bool {
    let segment = segment.to_ascii_lowercase();
    ["auth", "cert", "client", "htpasswd", "ssl", "tls", "token"]
        .iter()
        .any(|word| segment.starts_with(word))
}

/// An unknown key only deserves a warning, unless it stands where a storage
/// driver is named, or ignoring it might open the registry or change what it
/// does: it speaks of authentication or TLS, wherever it stands, or is a slip
/// of a key of which that is true.
fn unknown(key: &Key, node: &Node, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    let (parent, last) = split(&key.schema);
    let (shown_parent, _) = split(&key.shown);
    let source = &node.source;
    // Of control characters nothing but their names must reach a terminal.
    let shown = &key.shown.escape_debug().to_string();
    if key.schema.split('.').any(is_about_security) {
        return Err(ConfigError::at(
            source,
            format_args!(
                "{shown} is unknown, and ignoring it might open the registry: correct or remove it"
            ),
        ));
    }
    let Some(near) = nearest(last, schema::children(parent)) else {
        if parent == "storage" {
            return Err(ConfigError::at(
                source,
                format_args!(
                    "storage driver {last:?} is unknown: expected filesystem, s3, azure or gcs"
                ),
            ));
        }
        warnings.push(format!("{source}: {shown} is unknown and ignored"));
        return Ok(());
    };
    let below = |parent: &str| match parent {
        "" => near.to_owned(),
        parent => format!("{parent}.{near}"),
    };
    let meant = below(shown_parent);
    let wrong_case = near.eq_ignore_ascii_case(last);
    // Elsewhere than where they were looked for, images are as good as gone.
    let is_storage = parent.split('.').next() == Some("storage");
    if wrong_case || is_storage || schema::matters_at_or_below(&below(parent)) {
        return Err(ConfigError::at(
            source,
            format_args!("{shown} is unknown: did you mean {meant}? Correct or remove it"),
        ));
    }
    warnings.push(format!(
        "{source}: {shown} is unknown and ignored: did you mean {meant}?"
    ));
    Ok(())
}

/// A key's parent, and its last name.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

/// The known name that `word` is probably a slip or an abbreviation of.
fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    /// A shorter start, such as `s`, stands for too much.
    const SHORTEST_ABBREVIATION: usize = 4;
    let word = word.to_ascii_lowercase();
    known
        .map(|name| (strsim::damerau_levenshtein(&word, name), name))
        .filter(|&(distance, name)| {
            distance * 3 <= name.len().max(word.len())
                || word.len() >= SHORTEST_ABBREVIATION && name.starts_with(&word)
        })
        .min()
        .map(|(_, name)| name)
}

fn name(key: &str) -> &str {
    if key.is_empty() {
        "the configuration"
    } else {
        key
    }
}
