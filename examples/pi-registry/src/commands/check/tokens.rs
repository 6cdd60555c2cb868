//! The keys of `auth.token` and `auth.tokenserver`.

use super::Report;
use crate::auth::{KeyFiles, fetch_keys, signing_key};
use crate::config::{self, Jwks};

/// Reads the files as a start would, and fetches what is at a URL, without
/// which a registry starts all the same.
pub(super) async fn look(auth: &config::Auth, report: &mut Report) {
    if let Some(server) = &auth.token_server {
        const KEY: &str = "auth.tokenserver";
        match signing_key(server) {
            Err(error) => report.error(KEY, &error.to_string()),
            Ok(key) => {
                let key = match &server.key {
                    None => "a key that is made at each start".to_owned(),
                    Some(path) => format!("the {} key of {}", key.algorithm(), path.display()),
                };
                report.ok(KEY, &format!("signs with {key}"));
            }
        }
    }
    let Some(token) = &auth.token else { return };
    const KEY: &str = "auth.token";
    match KeyFiles::of(token).keys() {
        Err(error) => report.error(KEY, &error.to_string()),
        Ok(keys) => {
            for warning in keys.warnings() {
                report.warning(KEY, &warning.to_string());
            }
            report.ok(KEY, &format!("the files have {} keys", keys.len()));
        }
    }
    if let Some(Jwks::Url(url)) = &token.jwks {
        match fetch_keys(url).await {
            Err(error) => report.warning(KEY, &error),
            Ok((_, keys)) => report.ok(KEY, &format!("{url} has {} keys", keys.len())),
        }
    }
}
