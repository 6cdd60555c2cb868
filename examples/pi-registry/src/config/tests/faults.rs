//! What refuses the start, and with which words.

use super::load;

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
            "log: {formatter: xml}",
            "log.formatter is \"xml\": expected text, json or logstash",
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
            "http.net is \"unix\" without http.addr: expected the absolute path of a socket such \
             as /run/registry.sock",
        ),
        (
            "http: {net: unix, addr: ':5000'}",
            "http.addr is \":5000\": expected the absolute path of a socket such as \
             /run/registry.sock",
        ),
        (
            "storage: {filesystem: {reserve: 256MB}}",
            "storage.filesystem.reserve is \"256MB\": expected a size such as 256MiB, a part of \
             the disk such as 2%, or both with a comma between, of which the lesser counts; 0 is \
             nothing",
        ),
        (
            "storage: {filesystem: {reserve: '1%, 101%'}}",
            "storage.filesystem.reserve is \"1%, 101%\": expected a size such as 256MiB, a part of \
             the disk such as 2%, or both with a comma between, of which the lesser counts; 0 is \
             nothing",
        ),
        (
            "storage: {filesystem: {durability: none}}",
            "storage.filesystem.durability is \"none\": expected safe, or fast where a power cut \
             may lose what was pushed last",
        ),
        (
            "http: {net: udp}",
            "http.net is \"udp\": expected tcp or unix",
        ),
        (
            "http: {host: registry.example}",
            "http.host is \"registry.example\": expected a URL such as \
             https://registry.example:8443",
        ),
        (
            "http: {host: 'https://u:p@registry.example'}",
            "http.host is \"https://u:********@registry.example\": expected a URL such as \
             https://registry.example:8443",
        ),
        (
            "http: {prefix: 'https://a.example/x'}",
            "http.prefix is \"https://a.example/x\": expected a path such as /registry/",
        ),
        (
            "http: {prefix: registry}",
            "http.prefix is \"registry\": expected a path such as /registry/",
        ),
        (
            "http: {relativeurls: 2}",
            "http.relativeurls is \"2\": expected true or false",
        ),
        (
            "http: {http2: {disabled: [a]}}",
            "http.http2.disabled is a list: expected true or false",
        ),
        (
            "http: {http2: false}",
            "http.http2 is \"false\": expected a map of keys",
        ),
        (
            "http: {h2c: {enabled: maybe}}",
            "http.h2c.enabled is \"maybe\": expected true or false",
        ),
        (
            "http: {trustedproxies: [10.0.0.0/8, proxy]}",
            "http.trustedproxies is \"proxy\": expected a list of networks such as 10.0.0.0/8, \
             or addresses",
        ),
        (
            "http: {trustedproxies: {a: b}}",
            "http.trustedproxies is a map: expected a list of networks such as 10.0.0.0/8, or \
             addresses",
        ),
        (
            "http: {headers: [a]}",
            "http.headers is a list: expected a map of header names to lists of values",
        ),
        (
            "http: {headers: {'a b': [c]}}",
            "http.headers.a b cannot be set: expected the name of a header that does not frame or \
             route the message",
        ),
        (
            "http: {headers: {Content-Length: ['1']}}",
            "http.headers.Content-Length cannot be set: expected the name of a header that does \
             not frame or route the message",
        ),
        (
            "http: {headers: {Content-Type: [a]}}",
            "http.headers has content-type, which is the registry's to set: remove it",
        ),
        (
            "http: {headers: {X-A: {b: c}}}",
            "http.headers.X-A is a map: expected the value of a header, or a list of them",
        ),
        (
            "http: {headers: {X-A: [\"a\\nb\"]}}",
            "http.headers.X-A is \"a\\nb\": expected the value of a header, or a list of them",
        ),
        (
            "http: {headers: {Authorization: [\"a\\nb\"]}}",
            "http.headers.Authorization is ********: expected the value of a header, or a list of \
             them",
        ),
        (
            "http: {debug: {addr: x}}",
            "http.debug.addr is \"x\": expected an address and a port such as :5000, \
             127.0.0.1:5000 or '[::1]:5000'",
        ),
        (
            "http: {debug: {prometheus: {enabled: x}}}",
            "http.debug.prometheus.enabled is \"x\": expected true or false",
        ),
        (
            "http: {debug: {prometheus: {path: metrics}}}",
            "http.debug.prometheus.path is \"metrics\": expected a path such as /metrics",
        ),
        (
            "http: {debug: {prometheus: {path: '/m?x'}}}",
            "http.debug.prometheus.path is \"/m?x\": expected a path such as /metrics",
        ),
        (
            "health: {storagedriver: {enabled: x}}",
            "health.storagedriver.enabled is \"x\": expected true or false",
        ),
        (
            "health: {storagedriver: {interval: 1ms}}",
            "health.storagedriver.interval is \"1ms\": expected at least 100ms",
        ),
        (
            "health: {storagedriver: {threshold: x}}",
            "health.storagedriver.threshold is \"x\": expected a whole number such as 1000",
        ),
        (
            "health: {file: /x}",
            "health.file is \"/x\": expected a list of checks",
        ),
        (
            "health: {file: [/x]}",
            "health.file[0] is \"/x\": expected a map of keys",
        ),
        (
            "health: {file: [{file: /x}, {interval: 1s}]}",
            "health.file[1].file is missing: expected the path of a file",
        ),
        (
            "health: {http: [{uri: 'https://a/'}]}",
            "health.http[0].uri is \"https://a/\": expected a URL such as \
             http://127.0.0.1:8080/healthz, without https",
        ),
        (
            "health: {http: [{uri: 'http://a/', statuscode: 1000}]}",
            "health.http[0].statuscode is \"1000\": expected a status code such as 200",
        ),
        (
            "health: {http: [{uri: 'http://a/', timeout: 5}]}",
            "health.http[0].timeout is \"5\": expected a duration such as 30s, 1m30s or 168h",
        ),
        (
            "health: {tcp: [{addr: ':80'}]}",
            "health.tcp[0].addr is \":80\": expected a host and a port such as db:5432",
        ),
        (
            "catalog: {maxentries: -1}",
            "catalog.maxentries is \"-1\": expected a whole number such as 1000",
        ),
        (
            "tags: {maxtags: many}",
            "tags.maxtags is \"many\": expected a whole number such as 1000",
        ),
        (
            "log: {accesslog: {disabled: x}}",
            "log.accesslog.disabled is \"x\": expected true or false",
        ),
        (
            "log: {fields: [a]}",
            "log.fields is a list: expected a map of names to texts",
        ),
        (
            "log: {fields: {a: [b]}}",
            "log.fields.a is a list: expected a text",
        ),
        (
            "storage: {maintenance: {readonly: {enabled: x}}}",
            "storage.maintenance.readonly.enabled is \"x\": expected true or false",
        ),
        (
            "storage: {maintenance: {readonly: true}}",
            "storage.maintenance.readonly is \"true\": expected a map of keys",
        ),
        (
            "storage: {maintenance: {uploadpurging: {dryrun: x}}}",
            "storage.maintenance.uploadpurging.dryrun is \"x\": expected true or false",
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
            "storage driver \"ceph\" is unknown: expected filesystem, s3, azure or gcs",
        ),
        (
            "storage: ceph",
            "storage driver \"ceph\" is unknown: expected filesystem, s3, azure or gcs",
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
            "auth: htpasswd",
            "auth.htpasswd.path is missing: give the path of a file of users, which is made with: \
             pi-registry user add --file FILE NAME",
        ),
        (
            "auth: {htpasswd: {realm: a, path: ''}}",
            "auth.htpasswd.path is missing: give the path of a file of users, which is made with: \
             pi-registry user add --file FILE NAME",
        ),
        (
            "auth: {htpasswd: {path: [a]}}",
            "auth.htpasswd.path is a list: expected the path of an htpasswd file",
        ),
        (
            "auth: {htpasswd: {path: a, realm: 'a\"b'}}",
            "auth.htpasswd.realm is \"a\\\"b\": expected a text without quotes, backslashes and \
             control characters",
        ),
        (
            "auth: {htpasswd: a}",
            "auth.htpasswd is \"a\": expected a map of keys",
        ),
        (
            "auth: {htpasswd: {path: a}, none: }",
            "auth has two ways to sign in, htpasswd and none: expected one: remove the other",
        ),
        (
            "auth: {none: false}",
            "auth.none is \"false\": expected nothing, or another way to sign in",
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
        ("auth: {token: {realms: x}}", "auth.token.realms"),
        ("auth: {htpasswd: {paths: a}}", "auth.htpasswd.paths"),
        ("auth: {silly: }", "auth.silly"),
        (
            "http: {tls: {letsencrypt: {email: a@b.example}}}",
            "http.tls.letsencrypt",
        ),
        ("proxy: {remoteurl: 'https://x'}", "proxy"),
        ("notifications: {endpoints: [{name: a}]}", "notifications"),
        ("middleware: {registry: [{name: a}]}", "middleware"),
        ("storage: {inmemory: }", "storage.inmemory"),
        ("storage: swift", "storage.swift"),
        ("storage: oss", "storage.oss"),
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
    let error = load("", &[("REGISTRY_AUTH", "silly")]).expect_err("auth");
    assert!(
        error.starts_with("environment variable REGISTRY_AUTH: auth.silly is not supported yet"),
        "{error}"
    );
}

#[test]
fn tls_is_all_or_nothing() {
    let files = "certificate: /c, key: /k";
    for (text, expected) in [
        ("{}", "http.tls has no certificate and no key"),
        (
            "{minimumtls: tls1.3}",
            "http.tls has no certificate and no key",
        ),
        (
            "{certificate: '', key: ''}",
            "http.tls has no certificate and no key",
        ),
        (
            "{certificate: /x}",
            "http.tls has no key, only a certificate",
        ),
        ("{key: /x}", "http.tls has no certificate, only a key"),
        (
            "{certificate: [/x], key: /k}",
            "http.tls.certificate is a list",
        ),
        (
            "{FILES, minimumtls: tls1.4}",
            "http.tls.minimumtls is \"tls1.4\": expected tls1.2 or tls1.3",
        ),
        (
            "{FILES, ciphersuites: [TLS_NONE]}",
            "http.tls.ciphersuites: unknown cipher suite \"TLS_NONE\": use names out of TLS_",
        ),
        (
            "{FILES, ciphersuites: [TLS_RSA_WITH_RC4_128_SHA]}",
            "http.tls.ciphersuites: none of the cipher suites TLS_RSA_WITH_RC4_128_SHA is offered",
        ),
        (
            "{FILES, clientauth: always}",
            "http.tls.clientauth is \"always\": expected request-client-cert,",
        ),
        (
            "{FILES, clientauth: verify-client-cert-if-given}",
            "http.tls.clientauth is \"verify-client-cert-if-given\": expected http.tls.clientcas",
        ),
        ("{FILES, clientcas: {a: b}}", "http.tls.clientcas is a map"),
        ("{FILES, clientca: [/x]}", "http.tls.clientca is unknown"),
    ] {
        let text = format!("http: {{tls: {}}}", text.replace("FILES", files));
        let error = load(&text, &[]).expect_err(&text);
        assert!(
            error.starts_with(&format!("c.yml:1: {expected}")),
            "{error}"
        );
    }
    let error = load("", &[("REGISTRY_HTTP_TLS_KEY", "/k")]).expect_err("no certificate");
    assert!(
        error
            .starts_with("environment variable REGISTRY_HTTP_TLS_KEY: http.tls has no certificate"),
        "{error}"
    );
}

#[test]
fn what_is_switched_off_is_not_refused() {
    for text in [
        "proxy: {remoteurl: ''}",
        "http: {debug: {addr: ''}}",
        "notifications: {endpoints: []}",
        "storage: {maintenance: {readonly: {enabled: false}}}",
    ] {
        let config = load(text, &[]).expect(text);
        assert!(config.warnings.is_empty(), "{text}: {:?}", config.warnings);
    }
}

#[test]
fn a_second_storage_driver_is_refused() {
    let text = "storage: {filesystem: {}, delete: {}, s3: {bucket: b, region: us-east-1}}";
    assert_eq!(
        load(text, &[]).expect_err("two drivers"),
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
        "http: {certificate: /x}",
        "http: {clientcas: [/x]}",
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
fn no_fault_shows_a_secret() {
    for variables in [
        &[
            ("REGISTRY_HTTP_SECRET", "hunter2"),
            ("REGISTRY_HTTP_SECRET_FILE", "/x"),
        ][..],
        &[("REGISTRY_STORAGE", "{s3: {secretkey: hunter2}")],
        &[("REGISTRY_PROXY", "{password: hunter2")],
        &[("REGISTRY_AUTH", "{token: hunter2")],
    ] {
        let error = load("", variables).expect_err("a fault");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_driver_that_was_not_built_in_is_refused() {
    assert_eq!(
        load("storage: {s3: {bucket: b, region: us-east-1}}", &[]).expect_err("not there"),
        "c.yml:1: storage.s3 is not in this program: it was built without that driver: use one \
         that was built with it"
    );
}
