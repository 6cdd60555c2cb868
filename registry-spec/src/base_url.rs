//! Where clients find the registry.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::uri::{Authority, PathAndQuery};

/// What goes before `/v2/…` in every `Location` and `Link`.
///
/// | base | a `Location` |
/// |---|---|
/// | none, the default | `/v2/app/blobs/…` |
/// | `/registry` | `/registry/v2/app/blobs/…` |
/// | `https://r.example:8443` | `https://r.example:8443/v2/app/blobs/…` |
/// | `https://r.example/registry` | `https://r.example/registry/v2/app/blobs/…` |
///
/// All clients resolve relative locations, and those hold behind any proxy. An
/// absolute base is for proxies that rewrite paths; one with the wrong scheme
/// makes containerd drop its credentials.
///
/// Set for all requests with [`RegistryBuilder::base_url`](crate::RegistryBuilder::base_url);
/// a request that carries one among its extensions is answered with that.
///
/// ```
/// use registry_spec::BaseUrl;
///
/// let base: BaseUrl = "https://registry.example/images/".parse()?;
/// assert_eq!(base.as_str(), "https://registry.example/images");
/// assert!("registry.example".parse::<BaseUrl>().is_err());
/// # Ok::<(), registry_spec::BaseUrlError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseUrl(Option<Arc<str>>);

impl BaseUrl {
    /// The base, without a slash at its end; empty for none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The part of the base after scheme and host: empty, or a path that
    /// begins with a slash and does not end with one.
    #[must_use]
    pub fn path(&self) -> &str {
        let base = self.as_str();
        let after_scheme = base.find("://").map_or(0, |at| at + "://".len());
        base[after_scheme..]
            .find('/')
            .map_or("", |at| &base[after_scheme + at..])
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let base = text.strip_suffix('/').unwrap_or(text);
        let path = match base
            .strip_prefix("http://")
            .or(base.strip_prefix("https://"))
        {
            Some(rest) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let authority: Authority = host.parse().map_err(|_| BaseUrlError)?;
                // A user and password would be handed to every client.
                let bad_port = host.len() > authority.host().len() && authority.port().is_none();
                if authority.host().is_empty() || host.contains('@') || bad_port {
                    return Err(BaseUrlError);
                }
                path
            }
            None => base,
        };
        if path.is_empty() && base.is_empty() {
            return Ok(Self(None));
        }
        if !path.is_empty() {
            let parsed: PathAndQuery = path.parse().map_err(|_| BaseUrlError)?;
            // Browsers read a backslash as a slash, and walk dot segments.
            let plain = |c: u8| c.is_ascii_graphic() && !b"<>\"\\".contains(&c);
            let has_dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
            if !path.starts_with('/')
                || path.contains("//")
                || has_dots
                || path.ends_with('/')
                || parsed.query().is_some()
                || path.contains('#')
                || !path.bytes().all(plain)
            {
                return Err(BaseUrlError);
            }
        }
        Ok(Self(Some(base.into())))
    }
}

/// A text cannot go before the path of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a path such as /registry, or a URL such as https://registry.example:8443")]
#[non_exhaustive]
pub struct BaseUrlError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_paths_or_urls() {
        for (text, base, path) in [
            ("", "", ""),
            ("/", "", ""),
            ("/registry", "/registry", "/registry"),
            ("/a/b/", "/a/b", "/a/b"),
            ("https://r.example", "https://r.example", ""),
            ("http://[::1]:5000/", "http://[::1]:5000", ""),
            ("https://r.example:8443/a", "https://r.example:8443/a", "/a"),
        ] {
            let parsed: BaseUrl = text.parse().expect(text);
            assert_eq!((parsed.as_str(), parsed.path()), (base, path), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "r.example",
            "registry",
            "ftp://r.example",
            "https://",
            "https:///a",
            "//r.example",
            "/a//b",
            "/a?b",
            "/a#b",
            "/a b",
            "/a\r\nb",
            "/a>b",
            "https://u:p@r.example",
            "/a//",
            "/\\evil.example",
            "/a/../b",
            "/.",
            "https://r.example:port",
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(BaseUrlError), "{text:?}");
        }
    }
}
