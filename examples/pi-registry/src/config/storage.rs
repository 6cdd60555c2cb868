//! The `storage` section: where the content is.

use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::node::{Node, Source, Value};
use super::{read, schema};

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
    /// `storage.maintenance.readonly.enabled`: whether everything but pulls is
    /// refused. Default: no.
    pub read_only: bool,
}

/// When uploads that nobody finished are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purge {
    /// `age`: how old an upload must be. Default: 168 h.
    pub age: Duration,
    /// `interval`: the time between two runs. Default: 24 h.
    pub interval: Duration,
    /// `dryrun`: whether nothing is removed after all. Default: no.
    pub dry_run: bool,
}

impl Storage {
    pub(super) fn read(root: &Node, with_file: bool) -> Result<Self, ConfigError> {
        const ROOT: &str = "storage.filesystem.rootdirectory";
        one_driver(root)?;
        let default = if with_file {
            "/var/lib/registry"
        } else {
            "registry-data"
        };
        let (path, source) = match read::text(root, ROOT, "the path of a directory")? {
            Some((text, node)) => (text, node.source.to_string()),
            None => (default, Source::Default.to_string()),
        };
        let root_directory = std::path::absolute(path).map_err(|error| {
            ConfigError::at(
                source,
                format_args!("{ROOT} cannot be made absolute: {error}"),
            )
        })?;
        let read_only = read::boolean(root, "storage.maintenance.readonly.enabled")?;
        let deletes = read::boolean(root, "storage.delete.enabled")?;
        Ok(Self {
            root: root_directory,
            deletes: deletes.unwrap_or(!with_file),
            purge: Purge::read(root)?,
            read_only: read_only.unwrap_or(false),
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
        let dry_run = read::boolean(root, &key("dryrun"))?.unwrap_or(false);
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
        Ok(enabled.then_some(Self {
            age,
            interval,
            dry_run,
        }))
    }
}

/// Refuses a second storage driver. Without any, `filesystem` is meant.
pub(super) fn one_driver(root: &Node) -> Result<(), ConfigError> {
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
