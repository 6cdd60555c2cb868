//! The URL of the last request: most name the same host, and to check it and
//! write it anew was a tenth of what a request took.

use std::sync::{Arc, Mutex, PoisonError};

use registry_auth::token::Origin;
use registry_spec::BaseUrl;

/// An absolute URL, and its scheme and host alone.
#[derive(Clone, Debug)]
pub(super) struct Absolute {
    pub(super) url: BaseUrl,
    pub(super) origin: Option<Origin>,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Last(Arc<Mutex<Option<Absolute>>>);

impl Last {
    /// The URL of these parts, as it was made last or as `make` makes it.
    pub(super) fn get_or_make(
        &self,
        scheme: &str,
        host: &str,
        prefix: &str,
        make: impl FnOnce() -> Option<Absolute>,
    ) -> Option<Absolute> {
        let is_it = |last: &&Absolute| {
            let rest = last.url.as_str().strip_prefix(scheme);
            let rest = rest.and_then(|rest| rest.strip_prefix("://"));
            rest.and_then(|rest| rest.strip_prefix(host)) == Some(prefix)
        };
        // Whole at any time, whoever panicked.
        let last = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last().as_ref().filter(is_it) {
            return Some(last.clone());
        }
        let made = make()?;
        *last() = Some(made.clone());
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_parts_are_answered_from_memory() {
        let last = Last::default();
        let made = |scheme: &str, host: &str, prefix: &str| {
            let mut made = false;
            let text = format!("{scheme}://{host}{prefix}");
            let found = last.get_or_make(scheme, host, prefix, || {
                made = true;
                let url: BaseUrl = text.parse().ok()?;
                Some(Absolute { url, origin: None })
            });
            assert_eq!(found.expect("valid").url.as_str(), text);
            made
        };
        assert!(made("http", "r.example:5000", ""));
        assert!(!made("http", "r.example:5000", ""));
        for (scheme, host, prefix) in [
            ("https", "r.example:5000", ""),
            ("http", "r.example:500", ""),
            ("http", "r.example:5000", "/p"),
            ("http", "r.example:5000", "/p/r"),
            ("http", "r.example", ""),
        ] {
            assert!(made(scheme, host, prefix), "{scheme} {host} {prefix}");
            assert!(!made(scheme, host, prefix), "{scheme} {host} {prefix}");
        }
    }
}
