//! The `http` section: how clients reach the registry.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use registry_spec::BaseUrl;

use super::error::ConfigError;
use super::listen::{self, ListenAddr};
use super::network::{self, Network};
use super::node::{Node, Value};
use super::read;
use super::tls::Tls;
use crate::response_headers::ResponseHeaders;

/// The `http` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Http {
    /// `http.addr`. Default: `:5000` with a file, `127.0.0.1:5000` without, so
    /// that a first try is not open to the network. With `http.net: unix` the
    /// path of a socket, which has no default.
    pub addr: ListenAddr,
    /// `http.draintimeout`: how long transfers in flight may go on after a
    /// signal to stop. Default: 30 s, as long as Kubernetes waits before it
    /// kills; distribution's own default is not to wait at all.
    pub drain_timeout: Duration,
    /// `http.host`: the URL that goes before every `Location`; always one with
    /// a scheme and a host. Default: none.
    pub host: Option<BaseUrl>,
    /// `http.prefix`: the path below which the registry is served, always one
    /// without a host. Default: empty, `/v2/` is at the root.
    pub prefix: BaseUrl,
    /// `http.relativeurls`: whether a `Location` is a path alone. Never beside
    /// [`host`](Self::host), which is then in every `Location`. Default without
    /// one: yes, because a path holds behind every proxy whatever names and
    /// ports it goes by; distribution's default is a URL built from the
    /// request, and so is `false` here: from `Forwarded`, `X-Forwarded-*` or
    /// `Host`.
    pub relative_urls: bool,
    /// `http.headers`: what is added to every response; a name may have
    /// several values. Default: none.
    pub headers: ResponseHeaders,
    /// `http.tls`: the certificates. Default: none, plain HTTP.
    pub tls: Option<Tls>,
    /// `http.http2.disabled`, inverted: whether HTTP/2 is offered over TLS.
    /// Default: yes.
    pub http2: bool,
    /// `http.h2c.enabled`: whether HTTP/2 is spoken without TLS with clients
    /// that start with it. Default: yes, since nobody does so by accident;
    /// distribution's default is no. Never without [`http2`](Self::http2).
    pub h2c: bool,
    /// `http.trustedproxies`, a key of our own: whose `Forwarded` and
    /// `X-Forwarded-*` are believed. Default: loopback and the private
    /// networks; an empty list believes nobody.
    pub trusted_proxies: Vec<Network>,
    /// `http.debug`: a second server with metrics and health. Default: none.
    pub debug: Option<Debug>,
}

/// The `http.debug` section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Debug {
    /// `http.debug.addr`; the section does nothing without it.
    pub addr: ListenAddr,
    /// `http.debug.prometheus.path`, where metrics are; `None` unless
    /// `http.debug.prometheus.enabled`. Default: off, and `/metrics` when on.
    pub metrics_path: Option<String>,
}

impl Http {
    pub(super) fn read(
        root: &Node,
        with_file: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let drain = read::duration(root, "http.draintimeout")?;
        let host = host(root)?;
        let relative = read::boolean(root, "http.relativeurls")?;
        if let (Some(_), Some(true), Some(node)) = (&host, relative, root.at("http.relativeurls")) {
            warnings.push(format!(
                "{}: http.relativeurls has no effect beside http.host",
                node.source
            ));
        }
        let http2 = !read::boolean(root, "http.http2.disabled")?.unwrap_or(false);
        Ok(Self {
            addr: addr(root, with_file)?,
            drain_timeout: drain.unwrap_or(Duration::from_secs(30)),
            relative_urls: host.is_none() && relative.unwrap_or(true),
            host,
            prefix: prefix(root)?,
            headers: response_headers(root)?,
            tls: Tls::read(root, warnings)?,
            http2,
            h2c: http2 && read::boolean(root, "http.h2c.enabled")?.unwrap_or(true),
            trusted_proxies: network::read(root, "http.trustedproxies")?,
            debug: Debug::read(root, warnings)?,
        })
    }
}

fn addr(root: &Node, with_file: bool) -> Result<ListenAddr, ConfigError> {
    const ADDR: &str = "http.addr";
    const PORT: u16 = 5000;
    let unix = read::parsed(root, "http.net", "tcp or unix", |text| match text {
        "tcp" => Some(false),
        "unix" => Some(true),
        _ => None,
    })?;
    if unix == Some(true) {
        let path = read::parsed(root, ADDR, listen::EXPECTED_SOCKET, |text| {
            (text.starts_with('/')).then(|| PathBuf::from(text))
        })?;
        return match (path, root.at("http.net")) {
            (Some(path), _) => Ok(ListenAddr::Unix { path }),
            (None, node) => Err(ConfigError::at(
                &node.unwrap_or(root).source,
                format_args!(
                    "http.net is \"unix\" without http.addr: expected {}",
                    listen::EXPECTED_SOCKET
                ),
            )),
        };
    }
    let addr = read::parsed(root, ADDR, listen::EXPECTED, |text| text.parse().ok())?;
    Ok(addr.unwrap_or_else(|| {
        if with_file {
            ListenAddr::Any { port: PORT }
        } else {
            ListenAddr::Host {
                host: "127.0.0.1".to_owned(),
                port: PORT,
            }
        }
    }))
}

fn host(root: &Node) -> Result<Option<BaseUrl>, ConfigError> {
    let expected = "a URL such as https://registry.example:8443";
    read::parsed(root, "http.host", expected, |text| {
        text.contains("://").then(|| text.parse().ok()).flatten()
    })
}

fn prefix(root: &Node) -> Result<BaseUrl, ConfigError> {
    let expected = "a path such as /registry/";
    let prefix = read::parsed(root, "http.prefix", expected, |text| {
        text.starts_with('/').then(|| text.parse().ok()).flatten()
    })?;
    Ok(prefix.unwrap_or_default())
}

fn response_headers(root: &Node) -> Result<ResponseHeaders, ConfigError> {
    const HEADERS: &str = "http.headers";
    ResponseHeaders::new(headers(root, HEADERS)?)
        .map_err(|error| ConfigError::at(&root.at(HEADERS).unwrap_or(root).source, error))
}

/// A map of header names, each with one value or a list of them.
pub(super) fn headers(root: &Node, key: &str) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    let Some(node) = root.at(key) else {
        return Ok(headers);
    };
    let children = match &node.value {
        Value::Map(children) => children,
        Value::Scalar(text) if text.is_empty() => return Ok(headers),
        _ => {
            return Err(ConfigError::value(
                key,
                node,
                "a map of header names to lists of values",
            ));
        }
    };
    for (name, node) in children {
        let header = name
            .parse::<HeaderName>()
            .ok()
            .filter(|header| !FRAMING.contains(header));
        let Some(header) = header else {
            return Err(ConfigError::at(
                &node.source,
                format_args!(
                    "{key}.{name} cannot be set: expected the name of a header that does not \
                     frame or route the message"
                ),
            ));
        };
        let key = format!("{key}.{name}");
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for item in items {
            let value = match &item.value {
                Value::Null => continue,
                Value::Scalar(text) => HeaderValue::from_str(text).ok(),
                Value::List(_) | Value::Map(_) => None,
            };
            let Some(value) = value else {
                let expected = "the value of a header, or a list of them";
                return Err(ConfigError::value(&key, item, expected));
            };
            headers.append(header.clone(), value);
        }
    }
    Ok(headers)
}

/// What belongs to the server: a wrong one breaks every message.
const FRAMING: &[HeaderName] = &[
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Debug {
    fn read(root: &Node, warnings: &mut Vec<String>) -> Result<Option<Self>, ConfigError> {
        const ENABLED: &str = "http.debug.prometheus.enabled";
        let addr = read::parsed(root, "http.debug.addr", listen::EXPECTED, |text| {
            text.parse().ok()
        })?;
        let enabled = read::boolean(root, ENABLED)?.unwrap_or(false);
        let expected = "a path such as /metrics";
        let path = read::parsed(root, "http.debug.prometheus.path", expected, |text| {
            let parsed: http::uri::PathAndQuery = text.parse().ok()?;
            (text.starts_with('/') && parsed.path() == text).then(|| text.to_owned())
        })?;
        let Some(addr) = addr else {
            if let (true, Some(node)) = (enabled, root.at(ENABLED)) {
                warnings.push(format!(
                    "{}: {ENABLED} has no effect without http.debug.addr",
                    node.source
                ));
            }
            return Ok(None);
        };
        let path = path.unwrap_or_else(|| "/metrics".to_owned());
        Ok(Some(Self {
            addr,
            metrics_path: enabled.then_some(path),
        }))
    }
}
