//! `storage.gcs`: Google Cloud Storage.

use std::path::PathBuf;

use super::super::error::ConfigError;
use super::super::secret::Secret;
use super::section::{Client, Section};

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gcs {
    /// `bucket`.
    pub bucket: String,
    /// `keyfile` or `credentials`.
    pub credentials: GcsCredentials,
    /// `endpoint`, our own: the URL of an emulator. Default: Google's.
    pub endpoint: Option<String>,
    /// `rootdirectory`, without slashes around it. Default: empty.
    pub root: String,
    /// `chunksize`: the length of a part of an upload in bytes. Default: 10 MiB.
    pub chunk_size: u64,
    /// How its server is spoken to.
    pub client: Client,
}

/// Who the registry is to Google.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GcsCredentials {
    /// `keyfile`: the JSON file of a service account's key.
    File(PathBuf),
    /// `credentials`: the same, as the text of such a file.
    Key(Secret),
    /// The machine's or the user's own, as the environment tells them.
    Environment,
    /// Nobody: what emulators want, and the default with an `endpoint`.
    Nobody,
}

impl Gcs {
    pub(super) fn read(section: Section<'_>) -> Result<Self, ConfigError> {
        const MIB: u64 = 1 << 20;
        const CHUNK: &str = "chunksize";
        let endpoint = section.url("endpoint", "https")?;
        let chunk_size = section.number(CHUNK, (5 * MIB, 5 << 30), "bytes")?;
        let chunk_size = chunk_size.unwrap_or(10 * MIB);
        if chunk_size % (256 * 1024) != 0 {
            return Err(section.refused(CHUNK, "a multiple of 262144 bytes"));
        }
        Ok(Self {
            bucket: section.required("bucket", "the name of a bucket")?,
            credentials: GcsCredentials::read(section, endpoint.is_some())?,
            endpoint,
            root: section.root_directory()?,
            chunk_size,
            client: Client::read(section)?,
        })
    }
}

impl GcsCredentials {
    fn read(section: Section<'_>, elsewhere: bool) -> Result<Self, ConfigError> {
        const MAP: &str = "credentials";
        let file = section.text("keyfile", "the path of a JSON file of a key")?;
        let map = section.texts(MAP)?;
        match (file, map) {
            (Some(_), Some(_)) => Err(section.refused("keyfile", "it or credentials, not both")),
            (Some(path), None) => Ok(Self::File(PathBuf::from(path))),
            (None, Some(texts)) => {
                let has = |name: &str| texts.iter().any(|(key, _)| *key == name);
                for name in ["client_email", "private_key", "private_key_id"] {
                    if !has(name) {
                        return Err(section.missing(
                            &format!("{MAP}.{name}"),
                            "all that is in the key file of a service account",
                        ));
                    }
                }
                let texts = texts
                    .into_iter()
                    .map(|(key, text)| (key.to_owned(), serde_json::Value::from(text)));
                let json = serde_json::Value::Object(texts.collect());
                Ok(Self::Key(Secret::new(json.to_string())))
            }
            (None, None) if elsewhere => Ok(Self::Nobody),
            (None, None) => Ok(Self::Environment),
        }
    }
}
