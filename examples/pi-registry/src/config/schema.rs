//! Every key that distribution's `config.yml` knows, and what becomes of it
//! here.
//!
//! A key that the registry learns to obey moves to [`Support::Used`] and gets
//! a line in [`Config::read`](super::Config); nothing else changes.

use std::borrow::Cow;

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
/// what a longer entry names; what no entry reaches is unknown. `[]` stands
/// for every item of a list.
const KEYS: &[(&str, Support)] = &[
    ("auth", RefusedIfPresent),
    ("auth.anonymous", Used),
    ("auth.clientcertificate.user", Used),
    ("auth.htpasswd.path", Used),
    ("auth.htpasswd.realm", Used),
    ("auth.none", Used),
    ("auth.policy.groups", Used),
    ("auth.policy.path", Used),
    ("auth.policy.rules", Used),
    ("auth.policy.rules[].actions", Used),
    ("auth.policy.rules[].repositories", Used),
    ("auth.policy.rules[].who", Used),
    ("auth.token.autoredirect", Used),
    ("auth.token.autoredirectpath", Used),
    ("auth.token.issuer", Used),
    ("auth.token.jwks", Used),
    ("auth.token.realm", Used),
    ("auth.token.rootcertbundle", Used),
    ("auth.token.service", Used),
    ("auth.token.signingalgorithms", Used),
    ("auth.tokenserver.enabled", Used),
    ("auth.tokenserver.key", Used),
    ("auth.tokenserver.realm", Used),
    ("auth.tokenserver.refresh", Used),
    ("catalog.maxentries", Used),
    (
        "compatibility",
        Ignored("schema 1 manifests are not served"),
    ),
    ("health.file", Used),
    ("health.file[].file", Used),
    ("health.file[].interval", Used),
    ("health.http", Used),
    ("health.http[].headers", Used),
    ("health.http[].interval", Used),
    ("health.http[].statuscode", Used),
    ("health.http[].threshold", Used),
    ("health.http[].timeout", Used),
    ("health.http[].uri", Used),
    ("health.storagedriver.enabled", Used),
    ("health.storagedriver.interval", Used),
    ("health.storagedriver.threshold", Used),
    ("health.tcp", Used),
    ("health.tcp[].addr", Used),
    ("health.tcp[].interval", Used),
    ("health.tcp[].threshold", Used),
    ("health.tcp[].timeout", Used),
    ("http.addr", Used),
    ("http.debug.addr", Used),
    ("http.debug.prometheus.enabled", Used),
    ("http.debug.prometheus.path", Used),
    ("http.draintimeout", Used),
    ("http.h2c.enabled", Used),
    ("http.headers", Used),
    ("http.host", Used),
    ("http.http2.disabled", Used),
    ("http.net", Used),
    ("http.prefix", Used),
    ("http.relativeurls", Used),
    ("http.secret", Ignored("uploads carry no signed state")),
    ("http.tls.certificate", Used),
    ("http.tls.ciphersuites", Used),
    ("http.tls.clientauth", Used),
    ("http.tls.clientcas", Used),
    ("http.tls.key", Used),
    ("http.tls.letsencrypt", Refused),
    ("http.tls.minimumtls", Used),
    ("http.tls.publishca", Used),
    ("http.trustedproxies", Used),
    ("log.accesslog.disabled", Used),
    ("log.fields", Used),
    ("log.formatter", Used),
    ("log.hooks", Ignored("there are no log hooks")),
    ("log.level", Used),
    ("log.reportcaller", Ignored("log lines name their module")),
    ("loglevel", Used),
    ("middleware", Refused),
    ("notifications", Refused),
    ("policy", Refused),
    ("proxy", Refused),
    // Only its cache of descriptors lives there.
    ("redis", Ignored("nothing needs a descriptor cache")),
    ("reporting", Ignored("nothing is reported to third parties")),
    ("storage.cache", Ignored("nothing needs a descriptor cache")),
    ("storage.delete.enabled", Used),
    ("storage.filesystem.durability", Used),
    (
        "storage.filesystem.maxthreads",
        Ignored("file access needs no thread limit"),
    ),
    ("storage.filesystem.reserve", Used),
    ("storage.filesystem.rootdirectory", Used),
    ("storage.maintenance.gc.deleteuntagged", Used),
    ("storage.maintenance.gc.enabled", Used),
    ("storage.maintenance.gc.grace", Used),
    ("storage.maintenance.gc.interval", Used),
    ("storage.maintenance.readonly.enabled", Used),
    ("storage.maintenance.scrub.enabled", Used),
    ("storage.maintenance.scrub.interval", Used),
    ("storage.maintenance.scrub.rate", Used),
    ("storage.maintenance.uploadpurging.age", Used),
    ("storage.maintenance.uploadpurging.dryrun", Used),
    ("storage.maintenance.uploadpurging.enabled", Used),
    ("storage.maintenance.uploadpurging.interval", Used),
    ("storage.redirect.disable", Used),
    ("storage.tag", Ignored("tag lookups need no limit")),
    ("storage.azure.accountkey", Used),
    ("storage.azure.accountname", Used),
    ("storage.azure.cafile", Used),
    ("storage.azure.container", Used),
    ("storage.azure.credentials.clientid", Used),
    ("storage.azure.credentials.secret", Used),
    ("storage.azure.credentials.tenantid", Used),
    ("storage.azure.credentials.type", Used),
    ("storage.azure.realm", Used),
    ("storage.azure.rootdirectory", Used),
    ("storage.azure.serviceurl", Used),
    ("storage.azure.skipverify", Used),
    ("storage.azure.useragent", Used),
    ("storage.azure.connectionstring", Refused),
    (
        "storage.azure.copy_status_poll_delay",
        Ignored("copies are done when they are answered"),
    ),
    (
        "storage.azure.copy_status_poll_max_retry",
        Ignored("copies are done when they are answered"),
    ),
    (
        "storage.azure.max_retries",
        Ignored("failed requests are repeated for 20 seconds"),
    ),
    (
        "storage.azure.retry_delay",
        Ignored("failed requests are repeated for 20 seconds"),
    ),
    ("storage.gcs.bucket", Used),
    ("storage.gcs.cafile", Used),
    ("storage.gcs.chunksize", Used),
    ("storage.gcs.credentials", Used),
    ("storage.gcs.endpoint", Used),
    ("storage.gcs.keyfile", Used),
    ("storage.gcs.rootdirectory", Used),
    ("storage.gcs.skipverify", Used),
    ("storage.gcs.useragent", Used),
    (
        "storage.gcs.disablekeepalives",
        Ignored("connections are kept while they are of use"),
    ),
    (
        "storage.gcs.maxconcurrency",
        Ignored("requests need no limit"),
    ),
    ("storage.inmemory", RefusedIfPresent),
    ("storage.oss", RefusedIfPresent),
    ("storage.s3.accelerate", Used),
    ("storage.s3.accesskey", Used),
    ("storage.s3.bucket", Used),
    ("storage.s3.cafile", Used),
    ("storage.s3.chunksize", Used),
    ("storage.s3.encrypt", Used),
    ("storage.s3.forcepathstyle", Used),
    ("storage.s3.keyid", Used),
    ("storage.s3.multipartcopychunksize", Used),
    ("storage.s3.multipartcopymaxconcurrency", Used),
    ("storage.s3.multipartcopythresholdsize", Used),
    ("storage.s3.objectacl", Used),
    ("storage.s3.redirectendpoint", Used),
    ("storage.s3.region", Used),
    ("storage.s3.regionendpoint", Used),
    ("storage.s3.rootdirectory", Used),
    ("storage.s3.secretkey", Used),
    ("storage.s3.secure", Used),
    ("storage.s3.sessiontoken", Used),
    ("storage.s3.skipverify", Used),
    ("storage.s3.storageclass", Used),
    ("storage.s3.usedualstack", Used),
    ("storage.s3.useragent", Used),
    ("storage.s3.usefipsendpoint", Used),
    ("storage.s3.v4auth", Used),
    (
        "storage.s3.loglevel",
        Ignored("RUST_LOG=object_store=debug shows requests to the store"),
    ),
    // Only its name: below it, everything is as below `storage.s3`.
    (S3_ALIAS, Used),
    ("storage.swift", RefusedIfPresent),
    ("tags.immutable", Used),
    ("tags.immutable[].except", Used),
    ("tags.immutable[].repositories", Used),
    ("tags.immutable[].tags", Used),
    ("tags.maxtags", Used),
    ("tags.retention.interval", Used),
    ("tags.retention.rules", Used),
    ("tags.retention.rules[].newest", Used),
    ("tags.retention.rules[].pulledwithin", Used),
    ("tags.retention.rules[].pushedwithin", Used),
    ("tags.retention.rules[].repositories", Used),
    ("tags.retention.rules[].tags", Used),
    ("validation.disabled", Used),
    ("validation.enabled", Used),
    ("validation.manifests", Refused),
    ("version", Used),
];

/// The name of `storage.s3` in distribution's third version.
const S3_ALIAS: &str = "storage.s3aws";

/// The name by which the entries have a key.
fn entry_name(key: &str) -> Cow<'_, str> {
    match key.strip_prefix(S3_ALIAS) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => {
            Cow::Owned(format!("storage.s3{rest}"))
        }
        _ => Cow::Borrowed(key),
    }
}

/// Keys whose value may be the bare name of one child: `storage: filesystem`.
pub(super) const SHORT_FORMS: &[&str] = &["auth", "storage"];

/// Who gets in, and who listens on the way.
pub(super) const GATES: &[&str] = &["auth", "http.tls"];

/// Children of `storage` that are not the name of a driver.
pub(super) const STORAGE_OPTIONS: &[&str] = &["cache", "delete", "maintenance", "redirect", "tag"];

/// The entry of a key by its own name.
pub(super) fn support(key: &str) -> Option<Support> {
    let key = entry_name(key);
    KEYS.iter()
        .find(|(name, _)| *name == key.as_ref())
        .map(|&(_, support)| support)
}

/// The entry that speaks for a key: its own, or its nearest ancestor's.
pub(super) fn reach(key: &str) -> Option<Support> {
    let mut key = key;
    loop {
        if let Some(support) = support(key) {
            return Some(support);
        }
        key = match key.strip_suffix("[]") {
            Some(list) => list,
            None => key.rsplit_once('.')?.0,
        };
    }
}

/// Whether longer entries exist below `key`; every key is below the empty one.
pub(super) fn has_children(key: &str) -> bool {
    children(key).next().is_some()
}

/// Whether a key that is refused stands at `key` or below.
pub(super) fn is_refused_at_or_below(key: &str) -> bool {
    at_or_below(key).any(|(_, support)| matches!(support, Refused | RefusedIfPresent))
}

/// Whether leaving out what stands at `key` could open the registry, or change
/// what it does.
pub(super) fn matters_at_or_below(key: &str) -> bool {
    let is_gate = |name| GATES.iter().any(|gate| is_at_or_below(gate, name));
    is_refused_at_or_below(key) || at_or_below(key).any(|(name, _)| is_gate(name))
}

fn at_or_below(key: &str) -> impl Iterator<Item = (&'static str, Support)> {
    let key = entry_name(key);
    let entries = KEYS.iter().copied();
    entries.filter(move |(name, _)| is_at_or_below(&key, name))
}

fn is_at_or_below(key: &str, name: &str) -> bool {
    name.strip_prefix(key)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The names one level below `key`; a name may come more than once.
pub(super) fn children(key: &str) -> impl Iterator<Item = &'static str> {
    let key = entry_name(key);
    KEYS.iter().filter_map(move |(name, _)| {
        let below = match key.as_ref() {
            "" => name,
            key => name.strip_prefix(key)?.strip_prefix('.')?,
        };
        below.split('.').next().filter(|name| !name.ends_with("[]"))
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
    fn items_of_a_list_have_their_own_children() {
        let below: Vec<_> = children("health.file[]").collect();
        assert_eq!(below, ["file", "interval"]);
        assert!(!has_children("health.file"));
        assert!(!children("health").any(|name| name.contains('[')));
    }

    #[test]
    fn every_key_of_distribution_has_an_entry() {
        for key in [
            "auth.htpasswd.path",
            "auth.htpasswd.realm",
            "auth.none",
            "auth.silly.realm",
            "auth.token.autoredirect",
            "auth.token.autoredirectpath",
            "auth.token.issuer",
            "auth.token.jwks",
            "auth.token.realm",
            "auth.token.rootcertbundle",
            "auth.token.service",
            "auth.token.signingalgorithms",
            "catalog.maxentries",
            "compatibility.schema1.enabled",
            "compatibility.schema1.trustkey",
            "health.file[].file",
            "health.file[].interval",
            "health.http[].headers.a",
            "health.http[].interval",
            "health.http[].statuscode",
            "health.http[].threshold",
            "health.http[].timeout",
            "health.http[].uri",
            "health.storagedriver.enabled",
            "health.storagedriver.interval",
            "health.storagedriver.threshold",
            "health.tcp[].addr",
            "health.tcp[].interval",
            "health.tcp[].threshold",
            "health.tcp[].timeout",
            "http.addr",
            "http.debug.addr",
            "http.debug.prometheus.enabled",
            "http.debug.prometheus.path",
            "http.draintimeout",
            "http.h2c.enabled",
            "http.headers.a",
            "http.host",
            "http.http2.disabled",
            "http.net",
            "http.prefix",
            "http.relativeurls",
            "http.secret",
            "http.tls.certificate",
            "http.tls.ciphersuites",
            "http.tls.clientauth",
            "http.tls.clientcas",
            "http.tls.key",
            "http.tls.letsencrypt.email",
            "http.tls.minimumtls",
            "log.accesslog.disabled",
            "log.fields.a",
            "log.formatter",
            "log.hooks",
            "log.level",
            "log.reportcaller",
            "loglevel",
            "middleware.registry",
            "notifications.endpoints",
            "notifications.events.includereferences",
            "policy.repository.classes",
            "proxy.cachewritetimeout",
            "proxy.exec.command",
            "proxy.password",
            "proxy.remoteurl",
            "proxy.ttl",
            "proxy.username",
            "redis.addr",
            "redis.db",
            "redis.dialtimeout",
            "redis.password",
            "redis.pool.maxidle",
            "redis.tls.enabled",
            "reporting.bugsnag.apikey",
            "reporting.newrelic.licensekey",
            "storage.azure.accountkey",
            "storage.cache.blobdescriptor",
            "storage.cache.blobdescriptorsize",
            "storage.cache.layerinfo",
            "storage.delete.enabled",
            "storage.filesystem.maxthreads",
            "storage.filesystem.rootdirectory",
            "storage.gcs.bucket",
            "storage.inmemory",
            "storage.maintenance.readonly.enabled",
            "storage.maintenance.uploadpurging.age",
            "storage.maintenance.uploadpurging.dryrun",
            "storage.maintenance.uploadpurging.enabled",
            "storage.maintenance.uploadpurging.interval",
            "storage.oss.bucket",
            "storage.redirect.disable",
            "storage.s3.bucket",
            "storage.s3aws.bucket",
            "storage.swift.container",
            "storage.tag.concurrencylimit",
            "tags.maxtags",
            "validation.disabled",
            "validation.enabled",
            "validation.manifests.indexes.platforms",
            "validation.manifests.urls.allow",
            "version",
        ] {
            assert!(reach(key).is_some(), "{key}");
        }
        assert_eq!(reach("http.trustedproxies[]"), Some(Used));
        assert_eq!(reach("http.colour"), None);
    }

    #[test]
    fn no_key_has_two_entries() {
        for (at, (key, _)) in KEYS.iter().enumerate() {
            assert!(
                !KEYS[at + 1..].iter().any(|(other, _)| other == key),
                "{key}"
            );
        }
    }
}
