//! `auth.policy`: rules, in the configuration or in a file of their own.
//!
//! ```yaml
//! groups:
//!   dev: [alice, bob]
//! rules:
//!   - who: [group:dev]
//!     repositories: ["team/**"]
//!     actions: [push]
//! ```
//!
//! In a file there may be `tags` as well, see [`tags`](super::super::tags).

use std::fs;
use std::path::{Path, PathBuf};

use registry_auth::policy::{Policy, PolicyBuilder, PolicyError, Right, Rule, Who};

use super::super::error::ConfigError;
use super::super::node::{Node, Value};
use super::super::rules::{bad, known, list, parse};
use super::super::tags::TagRules;
use super::super::{locate, read, yaml};

/// The file of `auth.policy.path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    path: PathBuf,
    /// That of `auth.anonymous`, which stands in the configuration.
    anonymous: Option<Rule>,
    /// Those of the configuration.
    tags: TagRules,
}

impl PolicyFile {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The policy that is in the file now, and the rules about tags, with what
    /// the configuration adds to both.
    ///
    /// # Errors
    /// When the file cannot be read or a rule in it is not as it must be, as
    /// one line that names the place.
    pub fn read(&self) -> Result<(Policy, TagRules), ConfigError> {
        let path = &self.path;
        let text =
            fs::read_to_string(path).map_err(|error| locate::unreadable("policy", path, &error))?;
        let root = yaml::file(path, &text)?;
        if !matches!(root.value, Value::Map(_)) {
            let expected = "a map with rules, and perhaps groups";
            return Err(ConfigError::value("the policy", &root, expected));
        }
        known("", &root, &["groups", "rules", "tags"])?;
        if let Some(tags) = root.at("tags") {
            known("tags", tags, &["immutable", "retention"])?;
        }
        // One interval for both, which is not looked at again.
        if let Some(retention) = root.at("tags.retention") {
            known("tags.retention", retention, &["rules"])?;
        }
        let policy = rules(&root, "", &root, self.anonymous.clone())?;
        Ok((policy, self.tags.clone().and(TagRules::read(&root)?)))
    }
}

/// The policy of a configuration, and where it comes from if not from there.
/// `everything` is the one rule where there are none. What a file has about
/// tags is added to `tags`.
pub(super) fn read(
    root: &Node,
    anonymous: Option<Rule>,
    everything: Rule,
    tags: &mut TagRules,
) -> Result<(Policy, Option<PolicyFile>), ConfigError> {
    const PATH: &str = "auth.policy.path";
    let section = root.child("auth").and_then(|auth| auth.child("policy"));
    let Some(section) = section else {
        let policy = build(Policy::builder().rule(everything), "", anonymous)?;
        return Ok((policy, None));
    };
    let Some((path, node)) = read::text(root, PATH, "the path of a file of rules")? else {
        return Ok((rules(root, "auth.policy.", section, anonymous)?, None));
    };
    if root.at("auth.policy.rules").is_some() || root.at("auth.policy.groups").is_some() {
        return Err(ConfigError::at(
            &node.source,
            format_args!("{PATH} beside rules or groups of auth.policy: keep one of them"),
        ));
    }
    let file = PolicyFile {
        path: path.into(),
        anonymous,
        tags: tags.clone(),
    };
    let (policy, all_tags) = file.read()?;
    *tags = all_tags;
    Ok((policy, Some(file)))
}

/// The rules and groups whose keys begin with `prefix`; `section` is where
/// they are.
fn rules(
    root: &Node,
    prefix: &str,
    section: &Node,
    anonymous: Option<Rule>,
) -> Result<Policy, ConfigError> {
    let key = format!("{prefix}rules");
    let Some(node) = root.at(&key) else {
        return Err(ConfigError::at(
            &section.source,
            format_args!("{key} is missing: expected a list of rules; [] allows nothing"),
        ));
    };
    let Value::List(items) = &node.value else {
        return Err(ConfigError::value(&key, node, "a list of rules"));
    };
    let mut builder = groups(root, prefix)?;
    for (index, node) in items.iter().enumerate() {
        builder = builder.rule(rule(root, &format!("{key}[{index}]"), node)?);
    }
    build(builder, prefix, anonymous)
}

fn groups(root: &Node, prefix: &str) -> Result<PolicyBuilder, ConfigError> {
    let key = format!("{prefix}groups");
    let mut builder = Policy::builder();
    let Some(node) = root.at(&key) else {
        return Ok(builder);
    };
    let Value::Map(groups) = &node.value else {
        let expected = "a map of names to lists of users";
        return Err(ConfigError::value(&key, node, expected));
    };
    for (name, node) in groups {
        let key = format!("{key}.{name}");
        let mut users = Vec::new();
        for (text, node) in read::items(&key, node, "a list of users")? {
            match parse(&key, text, node)? {
                Who::User(user) => users.push(user),
                _ => return Err(bad(&key, text, node, "a group has users only")),
            }
        }
        builder = builder.group(name, users);
    }
    Ok(builder)
}

fn rule(root: &Node, key: &str, node: &Node) -> Result<Rule, ConfigError> {
    known(key, node, &["actions", "repositories", "who"])?;
    let who: Vec<Who> = list(
        root,
        &format!("{key}.who"),
        node,
        "alice, group:dev, * or anonymous",
    )?;
    let actions: Vec<Right> = list(
        root,
        &format!("{key}.actions"),
        node,
        "pull, push, delete or catalog",
    )?;
    let repositories = format!("{key}.repositories");
    let on_repositories = actions.iter().any(|action| *action != Right::Catalog);
    let repositories = if on_repositories || root.at(&repositories).is_some() {
        list(root, &repositories, node, "team/app, team/* or team/**")?
    } else {
        Vec::new()
    };
    Ok(Rule::new(who, repositories, actions).at(node.source.to_string()))
}

fn build(
    builder: PolicyBuilder,
    prefix: &str,
    anonymous: Option<Rule>,
) -> Result<Policy, ConfigError> {
    let builder = anonymous.into_iter().fold(builder, PolicyBuilder::rule);
    builder.build().map_err(|error| {
        let place = match &error {
            PolicyError::UnknownGroup { place, .. } => place.clone().unwrap_or_default(),
            _ => String::new(),
        };
        ConfigError::at(place, format_args!("{error}: add it to {prefix}groups"))
    })
}
