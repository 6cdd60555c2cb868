//! Where tokens are to be had.

use http::Uri;
use http::uri::Authority;
use registry_spec::auth::{AuthRequest, Challenge, ChallengeError};

/// Where clients are sent for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Fixed(String),
    OfRequest { path: String },
}

impl Realm {
    /// Always to this URL.
    #[must_use]
    pub fn fixed(url: &str) -> Self {
        Self(Kind::Fixed(url.to_owned()))
    }

    /// To a path on the host that the request was sent to: distribution's
    /// `autoredirect`.
    ///
    /// The server must put an [`Origin`] into each request's extensions. Where
    /// there is none, because a client of HTTP/1.0 has named no host, the
    /// challenge holds only the path, with which clients cannot do anything.
    #[must_use]
    pub fn of_request(path: &str) -> Self {
        Self(Kind::OfRequest {
            path: path.to_owned(),
        })
    }

    pub(super) fn of(&self, request: &AuthRequest<'_>) -> String {
        match &self.0 {
            Kind::Fixed(url) => url.clone(),
            Kind::OfRequest { path } => {
                let origin = request.extensions.get::<Origin>();
                format!("{}{path}", origin.map_or("", Origin::as_str))
            }
        }
    }

    /// Whether clients can follow it.
    pub(super) fn is_usable(&self) -> bool {
        match &self.0 {
            Kind::Fixed(url) => url.parse::<Uri>().is_ok_and(|url| {
                matches!(url.scheme_str(), Some("http" | "https"))
                    && url.host().is_some_and(|host| !host.is_empty())
            }),
            Kind::OfRequest { path } => path.starts_with('/'),
        }
    }

    /// Whether challenges can be written with it.
    pub(super) fn check(&self, service: &str) -> Result<(), ChallengeError> {
        let (Kind::Fixed(url) | Kind::OfRequest { path: url }) = &self.0;
        let challenge = Challenge::Bearer {
            realm: url.clone(),
            service: service.to_owned(),
            scope: String::new(),
            error: None,
        };
        challenge.to_header().map(drop)
    }
}

/// Scheme and host of a request, as the client sees them; among the request's
/// extensions, for [`Realm::of_request`].
///
/// The host is the client's word (`Host`) or that of a proxy: take
/// `X-Forwarded-Host` only from proxies that are trusted, for passwords are
/// sent where this says.
///
/// ```
/// use registry_auth::token::Origin;
///
/// let origin = Origin::new("https", "registry.example:8443").expect("plain");
/// assert_eq!(origin.as_str(), "https://registry.example:8443");
/// assert!(Origin::new("https", "user@registry.example").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// `None` unless the scheme is http or https, and the host a name or
    /// address, with or without a port.
    #[must_use]
    pub fn new(scheme: &str, host: &str) -> Option<Self> {
        let authority: Authority = host.parse().ok()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        let bad_port =
            authority.as_str().len() > authority.host().len() && authority.port_u16().is_none();
        let usable = matches!(scheme, "http" | "https")
            && !authority.host().is_empty()
            && !bad_port
            && host.bytes().all(plain);
        usable.then(|| Self(format!("{scheme}://{host}")))
    }

    /// `scheme://host`, with the port if one was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for (scheme, host, usable) in [
            ("https", "registry.example", true),
            ("http", "registry:5000", true),
            ("http", "[::1]:5000", true),
            ("https", "192.168.0.2", true),
            ("https", "", false),
            ("ftp", "registry", false),
            ("HTTPS", "registry", false),
            ("https", "user@registry", false),
            ("https", "registry/path", false),
            ("https", "registry\"", false),
            ("https", "registry,other", false),
            ("https", "registry:", false),
            ("https", "registry:port", false),
            ("https", "registry:99999", false),
            ("https", "a b", false),
        ] {
            assert_eq!(
                Origin::new(scheme, host).is_some(),
                usable,
                "{scheme} {host}"
            );
        }
    }
}
