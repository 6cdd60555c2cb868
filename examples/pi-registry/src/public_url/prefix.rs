//! Registries below a path.
//!
//! | who nests it | the request's path | `X-Forwarded-Prefix` | route | in `Location` |
//! |---|---|---|---|---|
//! | `http.prefix: /r` | `/r/v2/` | perhaps `/r` | `/v2/` | `/r` |
//! | a proxy that strips `/p` | `/v2/` | `/p` | `/v2/` | `/p` |
//! | both | `/r/v2/` | `/p` | `/v2/` | `/p/r` |
//!
//! Only the configured prefix is taken off. Proxies pass on a header that the
//! client made up; if that one were taken off as well, `/x/v2/…` would reach
//! the registry past a proxy that asks for a password below `/v2/` alone.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

/// What the path of a request means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The path without the prefix.
    pub(super) route: &'a str,
    /// The prefix as clients must write it.
    pub(super) public: Cow<'a, str>,
}

/// Finds the prefix of a path; `None` for a path outside of it.
pub(super) fn place<'a>(
    path: &'a str,
    configured: &'a str,
    forwarded: &'a str,
) -> Option<Place<'a>> {
    let route = path.strip_prefix(configured)?;
    if !route.starts_with('/') {
        return None;
    }
    let public = match (configured, forwarded) {
        ("", one) | (one, "") => Cow::Borrowed(one),
        (inner, outer) if inner == outer => Cow::Borrowed(inner),
        (inner, outer) => Cow::Owned(format!("{outer}{inner}")),
    };
    Some(Place { route, public })
}

/// The same address with another path, which is part of the old one.
pub(super) fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_prefix_is_taken_off_and_every_one_written() {
        for (path, configured, forwarded, route, public) in [
            ("/v2/", "", "", "/v2/", ""),
            ("/anything", "", "", "/anything", ""),
            ("/r/v2/", "/r", "", "/v2/", "/r"),
            ("/r/", "/r", "", "/", "/r"),
            ("/v2/a/tags/list", "", "/r", "/v2/a/tags/list", "/r"),
            ("/r/v2/", "/r", "/r", "/v2/", "/r"),
            ("/r/v2/", "/r", "/p", "/v2/", "/p/r"),
            ("/a/b/v2/", "/a/b", "", "/v2/", "/a/b"),
        ] {
            let found = place(path, configured, forwarded).expect(path);
            assert_eq!((found.route, &*found.public), (route, public), "{path}");
        }
    }

    #[test]
    fn a_path_outside_of_the_prefix_has_no_place() {
        for path in ["/", "/v2/", "/r", "/rest/v2/", "/x/r/v2/"] {
            assert_eq!(place(path, "/r", ""), None, "{path}");
        }
        assert_eq!(place("/p/r/v2/", "/r", "/p"), None);
    }

    #[test]
    fn a_prefix_of_a_header_opens_no_other_path() {
        let found = place("/x/v2/", "", "/x").expect("as it is");
        assert_eq!(found.route, "/x/v2/");
    }

    #[test]
    fn the_query_stays() {
        let uri: Uri = "http://h/r/v2/a?n=1".parse().expect("valid");
        let found = with_path(&uri, "/v2/a").expect("valid");
        assert_eq!(found, "http://h/v2/a?n=1");
        let uri: Uri = "/r/v2/".parse().expect("valid");
        assert_eq!(with_path(&uri, "/v2/").expect("valid"), "/v2/");
    }
}
