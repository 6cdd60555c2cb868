//! `storage.maintenance.scrub`, our own: the server verifies what it keeps.

use std::num::NonZeroU64;
use std::time::Duration;

use super::super::error::ConfigError;
use super::super::node::Node;
use super::super::read;
use super::{Driver, reserve};

/// When all that a directory keeps is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scrub {
    /// `enabled`: whether the server does it. Default: no. The command does it in
    /// any case.
    pub enabled: bool,
    /// `interval`: the time from the end of a run to the next. Default: 30 days.
    pub interval: Duration,
    /// `rate`: how many bytes per second are read at most. Default: 10 MiB, as
    /// with the command.
    pub rate: Option<NonZeroU64>,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: Duration::from_secs(30 * 24 * 60 * 60),
            rate: NonZeroU64::new(10 << 20),
        }
    }
}

impl Scrub {
    pub(super) fn read(root: &Node, driver: &Driver) -> Result<Self, ConfigError> {
        const MINUTE: Duration = Duration::from_secs(60);
        let key = |name: &str| format!("storage.maintenance.scrub.{name}");
        let default = Self::default();
        let enabled = read::boolean(root, &key("enabled"))?.unwrap_or(default.enabled);
        if enabled
            && driver.directory().is_none()
            && let Some(node) = root.at(&key("enabled"))
        {
            let expected = format!(
                "false with storage.{}: stores verify themselves",
                driver.name()
            );
            return Err(ConfigError::value(&key("enabled"), node, &expected));
        }
        let interval = read::duration(root, &key("interval"))?.unwrap_or(default.interval);
        if interval < MINUTE
            && let Some(node) = root.at(&key("interval"))
        {
            return Err(ConfigError::value(&key("interval"), node, "at least 1m"));
        }
        const EXPECTED: &str = "bytes per second such as 10MiB; 0 is no limit";
        let rate = match read::text(root, &key("rate"), EXPECTED)? {
            None => default.rate,
            Some((text, node)) => match reserve::size(text) {
                Some(bytes) => NonZeroU64::new(bytes),
                None => return Err(ConfigError::value(&key("rate"), node, EXPECTED)),
            },
        };
        Ok(Self {
            enabled,
            interval,
            rate,
        })
    }
}
