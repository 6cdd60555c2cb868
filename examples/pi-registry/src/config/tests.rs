//! The whole way from file and variables to values, and every error's text.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

/// Loads `text` from a file that is called `c.yml` in messages.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("c.yml");
    fs::write(&path, text).expect("written");
    let environment = variables
        .iter()
        .map(|&(name, value)| (OsString::from(name), OsString::from(value)));
    let short = |line: String| line.replace(path.to_str().expect("UTF-8"), "c.yml");
    let mut config = Config::load(Some(&path), environment).map_err(|e| short(e.to_string()))?;
    config.warnings = config.warnings.into_iter().map(short).collect();
    Ok(config)
}

#[test]
fn without_a_file_the_registry_is_local_and_deletes() {
    let config = Config::load(None, []).expect("valid");
    assert_eq!(config.origin, Origin::BuiltIn);
    assert_eq!(config.http.addr.to_string(), "127.0.0.1:5000");
    assert_eq!(config.http.drain_timeout, Duration::from_secs(30));
    assert!(config.storage.root.is_absolute());
    assert!(config.storage.root.ends_with("registry-data"));
    assert!(config.storage.deletes);
    assert!(config.validation);
    assert_eq!(config.log.level, tracing::Level::INFO);
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn with_a_file_the_defaults_are_those_of_distribution() {
    let config = load("version: 0.1\n", &[]).expect("valid");
    assert_eq!(config.http.addr.to_string(), ":5000");
    assert_eq!(config.storage.root, Path::new("/var/lib/registry"));
    assert!(!config.storage.deletes);
    let hour = Duration::from_secs(3600);
    let purge = config.storage.purge.expect("on by default");
    assert_eq!((purge.age, purge.interval), (168 * hour, 24 * hour));
    assert!(config.warnings.is_empty());
    assert!(matches!(config.origin, Origin::File(_)));
}

#[test]
fn every_key_is_read() {
    let text = "
version: 0.1
log: {level: debug, formatter: json}
storage:
  filesystem: {rootdirectory: /data}
  delete: {enabled: 'true'}
  maintenance: {uploadpurging: {age: 1h, interval: 1m30s}}
http: {addr: 'localhost:5001', draintimeout: 2m, net: tcp}
validation: {disabled: true}
auth: none
";
    let config = load(text, &[]).expect("valid");
    assert_eq!(config.log.level, tracing::Level::DEBUG);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.storage.root, Path::new("/data"));
    assert!(config.storage.deletes);
    let purge = config.storage.purge.expect("on");
    assert_eq!(purge.age, Duration::from_secs(3600));
    assert_eq!(purge.interval, Duration::from_secs(90));
    assert_eq!(config.http.addr.to_string(), "localhost:5001");
    assert_eq!(config.http.drain_timeout, Duration::from_secs(120));
    assert!(!config.validation);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn variables_win_over_the_file() {
    let config = load(
        "http: {addr: ':1'}\nlog: {level: info}\n",
        &[
            ("REGISTRY_HTTP_ADDR", "0.0.0.0:443"),
            ("REGISTRY_LOG_LEVEL", "trace"),
            ("REGISTRY_STORAGE", "filesystem"),
            ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/srv"),
            (
                "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED",
                "false",
            ),
            ("REGISTRY_HTTP_TLS_CERTIFICATE", ""),
        ],
    )
    .expect("valid");
    assert_eq!(config.http.addr.to_string(), "0.0.0.0:443");
    assert_eq!(config.log.level, tracing::Level::TRACE);
    assert_eq!(config.storage.root, Path::new("/srv"));
    assert!(config.storage.deletes);
    assert_eq!(config.storage.purge, None);
}

#[test]
fn the_default_file_of_the_image_is_accepted_with_warnings() {
    let text = "
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";
    let config = load(text, &[]).expect("valid");
    assert_eq!(
        config.warnings,
        [
            "c.yml:4: log.fields is ignored: log lines have fixed fields",
            "c.yml:7: storage.cache is ignored: nothing needs a descriptor cache",
            "c.yml:14: http.headers.X-Content-Type-Options is ignored: nosniff is always sent",
            "c.yml:15: health is ignored: there is no health check yet",
        ]
    );
}

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
fn every_error_names_place_key_value_and_what_is_expected() {
    for (text, expected) in [
        ("version: 0.2", "version is \"0.2\": expected 0.1"),
        (
            "log: {level: loud}",
            "log.level is \"loud\": expected error, warn, info or debug",
        ),
        ("log: loud", "log is \"loud\": expected a map of keys"),
        (
            "log: {formatter: logstash}",
            "log.formatter is \"logstash\": expected text or json",
        ),
        (
            "http: {addr: '5000'}",
            "http.addr is \"5000\": expected an address and a port such as :5000, \
             127.0.0.1:5000 or '[::1]:5000'",
        ),
        (
            "http: {addr: {port: 1}}",
            "http.addr is a map: expected an address and a port such as :5000, \
             127.0.0.1:5000 or '[::1]:5000'",
        ),
        (
            "http: {draintimeout: 30}",
            "http.draintimeout is \"30\": expected a duration such as 30s, 1m30s or 168h",
        ),
        (
            "http: {net: unix}",
            "http.net is \"unix\": expected tcp, the only one supported yet",
        ),
        (
            "storage: {delete: {enabled: maybe}}",
            "storage.delete.enabled is \"maybe\": expected true or false",
        ),
        (
            "storage: {delete: true}",
            "storage.delete is \"true\": expected a map of keys",
        ),
        (
            "storage: {filesystem: {rootdirectory: [/a]}}",
            "storage.filesystem.rootdirectory is a list: expected the path of a directory",
        ),
        (
            "storage: {ceph: {}}",
            "storage driver \"ceph\" is unknown: expected filesystem",
        ),
        (
            "storage: ceph",
            "storage driver \"ceph\" is unknown: expected filesystem",
        ),
        (
            "storage: {delet: {enabled: false}}",
            "storage.delet is unknown: did you mean storage.delete? Correct or remove it",
        ),
        (
            "storage: {maintenance: {uploadpurging: {age: 1s}}}",
            "storage.maintenance.uploadpurging.age is \"1s\": expected at least 1m",
        ),
        (
            "auht: {htpasswd: {}}",
            "auht is unknown: did you mean auth? Correct or remove it",
        ),
        (
            "validation: {enabled: true, disabled: true}",
            "validation.enabled is true and validation.disabled is true too: \
             keep only validation.disabled",
        ),
        (
            "[a, b]",
            "the configuration is a list: expected a map of keys",
        ),
    ] {
        let error = load(text, &[]).expect_err(text);
        assert_eq!(error, format!("c.yml:1: {expected}"), "{text}");
    }
}

#[test]
fn what_would_change_the_registry_is_refused_by_name() {
    for (text, key) in [
        ("auth: htpasswd", "auth.htpasswd"),
        ("auth: {token: {realm: x}}", "auth.token"),
        ("auth: {silly: }", "auth.silly"),
        ("http: {tls: {certificate: /x}}", "http.tls"),
        ("http: {debug: {addr: ':5001'}}", "http.debug"),
        ("http: {prefix: /x/}", "http.prefix"),
        (
            "http: {headers: {Access-Control-Allow-Origin: ['*']}}",
            "http.headers.Access-Control-Allow-Origin",
        ),
        ("proxy: {remoteurl: 'https://x'}", "proxy"),
        ("notifications: {endpoints: [{name: a}]}", "notifications"),
        ("redis: {addr: x}", "redis"),
        ("middleware: {registry: [{name: a}]}", "middleware"),
        ("storage: s3", "storage.s3"),
        ("storage: {inmemory: }", "storage.inmemory"),
        (
            "storage: {maintenance: {readonly: {enabled: true}}}",
            "storage.maintenance.readonly",
        ),
        (
            "validation: {manifests: {urls: {allow: [a]}}}",
            "validation.manifests",
        ),
        ("policy: {repository: {classes: [image]}}", "policy"),
    ] {
        let error = load(text, &[]).expect_err(text);
        let expected = format!(
            "c.yml:1: {key} is not supported yet, and ignoring it would change what the \
             registry does: remove it to start without it"
        );
        assert_eq!(error, expected, "{text}");
    }
    let error = load("", &[("REGISTRY_AUTH", "htpasswd")]).expect_err("auth");
    assert!(
        error.starts_with("environment variable REGISTRY_AUTH: auth.htpasswd is not supported yet"),
        "{error}"
    );
}

#[test]
fn what_is_switched_off_is_not_refused() {
    for text in [
        "auth:",
        "auth: {}",
        "proxy: {remoteurl: ''}",
        "http: {tls: {}, debug: {addr: ''}}",
        "notifications: {endpoints: []}",
        "storage: {maintenance: {readonly: {enabled: false}}}",
    ] {
        let config = load(text, &[]).expect(text);
        assert!(config.warnings.is_empty(), "{text}: {:?}", config.warnings);
    }
}

#[test]
fn a_second_storage_driver_is_refused() {
    // Only one driver is supported yet, so the check is met directly.
    let text = "storage: {filesystem: {}, delete: {}, s3: {}}";
    let root = yaml::file(Path::new("c.yml"), text).expect("valid");
    assert_eq!(
        one_driver(&root).expect_err("two drivers").to_string(),
        "c.yml:1: storage has two drivers, filesystem and s3: expected one: remove the other"
    );
}

#[test]
fn an_error_is_one_line_and_cuts_a_long_value() {
    let long = "x".repeat(500);
    for value in ["\"a\\nb\"".to_owned(), long] {
        let error = load(&format!("log: {{level: {value}}}"), &[]).expect_err("no level");
        assert!(!error.contains('\n') && error.len() < 200, "{error}");
    }
}

#[test]
fn what_might_open_the_registry_or_move_its_data_is_never_passed_over() {
    for text in [
        "htpasswd: {path: /x}",
        "authentication: x",
        "auth.htpasswd: {path: /x}",
        "auth.htpasswd.path: /x",
        "http: {auth: {htpasswd: {path: /x}}}",
        "http: {ssl: {certificate: /x}}",
        "http.tls.certificate: /x",
        "log: {auth: {htpasswd: {path: /x}}}",
        "x: &c {auth: {htpasswd: {path: /x}}}\n<<: *c",
        "Http: {tls: {certificate: /x}}",
        "htpp: {tls: {certificate: /x}}",
        "https: {tls: {certificate: /x}}",
        "Log: {level: debug}",
        "http.addr: :1",
        "storage.filesystem.rootdirectory: /x",
        "storage: {filesystem: {rootdir: /x}}",
        "Storage: {filesystem: {rootdirectory: /x}}",
        "'': {http: {addr: :1}}",
        "version:0.1\nauth:htpasswd",
        "- http",
    ] {
        let error = load(text, &[("REGISTRY_LOG_LEVEL", "info")]).expect_err(text);
        assert!(!error.contains('\n'), "{error}");
    }
    for variable in [
        "REGISTRY_HTTP_AUTH_HTPASSWD_PATH",
        "REGISTRY_HTPASSWD_PATH",
        "REGISTRY_AUTH.HTPASSWD",
        "REGISTRY__HTTP_ADDR",
    ] {
        load("", &[(variable, "/x")]).expect_err(variable);
    }
}

#[test]
fn a_key_in_a_warning_cannot_write_to_a_terminal() {
    let config = load("\"a\\n\\e[31mb\": 1", &[]).expect("valid");
    let warning = config.warnings.first().expect("one");
    assert!(!warning.contains(char::is_control), "{warning:?}");
}
