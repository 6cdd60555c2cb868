//! `auth.token`: the keys of somebody else's token server, and their changes.
//!
//! ```text
//! rootcertbundle, jwks: files, looked at like htpasswd \
//!                                                       both -> Verifier
//! jwks: an https URL, fetched now and then             /
//! ```

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use registry_auth::token::{Keys, KeysError, Verifier, VerifierOptions};

use super::error::OpenError;
use super::jwks_url;
use crate::config::{self, Jwks};

const BUNDLE: &str = "auth.token.rootcertbundle";
const JWKS: &str = "auth.token.jwks";

/// How long fetched keys are believed before they are fetched anew.
const FETCH_INTERVAL: Duration = Duration::from_secs(600);

/// How soon a token of an unknown key may be a reason to fetch: anybody can
/// make one up.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);

/// The verifier of a configuration, without limits and without keys.
pub(super) fn verifier(token: &config::Token) -> Result<Verifier, OpenError> {
    let realm = token.realm.clone();
    let mut options = VerifierOptions::new(realm, &token.service, &token.issuer);
    options.algorithms.clone_from(&token.algorithms);
    Verifier::without_keys(options).map_err(OpenError::Verifier)
}

/// The files of keys that a configuration names.
#[derive(Debug)]
pub(crate) struct KeyFiles(Vec<KeyFile>);

#[derive(Debug)]
struct KeyFile {
    key: &'static str,
    path: PathBuf,
    add: fn(&mut Keys, &str, &[u8]) -> Result<(), KeysError>,
}

impl KeyFiles {
    pub(crate) fn of(token: &config::Token) -> Self {
        let bundle = token.root_cert_bundle.as_ref().map(|path| KeyFile {
            key: BUNDLE,
            path: path.clone(),
            add: Keys::add_certificates,
        });
        let jwks = match &token.jwks {
            Some(Jwks::File(path)) => Some(KeyFile {
                key: JWKS,
                path: path.clone(),
                add: Keys::add_jwks,
            }),
            _ => None,
        };
        Self(bundle.into_iter().chain(jwks).collect())
    }

    pub(crate) fn keys(&self) -> Result<Keys, OpenError> {
        self.parse(&self.read()?)
    }

    /// What is in each of them.
    fn read(&self) -> Result<Vec<Vec<u8>>, OpenError> {
        let files = self.0.iter();
        files
            .map(|file| {
                fs::read(&file.path).map_err(|error| OpenError::File {
                    key: file.key,
                    path: file.path.clone(),
                    error,
                    advice: "give the path of an existing file that this process may read",
                })
            })
            .collect()
    }

    fn parse(&self, contents: &[Vec<u8>]) -> Result<Keys, OpenError> {
        let mut keys = Keys::new();
        for (file, content) in self.0.iter().zip(contents) {
            (file.add)(&mut keys, &file.path.display().to_string(), content).map_err(|error| {
                OpenError::Keys {
                    key: file.key,
                    error,
                }
            })?;
        }
        Ok(keys)
    }
}

/// The keys in force: those of the files and those of the URL.
#[derive(Debug)]
struct Trusted {
    verifier: Arc<Verifier>,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    files: Keys,
    fetched: Keys,
}

impl Trusted {
    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        let mut keys = parts.files.clone();
        keys.extend(&parts.fetched);
        for warning in keys.warnings() {
            tracing::warn!("{warning}");
        }
        self.verifier.set_keys(keys);
    }
}

/// Follows what is at a URL until it is dropped.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    trusted: Arc<Trusted>,
    url: Uri,
}

/// Follows files.
#[derive(Debug)]
pub(super) struct WatchedKeys {
    trusted: Arc<Trusted>,
    files: KeyFiles,
    contents: Vec<Vec<u8>>,
    /// What is wrong with them, as it was told last.
    failure: Option<String>,
}

/// Puts the keys of a configuration in force.
pub(super) fn trust(
    token: &config::Token,
    verifier: Arc<Verifier>,
) -> Result<(WatchedKeys, Option<FetchedKeys>), OpenError> {
    let files = KeyFiles::of(token);
    let contents = files.read()?;
    let keys = files.parse(&contents)?;
    let trusted = Arc::new(Trusted {
        verifier,
        parts: Mutex::default(),
    });
    trusted.change(|parts| parts.files = keys);
    let fetched = match &token.jwks {
        Some(Jwks::Url(url)) => Some(FetchedKeys {
            trusted: Arc::clone(&trusted),
            url: url.clone(),
        }),
        _ => None,
    };
    let watched = WatchedKeys {
        trusted,
        files,
        contents,
        failure: None,
    };
    Ok((watched, fetched))
}

impl WatchedKeys {
    /// Takes over what is in the files now; what was there before stays in
    /// force while one is bad, which is told once.
    pub(super) fn look(&mut self) {
        let found = self.files.read().and_then(|contents| {
            if contents == self.contents {
                return Ok(None);
            }
            let keys = self.files.parse(&contents)?;
            Ok(Some((contents, keys)))
        });
        match found {
            Ok(Some((contents, keys))) => {
                self.failure = None;
                self.contents = contents;
                self.trusted.change(|parts| parts.files = keys);
                tracing::info!("auth.token: the new keys are in force");
            }
            Ok(None) if self.failure.take().is_some() => {
                tracing::info!("auth.token: the files of keys are usable again, unchanged");
            }
            Ok(None) => {}
            Err(error) => tell_once(&mut self.failure, error.to_string()),
        }
    }
}

impl FetchedKeys {
    /// Fetches, also at once, and never ends.
    pub(super) async fn follow(self) {
        let Self { trusted, url } = self;
        let (mut content, mut failure) = (None, None);
        loop {
            match fetch(&url).await {
                Ok((json, keys)) => {
                    if content.as_ref() != Some(&json) {
                        tracing::info!("{JWKS}: {} keys of {url} are in force", keys.len());
                        trusted.change(|parts| parts.fetched = keys);
                        content = Some(json);
                    } else if failure.is_some() {
                        tracing::info!("{JWKS}: {url} answers again, unchanged");
                    }
                    failure = None;
                }
                Err(error) => tell_once(&mut failure, error),
            }
            tokio::time::sleep(SHORTEST_INTERVAL).await;
            tokio::select! {
                () = trusted.verifier.unknown_key() => {}
                () = tokio::time::sleep(FETCH_INTERVAL - SHORTEST_INTERVAL) => {}
            }
        }
    }
}

/// The keys at a URL, as they are and as they are understood.
pub(crate) async fn fetch(url: &Uri) -> Result<(Vec<u8>, Keys), String> {
    let json = jwks_url::fetch(url).await;
    let json = json.map_err(|error| format!("{JWKS}: cannot fetch {url}: {error}"))?;
    let mut keys = Keys::new();
    keys.add_jwks(&url.to_string(), &json)
        .map_err(|error| format!("{JWKS}: {error}"))?;
    Ok((json, keys))
}

fn tell_once(last: &mut Option<String>, failure: String) {
    if last.as_ref() != Some(&failure) {
        tracing::error!("the keys read before stay in force, because of {failure}");
        *last = Some(failure);
    }
}
