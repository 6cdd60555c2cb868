//! What is accepted and has no effect.

use super::load;

#[test]
fn warnings_name_the_key_and_what_was_meant() {
    for (text, expected) in [
        ("colour: x", "c.yml:1: colour is unknown and ignored"),
        (
            "log:\n  levle: debug",
            "c.yml:2: log.levle is unknown and ignored: did you mean log.level?",
        ),
        (
            "loglevel: warn",
            "c.yml:1: loglevel is deprecated: use log.level",
        ),
        (
            "validation: {enabled: true}",
            "c.yml:1: validation.enabled is deprecated: use validation.disabled",
        ),
        (
            "storage: {filesystem: {rootdirectory: ''}}",
            "c.yml:1: storage.filesystem.rootdirectory is empty: /var/lib/registry is taken",
        ),
    ] {
        assert_eq!(load(text, &[]).expect(text).warnings, [expected], "{text}");
    }
    let config = load("", &[("REGISTRY_COLOUR_X", "1")]).expect("valid");
    assert_eq!(
        config.warnings,
        ["environment variable REGISTRY_COLOUR_X: colour is unknown and ignored"]
    );
}

#[test]
fn an_empty_section_that_would_keep_people_out_is_a_warning() {
    let tls = "http: {tls: {certificate: /c, key: /k, clientcas: []}}";
    for (text, expected) in [
        ("auth:", "auth is empty: everybody may in"),
        ("auth: {}", "auth is empty: everybody may in"),
        ("http: {tls: }", "http.tls is empty: plain HTTP is spoken"),
        (
            tls,
            "http.tls.clientcas is empty: no client certificate is verified",
        ),
    ] {
        let warnings = load(text, &[]).expect(text).warnings;
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        let expected = format!("c.yml:1: {expected}");
        assert!(warnings[0].starts_with(&expected), "{warnings:?}");
    }
    for text in ["auth: none", "auth: {none: }", ""] {
        let warnings = load(text, &[("REGISTRY_HTTP_TLS", "")]).expect(text);
        assert!(warnings.warnings.is_empty(), "{text}");
    }
}

#[test]
fn what_needs_nothing_is_a_warning() {
    for (text, key) in [
        ("redis: {addr: 'x:1', password: p}", "redis"),
        ("storage: {cache: {blobdescriptor: redis}}", "storage.cache"),
        ("storage: {cache: {blobdescriptorsize: 1}}", "storage.cache"),
        (
            "storage: {redirect: {disable: false}}",
            "storage.redirect.disable",
        ),
        ("storage: {tag: {concurrencylimit: 5}}", "storage.tag"),
        (
            "storage: {filesystem: {maxthreads: 100}}",
            "storage.filesystem.maxthreads",
        ),
        ("reporting: {bugsnag: {apikey: a}}", "reporting"),
        ("compatibility: {schema1: {enabled: true}}", "compatibility"),
        ("http: {secret: s}", "http.secret"),
        ("log: {hooks: [{type: mail}]}", "log.hooks"),
        ("log: {reportcaller: true}", "log.reportcaller"),
    ] {
        let config = load(text, &[]).expect(text);
        assert_eq!(config.warnings.len(), 1, "{text}");
        let start = format!("c.yml:1: {key} is ignored: ");
        assert!(
            config.warnings[0].starts_with(&start),
            "{:?}",
            config.warnings
        );
    }
    for (text, expected) in [
        (
            "http: {host: 'https://a.example', relativeurls: true}",
            "c.yml:1: http.relativeurls has no effect beside http.host",
        ),
        (
            "http: {debug: {prometheus: {enabled: true}}}",
            "c.yml:1: http.debug.prometheus.enabled has no effect without http.debug.addr",
        ),
        (
            "health: {tcp: [{addr: 'a:1'}, {addr: 'a:1', intervl: 1s}]}",
            "c.yml:1: health.tcp[1].intervl is unknown and ignored: did you mean \
             health.tcp[1].interval?",
        ),
    ] {
        assert_eq!(load(text, &[]).expect(text).warnings, [expected], "{text}");
    }
}

#[test]
fn a_key_in_a_warning_cannot_write_to_a_terminal() {
    let config = load("\"a\\n\\e[31mb\": 1", &[]).expect("valid");
    let warning = config.warnings.first().expect("one");
    assert!(!warning.contains(char::is_control), "{warning:?}");
}
