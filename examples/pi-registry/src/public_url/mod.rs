//! Where clients find the registry, as each request tells it.
//!
//! The base of `Location` and `Link`, the first of these that is known:
//!
//! | base | when |
//! |---|---|
//! | `http.host` and `http.prefix` | set |
//! | the prefix alone, a relative URL | `http.relativeurls` |
//! | `Forwarded`: the first element's `proto` and `host` | from a trusted proxy |
//! | `X-Forwarded-Proto`, `X-Forwarded-Host` and `-Port`: the first of each | from a trusted proxy |
//! | `Host` or `:authority`, and the listener's scheme | always |
//!
//! Scheme and host are looked for separately: many proxies tell only the first
//! of them and pass `Host` on. What is no `http` or `https`, and no host, is
//! passed over as if it were missing.
//!
//! A proxy that passes on what it does not write itself, as a client's own
//! `Forwarded` beside its `X-Forwarded-Host`, or `X-Forwarded-Prefix`, lets
//! that client choose the URL in the answers to itself. Where these could
//! reach others, through a cache, `http.host` is the way.

mod host;
mod last;
mod prefix;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::ControlFlow;

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri, header};
use registry_auth::token::Origin;
use registry_spec::{BaseUrl, Body, Error, ErrorCode};
use registry_tls::HostName;

use crate::config;
use crate::filter::Filter;
use crate::proxies::{Proxies, forwarded};
use crate::serve::Transport;
use host::Host;
use last::{Absolute, Last};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Before a registry: takes off the prefix, answers 404 outside of it, and
/// tells the registry its [`BaseUrl`] and the [`Origin`] of its challenges.
#[derive(Clone, Debug)]
pub struct PublicUrls {
    /// `http.host` with the prefix.
    host: Option<Absolute>,
    last: Last,
    prefix: BaseUrl,
    relative: bool,
    proxies: Proxies,
}

impl PublicUrls {
    /// As the configuration says.
    #[must_use]
    pub fn new(http: &config::Http, proxies: Proxies) -> Self {
        Self {
            host: base(http).map(absolute),
            last: Last::default(),
            prefix: http.prefix.clone(),
            relative: http.relative_urls,
            proxies,
        }
    }

    /// The absolute URL, if there is enough to tell it.
    fn absolute<B>(&self, request: &Request<B>, trusted: bool, prefix: &str) -> Option<Absolute> {
        if self.host.is_some() {
            return self.host.clone();
        }
        let headers = request.headers();
        let told = if trusted {
            Told::read(headers)
        } else {
            Told::default()
        };
        let scheme = told.scheme.unwrap_or_else(|| Scheme::of(request));
        let host = told.host.or_else(|| asked(request).map(Cow::Borrowed))?;
        let host = Host::parse(&host)?;
        let (scheme, text) = (scheme.as_str(), host.text);
        // The scheme's own port adds nothing, and the other scheme's is what
        // proxies tell that know nothing of the TLS in front of them.
        if let Some(port) = told.port
            && !host.has_port
            && !matches!(port, 80 | 443)
        {
            let url = format!("{scheme}://{text}:{port}{prefix}").parse();
            return url.ok().map(absolute);
        }
        self.last.get_or_make(scheme, text, prefix, || {
            let url = format!("{scheme}://{text}{prefix}").parse();
            url.ok().map(absolute)
        })
    }
}

fn absolute(url: BaseUrl) -> Absolute {
    let origin = origin(&url);
    Absolute { url, origin }
}

/// `http.host` with the prefix.
pub(crate) fn base(http: &config::Http) -> Option<BaseUrl> {
    let (host, prefix) = (http.host.as_ref()?, &http.prefix);
    // A host may already have it: distribution knows no other way.
    if host.path().ends_with(prefix.as_str()) {
        return Some(host.clone());
    }
    let joined = format!("{host}{prefix}").parse();
    Some(joined.unwrap_or_else(|_| host.clone()))
}

/// Scheme and host of a URL.
fn origin(url: &BaseUrl) -> Option<Origin> {
    let url: Uri = url.as_str().parse().ok()?;
    Origin::new(url.scheme_str()?, url.authority()?.as_str())
}

/// The host and port that a request is for, if it names them well.
#[must_use]
pub fn host<B>(request: &Request<B>) -> Option<&str> {
    Host::parse(asked(request)?).map(|host| host.text)
}

/// The host of a URL, without its port.
pub(crate) fn host_of(url: &BaseUrl) -> Option<HostName> {
    let url: Uri = url.as_str().parse().ok()?;
    url.host()?.parse().ok()
}

fn asked<B>(request: &Request<B>) -> Option<&str> {
    // HTTP/2 has it in the request's address.
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

impl Filter for PublicUrls {
    fn filter<B>(&self, mut request: Request<B>) -> ControlFlow<Response<Body>, Request<B>> {
        let trusted = self.proxies.sent(&request);
        let forwarded = trusted
            .then(|| forwarded_prefix(request.headers()))
            .flatten();
        let forwarded = forwarded.unwrap_or_default();
        let (configured, path) = (self.prefix.as_str(), request.uri().path());
        let Some(place) = prefix::place(path, configured, forwarded.as_str()) else {
            // The probe of the container's platform, which knows no prefix.
            if path == "/" {
                return ControlFlow::Continue(request);
            }
            return ControlFlow::Break(outside(configured));
        };
        let absolute = self.absolute(&request, trusted, &place.public);
        let (absolute, origin) = match absolute {
            Some(Absolute { url, origin }) => (Some(url), origin),
            None => (None, None),
        };
        let base = absolute.filter(|_| self.host.is_some() || !self.relative);
        // Without a host in the request, a relative URL is the best there is.
        let base = base.or_else(|| place.public.parse().ok());
        let inner = if place.route.len() == path.len() {
            None
        } else {
            prefix::with_path(request.uri(), place.route)
        };
        if let Some(inner) = inner {
            *request.uri_mut() = inner;
        }
        if let Some(origin) = origin {
            request.extensions_mut().insert(origin);
        }
        if let Some(base) = base {
            request.extensions_mut().insert(base);
        }
        ControlFlow::Continue(request)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// What the listener speaks.
    fn of<B>(request: &Request<B>) -> Self {
        match request.extensions().get() {
            Some(Transport::Tls) => Self::Https,
            _ => Self::Http,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else {
            None
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What a trusted proxy says of the request that it received.
#[derive(Debug, Default)]
struct Told<'a> {
    scheme: Option<Scheme>,
    host: Option<Cow<'a, str>>,
    port: Option<u16>,
}

impl<'a> Told<'a> {
    fn read(headers: &'a HeaderMap) -> Self {
        let element = forwarded::first(headers).unwrap_or_default();
        let scheme = element.proto.as_deref().and_then(Scheme::parse);
        let host = element.host.filter(|host| Host::parse(host).is_some());
        // A port belongs to the header beside it.
        let port = match host {
            Some(_) => None,
            None => first(headers, &X_FORWARDED_PORT).and_then(host::port),
        };
        let x_host = || {
            let host = first(headers, &X_FORWARDED_HOST)?;
            Host::parse(host).map(|host| Cow::Borrowed(host.text))
        };
        let x_proto = || first(headers, &X_FORWARDED_PROTO).and_then(Scheme::parse);
        Self {
            scheme: scheme.or_else(x_proto),
            host: host.or_else(x_host),
            port,
        }
    }
}

/// The first of a header's list.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let line = headers.get(name)?.to_str().ok()?;
    line.split(',').next().map(str::trim)
}

/// A path that can be written before `/v2/`; an URL is none.
fn forwarded_prefix(headers: &HeaderMap) -> Option<BaseUrl> {
    let prefix = first(headers, &X_FORWARDED_PREFIX)?;
    let prefix: BaseUrl = prefix.parse().ok()?;
    let is_path = prefix.path() == prefix.as_str();
    is_path.then_some(prefix)
}

fn outside(prefix: &str) -> Response<Body> {
    let message = format!("nothing is here: this registry is below {prefix}/v2/");
    Error::new(ErrorCode::Unsupported, message)
        .with_status(StatusCode::NOT_FOUND)
        .into_response()
}
