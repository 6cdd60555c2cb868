//! Every key that distribution's `config.yml` knows, and what becomes of it
//! here.
//!
//! A key that the registry learns to obey moves to [`Support::Used`] and gets
//! a line in [`Config::read`](super::Config); nothing else changes.

use Support::{Ignored, Refused, RefusedIfPresent, Used};

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// Read by this program.
    Used,
    /// Accepted with a warning that says why it needs nothing.
    Ignored(&'static str),
    /// Refused at start unless it is switched off, because a registry that
    /// ignored it would do something else than what was asked.
    Refused,
    /// Refused even when empty: an empty `auth.htpasswd` still asks for a
    /// password.
    RefusedIfPresent,
}

/// Keys by their full name. An entry speaks for everything below it, save for
/// what a longer entry names; what no entry reaches is unknown.
const KEYS: &[(&str, Support)] = &[
    ("auth", RefusedIfPresent),
    ("auth.none", Used),
    (
        "catalog",
        Ignored("pages of the catalog have a fixed limit"),
    ),
    (
        "compatibility",
        Ignored("schema 1 manifests are not served"),
    ),
    ("health", Ignored("there is no health check yet")),
    ("http.addr", Used),
    ("http.debug", Refused),
    ("http.draintimeout", Used),
    ("http.h2c", Ignored("HTTP/2 without TLS is always on")),
    ("http.headers", Refused),
    (
        "http.headers.x-content-type-options",
        Ignored("nosniff is always sent"),
    ),
    ("http.host", Ignored("Location headers are relative")),
    ("http.http2", Ignored("HTTP/2 is always on")),
    ("http.net", Used),
    ("http.prefix", Refused),
    (
        "http.relativeurls",
        Ignored("Location headers are always relative"),
    ),
    ("http.secret", Ignored("uploads carry no signed state")),
    ("http.tls", Refused),
    ("log.accesslog", Ignored("the access log is always on")),
    ("log.fields", Ignored("log lines have fixed fields")),
    ("log.formatter", Used),
    ("log.hooks", Ignored("there are no log hooks")),
    ("log.level", Used),
    ("log.reportcaller", Ignored("log lines name their module")),
    ("loglevel", Used),
    ("middleware", Refused),
    ("notifications", Refused),
    ("policy", Refused),
    ("proxy", Refused),
    ("redis", Refused),
    ("reporting", Ignored("nothing is reported to third parties")),
    ("storage.cache", Ignored("nothing needs a descriptor cache")),
    ("storage.delete.enabled", Used),
    (
        "storage.filesystem.maxthreads",
        Ignored("file access needs no thread limit"),
    ),
    ("storage.filesystem.rootdirectory", Used),
    ("storage.maintenance.readonly", Refused),
    ("storage.maintenance.uploadpurging.age", Used),
    ("storage.maintenance.uploadpurging.dryrun", Refused),
    ("storage.maintenance.uploadpurging.enabled", Used),
    ("storage.maintenance.uploadpurging.interval", Used),
    ("storage.redirect", Ignored("blobs are never redirected")),
    ("storage.tag", Ignored("tag lookups need no limit")),
    ("storage.azure", RefusedIfPresent),
    ("storage.gcs", RefusedIfPresent),
    ("storage.inmemory", RefusedIfPresent),
    ("storage.oss", RefusedIfPresent),
    ("storage.s3", RefusedIfPresent),
    ("storage.s3aws", RefusedIfPresent),
    ("storage.swift", RefusedIfPresent),
    ("tags", Ignored("pages of tags have a fixed limit")),
    ("validation.disabled", Used),
    ("validation.enabled", Used),
    ("validation.manifests", Refused),
    ("version", Used),
];

/// Keys whose value may be the bare name of one child: `storage: filesystem`.
pub(super) const SHORT_FORMS: &[&str] = &["auth", "storage"];

/// Children of `storage` that are not the name of a driver.
pub(super) const STORAGE_OPTIONS: &[&str] = &["cache", "delete", "maintenance", "redirect", "tag"];

/// The entry of a key by its own name.
pub(super) fn support(key: &str) -> Option<Support> {
    // Header names have no case; every other key is lower case.
    let folded;
    let key = if key.starts_with("http.headers.") {
        folded = key.to_ascii_lowercase();
        &folded
    } else {
        key
    };
    KEYS.iter()
        .find(|(name, _)| *name == key)
        .map(|&(_, support)| support)
}

/// Whether longer entries exist below `key`; every key is below the empty one.
pub(super) fn has_children(key: &str) -> bool {
    children(key).next().is_some()
}

/// Whether leaving out what stands at `key` could change what the registry does.
pub(super) fn is_refused_at_or_below(key: &str) -> bool {
    KEYS.iter().any(|(name, support)| {
        let below = name
            .strip_prefix(key)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        below && matches!(support, Refused | RefusedIfPresent)
    })
}

/// The names one level below `key`; a name may come more than once.
pub(super) fn children(key: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |(name, _)| {
        let below = match key {
            "" => name,
            key => name.strip_prefix(key)?.strip_prefix('.')?,
        };
        below.split('.').next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_one_level_below() {
        let below: Vec<_> = children("storage.delete").collect();
        assert_eq!(below, ["enabled"]);
        assert!(children("").any(|name| name == "loglevel"));
        assert!(!has_children("http.addr"));
        assert!(!has_children("stor"));
    }

    #[test]
    fn header_names_have_no_case() {
        assert!(matches!(
            support("http.headers.X-Content-Type-Options"),
            Some(Ignored(_))
        ));
        assert_eq!(support("HTTP.addr"), None);
    }
}
