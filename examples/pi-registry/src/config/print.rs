//! The resolved configuration as YAML, with the source of each value.

use std::path::PathBuf;

use registry_auth::token::Algorithm;

use super::node::{Node, Source, Value};
use super::schema::{self, Support};
use super::{Origin, auth, duration, network, secret, yaml};

/// The defaults with a file. What depends on other keys is added to it.
const DEFAULTS: &str = "
version: 0.1
log:
  level: info
  formatter: text
  accesslog: {disabled: false}
storage:
  filesystem: {rootdirectory: /var/lib/registry, reserve: '256MiB, 2%', durability: safe}
  delete: {enabled: false}
  maintenance:
    uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}
    readonly: {enabled: false}
    gc: {enabled: false, interval: 24h, grace: 24h, deleteuntagged: false}
    scrub: {enabled: false, interval: 720h, rate: 10MiB}
http:
  addr: ':5000'
  net: tcp
  relativeurls: true
  draintimeout: 30s
  http2: {disabled: false}
  h2c: {enabled: true}
auth: none
health:
  storagedriver: {enabled: false, interval: 10s, threshold: 1}
catalog: {maxentries: 1000}
tags: {maxtags: 1000}
validation: {disabled: false}
";

/// The defaults of storage drivers. What depends on other keys is added.
const DRIVERS: &[(&str, &str)] = &[
    ("s3", S3_DEFAULTS),
    ("s3aws", S3_DEFAULTS),
    (
        "azure",
        "{realm: core.windows.net, rootdirectory: '', skipverify: false}",
    ),
    (
        "gcs",
        "{rootdirectory: '', chunksize: 10485760, skipverify: false}",
    ),
];

const S3_DEFAULTS: &str = "
rootdirectory: ''
secure: true
skipverify: false
encrypt: false
chunksize: 10485760
storageclass: STANDARD
usedualstack: false
accelerate: false
usefipsendpoint: false
";

/// The defaults of the items of a list.
const ITEMS: &[(&str, &str)] = &[
    ("file", "{interval: 10s}"),
    (
        "http",
        "{statuscode: 200, timeout: 5s, interval: 10s, threshold: 1}",
    ),
    ("tcp", "{timeout: 5s, interval: 10s, threshold: 1}"),
];

/// What a zero stands for, where it does not stand for itself.
const ZEROES: &[(&str, &str)] = &[
    ("catalog.maxentries", "1000"),
    ("tags.maxtags", "1000"),
    ("health.storagedriver.threshold", "1"),
    ("health.http[].statuscode", "200"),
    ("health.http[].threshold", "1"),
    ("health.http[].timeout", "5s"),
    ("health.tcp[].threshold", "1"),
    ("health.tcp[].timeout", "5s"),
];

/// Prints a tree with the defaults of what it leaves out.
pub(super) fn yaml(root: &Node, origin: &Origin) -> String {
    let mut lines = vec![match origin {
        Origin::BuiltIn => "# built-in defaults".to_owned(),
        Origin::Environment => "# environment variables over built-in defaults".to_owned(),
        Origin::File(path) => format!("# {}", one_line(&path.display().to_string())),
    }];
    let tree = resolved(root, origin);
    lines.extend(emit("", &tree, false));
    lines.push(String::new());
    lines.join("\n")
}

/// The tree with the defaults of what it leaves out.
fn resolved(root: &Node, origin: &Origin) -> Node {
    let mut tree = root.clone();
    fill(&mut tree, &defaults(root, origin));
    for (name, item) in ITEMS {
        let key = format!("health.{name}");
        if let Some(Node {
            value: Value::List(items),
            ..
        }) = at_mut(&mut tree, &key)
        {
            for node in items {
                fill(node, &parsed(item));
            }
        }
    }
    if let Some(Node {
        value: Value::Scalar(path),
        ..
    }) = at_mut(&mut tree, "storage.filesystem.rootdirectory")
        && let Ok(absolute) = std::path::absolute(PathBuf::from(&*path))
    {
        *path = absolute.display().to_string();
    }
    zeroes("", &mut tree);
    tree
}

fn parsed(text: &str) -> Node {
    yaml::text(text, &Source::Default)
}

fn defaults(root: &Node, origin: &Origin) -> Node {
    let mut tree = parsed(DEFAULTS);
    let mut set = |key: &str, text: &str| {
        if let Some(node) = at_mut(&mut tree, key) {
            *node = parsed(text);
        }
    };
    if !matches!(origin, Origin::File(_)) {
        set("http.addr", "127.0.0.1:5000");
        set("storage.filesystem.rootdirectory", "registry-data");
        set("storage.delete.enabled", "true");
        set("health.storagedriver.enabled", "true");
        set("health.storagedriver.threshold", "3");
    }
    let said = |key: &str| {
        let value = root.at(key).map(|node| &node.value);
        value.is_some_and(|value| *value != Value::Scalar(String::new()))
    };
    let is = |key: &str, expected: &str| {
        let value = root.at(key).map(|node| &node.value);
        matches!(value, Some(Value::Scalar(text)) if text == expected)
    };
    let way = |name| root.child("auth").and_then(|auth| auth.child(name));
    let realm = auth::DEFAULT_REALM;
    let ways = [
        ("htpasswd", format!("{{realm: {realm}}}")),
        ("clientcertificate", "{user: commonname}".to_owned()),
        ("token", {
            let all: Vec<_> = Algorithm::ALL.iter().map(|one| one.as_str()).collect();
            let (all, path) = (all.join(", "), auth::DEFAULT_REDIRECT_PATH);
            format!("{{autoredirect: false, autoredirectpath: {path}, signingalgorithms: [{all}]}}")
        }),
        ("tokenserver", "{enabled: true, refresh: false}".to_owned()),
    ];
    let ways = ways
        .into_iter()
        .filter(|(name, _)| way(name).is_some())
        .map(|(name, default)| format!("{name}: {default}, "));
    let ways: String = ways.collect();
    if !ways.is_empty() {
        set("auth", &format!("{{{ways}anonymous: none}}"));
    }
    // A default that is null adds nothing.
    if is("http.net", "unix") {
        set("http.addr", "");
    }
    if said("http.host") {
        set("http.relativeurls", "false");
    }
    if is("http.http2.disabled", "true") {
        set("http.h2c.enabled", "false");
    }
    for (old, new) in [
        ("loglevel", "log.level"),
        ("validation.enabled", "validation.disabled"),
    ] {
        if said(old) {
            set(new, "");
        }
    }
    // Where there is another driver, this one is not the default.
    let drivers = match root.at("storage").map(|node| &node.value) {
        Some(Value::Map(children)) => children.as_slice(),
        _ => &[],
    };
    if drivers
        .iter()
        .any(|(name, _)| name != "filesystem" && !schema::STORAGE_OPTIONS.contains(&name.as_str()))
    {
        set("storage.filesystem", "");
    }
    for (name, default) in DRIVERS {
        let storage = root.child("storage");
        if storage.is_some_and(|storage| storage.child(name).is_some())
            && let Some(Node {
                value: Value::Map(storage),
                ..
            }) = at_mut(&mut tree, "storage")
        {
            let redirect = parsed("{disable: true}");
            storage.push(((*name).to_owned(), parsed(default)));
            storage.push(("redirect".to_owned(), redirect));
        }
    }
    if let Some(Node {
        value: Value::Map(http),
        ..
    }) = at_mut(&mut tree, "http")
    {
        let networks = network::PRIVATE
            .iter()
            .map(|network| Node::new(Value::Scalar(network.to_string()), Source::Default));
        let networks = Node::new(Value::List(networks.collect()), Source::Default);
        http.push(("trustedproxies".to_owned(), networks));
        if said("http.debug.addr") {
            let debug = parsed("{prometheus: {enabled: false, path: /metrics}}");
            http.push(("debug".to_owned(), debug));
        }
    }
    tree
}

/// Adds what `defaults` has and `node` has not.
fn fill(node: &mut Node, defaults: &Node) {
    match (&mut node.value, &defaults.value) {
        (_, Value::Null) => {}
        (Value::Null, _) => *node = defaults.clone(),
        (Value::Scalar(text), _) if text.is_empty() => *node = defaults.clone(),
        (Value::Map(children), Value::Map(defaults)) => {
            for (name, default) in defaults {
                match children.iter_mut().find(|(child, _)| child == name) {
                    Some((_, child)) => fill(child, default),
                    None if default.value == Value::Null => {}
                    None => children.push((name.clone(), default.clone())),
                }
            }
        }
        _ => {}
    }
}

fn zeroes(key: &str, node: &mut Node) {
    match &mut node.value {
        Value::Map(children) => {
            for (name, child) in children {
                zeroes(&below(key, name), child);
            }
        }
        Value::List(items) => {
            for item in items {
                zeroes(&format!("{key}[]"), item);
            }
        }
        Value::Scalar(text) => {
            let meant = ZEROES.iter().find(|(name, _)| *name == key);
            if let Some((_, meant)) = meant
                && (text.parse() == Ok(0) || duration::parse(text).is_some_and(|d| d.is_zero()))
            {
                (*meant).clone_into(text);
            }
        }
        Value::Null => {}
    }
}

fn at_mut<'a>(root: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    key.split('.').try_fold(root, |node, segment| {
        let Value::Map(children) = &mut node.value else {
            return None;
        };
        let child = children.iter_mut().find(|(name, _)| name == segment);
        child.map(|(_, node)| node)
    })
}

fn below(key: &str, name: &str) -> String {
    match key {
        "" => name.to_owned(),
        key => format!("{key}.{name}"),
    }
}

/// The lines of a map or a list.
fn emit(key: &str, node: &Node, masked: bool) -> Vec<String> {
    let mut lines = Vec::new();
    match &node.value {
        Value::Map(children) => {
            for (name, child) in children {
                let key = below(key, name);
                let masked = masked || secret::is_secret(&key) || secret::is_broken(&key, child);
                match inline(child, masked) {
                    Some(value) => {
                        let comment = comment(&key, child);
                        lines.push(format!("{}: {value}  # {comment}", plain(name)));
                    }
                    None => {
                        lines.push(format!("{}:", plain(name)));
                        let below = emit(&key, child, masked);
                        lines.extend(below.into_iter().map(|line| format!("  {line}")));
                    }
                }
            }
        }
        Value::List(items) => {
            let key = format!("{key}[]");
            for item in items {
                match inline(item, masked) {
                    Some(value) => lines.push(format!("- {value}  # {}", comment(&key, item))),
                    None => {
                        let below = emit(&key, item, masked).into_iter().enumerate();
                        lines.extend(below.map(|(at, line)| match at {
                            0 => format!("- {line}"),
                            _ => format!("  {line}"),
                        }));
                    }
                }
            }
        }
        Value::Null | Value::Scalar(_) => {}
    }
    lines
}

/// A value that fits on the line of its key.
fn inline(node: &Node, masked: bool) -> Option<String> {
    match &node.value {
        Value::Null => Some("null".to_owned()),
        Value::Map(children) if children.is_empty() => Some("{}".to_owned()),
        Value::List(items) if items.is_empty() => Some("[]".to_owned()),
        Value::Map(_) | Value::List(_) => None,
        Value::Scalar(text) if masked && !text.is_empty() => Some(plain(secret::MASK)),
        Value::Scalar(text) => Some(plain(&secret::without_password(text))),
    }
}

/// A text, in quotes where YAML wants or might want them.
fn plain(text: &str) -> String {
    let safe = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && !text.ends_with(':')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-:".contains(c))
        && !text.eq_ignore_ascii_case("null");
    if safe {
        text.to_owned()
    } else {
        // A string of JSON is one of YAML.
        serde_json::Value::from(text).to_string()
    }
}

fn comment(key: &str, node: &Node) -> String {
    let source = one_line(&node.source.to_string());
    let support = match &node.value {
        Value::Scalar(name) if schema::SHORT_FORMS.contains(&key) => {
            schema::reach(&below(key, name))
        }
        _ => schema::reach(key),
    };
    match support {
        Some(Support::Used) => source,
        Some(Support::Ignored(_)) => format!("{source}, ignored"),
        Some(Support::Refused | Support::RefusedIfPresent) => format!("{source}, not supported"),
        None => format!("{source}, unknown"),
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, check};
    use super::*;

    fn file() -> Origin {
        Origin::File("c.yml".into())
    }

    fn print(text: &str) -> String {
        yaml(&document(text), &file())
    }

    /// A file as it is before its values are read.
    fn document(text: &str) -> Node {
        let mut root = yaml::file(Path::new("c.yml"), text).expect(text);
        for key in schema::SHORT_FORMS {
            if let Some(node) = at_mut(&mut root, key) {
                node.expand_short_form();
            }
        }
        root
    }

    fn read(root: &Node, origin: &Origin) -> String {
        let warnings = check::check(root).expect("valid");
        let mut config = Config::read(root, origin.clone(), warnings).expect("valid");
        // They tell lines, which printing changes, as rules do.
        config.warnings.clear();
        let (mut printed, mut rest) = (String::new(), &*format!("{config:?}"));
        while let Some((before, after)) = rest.split_once("c.yml:") {
            printed += before;
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        printed + rest
    }

    #[test]
    fn the_printed_defaults_are_those_that_apply() {
        for origin in [file(), Origin::BuiltIn] {
            let printed = yaml(&Node::empty(), &origin);
            let back = document(&printed);
            assert_eq!(
                read(&back, &origin),
                read(&Node::empty(), &origin),
                "{printed}"
            );
        }
    }

    #[test]
    fn what_is_printed_means_the_same_when_it_is_read() {
        for text in [
            "http: {addr: '[::]:1', host: 'https://a.example/b', http2: {disabled: true}}",
            "http: {addr: /run/x.sock, net: unix, relativeurls: false}",
            "http: {debug: {addr: ':5001', prometheus: {enabled: true}}, trustedproxies: []}",
            "http: {headers: {X-A: [b, 'c: d # e'], X-B: \"it's\"}, trustedproxies: [10.1.0.0/16]}",
            "loglevel: debug\nvalidation: {enabled: false}",
            "log: {fields: {a: 'null', b: '~', c: \"x\\ty\", d: '- e', 'f g:': ':h'}}",
            "health: {file: [{file: /x}], tcp: [{addr: 'a:1', threshold: 0, timeout: 0}], \
             http: [{uri: 'http://a/', statuscode: 0, headers: {A: [b]}}]}",
            "catalog: {maxentries: 0}\ntags: {maxtags: 0}",
            "storage: {filesystem: {reserve: [1GiB, 5%], durability: fast}}",
            "storage: {filesystem: {rootdirectory: rel/x, reserve: 0}, delete: , maintenance: {readonly: {enabled: true}}}",
            "auth: none\nhttp: ",
            "auth: {htpasswd: {path: users}}",
            "auth: {htpasswd: {path: users}, tokenserver: , anonymous: pull}",
            "auth: {token: {realm: 'https://t/', service: r, issuer: i, jwks: 'https://t/keys', \
             signingalgorithms: [ES256]}}",
            "auth: {token: {autoredirect: true, service: r, issuer: i, rootcertbundle: /b}}",
            "auth: {htpasswd: {path: users}, anonymous: pull, policy: {groups: {dev: [a, 'b c']}, \
             rules: [{who: ['*', group:dev], repositories: ['**', a/*], actions: [pull, catalog]}]}}",
        ] {
            let root = document(text);
            let printed = yaml(&root, &file());
            let back = document(&printed);
            assert_eq!(read(&back, &file()), read(&root, &file()), "{printed}");
        }
    }

    #[cfg(all(feature = "s3", feature = "azure", feature = "gcs"))]
    #[test]
    fn the_defaults_of_a_driver_are_those_it_has() {
        for text in [
            "storage: {s3: {bucket: b, region: us-east-1, secretkey: , chunksize: '5242880'}}",
            "storage: {s3aws: {bucket: b, region: r, regionendpoint: 'm:1', secure: 'false'}}",
            "storage: {azure: {accountname: a, container: c}, redirect: {disable: false}}",
            "storage: {gcs: {bucket: b, endpoint: 'http://g:1'}}",
        ] {
            let root = document(text);
            let printed = yaml(&root, &file());
            let back = document(&printed);
            assert_eq!(read(&back, &file()), read(&root, &file()), "{printed}");
        }
    }

    #[test]
    fn every_value_has_its_source() {
        let printed =
            print("log:\n  level: debug\nhttp:\n  secret: a\ncolour: red\nredis: {addr: x}\n");
        for line in [
            "# c.yml",
            "  level: debug  # c.yml:2",
            "  formatter: text  # built-in default",
            "    - 10.0.0.0/8  # built-in default",
            "auth: none  # built-in default",
            "  addr: \":5000\"  # built-in default",
            "  secret: \"********\"  # c.yml:4, ignored",
            "colour: red  # c.yml:5, unknown",
            "  addr: x  # c.yml:6, ignored",
        ] {
            assert!(
                printed.lines().any(|printed| printed == line),
                "{line}\n{printed}"
            );
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_are() {
        let printed = print(
            "storage: {s3: {accesskey: HUSH, secretkey: HUSH, bucket: b}, azure: {accountkey: HUSH}}
http: {secret: HUSH, headers: {Authorization: [HUSH]}}
redis: {password: HUSH, sentinelpassword: HUSH, addr: 'redis://u:HUSH@h:1'}
proxy: {remoteurl: 'https://u:HUSH@h', username: u, password: HUSH}
notifications: {endpoints: [{url: 'https://HUSH@h', headers: {authorization: [Bearer HUSH]}}]}
storage_: {gcs: {credentials: {private_key: HUSH, n: [HUSH]}}}
reporting: {bugsnag: {apikey: HUSH}, newrelic: {licensekey: HUSH}}
health: {http: [{uri: 'http://u:HUSH@h/', headers: {Cookie: HUSH}}]}
",
        );
        assert!(!printed.contains("HUSH"), "{printed}");
        assert!(printed.contains("bucket: b  # c.yml:1\n"), "{printed}");
        assert!(printed.contains("redis://u:********@h:1"), "{printed}");
    }
}
