//! A configuration as it was written, before its values are read.

use std::ffi::OsString;
use std::path::Path;

use super::error::ConfigError;
use super::locate::{self, Search};
use super::node::{Node, Value};
use super::{Config, Origin, check, env, print, schema, yaml};

/// File and variables together, each value with the place it came from.
#[derive(Clone, Debug)]
pub struct Document {
    root: Node,
    origin: Origin,
}

impl Document {
    /// Finds and reads the file, and lays the variables over it.
    ///
    /// `file` is the argument of the command line; without it, the variable
    /// `REGISTRY_CONFIGURATION_PATH` may name one, and without both `search`
    /// says where to look.
    ///
    /// # Errors
    /// When the file cannot be read or is no YAML, or a variable is not UTF-8
    /// or has no place in the file.
    pub fn load(
        file: Option<&Path>,
        search: Search,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let variables = env::variables(environment)?;
        let (mut root, path) = match locate::locate(file, search.places(), &variables)? {
            Some(found) => (yaml::file(&found.path, &found.text)?, Some(found.path)),
            None => (Node::empty(), None),
        };
        match &mut root.value {
            Value::Null => root = Node::empty(),
            Value::Map(children) => {
                for (key, node) in children {
                    if schema::SHORT_FORMS.contains(&key.as_str()) {
                        node.expand_short_form();
                    }
                }
            }
            _ => {
                return Err(ConfigError::value(
                    "the configuration",
                    &root,
                    "a map of keys",
                ));
            }
        }
        let origin = match (env::overlay(&mut root, &variables)?, path) {
            (_, Some(path)) => Origin::File(path),
            (true, None) => Origin::Environment,
            (false, None) => Origin::BuiltIn,
        };
        Ok(Self { root, origin })
    }

    /// Checks and reads the values.
    ///
    /// # Errors
    /// At the first fault, as one line that names the place.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let warnings = check::check(&self.root)?;
        Config::read(&self.root, self.origin.clone(), warnings)
    }

    /// All of it as YAML, with the defaults of what was not said. Each value
    /// has its place in a comment; secrets are masked.
    ///
    /// What cannot be used is printed too, so that its place is found.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        print::yaml(&self.root, &self.origin)
    }
}
