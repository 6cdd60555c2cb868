//! Who may do what: how it is read, and what refuses the start.

use std::fs;

use registry_auth::policy::Right;
use registry_auth::token::{Algorithm, Realm};
use registry_spec::auth::Identity;

use super::super::{Auth, CertificateUser, Config, Jwks};
use super::load;

/// What `user` may do with `team/app`, `None` being who does not sign in.
fn rights(auth: &Auth, user: Option<&str>) -> String {
    let identity = user.map_or(Identity::anonymous(), Identity::user);
    let name = "team/app".parse().expect("a name");
    let rights = Right::ALL.map(|right| {
        let has = auth
            .policy
            .explain(&identity, right, &name)
            .next()
            .is_some();
        if has { right.as_str() } else { "-" }
    });
    rights.join(" ")
}

#[test]
fn who_may_do_what_is_read_from_auth() {
    const HTPASSWD: &str = "htpasswd: {path: /users}";
    const DEV: &str = "groups: {dev: [alice, bob], 'a.b': carol}, rules: [\
        {who: [group:dev], repositories: ['team/**', x], actions: [push]}, \
        {who: 'carol, group:a.b', repositories: '**', actions: 'delete'}, \
        {who: '*', actions: catalog}]";
    let (all, nothing) = ("pull push delete catalog", "- - - -");
    for (auth, expected) in [
        // For anonymous, alice, carol.
        ("none".to_owned(), [all, all, all]),
        (format!("{{{HTPASSWD}}}"), [nothing, all, all]),
        (
            format!("{{{HTPASSWD}, anonymous: none}}"),
            [nothing, all, all],
        ),
        (format!("{{{HTPASSWD}, anonymous: }}"), [nothing, all, all]),
        (
            format!("{{{HTPASSWD}, anonymous: pull}}"),
            ["pull - - -", all, all],
        ),
        (
            format!("{{{HTPASSWD}, policy: {{rules: []}}}}"),
            [nothing, nothing, nothing],
        ),
        (
            format!("{{{HTPASSWD}, policy: {{{DEV}}}}}"),
            [nothing, "pull push - catalog", "- - delete catalog"],
        ),
        (
            format!("{{{HTPASSWD}, anonymous: pull, policy: {{{DEV}}}}}"),
            ["pull - - -", "pull push - catalog", "pull - delete catalog"],
        ),
    ] {
        let config = load(&format!("auth: {auth}"), &[]).expect(&auth);
        for (user, expected) in [None, Some("alice"), Some("carol")]
            .into_iter()
            .zip(expected)
        {
            assert_eq!(rights(&config.auth, user), expected, "{auth}: {user:?}");
        }
    }
}

#[test]
fn a_policy_may_come_from_variables() {
    let variables = [
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_AUTH_ANONYMOUS", "pull"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "/users"),
        ("REGISTRY_AUTH_POLICY_RULES_0_ACTIONS", "push"),
        ("REGISTRY_AUTH_POLICY_RULES_0_REPOSITORIES", "[team/*]"),
        ("REGISTRY_AUTH_POLICY_RULES_0_WHO", "alice"),
    ];
    let auth = load("", &variables).expect("valid").auth;
    assert_eq!(rights(&auth, Some("alice")), "pull push - -");
    assert_eq!(rights(&auth, None), "pull - - -");
}

#[test]
fn certificates_are_a_way_to_sign_in() {
    let tls = "http: {tls: {certificate: /x, key: /y, clientcas: [/z]}}";
    for (auth, user, htpasswd) in [
        ("clientcertificate", CertificateUser::CommonName, false),
        (
            "{clientcertificate: {user: uri}}",
            CertificateUser::Uri,
            false,
        ),
        (
            "{htpasswd: {path: /u}, clientcertificate: {user: dns}}",
            CertificateUser::Dns,
            true,
        ),
    ] {
        let auth = load(&format!("{tls}\nauth: {auth}"), &[]).expect(auth).auth;
        assert_eq!(auth.client_certificate, Some(user));
        assert_eq!(auth.htpasswd.is_some(), htpasswd);
        assert!(!auth.is_open());
        assert_eq!(rights(&auth, None), "- - - -");
    }
}

#[test]
fn every_fault_of_auth_names_what_is_expected() {
    for (text, expected) in [
        (
            "auth: {anonymous: pull}",
            "auth.anonymous without a way to sign in: add auth.htpasswd, auth.token or \
             auth.clientcertificate, or remove it",
        ),
        (
            "auth: {none: , policy: {rules: []}}",
            "auth.policy without a way to sign in: add auth.htpasswd, auth.token or \
             auth.clientcertificate, or remove it",
        ),
        (
            "auth: policy",
            "auth.policy without a way to sign in: add auth.htpasswd, auth.token or \
             auth.clientcertificate, or remove it",
        ),
        (
            "auth: {clientcertificate: , none: }",
            "auth has two ways to sign in, clientcertificate and none: expected one: remove the \
             other",
        ),
        (
            "auth: tokenserver",
            "auth.tokenserver without a way to sign in: add auth.htpasswd, auth.token or \
             auth.clientcertificate, or remove it",
        ),
        (
            "auth: {token: {TOKEN}, tokenserver: }",
            "auth.tokenserver without auth.htpasswd: it gives tokens to the users there: add \
             auth.htpasswd, or remove it",
        ),
        (
            "auth: {htpasswd: {path: a}, token: {TOKEN}}",
            "auth has two ways to sign in, htpasswd and token: expected one: remove the other",
        ),
        (
            "auth: {token: {TOKEN}, anonymous: pull}",
            "auth.anonymous beside auth.token: the token server decides what it gives to \
             anybody: remove auth.anonymous",
        ),
        (
            "auth: {htpasswd: {path: a}, tokenserver: {refresh: true}}",
            "auth.tokenserver.refresh without auth.tokenserver.key: every restart would end the \
             refresh tokens that docker keeps in the place of passwords: give a key, which is \
             made with: openssl genpkey -algorithm ed25519 -out FILE",
        ),
        (
            "auth: {htpasswd: {path: a}, tokenserver: {realm: /token}}",
            "auth.tokenserver.realm is \"/token\": expected a URL such as \
             https://tokens.example/token",
        ),
        (
            "auth: {htpasswd: {path: a}, tokenserver: {enabled: maybe}}",
            "auth.tokenserver.enabled is \"maybe\": expected true or false",
        ),
        (
            "auth: {htpasswd: {path: a}, tokenserver: {keys: a}}",
            "auth.tokenserver.keys is not supported yet, and ignoring it would change what the \
             registry does: remove it to start without it",
        ),
        (
            "auth: token",
            "auth.token has neither rootcertbundle nor jwks: give the certificates or the keys of \
             the token server",
        ),
        (
            "auth: {token: {jwks: a}}",
            "auth.token.realm is missing: expected the URL of the token server, or \
             auth.token.autoredirect: true",
        ),
        (
            "auth: {token: {jwks: a, autoredirect: true}}",
            "auth.token.service is missing: expected the registry's name at the token server, \
             without quotes",
        ),
        (
            "auth: {token: {jwks: a, autoredirect: true, service: r}}",
            "auth.token.issuer is missing: expected the token server's own name, the iss of its \
             tokens",
        ),
        (
            "auth: {token: {TOKEN, autoredirect: true, autoredirectpath: t}}",
            "auth.token.autoredirectpath is \"t\": expected a path such as /auth/token",
        ),
        (
            "auth: {token: {realm: t, service: r, issuer: i, jwks: a}}",
            "auth.token.realm is \"t\": expected a URL such as https://tokens.example/token",
        ),
        (
            "auth: {token: {realm: 'https://t/', service: 'a\"b', issuer: i, jwks: a}}",
            "auth.token.service is \"a\\\"b\": expected the registry's name at the token server, \
             without quotes",
        ),
        (
            "auth: {token: {jwks: 'http://t/keys'}}",
            "auth.token.jwks is \"http://t/keys\": expected the path of a JWK set, or its https \
             URL without a user",
        ),
        (
            "auth: {token: {TOKEN, signingalgorithms: [ES256, HS256]}}",
            "auth.token.signingalgorithms has \"HS256\": expected RS256, RS384, RS512, PS256, \
             PS384, PS512, ES256, ES384 or EdDSA: others are not supported or not safe with public \
             keys",
        ),
        (
            "auth: clientcertificate",
            "auth.clientcertificate without verified certificates: give http.tls.clientcas, and \
             no http.tls.clientauth that does not verify",
        ),
        (
            "{http: {tls: {certificate: /x, key: /y}}, auth: {clientcertificate: {user: dns}}}",
            "auth.clientcertificate without verified certificates: give http.tls.clientcas, and \
             no http.tls.clientauth that does not verify",
        ),
        (
            "{http: {tls: {certificate: /x, key: /y, clientcas: [/z], clientauth: \
             request-client-cert}}, auth: clientcertificate}",
            "auth.clientcertificate without verified certificates: give http.tls.clientcas, and \
             no http.tls.clientauth that does not verify",
        ),
        (
            "{http: {tls: {certificate: /x, key: /y, clientcas: [/z]}}, \
             auth: {clientcertificate: {user: name}}}",
            "auth.clientcertificate.user is \"name\": expected commonname, dns, email or uri",
        ),
        (
            "auth: {htpasswd: {path: a}, anonymous: true}",
            "auth.anonymous is \"true\": expected none or pull",
        ),
        (
            "auth: {htpasswd: {path: a}, anonymous: [pull]}",
            "auth.anonymous is a list: expected none or pull",
        ),
        (
            "auth: {htpasswd: {path: a}, policy: }",
            "auth.policy.rules is missing: expected a list of rules; [] allows nothing",
        ),
        (
            "auth: {htpasswd: {path: a}, policy: {groups: {dev: [a]}}}",
            "auth.policy.rules is missing: expected a list of rules; [] allows nothing",
        ),
        (
            "auth: {htpasswd: {path: a}, policy: {rules: {who: a}}}",
            "auth.policy.rules is a map: expected a list of rules",
        ),
        (
            "auth: {htpasswd: {path: a}, policy: {path: b, rules: []}}",
            "auth.policy.path beside rules or groups of auth.policy: keep one of them",
        ),
        (
            "auth: {htpasswd: {path: a}, policy: {path: [b]}}",
            "auth.policy.path is a list: expected the path of a file of rules",
        ),
        (
            "auth: {htpasswd: {path: a}, polices: {path: b}}",
            "auth.polices is not supported yet, and ignoring it would change what the registry \
             does: remove it to start without it",
        ),
        (
            "auth: {htpasswd: {path: a}, policy: {roles: []}}",
            "auth.policy.roles is not supported yet, and ignoring it would change what the \
             registry does: remove it to start without it",
        ),
    ] {
        let text = text.replace("TOKEN", TOKEN);
        let error = load(&text, &[]).expect_err(&text);
        assert_eq!(error, format!("c.yml:1: {expected}"), "{text}");
    }
}

const TOKEN: &str = "realm: 'https://t/', service: r, issuer: i, jwks: a";

#[test]
fn the_tokens_of_another_server_come_from_variables_as_well() {
    let variables = [
        ("REGISTRY_AUTH", "token"),
        ("REGISTRY_AUTH_TOKEN_REALM", "https://t.example/token"),
        ("REGISTRY_AUTH_TOKEN_SERVICE", "r.example"),
        ("REGISTRY_AUTH_TOKEN_ISSUER", "t.example"),
        ("REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE", "/bundle.pem"),
        ("REGISTRY_AUTH_TOKEN_JWKS", "https://t.example/keys"),
        ("REGISTRY_AUTH_TOKEN_SIGNINGALGORITHMS", "RS256,ES256"),
    ];
    let auth = load("", &variables).expect("valid").auth;
    assert!(!auth.is_open());
    let token = auth.token.as_ref().expect("tokens");
    assert_eq!(token.realm, Realm::fixed("https://t.example/token"));
    assert_eq!(
        (&*token.service, &*token.issuer),
        ("r.example", "t.example")
    );
    assert_eq!(
        token.root_cert_bundle.as_deref(),
        Some("/bundle.pem".as_ref())
    );
    let url = "https://t.example/keys".parse().expect("a URL");
    assert_eq!(token.jwks, Some(Jwks::Url(url)));
    assert_eq!(token.algorithms, [Algorithm::Rs256, Algorithm::Es256]);
    // Nothing is taken away from what a token says, even nobody's.
    assert_eq!(rights(&auth, None), "pull push delete catalog");

    let variables = [
        ("REGISTRY_AUTH_HTPASSWD_PATH", "/users"),
        ("REGISTRY_AUTH_TOKENSERVER_ENABLED", "true"),
        ("REGISTRY_HTTP_PREFIX", "/p"),
    ];
    let server = load("", &variables).expect("valid").auth.token_server;
    let server = server.expect("switched on");
    assert_eq!(server.realm, Realm::of_request("/p/token"));
    assert_eq!((server.key, server.refresh_tokens), (None, false));
}

/// The same rules in the configuration and in a file of their own.
#[test]
fn every_fault_of_a_policy_is_told_with_its_line() {
    for (rules, expected) in [
        ("rules: [a]", "rules[0] is \"a\": expected a map of keys"),
        (
            "groups: {dev: [alice, 'group:ops']}\nrules: []",
            "groups.dev has \"group:ops\": a group has users only",
        ),
        (
            "groups: {dev: [alice, '*']}\nrules: []",
            "groups.dev has \"*\": a group has users only",
        ),
        (
            "groups: {dev: {alice: bob}}\nrules: []",
            "groups.dev is a map: expected a list of users",
        ),
        (
            "groups: [dev]\nrules: []",
            "groups is a list: expected a map of names to lists of users",
        ),
        (
            "rules: [{who: [a], repositories: [b]}]",
            "rules[0].actions is missing: expected a list of pull, push, delete or catalog",
        ),
        (
            "rules: [{repositories: [b], actions: [pull]}]",
            "rules[0].who is missing: expected a list of alice, group:dev, * or anonymous",
        ),
        (
            "rules: [{who: [], repositories: [b], actions: [pull]}]",
            "rules[0].who is missing: expected a list of alice, group:dev, * or anonymous",
        ),
        (
            "rules: [{who: [a], actions: [pull, catalog]}]",
            "rules[0].repositories is missing: expected a list of team/app, team/* or team/**",
        ),
        (
            "rules: [{who: [a, 'grop:dev'], repositories: [b], actions: [pull]}]",
            "rules[0].who has \"grop:dev\": only user: and group: go before a colon; write \
             user:NAME for a name with a colon",
        ),
        (
            "rules: [{who: [{a: b}], repositories: [b], actions: [pull]}]",
            "rules[0].who is a map: expected a list of alice, group:dev, * or anonymous",
        ),
        (
            "rules: [{who: a, repositories: b, actions: pull}, {who: a, repositories: b, \
             actions: 'pull,write'}]",
            "rules[1].actions has \"write\": a right is pull, push, delete or catalog",
        ),
        (
            "rules: [{who: [a], repositories: ['team**'], actions: [pull]}]",
            "rules[0].repositories has \"team**\": '**' must stand alone between slashes, as in \
             team/**",
        ),
        (
            "rules: [{who: [a], repositories: [/team], actions: [pull]}]",
            "rules[0].repositories has \"/team\": a part between slashes is empty",
        ),
    ] {
        let indented = rules.replace('\n', "\n    ");
        let text = format!("auth:\n  htpasswd: {{path: a}}\n  policy:\n    {indented}");
        let error = load(&text, &[]).expect_err(rules);
        let line = if expected.starts_with("rules") {
            3 + rules.lines().count()
        } else {
            4
        };
        assert_eq!(
            error,
            format!("c.yml:{line}: auth.policy.{expected}"),
            "{rules}"
        );

        let line = line - 3;
        let (error, file) = with_file(rules);
        assert_eq!(
            error.expect_err(rules),
            format!("{file}:{line}: {expected}")
        );
    }
}

/// Loads a configuration whose policy is in a file, which it also names.
fn with_file(rules: &str) -> (Result<Config, String>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rules.yml");
    fs::write(&path, rules).expect("written");
    let path = path.display().to_string();
    let variables = [("REGISTRY_AUTH_POLICY_PATH", path.as_str())];
    (
        load("auth: {htpasswd: {path: a}}", &variables),
        path.clone(),
    )
}

#[test]
fn a_policy_in_a_file_has_faults_of_its_own() {
    for (rules, expected) in [
        (
            "",
            ":1: the policy is empty: expected a map with rules, and perhaps groups",
        ),
        (
            "[]",
            ":1: the policy is a list: expected a map with rules, and perhaps groups",
        ),
        (
            "groups: {}",
            ":1: rules is missing: expected a list of rules; [] allows nothing",
        ),
        (
            "rules: []\nroles: []",
            ":2: roles is unknown: expected groups, rules",
        ),
        (
            "auth: {policy: {rules: []}}",
            ":1: auth is unknown: expected groups, rules",
        ),
        (
            "rules:\n- {who: a, repository: b, actions: pull}",
            ":2: rules[0].repository is unknown: expected actions, repositories, who",
        ),
        (
            "rules:\n- {who: a, repositories: b, actions: pull}\n- {who: group:ops, \
             repositories: b, actions: pull}",
            ":3: there is no group \"ops\": add it to groups",
        ),
        ("rules: [", ":"),
    ] {
        let (error, file) = with_file(rules);
        let error = error.expect_err(rules);
        assert!(error.starts_with(&format!("{file}{expected}")), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let variables = [("REGISTRY_AUTH_POLICY_PATH", "/none/rules.yml")];
    let error = load("auth: {htpasswd: {path: a}}", &variables).expect_err("missing");
    let expected = "/none/rules.yml: cannot read the policy: No such file or directory (os error \
                    2): give the path of an existing file";
    assert_eq!(error, expected);
}
