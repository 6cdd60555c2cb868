//! What is read, from files and variables, and what applies without.

use std::path::Path;
use std::time::Duration;

use registry_storage::filesystem::{Durability, Reserve};
use registry_tls::server::{ClientAuth, MinimumTls};

use super::super::{Auth, Config, LogFormat, Network, Origin};
use super::load;

#[test]
fn without_a_file_the_registry_is_local_and_deletes() {
    let config = Config::load(None, []).expect("valid");
    assert_eq!(config.origin, Origin::BuiltIn);
    assert_eq!(config.http.addr.to_string(), "127.0.0.1:5000");
    assert_eq!(config.http.drain_timeout, Duration::from_secs(30));
    let root = config.storage.driver.directory().expect("a directory");
    assert!(root.is_absolute());
    assert!(root.ends_with("registry-data"));
    assert!(config.storage.deletes);
    assert!(config.validation);
    assert_eq!(config.log.level, tracing::Level::INFO);
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn with_a_file_the_defaults_are_those_of_distribution() {
    let config = load("version: 0.1\n", &[]).expect("valid");
    assert_eq!(config.http.addr.to_string(), ":5000");
    assert_eq!(
        config.storage.driver.directory(),
        Some(Path::new("/var/lib/registry"))
    );
    assert!(!config.storage.deletes);
    let hour = Duration::from_secs(3600);
    assert_eq!(config.storage.reserve, Reserve::default());
    assert_eq!(config.storage.durability, Durability::Safe);
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
  filesystem: {rootdirectory: /data, reserve: 1GiB, durability: fast}
  delete: {enabled: 'true'}
  maintenance: {uploadpurging: {age: 1h, interval: 1m30s}}
http: {addr: 'localhost:5001', draintimeout: 2m, net: tcp}
validation: {disabled: true}
auth: none
";
    let config = load(text, &[]).expect("valid");
    assert_eq!(config.log.level, tracing::Level::DEBUG);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.storage.driver.directory(), Some(Path::new("/data")));
    assert_eq!(config.storage.reserve, Reserve::new(1 << 30, 100));
    assert_eq!(config.storage.durability, Durability::Fast);
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
fn a_reserve_is_a_size_or_a_part_or_both() {
    let reserve = |value: &str| {
        let text = format!("storage: {{filesystem: {{reserve: {value}}}}}");
        load(&text, &[]).expect(value).storage.reserve
    };
    for (value, expected) in [
        ("0", Reserve::new(0, 100)),
        ("512MiB", Reserve::new(512 << 20, 100)),
        ("'2 TiB'", Reserve::new(2 << 40, 100)),
        ("1048576", Reserve::new(1 << 20, 100)),
        ("5%", Reserve::new(u64::MAX, 5)),
        ("'5%, 1GiB'", Reserve::new(1 << 30, 5)),
        ("[1KiB, 0%]", Reserve::new(1 << 10, 0)),
        ("", Reserve::default()),
    ] {
        assert_eq!(reserve(value), expected, "{value}");
    }
    let variables = [("REGISTRY_STORAGE_FILESYSTEM_RESERVE", "0")];
    let config = load("", &variables).expect("valid");
    assert_eq!(config.storage.reserve.of(u64::MAX), 0);
}

#[test]
fn the_file_of_users_is_read_from_file_and_variables() {
    let htpasswd =
        |text: &str, variables: &[_]| match load(text, variables).expect("valid").auth.htpasswd {
            Some(htpasswd) => (htpasswd.path, htpasswd.realm),
            None => panic!("no htpasswd"),
        };
    let expected = |realm: &str| (Path::new("/users").to_owned(), realm.to_owned());
    let text = "auth: {htpasswd: {path: /users, realm: My Registry}}";
    assert_eq!(htpasswd(text, &[]), expected("My Registry"));
    // As distribution's guides have it, and without what it fails without.
    let variables = [
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "/users"),
        ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
    ];
    assert_eq!(htpasswd("", &variables), expected("Registry Realm"));
    assert_eq!(htpasswd("", &variables[..2]), expected("registry"));
    assert_eq!(htpasswd("", &variables[1..]), expected("Registry Realm"));
    assert_eq!(
        htpasswd("auth: none", &variables),
        expected("Registry Realm")
    );
    for text in ["", "auth:", "auth: {}", "auth: none", "auth: {none: {}}"] {
        assert_eq!(load(text, &[]).expect("valid").auth, Auth::open(), "{text}");
    }
}

#[test]
fn every_key_of_http_is_read() {
    let text = "
http:
  addr: /run/registry.sock
  net: unix
  host: https://registry.example:8443/
  prefix: /images/
  headers: {X-A: [b, c], x-d: e, X-None: [], X-Null: }
  http2: {disabled: true}
  h2c: {enabled: true}
  trustedproxies: [10.1.0.0/16, '::1']
  debug: {addr: 'localhost:5001', prometheus: {enabled: true, path: /m}}
";
    let http = load(text, &[]).expect("valid").http;
    assert_eq!(http.addr.to_string(), "unix:/run/registry.sock");
    assert_eq!(
        http.host.expect("set").as_str(),
        "https://registry.example:8443"
    );
    assert_eq!(http.prefix.as_str(), "/images");
    assert!(!http.relative_urls && !http.http2 && !http.h2c);
    let values: Vec<_> = http.headers.as_map().get_all("x-a").iter().collect();
    assert_eq!(values, ["b", "c"]);
    assert_eq!(http.headers.as_map()["x-d"], "e");
    assert_eq!(http.headers.as_map().len(), 3);
    let networks: Vec<_> = http
        .trusted_proxies
        .iter()
        .map(Network::to_string)
        .collect();
    assert_eq!(networks, ["10.1.0.0/16", "::1/128"]);
    let debug = http.debug.expect("set");
    assert_eq!(debug.addr.to_string(), "localhost:5001");
    assert_eq!(debug.metrics_path.as_deref(), Some("/m"));
}

#[test]
fn every_key_of_tls_is_read() {
    let text = "
http:
  tls:
    certificate: /tls.crt
    key: /tls.key
    clientcas: [/a.crt, /b.crt]
    minimumtls: tls1.1
    ciphersuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]
    publishca: /ca.crt
";
    let config = load(text, &[]).expect("valid");
    let tls = config.http.tls.expect("set");
    assert_eq!(tls.certificate, Path::new("/tls.crt"));
    assert_eq!(tls.key, Path::new("/tls.key"));
    assert_eq!(tls.client_cas, [Path::new("/a.crt"), Path::new("/b.crt")]);
    assert!(tls.requires_client());
    assert_eq!(tls.minimum, MinimumTls::Tls12);
    assert_eq!(tls.publish_ca.as_deref(), Some(Path::new("/ca.crt")));
    let [minimum, suite] = config.warnings.as_slice() else {
        panic!("{:?}", config.warnings)
    };
    assert!(minimum.starts_with("c.yml:7: http.tls.minimumtls is tls1.1, which is broken"));
    assert!(suite.contains("TLS_RSA_WITH_AES_128_CBC_SHA, which is weak"));

    let variables = [
        ("REGISTRY_HTTP_TLS_CERTIFICATE", "/c"),
        ("REGISTRY_HTTP_TLS_KEY", "/k"),
        ("REGISTRY_HTTP_TLS_CLIENTCAS_0", "/a"),
        (
            "REGISTRY_HTTP_TLS_CLIENTAUTH",
            "verify-client-cert-if-given",
        ),
    ];
    let tls = load("", &variables).expect("valid").http.tls.expect("set");
    assert_eq!(tls.client_cas, [Path::new("/a")]);
    assert!(!tls.requires_client());
    assert_eq!(tls.client_auth, Some(ClientAuth::VerifyIfGiven));
}

#[test]
fn the_defaults_of_http_need_nothing_said() {
    let http = load("", &[]).expect("valid").http;
    assert_eq!(http.host, None);
    assert!(http.tls.is_none());
    assert_eq!(http.prefix.as_str(), "");
    assert!(http.relative_urls && http.http2 && http.h2c);
    assert!(http.headers.as_map().is_empty());
    assert_eq!(http.debug, None);
    let trusted = |address: &str| {
        let address = address.parse().expect("valid");
        http.trusted_proxies
            .iter()
            .any(|network| network.contains(address))
    };
    for address in [
        "127.0.0.1",
        "::1",
        "10.42.0.1",
        "172.17.0.1",
        "192.168.1.1",
        "fd00::1",
    ] {
        assert!(trusted(address), "{address}");
    }
    for address in [
        "8.8.8.8",
        "172.32.0.1",
        "2001:db8::1",
        "100.64.0.1",
        "169.254.1.1",
    ] {
        assert!(!trusted(address), "{address}");
    }
    let http = load("http: {relativeurls: false, trustedproxies: []}", &[])
        .expect("valid")
        .http;
    assert!(!http.relative_urls && http.trusted_proxies.is_empty());
    let http = load("http: {debug: {addr: ':1'}}", &[])
        .expect("valid")
        .http;
    assert_eq!(http.debug.expect("set").metrics_path, None);
    let http = load(
        "http: {debug: {addr: ':1', prometheus: {enabled: true}}}",
        &[],
    );
    let debug = http.expect("valid").http.debug.expect("set");
    assert_eq!(debug.metrics_path.as_deref(), Some("/metrics"));
}

#[test]
fn every_key_of_health_is_read() {
    let second = Duration::from_secs(1);
    let text = "
health:
  storagedriver: {enabled: true, interval: 2s, threshold: 5}
  file: [{file: /a, interval: 4s}, {file: /b}]
  http:
  - {uri: 'http://a:1/b', headers: {X-A: [b]}, statuscode: 204, timeout: 1s, interval: 6s, threshold: 7}
  - uri: http://b
  tcp: [{addr: 'a:1', timeout: 1s, interval: 8s, threshold: 9}, {addr: '[::1]:2', threshold: 0, timeout: 0}]
";
    let health = load(text, &[]).expect("valid").health;
    let storage = health.storage.expect("on");
    assert_eq!((storage.interval, storage.threshold), (2 * second, 5));
    let files: Vec<_> = health
        .files
        .iter()
        .map(|check| (check.path.as_path(), check.interval))
        .collect();
    assert_eq!(
        files,
        [
            (Path::new("/a"), 4 * second),
            (Path::new("/b"), 10 * second)
        ]
    );
    let [first, other] = health.http.as_slice() else {
        panic!("two")
    };
    assert_eq!(first.uri, "http://a:1/b");
    assert_eq!(first.headers["x-a"], "b");
    assert_eq!(first.status, 204);
    assert_eq!(
        (first.timeout, first.interval, first.threshold),
        (second, 6 * second, 7)
    );
    assert!(other.headers.is_empty());
    assert_eq!(other.status, 200);
    assert_eq!(
        (other.timeout, other.interval, other.threshold),
        (5 * second, 10 * second, 1)
    );
    let [first, other] = health.tcp.as_slice() else {
        panic!("two")
    };
    assert_eq!(first.addr, "a:1");
    assert_eq!(
        (first.timeout, first.interval, first.threshold),
        (second, 8 * second, 9)
    );
    assert_eq!(other.addr, "[::1]:2");
    assert_eq!(
        (other.timeout, other.interval, other.threshold),
        (5 * second, 10 * second, 1)
    );

    assert_eq!(load("", &[]).expect("valid").health.storage, None);
    let storage = Config::load(None, [])
        .expect("valid")
        .health
        .storage
        .expect("on");
    assert_eq!((storage.interval, storage.threshold), (10 * second, 3));

    for user in ["u:hush@", "hush@"] {
        let text = format!("health: {{http: [{{uri: 'http://{user}h/'}}]}}");
        assert_eq!(
            load(&text, &[]).expect_err("a user").to_string(),
            "c.yml:1: health.http[0].uri names a user, who is not sent: use headers.Authorization \
             instead"
        );
    }

    for (said, expected) in [("", 1), (", threshold: 0", 1), (", threshold: -3", 1)] {
        let text = format!("health: {{storagedriver: {{enabled: true{said}}}}}");
        let storage = load(&text, &[]).expect("valid").health.storage;
        assert_eq!(storage.expect("on").threshold, expected, "{said}");
    }
}

#[test]
fn every_other_key_is_read() {
    let text = "
log: {formatter: logstash, fields: {service: registry, none: }, accesslog: {disabled: true}}
storage: {maintenance: {readonly: {enabled: true}, uploadpurging: {dryrun: true}}}
catalog: {maxentries: 7}
tags: {maxtags: 8}
";
    let config = load(text, &[]).expect("valid");
    assert_eq!(config.log.format, LogFormat::Logstash);
    let fields: Vec<_> = config.log.fields.iter().collect();
    assert_eq!(fields, [(&"service".to_owned(), &"registry".to_owned())]);
    assert!(!config.log.access);
    assert!(config.storage.read_only);
    assert!(config.storage.purge.expect("on").dry_run);
    assert_eq!((config.limits.catalog, config.limits.tags), (7, 8));

    let config = load("catalog: {maxentries: 0}", &[]).expect("valid");
    assert!(config.log.access && config.log.fields.is_empty());
    assert!(!config.storage.read_only);
    assert!(!config.storage.purge.expect("on").dry_run);
    assert_eq!((config.limits.catalog, config.limits.tags), (1000, 1000));
}

#[test]
fn every_group_can_be_set_by_variables() {
    let config = load(
        "http: {headers: {X-A: [b]}}\nlog: {fields: {a: b}}\n",
        &[
            ("REGISTRY_CATALOG_MAXENTRIES", "7"),
            ("REGISTRY_HEALTH_FILE_0_FILE", "/down"),
            ("REGISTRY_HEALTH_HTTP", "[{uri: 'http://a/'}]"),
            ("REGISTRY_HEALTH_STORAGEDRIVER_ENABLED", "true"),
            ("REGISTRY_HEALTH_TCP_0_ADDR", "a:1"),
            ("REGISTRY_HTTP_DEBUG_ADDR", ":5001"),
            ("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true"),
            ("REGISTRY_HTTP_DRAINTIMEOUT", "5s"),
            ("REGISTRY_HTTP_H2C_ENABLED", "false"),
            ("REGISTRY_HTTP_HEADERS_X-C", "[d, e]"),
            ("REGISTRY_HTTP_HOST", "https://registry.example"),
            ("REGISTRY_HTTP_PREFIX", "/a/"),
            ("REGISTRY_HTTP_SECRET", "s"),
            ("REGISTRY_HTTP_TRUSTEDPROXIES", "10.0.0.1, 10.2.0.0/16"),
            ("REGISTRY_LOG_ACCESSLOG_DISABLED", "true"),
            ("REGISTRY_LOG_FIELDS_ENVIRONMENT", "home"),
            ("REGISTRY_LOG_FORMATTER", "json"),
            (
                "REGISTRY_STORAGE_MAINTENANCE_READONLY",
                "{\"enabled\":true}",
            ),
            ("REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_DRYRUN", "true"),
            ("REGISTRY_TAGS_MAXTAGS", "8"),
            ("REGISTRY_VALIDATION_DISABLED", "true"),
        ],
    )
    .expect("valid");
    assert_eq!((config.limits.catalog, config.limits.tags), (7, 8));
    assert_eq!(config.health.files[0].path, Path::new("/down"));
    assert_eq!(config.health.http[0].uri, "http://a/");
    assert!(config.health.storage.is_some());
    assert_eq!(config.health.tcp[0].addr, "a:1");
    let debug = config.http.debug.expect("set");
    assert_eq!(debug.metrics_path.as_deref(), Some("/metrics"));
    assert_eq!(config.http.drain_timeout, Duration::from_secs(5));
    assert!(!config.http.h2c && config.http.http2);
    assert_eq!(config.http.headers.as_map()["x-a"], "b");
    assert_eq!(
        config.http.headers.as_map().get_all("x-c").iter().count(),
        2
    );
    assert_eq!(
        config.http.host.expect("set").as_str(),
        "https://registry.example"
    );
    assert_eq!(config.http.prefix.as_str(), "/a");
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert!(!config.log.access);
    assert_eq!(config.log.fields.len(), 2);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.storage.read_only);
    assert!(config.storage.purge.expect("on").dry_run);
    assert!(!config.validation);
    assert_eq!(
        config.warnings,
        [
            "environment variable REGISTRY_HTTP_SECRET: http.secret is ignored: uploads carry no signed state"
        ]
    );
}

#[test]
fn the_known_panics_of_distribution_do_what_was_meant() {
    for (variable, value) in [
        ("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true"),
        (
            "REGISTRY_STORAGE_MAINTENANCE_READONLY",
            "{\"enabled\":true}",
        ),
        (
            "REGISTRY_STORAGE_MAINTENANCE",
            "{readonly: {enabled: true}}",
        ),
    ] {
        let text = "storage: {maintenance: {readonly: {enabled: false}}}";
        let config = load(text, &[(variable, value)]).expect(variable);
        assert!(config.storage.read_only, "{variable}");
    }
    let purging = "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED";
    assert_eq!(
        load("", &[(purging, "false")])
            .expect("valid")
            .storage
            .purge,
        None
    );
    let config = load("", &[("REGISTRY_LOG_LEVEL", "trace")]).expect("valid");
    assert_eq!(config.log.level, tracing::Level::TRACE);
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
    assert_eq!(config.storage.driver.directory(), Some(Path::new("/srv")));
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
        ["c.yml:7: storage.cache is ignored: nothing needs a descriptor cache",]
    );
}

#[test]
fn the_file_of_our_image_needs_no_warning() {
    let config = load(include_str!("../../../container/config.yml"), &[]).expect("valid");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.http.addr.to_string(), ":5000");
    assert_eq!(
        config.storage.driver.directory(),
        Some(Path::new("/var/lib/registry"))
    );
    assert!(config.health.storage.is_some());
}

/// What the twuni chart 3.0.0 mounts and sets, in a pod beside a Service that
/// is called `registry`.
#[test]
fn the_helm_chart_is_understood() {
    let text = "
version: 0.1
log: {fields: {service: registry}}
storage: {cache: {blobdescriptor: inmemory}}
http:
  addr: :5000
  headers: {X-Content-Type-Options: [nosniff]}
  debug: {addr: ':5001', prometheus: {enabled: false, path: /metrics}}
health: {storagedriver: {enabled: true, interval: 10s, threshold: 3}}
";
    let config = load(
        text,
        &[
            ("REGISTRY_HTTP_SECRET", "0123"),
            (
                "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY",
                "/var/lib/registry",
            ),
            ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
            ("REGISTRY_PORT", "tcp://10.43.0.7:5000"),
            ("REGISTRY_SERVICE_HOST", "10.43.0.7"),
            ("REGISTRY_STORAGE_PORT", "tcp://10.43.0.8:80"),
        ],
    )
    .expect("valid");
    assert!(config.storage.deletes);
    let debug = config.http.debug.expect("set");
    assert_eq!(
        (debug.addr.to_string(), debug.metrics_path),
        (":5001".to_owned(), None)
    );
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn verification_in_the_server_is_off_and_slow_unless_asked_for() {
    let scrub = |text: &str| {
        let text = format!("storage: {{filesystem: {{}}, maintenance: {{scrub: {{{text}}}}}}}");
        load(&text, &[]).map(|config| config.storage.scrub)
    };
    let plain = scrub("").expect("valid");
    assert!(!plain.enabled);
    assert_eq!(plain.rate.map(|rate| rate.get()), Some(10 << 20));
    let set = scrub("enabled: true, interval: 1m, rate: 1MiB").expect("valid");
    assert!(set.enabled);
    assert_eq!(set.interval, Duration::from_secs(60));
    assert_eq!(set.rate.map(|rate| rate.get()), Some(1 << 20));
    assert_eq!(scrub("rate: 0").expect("valid").rate, None);
    for (text, expected) in [
        ("interval: 5s", "interval is \"5s\": expected at least 1m"),
        (
            "rate: fast",
            "rate is \"fast\": expected bytes per second such as 10MiB; 0 is no limit",
        ),
    ] {
        let line = scrub(text).expect_err(text).to_string();
        let expected = format!("storage.maintenance.scrub.{expected}");
        assert!(line.ends_with(&expected), "{line}");
    }
}
