//! `storage.maintenance.gc`, our own: garbage collection in the server.

use std::time::Duration;

use super::super::error::ConfigError;
use super::super::node::Node;
use super::super::read;

/// How garbage is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gc {
    /// `enabled`: whether the server does it. Default: no. The command does it
    /// in any case.
    pub enabled: bool,
    /// `interval`: the time between two runs. Default: 24 h.
    pub interval: Duration,
    /// `grace`: how long ago the last push of what goes must be, or of a layer
    /// the last question for it, too. Default: 24 h.
    pub grace: Duration,
    /// `deleteuntagged`: whether manifests go that no tag reaches. Default: no.
    pub delete_untagged: bool,
}

impl Default for Gc {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            enabled: false,
            interval: DAY,
            grace: DAY,
            delete_untagged: false,
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

impl Gc {
    pub(super) fn read(root: &Node) -> Result<Self, ConfigError> {
        let key = |name: &str| format!("storage.maintenance.gc.{name}");
        let default = Self::default();
        let enabled = read::boolean(root, &key("enabled"))?.unwrap_or(default.enabled);
        let duration = |name: &str, default: Duration, least: Duration, text: &str| {
            let key = key(name);
            let value = read::duration(root, &key)?.unwrap_or(default);
            match root.at(&key) {
                Some(node) if value < least => Err(ConfigError::value(&key, node, text)),
                _ => Ok(value),
            }
        };
        Ok(Self {
            enabled,
            interval: duration("interval", default.interval, MINUTE, "at least 1m")?,
            // More than the quarter of an hour by which the times of links are
            // behind, and some time for a push.
            grace: duration("grace", default.grace, 60 * MINUTE, "at least 1h")?,
            delete_untagged: read::boolean(root, &key("deleteuntagged"))?
                .unwrap_or(default.delete_untagged),
        })
    }
}
