//! The configuration: distribution's `config.yml` and `REGISTRY_*` variables,
//! read into one checked [`Config`].
//!
//! ```text
//! file (argument | variable | none) -> tree of located nodes
//!   -> REGISTRY_* laid over -> unknown, ignored and refused keys -> Config
//! ```
//!
//! Nothing is ignored silently: an unknown key or one that needs nothing here
//! is a warning, and a key whose ignoring would change what the registry does
//! refuses the start.

mod check;
mod duration;
mod env;
mod error;
mod listen;
mod locate;
mod node;
mod read;
mod schema;
mod service_link;
#[cfg(test)]
mod tests;
mod yaml;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::ConfigError;
pub use listen::{ListenAddr, ListenAddrError};
use node::{Node, Value};

/// What the registry is asked to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `http`: how clients reach it.
    pub http: Http,
    /// `storage`: where the content is.
    pub storage: Storage,
    /// `validation.disabled`, inverted: whether a manifest must find what it
    /// references. Default: yes.
    pub validation: bool,
    /// `log`: what is written down.
    pub log: Log,
    /// Where the configuration came from.
    pub origin: Origin,
    /// What was set but has no effect, one line each.
    pub warnings: Vec<String>,
}

/// The `http` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Http {
    /// `http.addr`. Default: `:5000` with a file, `127.0.0.1:5000` without, so
    /// that a first try is not open to the network.
    pub addr: ListenAddr,
    /// `http.draintimeout`: how long transfers in flight may go on after a
    /// signal to stop. Default: 30 s, as long as Kubernetes waits before it
    /// kills; distribution's own default is not to wait at all.
    pub drain_timeout: Duration,
}

/// The `storage` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storage {
    /// `storage.filesystem.rootdirectory`, as an absolute path. Default:
    /// `/var/lib/registry` with a file, `./registry-data` without.
    pub root: PathBuf,
    /// `storage.delete.enabled`. Default: off with a file, on without.
    pub deletes: bool,
    /// `storage.maintenance.uploadpurging`; `None` when switched off.
    pub purge: Option<Purge>,
}

/// When uploads that nobody finished are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purge {
    /// `age`: how old an upload must be. Default: 168 h.
    pub age: Duration,
    /// `interval`: the time between two runs. Default: 24 h.
    pub interval: Duration,
}

/// The `log` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// `log.level`. Default: info.
    pub level: tracing::Level,
    /// `log.formatter`. Default: text.
    pub format: LogFormat,
}

/// The form of the application's log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nothing was configured at all.
    BuiltIn,
    /// No file, but `REGISTRY_*` variables.
    Environment,
    /// A file, and perhaps variables over it.
    File(PathBuf),
}

impl Config {
    /// Finds, reads and checks the configuration.
    ///
    /// `file` is the argument of the command line; without it, the variable
    /// `REGISTRY_CONFIGURATION_PATH` may name one.
    ///
    /// # Errors
    /// At the first fault, as one line that names the place.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let variables = env::variables(environment)?;
        let (mut root, path) = match locate::locate(file, &variables)? {
            Some(found) => (yaml::file(&found.path, &found.text)?, Some(found.path)),
            None => (Node::empty(), None),
        };
        match &root.value {
            Value::Null => root = Node::empty(),
            Value::Map(_) => {}
            _ => {
                return Err(ConfigError::value(
                    "the configuration",
                    &root,
                    "a map of keys",
                ));
            }
        }
        if let Value::Map(children) = &mut root.value {
            for (key, node) in children {
                if schema::SHORT_FORMS.contains(&key.as_str()) {
                    node.expand_short_form();
                }
            }
        }
        let origin = match (env::overlay(&mut root, &variables)?, path) {
            (_, Some(path)) => Origin::File(path),
            (true, None) => Origin::Environment,
            (false, None) => Origin::BuiltIn,
        };
        let warnings = check::check(&root)?;
        Self::read(&root, origin, warnings)
    }

    /// Reads the values of a checked tree.
    fn read(root: &Node, origin: Origin, mut warnings: Vec<String>) -> Result<Self, ConfigError> {
        let with_file = matches!(origin, Origin::File(_));
        read::parsed(root, "version", "0.1", |text| (text == "0.1").then_some(()))?;
        read::parsed(
            root,
            "http.net",
            "tcp, the only one supported yet",
            |text| (text == "tcp").then_some(()),
        )?;
        Ok(Self {
            http: Http::read(root, with_file)?,
            storage: Storage::read(root, with_file)?,
            validation: validation(root, &mut warnings)?,
            log: Log::read(root, &mut warnings)?,
            origin,
            warnings,
        })
    }
}

impl Http {
    fn read(root: &Node, with_file: bool) -> Result<Self, ConfigError> {
        const PORT: u16 = 5000;
        let addr = read::parsed(root, "http.addr", listen::EXPECTED, |text| {
            text.parse().ok()
        })?;
        let default = if with_file {
            ListenAddr::Any { port: PORT }
        } else {
            ListenAddr::Host {
                host: "127.0.0.1".to_owned(),
                port: PORT,
            }
        };
        let drain = read::duration(root, "http.draintimeout")?;
        Ok(Self {
            addr: addr.unwrap_or(default),
            drain_timeout: drain.unwrap_or(Duration::from_secs(30)),
        })
    }
}

impl Storage {
    fn read(root: &Node, with_file: bool) -> Result<Self, ConfigError> {
        const ROOT: &str = "storage.filesystem.rootdirectory";
        one_driver(root)?;
        let default = if with_file {
            "/var/lib/registry"
        } else {
            "registry-data"
        };
        let (path, source) = match read::text(root, ROOT, "the path of a directory")? {
            Some((text, node)) => (text, node.source.to_string()),
            None => (default, node::Source::Default.to_string()),
        };
        let root_directory = std::path::absolute(path).map_err(|error| {
            ConfigError::at(
                source,
                format_args!("{ROOT} cannot be made absolute: {error}"),
            )
        })?;
        let deletes = read::boolean(root, "storage.delete.enabled")?;
        Ok(Self {
            root: root_directory,
            deletes: deletes.unwrap_or(!with_file),
            purge: Purge::read(root)?,
        })
    }
}

impl Purge {
    fn read(root: &Node) -> Result<Option<Self>, ConfigError> {
        const SECTION: &str = "storage.maintenance.uploadpurging";
        const HOUR: Duration = Duration::from_secs(3600);
        let key = |name: &str| format!("{SECTION}.{name}");
        let enabled = read::boolean(root, &key("enabled"))?.unwrap_or(true);
        let age = read::duration(root, &key("age"))?.unwrap_or(168 * HOUR);
        let interval = read::duration(root, &key("interval"))?.unwrap_or(24 * HOUR);
        // An age of zero would remove uploads while they run, an interval of
        // zero would never rest.
        for (name, value) in [("age", age), ("interval", interval)] {
            let key = key(name);
            if value < Duration::from_secs(60)
                && let Some(node) = root.at(&key)
            {
                return Err(ConfigError::value(&key, node, "at least 1m"));
            }
        }
        Ok(enabled.then_some(Self { age, interval }))
    }
}

impl Log {
    fn read(root: &Node, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        use tracing::Level;
        let level = |key: &str| {
            read::parsed(root, key, "error, warn, info or debug", |text| match text {
                "error" => Some(Level::ERROR),
                "warn" => Some(Level::WARN),
                "info" => Some(Level::INFO),
                "debug" => Some(Level::DEBUG),
                "trace" => Some(Level::TRACE),
                _ => None,
            })
        };
        let (current, old) = (level("log.level")?, level("loglevel")?);
        if let (Some(_), Some(node)) = (old, root.at("loglevel")) {
            let source = &node.source;
            warnings.push(format!("{source}: loglevel is deprecated: use log.level"));
        }
        let format = read::parsed(root, "log.formatter", "text or json", |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })?;
        Ok(Self {
            level: current.or(old).unwrap_or(Level::INFO),
            format: format.unwrap_or(LogFormat::Text),
        })
    }
}

/// Refuses a second storage driver. Without any, `filesystem` is meant.
fn one_driver(root: &Node) -> Result<(), ConfigError> {
    let Some(Node {
        value: Value::Map(children),
        ..
    }) = root.at("storage")
    else {
        return Ok(());
    };
    let mut drivers = children
        .iter()
        .filter(|(name, _)| !schema::STORAGE_OPTIONS.contains(&name.as_str()));
    match (drivers.next(), drivers.next()) {
        (Some((first, _)), Some((second, node))) => Err(ConfigError::at(
            &node.source,
            format_args!(
                "storage has two drivers, {first} and {second}: expected one: remove the other"
            ),
        )),
        _ => Ok(()),
    }
}

/// `validation.disabled`, or its deprecated inverse `validation.enabled`.
fn validation(root: &Node, warnings: &mut Vec<String>) -> Result<bool, ConfigError> {
    const ENABLED: &str = "validation.enabled";
    let disabled = read::boolean(root, "validation.disabled")?;
    let Some(enabled) = read::boolean(root, ENABLED)? else {
        return Ok(!disabled.unwrap_or(false));
    };
    let node = root.at(ENABLED).unwrap_or(root);
    if disabled == Some(enabled) {
        return Err(ConfigError::at(
            &node.source,
            format_args!(
                "{ENABLED} is {enabled} and validation.disabled is {enabled} too: \
                 keep only validation.disabled"
            ),
        ));
    }
    warnings.push(format!(
        "{}: {ENABLED} is deprecated: use validation.disabled",
        node.source
    ));
    Ok(enabled)
}
