//! `tags.immutable` and `tags.retention`, our own: which tags stay where they
//! are, and which are kept. They may also be in the file of `auth.policy.path`.
//!
//! ```yaml
//! immutable:
//!   - {repositories: ["team/**"], tags: ["v*"], except: ["*-rc*"]}
//! retention:
//!   interval: 24h
//!   rules:
//!     - {repositories: ["ci/**"], newest: 10, tags: ["release-*"], pushedwithin: 720h, pulledwithin: 720h}
//! ```

use std::time::Duration;

use registry_storage::immutable::{ImmutableRule, ImmutableTags};
use registry_storage::retention::{Retention, RetentionRule};

use super::error::ConfigError;
use super::node::Node;
use super::{read, rules};

const REPOSITORIES: &str = "team/app, team/* or team/**";
const TAGS: &str = "v1.0, v* or *";

/// Rules about tags. Default: none, so that every tag can be moved and none
/// is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagRules {
    /// `tags.immutable`.
    pub immutable: ImmutableTags,
    /// `tags.retention.rules`.
    pub retention: Retention,
}

impl TagRules {
    /// Those of `tags`, which is at `root` in the configuration and in a file
    /// of rules alike.
    pub(super) fn read(root: &Node) -> Result<Self, ConfigError> {
        if let Some(node) = root.at("tags.retention") {
            rules::known("tags.retention", node, &["interval", "rules"])?;
        }
        let immutable = rules::each(root, "tags.immutable")?;
        let immutable: Vec<_> = immutable
            .iter()
            .map(|(key, node)| immutable_rule(root, key, node))
            .collect::<Result<_, _>>()?;
        let retention = rules::each(root, "tags.retention.rules")?;
        let retention: Vec<_> = retention
            .iter()
            .map(|(key, node)| retention_rule(root, key, node))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            immutable: ImmutableTags::new(immutable),
            retention: Retention::new(retention),
        })
    }

    /// What either has.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            immutable: self.immutable.and(other.immutable),
            retention: self.retention.and(other.retention),
        }
    }
}

/// `tags.retention.interval`: the time between two runs in the server. Default:
/// none, so that only the command removes anything.
pub(super) fn interval(root: &Node) -> Result<Option<Duration>, ConfigError> {
    const KEY: &str = "tags.retention.interval";
    let interval = read::duration(root, KEY)?;
    match (interval, root.at(KEY)) {
        (Some(interval), Some(node)) if interval < Duration::from_secs(60) => {
            Err(ConfigError::value(KEY, node, "at least 1m"))
        }
        _ => Ok(interval),
    }
}

fn immutable_rule(root: &Node, key: &str, node: &Node) -> Result<ImmutableRule, ConfigError> {
    rules::known(key, node, &["except", "repositories", "tags"])?;
    let repositories = rules::list(root, &format!("{key}.repositories"), node, REPOSITORIES)?;
    let tags = rules::list(root, &format!("{key}.tags"), node, TAGS)?;
    let except = rules::some(root, &format!("{key}.except"), TAGS)?;
    let rule = ImmutableRule::new(repositories, tags).except(except);
    Ok(rule.at(node.source.to_string()))
}

fn retention_rule(root: &Node, key: &str, node: &Node) -> Result<RetentionRule, ConfigError> {
    const WHAT: [&str; 4] = ["newest", "pulledwithin", "pushedwithin", "tags"];
    rules::known(
        key,
        node,
        &[
            "newest",
            "pulledwithin",
            "pushedwithin",
            "repositories",
            "tags",
        ],
    )?;
    let repositories = rules::list(root, &format!("{key}.repositories"), node, REPOSITORIES)?;
    let [newest, pulled, pushed, tags] = WHAT.map(|name| format!("{key}.{name}"));
    let mut rule = RetentionRule::new(repositories).at(node.source.to_string());
    let mut keeps = false;
    if let Some(count) = read::number(root, &newest)? {
        rule = rule.newest(at_least_one(root, &newest, count)?);
        keeps = true;
    }
    if let Some(time) = read::duration(root, &pushed)? {
        rule = rule.pushed_within(time);
        keeps |= !time.is_zero();
    }
    if let Some(time) = read::duration(root, &pulled)?.filter(|time| !time.is_zero()) {
        rule = rule.pulled_within(time);
        keeps = true;
    }
    let tags = rules::some(root, &tags, TAGS)?;
    keeps |= !tags.is_empty();
    if !keeps {
        return Err(ConfigError::at(
            &node.source,
            format_args!(
                "{key} keeps nothing, and so would remove every tag: give one of {}",
                WHAT.join(", ")
            ),
        ));
    }
    Ok(rule.tags(tags))
}

fn at_least_one(root: &Node, key: &str, count: usize) -> Result<usize, ConfigError> {
    match root.at(key) {
        Some(node) if count == 0 => Err(ConfigError::value(key, node, "at least 1")),
        _ => Ok(count),
    }
}
