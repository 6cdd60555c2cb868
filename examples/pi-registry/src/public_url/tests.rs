use std::net::SocketAddr;

use crate::Config;
use crate::serve::Peer;

use super::*;

const PROXY: &str = "10.0.0.1:1";
const STRANGER: &str = "198.51.100.1:1";

/// A filter of this configuration: variables without their `REGISTRY_HTTP_`.
fn urls(settings: &[(&str, &str)]) -> PublicUrls {
    let mut variables = vec![("REGISTRY_HTTP_TRUSTEDPROXIES".into(), "[10.0.0.0/8]".into())];
    for (name, value) in settings {
        variables.push((format!("REGISTRY_HTTP_{name}").into(), value.into()));
    }
    let http = Config::load(None, variables).expect("valid").http;
    PublicUrls::new(&http, Proxies::new(&http.trusted_proxies))
}

/// The route and the base of `Location` of a request, and what that base is
/// when it is absolute.
fn answer(
    urls: &PublicUrls,
    peer: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<[String; 3]> {
    let peer: SocketAddr = peer.parse().expect("valid");
    let filtered = |urls: &PublicUrls| {
        let mut request = Request::get(path).extension(Peer::Tcp(peer));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match urls.filter(request.body(()).expect("valid")) {
            ControlFlow::Break(_) => None,
            ControlFlow::Continue(request) => Some(request),
        }
    };
    let base = |request: &Request<()>| {
        let base = request.extensions().get::<BaseUrl>();
        base.map(ToString::to_string).unwrap_or_default()
    };
    let absolute = PublicUrls {
        relative: false,
        ..urls.clone()
    };
    let (request, absolute) = (filtered(urls)?, filtered(&absolute)?);
    Some([request.uri().to_string(), base(&request), base(&absolute)])
}

/// The base of `Location` with `http.relativeurls: false`.
fn base(peer: &str, headers: &[(&str, &str)]) -> String {
    let urls = urls(&[("RELATIVEURLS", "false")]);
    let [_, base, public] = answer(&urls, peer, "/v2/", headers).expect("inside");
    assert_eq!(base, public);
    base
}

#[test]
fn without_a_proxy_the_host_header_counts() {
    for (host, expected) in [
        ("r.example", "http://r.example"),
        ("r.example:5000", "http://r.example:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("r.example/evil", ""),
        ("user@r.example", ""),
    ] {
        assert_eq!(base(STRANGER, &[("host", host)]), expected, "{host}");
    }
    assert_eq!(base(STRANGER, &[]), "");
    let urls = urls(&[("RELATIVEURLS", "false")]);
    let [route, base, _] = answer(&urls, STRANGER, "http://r.example:81/v2/", &[]).expect("inside");
    assert_eq!(base, "http://r.example:81");
    assert_eq!(route, "http://r.example:81/v2/");
}

#[test]
fn trusted_proxies_tell_scheme_host_and_port() {
    for (headers, expected) in [
        (
            vec![(
                "forwarded",
                "proto=https;host=\"a.example:8443\", host=b.example",
            )],
            "https://a.example:8443",
        ),
        (
            vec![("forwarded", "proto=https")],
            "https://own.example:5000",
        ),
        (vec![("forwarded", "host=a.example")], "http://a.example"),
        (
            vec![
                ("forwarded", "host=a.example;proto=http"),
                ("x-forwarded-host", "b.example"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-port", "8443"),
            ],
            "http://a.example",
        ),
        // What is no host or scheme is passed over.
        (
            vec![
                ("forwarded", "host=\"a.example/x\";proto=gopher"),
                ("x-forwarded-host", "b.example"),
                ("x-forwarded-proto", "https"),
            ],
            "https://b.example",
        ),
        (
            vec![
                ("x-forwarded-host", "a.example, b.example"),
                ("x-forwarded-proto", "HTTPS, http"),
            ],
            "https://a.example",
        ),
        (
            vec![("x-forwarded-proto", "https")],
            "https://own.example:5000",
        ),
        (
            vec![("x-forwarded-proto", "wss")],
            "http://own.example:5000",
        ),
        (
            vec![("x-forwarded-host", "a.example\\x")],
            "http://own.example:5000",
        ),
        (
            vec![
                ("x-forwarded-host", "[2001:db8::1]"),
                ("x-forwarded-port", "8443"),
            ],
            "http://[2001:db8::1]:8443",
        ),
    ] {
        let mut all = vec![("host", "own.example:5000")];
        all.extend(&headers);
        assert_eq!(base(PROXY, &all), expected, "{headers:?}");
        assert_eq!(
            base(STRANGER, &all),
            "http://own.example:5000",
            "{headers:?}"
        );
    }
}

#[test]
fn a_port_is_told_only_where_it_is_missing_and_matters() {
    for (host, proto, port, expected) in [
        ("a.example", "https", "8443", "https://a.example:8443"),
        ("a.example", "https", "8443, 80", "https://a.example:8443"),
        ("a.example:1", "https", "8443", "https://a.example:1"),
        ("a.example", "https", "443", "https://a.example"),
        ("a.example", "http", "80", "http://a.example"),
        // The TLS is before the proxy that tells the port.
        ("a.example", "https", "80", "https://a.example"),
        ("a.example", "http", "443", "http://a.example"),
        ("a.example", "https", "", "https://a.example"),
        ("a.example", "https", "0", "https://a.example"),
        ("a.example", "https", "84a", "https://a.example"),
        ("a.example", "https", "99999", "https://a.example"),
    ] {
        let forwarded = [
            ("host", "own.example:5000"),
            ("x-forwarded-host", host),
            ("x-forwarded-proto", proto),
            ("x-forwarded-port", port),
        ];
        assert_eq!(base(PROXY, &forwarded), expected, "{host} {proto} {port}");
    }
    // A proxy that drops the port from `Host`, as nginx's `$host` does.
    let dropped = [
        ("host", "a.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "8443"),
    ];
    assert_eq!(base(PROXY, &dropped), "https://a.example:8443");
}

#[test]
fn the_configured_host_has_the_last_word() {
    let spoofed = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
    ];
    for (settings, path, expected) in [
        (
            vec![("HOST", "https://r.example:8443")],
            "/v2/",
            "https://r.example:8443",
        ),
        (
            vec![("HOST", "https://r.example/r")],
            "/v2/",
            "https://r.example/r",
        ),
        (
            vec![("HOST", "https://r.example"), ("PREFIX", "/r/")],
            "/r/v2/",
            "https://r.example/r",
        ),
        (
            vec![("HOST", "https://r.example/r"), ("PREFIX", "/r/")],
            "/r/v2/",
            "https://r.example/r",
        ),
    ] {
        let found = answer(&urls(&settings), PROXY, path, &spoofed).expect("inside");
        assert_eq!(found, ["/v2/", expected, expected].map(String::from));
    }
}

#[test]
fn relative_urls_have_the_prefix_and_no_host() {
    let https = [("host", "r.example"), ("x-forwarded-proto", "https")];
    let found = answer(&urls(&[]), PROXY, "/v2/a/tags/list?n=1", &https);
    let expected = ["/v2/a/tags/list?n=1", "", "https://r.example"];
    assert_eq!(found, Some(expected.map(String::from)));
    let nested = urls(&[("PREFIX", "/r/")]);
    let found = answer(&nested, PROXY, "/r/v2/?n=1", &https);
    let expected = ["/v2/?n=1", "/r", "https://r.example/r"];
    assert_eq!(found, Some(expected.map(String::from)));
}

#[test]
fn a_forwarded_prefix_counts_only_from_a_trusted_proxy() {
    let headers = [("host", "r.example"), ("x-forwarded-prefix", "/p/")];
    for path in ["/v2/", "/p/v2/"] {
        let found = answer(&urls(&[]), PROXY, path, &headers);
        let expected = [path, "/p", "http://r.example/p"];
        assert_eq!(found, Some(expected.map(String::from)), "{path}");
    }
    let found = answer(&urls(&[]), STRANGER, "/v2/", &headers);
    let expected = ["/v2/", "", "http://r.example"];
    assert_eq!(found, Some(expected.map(String::from)));
    for spoofed in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/p/../q",
        "p",
        "/p?x",
        "/p/../x y",
    ] {
        let headers = [("host", "r.example"), ("x-forwarded-prefix", spoofed)];
        let found = answer(&urls(&[]), PROXY, "/v2/", &headers);
        assert_eq!(found, Some(expected.map(String::from)), "{spoofed}");
    }
}

#[test]
fn outside_of_the_prefix_only_the_probe_is_answered() {
    let nested = urls(&[("PREFIX", "/r/")]);
    for path in ["/v2/", "/r", "/other/v2/"] {
        assert_eq!(answer(&nested, STRANGER, path, &[]), None, "{path}");
    }
    assert!(answer(&nested, STRANGER, "/", &[]).is_some());
}
