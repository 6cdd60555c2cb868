//! The `storage` section: where the content is.

#[cfg(feature = "azure")]
mod azure;
mod gc;
#[cfg(feature = "gcs")]
mod gcs;
mod reserve;
#[cfg(feature = "s3")]
mod s3;
mod scrub;
#[cfg(feature = "object-store")]
mod section;

use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_storage::filesystem::{Durability, Reserve};

use super::error::ConfigError;
use super::node::{Node, Source, Value};
use super::{read, schema};

#[cfg(feature = "azure")]
pub use azure::{Azure, AzureCredentials};
pub use gc::Gc;
#[cfg(feature = "gcs")]
pub use gcs::{Gcs, GcsCredentials};
#[cfg(feature = "s3")]
pub use s3::{AccessKey, Encryption, S3};
pub use scrub::Scrub;
#[cfg(feature = "object-store")]
pub use section::Client;
#[cfg(feature = "object-store")]
use section::Section;

const ROOT: &str = "storage.filesystem.rootdirectory";

/// The `storage` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storage {
    /// What keeps it.
    pub driver: Driver,
    /// `storage.filesystem.reserve`, our own: how much of the disk pushes leave
    /// free. Means nothing to object stores. Default: 256 MiB or 2 %,
    /// whichever is less.
    pub reserve: Reserve,
    /// `storage.filesystem.durability`, our own: whether a push is on the disk
    /// before it is acknowledged. Means nothing to object stores. Default: it is.
    pub durability: Durability,
    /// `storage.redirect.disable`, inverted: whether clients are sent to an
    /// object store for the content of blobs. Default: no, other than with
    /// distribution, since they must then reach it and trust its certificate.
    pub redirect: bool,
    /// `storage.delete.enabled`. Default: off with a file, on without.
    pub deletes: bool,
    /// `storage.maintenance.uploadpurging`; `None` when switched off.
    pub purge: Option<Purge>,
    /// `storage.maintenance.gc`.
    pub gc: Gc,
    /// `storage.maintenance.scrub`.
    pub scrub: Scrub,
    /// `storage.maintenance.readonly.enabled`: whether everything but pulls is
    /// refused. Default: no.
    pub read_only: bool,
}

/// What keeps the content.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Driver {
    /// `storage.filesystem.rootdirectory`, as an absolute path. Default:
    /// `/var/lib/registry` with a file, `./registry-data` without.
    FileSystem(PathBuf),
    /// A bucket of an object store.
    #[cfg(feature = "object-store")]
    ObjectStore(Box<ObjectStore>),
}

/// Which object store keeps the content.
#[cfg(feature = "object-store")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ObjectStore {
    /// `storage.s3` or `storage.s3aws`.
    #[cfg(feature = "s3")]
    S3(S3),
    /// `storage.azure`.
    #[cfg(feature = "azure")]
    Azure(Azure),
    /// `storage.gcs`.
    #[cfg(feature = "gcs")]
    Gcs(Gcs),
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
    pub(super) fn read(
        root: &Node,
        with_file: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        const REDIRECT: &str = "storage.redirect.disable";
        let driver = Driver::read(root, with_file)?;
        let read_only = read::boolean(root, "storage.maintenance.readonly.enabled")?;
        let deletes = read::boolean(root, "storage.delete.enabled")?;
        let redirect = read::boolean(root, REDIRECT)? == Some(false);
        if redirect
            && driver.directory().is_some()
            && let Some(node) = root.at(REDIRECT)
        {
            warnings.push(format!(
                "{}: {REDIRECT} is ignored: clients cannot be sent to a file system",
                node.source
            ));
        }
        if let (Some(directory), Some(node)) = (driver.directory(), root.at(ROOT))
            && matches!(&node.value, Value::Scalar(text) if text.is_empty())
        {
            warnings.push(format!(
                "{}: {ROOT} is empty: {} is taken",
                node.source,
                directory.display()
            ));
        }
        Ok(Self {
            gc: Gc::read(root)?,
            scrub: Scrub::read(root, &driver)?,
            driver,
            reserve: reserve::read(root)?,
            durability: durability(root)?,
            redirect,
            deletes: deletes.unwrap_or(!with_file),
            purge: Purge::read(root)?,
            read_only: read_only.unwrap_or(false),
        })
    }
}

fn durability(root: &Node) -> Result<Durability, ConfigError> {
    let durability = read::parsed(
        root,
        "storage.filesystem.durability",
        "safe, or fast where a power cut may lose what was pushed last",
        |text| match text {
            "safe" => Some(Durability::Safe),
            "fast" => Some(Durability::Fast),
            _ => None,
        },
    )?;
    Ok(durability.unwrap_or_default())
}

impl Driver {
    /// The root directory of a file system.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::FileSystem(root) => Some(root),
            #[cfg(feature = "object-store")]
            Self::ObjectStore(_) => None,
        }
    }

    /// Distribution's name of the driver, for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::FileSystem(_) => "filesystem",
            #[cfg(feature = "object-store")]
            Self::ObjectStore(store) => store.name(),
        }
    }

    fn read(root: &Node, with_file: bool) -> Result<Self, ConfigError> {
        let Some((name, node)) = one_driver(root)? else {
            return file_system(root, with_file);
        };
        if name == "filesystem" {
            return file_system(root, with_file);
        }
        #[cfg(feature = "object-store")]
        if let Some(store) = ObjectStore::read(root, name)? {
            return Ok(Self::ObjectStore(Box::new(store)));
        }
        // What nobody knows was refused before.
        Err(ConfigError::at(
            &node.source,
            format_args!(
                "storage.{name} is not in this program: it was built without that driver: use one \
                 that was built with it"
            ),
        ))
    }
}

#[cfg(feature = "object-store")]
impl ObjectStore {
    /// `None` for a driver that is not in this program.
    fn read(root: &Node, name: &str) -> Result<Option<Self>, ConfigError> {
        let section = |name| Section { root, name };
        Ok(match name {
            #[cfg(feature = "s3")]
            "s3" => Some(Self::S3(S3::read(section("storage.s3"))?)),
            #[cfg(feature = "s3")]
            "s3aws" => Some(Self::S3(S3::read(section("storage.s3aws"))?)),
            #[cfg(feature = "azure")]
            "azure" => Some(Self::Azure(Azure::read(section("storage.azure"))?)),
            #[cfg(feature = "gcs")]
            "gcs" => Some(Self::Gcs(Gcs::read(section("storage.gcs"))?)),
            _ => None,
        })
    }

    /// Distribution's name of the driver.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(_) => "s3aws",
            #[cfg(feature = "azure")]
            Self::Azure(_) => "azure",
            #[cfg(feature = "gcs")]
            Self::Gcs(_) => "gcs",
        }
    }

    /// How its server is spoken to.
    #[must_use]
    pub const fn client(&self) -> &Client {
        match self {
            #[cfg(feature = "s3")]
            Self::S3(s3) => &s3.client,
            #[cfg(feature = "azure")]
            Self::Azure(azure) => &azure.client,
            #[cfg(feature = "gcs")]
            Self::Gcs(gcs) => &gcs.client,
        }
    }
}

fn file_system(root: &Node, with_file: bool) -> Result<Driver, ConfigError> {
    let default = if with_file {
        "/var/lib/registry"
    } else {
        "registry-data"
    };
    let (path, source) = match read::text(root, ROOT, "the path of a directory")? {
        Some((text, node)) => (text, node.source.to_string()),
        None => (default, Source::Default.to_string()),
    };
    let directory = std::path::absolute(path).map_err(|error| {
        ConfigError::at(
            source,
            format_args!("{ROOT} cannot be made absolute: {error}"),
        )
    })?;
    Ok(Driver::FileSystem(directory))
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

/// The storage driver that is named; refuses a second one. Without any,
/// `filesystem` is meant.
fn one_driver(root: &Node) -> Result<Option<(&str, &Node)>, ConfigError> {
    let Some(Node {
        value: Value::Map(children),
        ..
    }) = root.at("storage")
    else {
        return Ok(None);
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
        (first, _) => Ok(first.map(|(name, node)| (name.as_str(), node))),
    }
}
