//! The `health` section: what must hold for the registry to answer.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};

use super::error::ConfigError;
use super::http::headers;
use super::listen::ListenAddr;
use super::node::{Node, Value};
use super::read;

/// Between two runs of a check.
const INTERVAL: Duration = Duration::from_secs(10);
/// Failures in a row that make a check fail, as in distribution.
const THRESHOLD: usize = 1;
/// The same of the storage without a file, as in the image's own file.
const THRESHOLD_WITHOUT_FILE: usize = 3;
/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The `health` section.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// `health.storagedriver`: whether the storage answers; `None` unless
    /// enabled. Default: off with a file, on without.
    pub storage: Option<Check>,
    /// `health.file`: files that must not exist. Default: none.
    pub files: Vec<FileCheck>,
    /// `health.http`: URLs that must answer. Default: none.
    pub http: Vec<HttpCheck>,
    /// `health.tcp`: addresses that must accept connections. Default: none.
    pub tcp: Vec<TcpCheck>,
}

/// When a check runs, and when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// `interval`: the time between two runs. Default: 10 s.
    pub interval: Duration,
    /// `threshold`: how many failures in a row make it fail; 0 and less are 1.
    /// Default: 1 with a file, 3 without.
    pub threshold: usize,
}

/// An entry of `health.file`: by putting a file there, an operator takes the
/// registry out of service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileCheck {
    /// `file`: the path. Required.
    pub path: PathBuf,
    /// `interval`: the time between two looks. Default: 10 s.
    pub interval: Duration,
}

/// An entry of `health.http`: a `HEAD` request. Redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCheck {
    /// `uri`: an `http` URL without a user. Required.
    pub uri: Uri,
    /// `headers`: what the request carries. Default: nothing.
    pub headers: HeaderMap,
    /// `statuscode`: the answer that is expected. Default: 200.
    pub status: StatusCode,
    /// `timeout`: how long the answer may take. Default: 5 s, and for 0 as
    /// well.
    pub timeout: Duration,
    /// `interval`: the time between two runs. Default: 10 s.
    pub interval: Duration,
    /// `threshold`: how many failures in a row make it fail; 0 and less are 1.
    /// Default: 1.
    pub threshold: usize,
}

/// An entry of `health.tcp`: a connection that is opened and closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpCheck {
    /// `addr`: a host and a port, as `db:5432` or `[::1]:80`. Required.
    pub addr: String,
    /// `timeout`: how long opening it may take. Default: 5 s, and for 0 as
    /// well.
    pub timeout: Duration,
    /// `interval`: the time between two runs. Default: 10 s.
    pub interval: Duration,
    /// `threshold`: how many failures in a row make it fail; 0 and less are 1.
    /// Default: 1.
    pub threshold: usize,
}

impl Health {
    pub(super) fn read(root: &Node, with_file: bool) -> Result<Self, ConfigError> {
        const STORAGE: &str = "health.storagedriver";
        let enabled = read::boolean(root, "health.storagedriver.enabled")?;
        let storage = Check {
            interval: interval(root, STORAGE)?,
            threshold: threshold(root, STORAGE)?.unwrap_or(if with_file {
                THRESHOLD
            } else {
                THRESHOLD_WITHOUT_FILE
            }),
        };
        Ok(Self {
            storage: enabled.unwrap_or(!with_file).then_some(storage),
            files: each(root, "health.file", file)?,
            http: each(root, "health.http", http)?,
            tcp: each(root, "health.tcp", tcp)?,
        })
    }
}

/// Reads every entry of a list with a function that takes the tree and the
/// entry's own key.
fn each<T>(
    root: &Node,
    key: &str,
    read: impl Fn(&Node, &str) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    let Some(node) = root.at(key) else {
        return Ok(Vec::new());
    };
    match &node.value {
        Value::List(items) => (0..items.len())
            .map(|index| read(root, &format!("{key}[{index}]")))
            .collect(),
        Value::Scalar(text) if text.is_empty() => Ok(Vec::new()),
        _ => Err(ConfigError::value(key, node, "a list of checks")),
    }
}

fn file(root: &Node, key: &str) -> Result<FileCheck, ConfigError> {
    let path = required(root, key, "file", "the path of a file", |text| {
        Some(PathBuf::from(text))
    })?;
    let interval = interval(root, key)?;
    Ok(FileCheck { path, interval })
}

fn http(root: &Node, key: &str) -> Result<HttpCheck, ConfigError> {
    // There is no TLS here to ask an `https` URL with.
    let expected = "a URL such as http://127.0.0.1:8080/healthz, without https";
    let uri = required(root, key, "uri", expected, |text| {
        let uri: Uri = text.parse().ok()?;
        (uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()))
            .then_some(uri)
    })?;
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        let full = format!("{key}.uri");
        let source = &root.at(&full).unwrap_or(root).source;
        // Without the value, which is a secret.
        return Err(ConfigError::at(
            source,
            format_args!("{full} names a user, who is not sent: use headers.Authorization instead"),
        ));
    }
    let status = read::parsed(
        root,
        &format!("{key}.statuscode"),
        "a status code such as 200",
        |text| {
            if text == "0" {
                Some(StatusCode::OK)
            } else {
                text.parse().ok()
            }
        },
    )?;
    Ok(HttpCheck {
        uri,
        headers: headers(root, &format!("{key}.headers"))?,
        status: status.unwrap_or(StatusCode::OK),
        timeout: timeout(root, key)?,
        interval: interval(root, key)?,
        threshold: threshold(root, key)?.unwrap_or(THRESHOLD),
    })
}

fn tcp(root: &Node, key: &str) -> Result<TcpCheck, ConfigError> {
    let expected = "a host and a port such as db:5432";
    let addr = required(root, key, "addr", expected, |text| match text.parse() {
        Ok(ListenAddr::Host { port, .. }) if port > 0 => Some(text.to_owned()),
        _ => None,
    })?;
    Ok(TcpCheck {
        addr,
        timeout: timeout(root, key)?,
        interval: interval(root, key)?,
        threshold: threshold(root, key)?.unwrap_or(THRESHOLD),
    })
}

fn required<T>(
    root: &Node,
    key: &str,
    name: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    let full = format!("{key}.{name}");
    let value = read::parsed(root, &full, expected, parse)?;
    value.ok_or_else(|| {
        let source = &root.at(key).unwrap_or(root).source;
        ConfigError::at(
            source,
            format_args!("{full} is missing: expected {expected}"),
        )
    })
}

fn interval(root: &Node, key: &str) -> Result<Duration, ConfigError> {
    let key = format!("{key}.interval");
    match (read::duration(root, &key)?, root.at(&key)) {
        // Less would keep the machine busy with checks alone.
        (Some(interval), Some(node)) if interval < Duration::from_millis(100) => {
            Err(ConfigError::value(&key, node, "at least 100ms"))
        }
        (interval, _) => Ok(interval.unwrap_or(INTERVAL)),
    }
}

fn timeout(root: &Node, key: &str) -> Result<Duration, ConfigError> {
    let timeout = read::duration(root, &format!("{key}.timeout"))?;
    Ok(timeout
        .filter(|timeout| !timeout.is_zero())
        .unwrap_or(TIMEOUT))
}

fn threshold(root: &Node, key: &str) -> Result<Option<usize>, ConfigError> {
    let key = format!("{key}.threshold");
    let below_zero = |text: &str| {
        text.strip_prefix('-')
            .is_some_and(|text| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()))
    };
    if let Ok(Some((text, _))) = read::text(root, &key, "")
        && below_zero(text)
    {
        return Ok(Some(1));
    }
    Ok(read::number(root, &key)?.map(|threshold| threshold.max(1)))
}
