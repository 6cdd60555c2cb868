//! What must not be shown: neither printed nor quoted in a complaint.

use std::borrow::Cow;

/// What stands for a secret.
pub(super) const MASK: &str = "********";

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

/// Whether a key or a header of this name holds a secret, or holds others that
/// all do.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // `auth.token` and `auth.htpasswd` are ways to log in, `sessiontoken` is a
    // secret.
    !["htpasswd", "token"].contains(&name.as_str())
        && (name.ends_with("token") || PARTS.iter().any(|part| name.contains(part)))
}

/// A text without the password of a URL in it.
pub(super) fn without_password(text: &str) -> Cow<'_, str> {
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
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "addr",
            "token",
            "htpasswd",
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
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
