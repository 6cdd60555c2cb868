//! What must not be shown: neither printed nor quoted in a complaint.

use std::borrow::Cow;
#[cfg(feature = "object-store")]
use std::fmt;

use super::node::{Node, Value};
use super::schema;

/// What stands for a secret.
pub(super) const MASK: &str = "********";

/// A text that shows itself to nobody who does not ask for it by name.
#[cfg(feature = "object-store")]
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[cfg(feature = "object-store")]
impl Secret {
    pub(super) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "object-store")]
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Parts of the names of keys and headers that hold a secret.
const PARTS: &[&str] = &[
    "accesskey",
    "accountkey",
    "api-key",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "licensekey",
    "passphrase",
    "passwd",
    "password",
    "secret",
];

/// Ways to log in, whose names sound like secrets.
const NO_SECRETS: &[&str] = &["auth.htpasswd", "auth.token"];

/// Whether a key, by its full name, holds a secret or is below one that does.
pub(super) fn is_secret(key: &str) -> bool {
    let ends = key.match_indices('.').map(|(at, _)| at).chain([key.len()]);
    let mut start = 0;
    for end in ends {
        let name = key[start..end].to_ascii_lowercase();
        let sounds = name.ends_with("token") || PARTS.iter().any(|part| name.contains(part));
        if sounds && !NO_SECRETS.contains(&&key[..end]) {
            return true;
        }
        start = end + 1;
    }
    false
}

/// Whether a value stands where the schema has keys, and is none of their
/// names: YAML that was cut short, of which anything may be a secret.
pub(super) fn is_broken(key: &str, node: &Node) -> bool {
    let Value::Scalar(text) = &node.value else {
        return false;
    };
    let is_name = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    !is_name && (schema::has_children(key) || schema::is_refused_at_or_below(key))
}

/// A value in a message: what it is, unless that must not be shown.
pub(super) fn describe(key: &str, node: &Node) -> String {
    if is_secret(key) || is_broken(key, node) {
        MASK.to_owned()
    } else {
        node.describe()
    }
}

/// A text without the password of a URL in it, and without its query.
pub(super) fn without_password(text: &str) -> Cow<'_, str> {
    if let Some((url, _)) = text.split_once('?')
        && url.contains("://")
    {
        return Cow::Owned(format!("{}?{MASK}", without_password(url)));
    }
    let Some(start) = text.find("://").map(|at| at + "://".len()) else {
        return Cow::Borrowed(text);
    };
    let authority = text[start..].split(['/', '?', '#']).next().unwrap_or("");
    let Some((user, _)) = authority.rsplit_once('@') else {
        return Cow::Borrowed(text);
    };
    // A user alone may be a token.
    let shown = user
        .split_once(':')
        .map_or(String::new(), |(name, _)| format!("{name}:"));
    let rest = &text[start + user.len()..];
    Cow::Owned(format!("{}{shown}{MASK}{rest}", &text[..start]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name() {
        for name in [
            "accesskey",
            "secretkey",
            "password",
            "secret",
            "accountkey",
            "sessiontoken",
            "credentials",
            "Authorization",
            "Proxy-Authorization",
            "X-Api-Key",
            "X-Auth-Token",
            "Set-Cookie",
            "licensekey",
            "http.headers.Token",
            "auth.token.password",
            "http.secret.file",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "addr",
            "auth.token",
            "auth.token.realm",
            "auth.htpasswd.path",
            "key",
            "keyid",
            "rootdirectory",
            "realm",
            "path",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn urls_lose_their_password() {
        for (text, shown) in [
            ("https://a.example/x@y", "https://a.example/x@y"),
            ("https://u:p@a.example/x", "https://u:********@a.example/x"),
            ("redis://:p@q@a:1", "redis://:********@a:1"),
            ("http://token@a", "http://********@a"),
            ("u:p@a", "u:p@a"),
            ("http://a/x?token=y", "http://a/x?********"),
            ("http://u:p@a/x?y", "http://u:********@a/x?********"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
