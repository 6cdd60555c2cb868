//! `REGISTRY_*` variables laid over the tree, by distribution's rule.
//!
//! | rule | example |
//! |---|---|
//! | names apply in lexical order, each over what is there | `REGISTRY_STORAGE=filesystem` empties the map before `REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY` fills it |
//! | segments match keys in any case; new keys are lower case | `REGISTRY_HTTP_ADDR` is `http.addr` |
//! | the value is YAML, or else a plain text | `REGISTRY_STORAGE_DELETE='{enabled: true}'` |
//! | a number indexes a list, the length appends | `REGISTRY_HTTP_TLS_CLIENTCAS_0` |
//! | `version` cannot be set | `REGISTRY_VERSION` is often the image's own |

use super::error::ConfigError;
use super::node::{Node, Source, Value};
use super::service_link::is_service_link;
use super::{schema, secret, yaml};

/// What every variable starts with.
const PREFIX: &str = "REGISTRY_";

/// The file to read, where none is given as an argument.
pub(super) const CONFIGURATION_PATH: &str = "REGISTRY_CONFIGURATION_PATH";

/// Lays the variables over `root` and says whether any applied.
pub(super) fn overlay(
    root: &mut Node,
    variables: &[(String, String)],
) -> Result<bool, ConfigError> {
    let mut variables: Vec<(&str, &str, &str)> = variables
        .iter()
        .filter_map(|(name, value)| {
            let rest = name.strip_prefix(PREFIX)?;
            let meant = !rest.is_empty()
                && name != CONFIGURATION_PATH
                && !rest.eq_ignore_ascii_case("version")
                && !is_service_link(rest, value);
            meant.then_some((name.as_str(), rest, value.as_str()))
        })
        .collect();
    variables.sort_unstable();
    for &(name, rest, value) in &variables {
        let value = yaml::variable(name, value);
        let segments: Vec<&str> = rest.split('_').collect();
        set(root, "", &segments, value)?;
    }
    Ok(!variables.is_empty())
}

/// Puts `value` at the place that `segments` name below `node`, whose own key
/// is `key`.
fn set(node: &mut Node, key: &str, segments: &[&str], value: Node) -> Result<(), ConfigError> {
    let Some((segment, rest)) = segments.split_first() else {
        if value.is_off() && !node.is_off() && schema::matters_at_or_below(key) {
            return Err(ConfigError::at(
                &value.source,
                format_args!(
                    "is empty and would take away {key} of {}: unset the variable, \
                     or change {key} there",
                    node.source
                ),
            ));
        }
        for gate in schema::GATES {
            let on = |node: &Node, below| node.at(below).is_some_and(|node| !node.is_off());
            if let Some(below) = gate
                .strip_prefix(key)
                .and_then(|gate| gate.strip_prefix('.'))
                && on(node, below)
                && !on(&value, below)
            {
                return Err(ConfigError::at(
                    &value.source,
                    format_args!(
                        "would take away {gate} of {}: set the keys below {key} one by one",
                        node.source
                    ),
                ));
            }
        }
        *node = value;
        if schema::SHORT_FORMS.contains(&key) {
            node.expand_short_form();
        }
        return Ok(());
    };
    let source = value.source.clone();
    if let Value::Scalar(text) = &node.value
        && !text.is_empty()
    {
        return Err(ConfigError::at(
            &source,
            format_args!(
                "sets {segment} below {key}, which is {} in {}: expected a map there",
                secret::describe(key, node),
                node.source
            ),
        ));
    }
    if matches!(node.value, Value::Null | Value::Scalar(_)) {
        // Nothing there yet that could hold a child: a list where the first
        // index is named, else a map.
        let empty = if *segment == "0" {
            Value::List(Vec::new())
        } else {
            Value::Map(Vec::new())
        };
        *node = Node::new(empty, source.clone());
    }
    match &mut node.value {
        Value::List(items) => {
            let length = items.len();
            let index = segment
                .parse()
                .ok()
                .filter(|&index: &usize| index <= length);
            let Some(index) = index else {
                return Err(ConfigError::at(
                    &source,
                    format_args!(
                        "{key} is a list of {length}: expected an index from 0 to {length}, not {segment:?}"
                    ),
                ));
            };
            if index == length {
                items.push(Node::new(Value::Null, source));
            }
            set(&mut items[index], &below(key, segment), rest, value)
        }
        Value::Map(children) => {
            let position = children
                .iter()
                .position(|(name, _)| name.eq_ignore_ascii_case(segment));
            let position = position.unwrap_or_else(|| {
                let name = segment.to_ascii_lowercase();
                children.push((name, Node::new(Value::Null, source)));
                children.len() - 1
            });
            let (name, child) = &mut children[position];
            let key = below(key, name);
            set(child, &key, rest, value)
        }
        Value::Null | Value::Scalar(_) => Ok(()),
    }
}

fn below(key: &str, name: &str) -> String {
    match key {
        "" => name.to_owned(),
        key => format!("{key}.{name}"),
    }
}

/// The environment as text. A name that is not Unicode cannot be a key.
///
/// # Errors
/// When the value of a `REGISTRY_*` variable is not Unicode.
pub(super) fn variables(
    environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else {
            continue;
        };
        if !name.starts_with(PREFIX) {
            continue;
        }
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) => {
                let source = Source::Env(name.into());
                return Err(ConfigError::at(source, "not UTF-8: set it to plain text"));
            }
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn overlaid(file: &str, variables: &[(&str, &str)]) -> Result<Node, ConfigError> {
        let mut root = yaml::file(Path::new("c.yml"), file)?;
        let variables: Vec<_> = variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        overlay(&mut root, &variables)?;
        Ok(root)
    }

    fn text(root: &Node, key: &str) -> Option<String> {
        match &root.at(key)?.value {
            Value::Scalar(text) => Some(text.clone()),
            other => Some(format!("{other:?}")),
        }
    }

    #[test]
    fn variables_set_replace_and_keep_what_they_do_not_name() {
        let root = overlaid(
            "http: {addr: ':1', secret: x}\nlog: {level: info}\n",
            &[
                ("REGISTRY_HTTP_ADDR", "0.0.0.0:443"),
                ("REGISTRY_log_Formatter", "json"),
                ("OTHER_LOG_LEVEL", "debug"),
            ],
        )
        .expect("valid");
        assert_eq!(text(&root, "http.addr").as_deref(), Some("0.0.0.0:443"));
        assert_eq!(text(&root, "http.secret").as_deref(), Some("x"));
        assert_eq!(text(&root, "log.level").as_deref(), Some("info"));
        assert_eq!(text(&root, "log.formatter").as_deref(), Some("json"));
        let addr = root.at("http.addr").expect("present");
        assert_eq!(
            addr.source.to_string(),
            "environment variable REGISTRY_HTTP_ADDR"
        );
    }

    #[test]
    fn a_bare_driver_name_replaces_the_whole_map_first() {
        let file = "storage:\n  s3: {bucket: b}\n  delete: {enabled: true}\n";
        // Given in the wrong order: the lexical order of names decides.
        let root = overlaid(
            file,
            &[
                ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/data"),
                ("REGISTRY_STORAGE", "filesystem"),
            ],
        )
        .expect("valid");
        assert_eq!(text(&root, "storage.s3.bucket"), None);
        assert_eq!(text(&root, "storage.delete.enabled"), None);
        assert_eq!(
            text(&root, "storage.filesystem.rootdirectory").as_deref(),
            Some("/data")
        );
    }

    #[test]
    fn values_are_yaml() {
        let root = overlaid(
            "",
            &[
                ("REGISTRY_STORAGE_DELETE", "{enabled: true}"),
                (
                    "REGISTRY_STORAGE_MAINTENANCE_READONLY",
                    "{\"enabled\":false}",
                ),
            ],
        )
        .expect("valid");
        assert_eq!(
            text(&root, "storage.delete.enabled").as_deref(),
            Some("true")
        );
        assert_eq!(
            text(&root, "storage.maintenance.readonly.enabled").as_deref(),
            Some("false")
        );
    }

    #[test]
    fn numbers_index_lists() {
        let variables = [
            ("REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL", "http://a/"),
            ("REGISTRY_NOTIFICATIONS_ENDPOINTS_1_URL", "http://b/"),
        ];
        let root = overlaid("", &variables).expect("valid");
        let endpoints = root.at("notifications.endpoints").expect("present");
        assert!(matches!(&endpoints.value, Value::List(items) if items.len() == 2));
        for (name, expected) in [
            (
                "REGISTRY_A_2",
                "a is a list of 1: expected an index from 0 to 1, not \"2\"",
            ),
            (
                "REGISTRY_A_X",
                "a is a list of 1: expected an index from 0 to 1, not \"X\"",
            ),
        ] {
            let error = overlaid("a: [b]\n", &[(name, "c")]).expect_err(name);
            assert_eq!(
                error.to_string(),
                format!("environment variable {name}: {expected}")
            );
        }
    }

    #[test]
    fn links_and_the_version_are_not_configuration() {
        let root = overlaid(
            "",
            &[
                ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
                ("REGISTRY_AUTH_PORT", "tcp://10.0.0.1:5000"),
                ("REGISTRY_VERSION", "2.8.3"),
                ("REGISTRY_CONFIGURATION_PATH", "/x.yml"),
                ("REGISTRY_", "x"),
            ],
        )
        .expect("valid");
        assert_eq!(root.value, Value::Null);
    }

    #[test]
    fn a_value_that_is_no_yaml_is_a_text() {
        for value in ["[::]:5000", "%secret", "@x", "{", "a: b: c"] {
            let root = overlaid("", &[("REGISTRY_HTTP_ADDR", value)]).expect(value);
            assert_eq!(text(&root, "http.addr").as_deref(), Some(value));
        }
    }

    #[test]
    fn an_empty_variable_cannot_take_the_passwords_away() {
        let file = "auth: {htpasswd: {path: /x}}\n";
        let error = overlaid(file, &[("REGISTRY_AUTH", "")]).expect_err("open access");
        assert_eq!(
            error.to_string(),
            "environment variable REGISTRY_AUTH: is empty and would take away auth of c.yml:1: \
             unset the variable, or change auth there"
        );
        assert!(overlaid("", &[("REGISTRY_AUTH", "")]).is_ok());
        assert!(overlaid(file, &[("REGISTRY_AUTH", "none")]).is_ok());
        for (file, variable) in [
            ("http: {tls: {certificate: /x}}", "REGISTRY_HTTP_TLS"),
            ("http: {tls: {certificate: /x}}", "REGISTRY_HTTP"),
            (
                "storage: {filesystem: {rootdirectory: /x}}",
                "REGISTRY_STORAGE",
            ),
        ] {
            overlaid(file, &[(variable, "")]).expect_err(variable);
        }
        let file = "http: {tls: {certificate: /x}}";
        let error = overlaid(file, &[("REGISTRY_HTTP", "{addr: ':1'}")]).expect_err("plain HTTP");
        assert_eq!(
            error.to_string(),
            "environment variable REGISTRY_HTTP: would take away http.tls of c.yml:1: set the \
             keys below http one by one"
        );
        assert!(overlaid(file, &[("REGISTRY_HTTP", "{tls: {certificate: /y}}")]).is_ok());
        assert!(overlaid("log: {level: info}", &[("REGISTRY_LOG_LEVEL", "")]).is_ok());
    }

    #[test]
    fn a_variable_does_not_replace_a_text_by_a_map() {
        let error = overlaid("http: foo\n", &[("REGISTRY_HTTP_ADDR", ":1")]);
        assert_eq!(
            error.expect_err("a text").to_string(),
            "environment variable REGISTRY_HTTP_ADDR: sets ADDR below http, which is \"foo\" in \
             c.yml:1: expected a map there"
        );
        assert!(overlaid("http:\n", &[("REGISTRY_HTTP_ADDR", ":1")]).is_ok());
    }
}
