//! The configuration: distribution's `config.yml` and `REGISTRY_*` variables,
//! read into one checked [`Config`].
//!
//! ```text
//! file (argument | variable | /etc | none) -> tree of located nodes
//!   -> REGISTRY_* laid over = Document -> unknown, ignored and refused keys -> Config
//! ```
//!
//! Nothing is ignored silently: an unknown key or one that needs nothing here
//! is a warning, and a key whose ignoring would change what the registry does
//! refuses the start.

mod auth;
mod check;
mod document;
mod duration;
mod env;
mod error;
mod health;
mod http;
mod limits;
mod listen;
mod locate;
mod log;
mod network;
mod node;
mod print;
mod read;
mod rules;
mod schema;
mod secret;
mod service_link;
mod storage;
mod tags;
#[cfg(test)]
mod tests;
mod tls;
mod yaml;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use self::auth::SERVER_PATH;
pub use self::auth::{Auth, CertificateUser, Htpasswd, Jwks, PolicyFile, Token, TokenServer};
pub use self::http::{Debug, Http};
pub use self::log::{Log, LogFormat};
pub use document::Document;
pub(crate) use duration::parse as parse_duration;
pub use error::ConfigError;
pub use health::{Check, FileCheck, Health, HttpCheck, TcpCheck};
pub use limits::Limits;
pub use listen::{ListenAddr, ListenAddrError};
pub use locate::Search;
pub use network::{Network, NetworkError};
use node::Node;
#[cfg(feature = "object-store")]
pub use secret::Secret;
#[cfg(feature = "s3")]
pub use storage::{AccessKey, Encryption, S3};
#[cfg(feature = "azure")]
pub use storage::{Azure, AzureCredentials};
#[cfg(feature = "object-store")]
pub use storage::{Client, ObjectStore};
pub use storage::{Driver, Gc, Purge, Scrub, Storage};
#[cfg(feature = "gcs")]
pub use storage::{Gcs, GcsCredentials};
pub use tags::TagRules;
pub use tls::Tls;

/// What the registry is asked to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `http`: how clients reach it.
    pub http: Http,
    /// `storage`: where the content is.
    pub storage: Storage,
    /// `auth`: who may in, and what they may do.
    pub auth: Auth,
    /// `validation.disabled`, inverted: whether a manifest must find what it
    /// references. Default: yes.
    pub validation: bool,
    /// `catalog` and `tags`: how long a page may be.
    pub limits: Limits,
    /// `tags.immutable` and `tags.retention`, our own: which tags stay where
    /// they are, and which are kept. Default: none, and all.
    pub tags: TagRules,
    /// `tags.retention.interval`: the time between two runs of the retention
    /// in the server. Default: none, it does not run.
    pub retention_interval: Option<Duration>,
    /// `health`: what must hold for the registry to answer.
    pub health: Health,
    /// `log`: what is written down.
    pub log: Log,
    /// Where the configuration came from.
    pub origin: Origin,
    /// What was set but has no effect, one line each.
    pub warnings: Vec<String>,
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
    /// Reads and checks the configuration of a named file, or of the variable
    /// `REGISTRY_CONFIGURATION_PATH`, or the built-in one: a [`Document`]'s
    /// with [`Search::Named`].
    ///
    /// # Errors
    /// At the first fault, as one line that names the place.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Document::load(file, Search::Named, environment)?.config()
    }

    /// Reads the values of a checked tree.
    fn read(root: &Node, origin: Origin, mut warnings: Vec<String>) -> Result<Self, ConfigError> {
        let with_file = matches!(origin, Origin::File(_));
        read::parsed(root, "version", "0.1", |text| (text == "0.1").then_some(()))?;
        let http = Http::read(root, with_file, &mut warnings)?;
        let storage = Storage::read(root, with_file, &mut warnings)?;
        let mut tags = TagRules::read(root)?;
        let auth = Auth::read(root, &http, &mut tags)?;
        if tags.retention.needs_pulls() && storage.driver.directory().is_none() {
            warnings.push(format!(
                "pulledwithin, in tags.retention.rules, keeps all that its rule is about: pulls are \
                 noted with storage.filesystem only, and this is storage.{}",
                storage.driver.name()
            ));
        }
        Ok(Self {
            auth,
            tags,
            retention_interval: tags::interval(root)?,
            http,
            storage,
            validation: validation(root, &mut warnings)?,
            limits: Limits::read(root)?,
            health: Health::read(root, with_file)?,
            log: Log::read(root, &mut warnings)?,
            origin,
            warnings,
        })
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
