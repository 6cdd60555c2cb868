//! The keys of one storage driver.

use std::fmt;
use std::path::PathBuf;

use super::super::error::ConfigError;
use super::super::node::Node;
#[cfg(feature = "gcs")]
use super::super::node::Value;
use super::super::read;
#[cfg(any(feature = "s3", feature = "azure"))]
use super::super::secret::Secret;

/// A driver's map of keys, by its full name.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) root: &'a Node,
    pub(super) name: &'static str,
}

impl<'a> Section<'a> {
    pub(super) fn key(self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub(super) fn text(self, name: &str, expected: &str) -> Result<Option<String>, ConfigError> {
        let text = read::text(self.root, &self.key(name), expected)?;
        Ok(text.map(|(text, _)| text.to_owned()))
    }

    /// A text without which nothing works.
    pub(super) fn required(self, name: &str, expected: &str) -> Result<String, ConfigError> {
        match self.text(name, expected)? {
            Some(text) => Ok(text),
            None => Err(self.missing(name, expected)),
        }
    }

    pub(super) fn missing(self, name: &str, expected: &str) -> ConfigError {
        let key = self.key(name);
        // The key itself may stand there, empty.
        let node = self.root.named(&key).or(self.root.named(self.name));
        ConfigError::at(
            &node.unwrap_or(self.root).source,
            format_args!("{key} is missing: expected {expected}"),
        )
    }

    #[cfg(any(feature = "s3", feature = "azure"))]
    pub(super) fn secret(self, name: &str, expected: &str) -> Result<Option<Secret>, ConfigError> {
        Ok(self.text(name, expected)?.map(Secret::new))
    }

    pub(super) fn boolean(self, name: &str, default: bool) -> Result<bool, ConfigError> {
        Ok(read::boolean(self.root, &self.key(name))?.unwrap_or(default))
    }

    /// A whole number within limits, both included.
    #[cfg(any(feature = "s3", feature = "gcs"))]
    pub(super) fn number(
        self,
        name: &str,
        (least, most): (u64, u64),
        unit: &str,
    ) -> Result<Option<u64>, ConfigError> {
        let key = self.key(name);
        let expected = format!("a whole number of {unit} from {least} to {most}");
        read::parsed(self.root, &key, &expected, |text| {
            // `parse` alone would take `+1`.
            let digits = text.bytes().all(|c| c.is_ascii_digit());
            let number: u64 = digits.then(|| text.parse().ok()).flatten()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    /// A value that is understood, but that a registry must not have.
    pub(super) fn refused(self, name: &str, expected: impl fmt::Display) -> ConfigError {
        let key = self.key(name);
        match self.root.at(&key) {
            Some(node) => ConfigError::value(&key, node, expected),
            None => ConfigError::at(&self.root.source, format_args!("{key}: {expected}")),
        }
    }

    /// Distribution's `rootdirectory`, without slashes around it.
    pub(super) fn root_directory(self) -> Result<String, ConfigError> {
        const NAME: &str = "rootdirectory";
        const EXPECTED: &str = "a path within the bucket such as /registry";
        let text = self.text(NAME, EXPECTED)?.unwrap_or_default();
        let path = text.trim_matches('/');
        let plain = |segment: &str| {
            !matches!(segment, "" | "." | "..") && !segment.contains(|c: char| c.is_control())
        };
        if path.is_empty() || path.split('/').all(plain) {
            Ok(path.to_owned())
        } else {
            Err(self.refused(NAME, EXPECTED))
        }
    }

    /// The URL of a server, without a slash at its end. Without a scheme it
    /// gets `scheme`.
    pub(super) fn url(self, name: &str, scheme: &str) -> Result<Option<String>, ConfigError> {
        let expected = "a host or URL such as minio.example:9000 or https://minio.example:9000";
        read::parsed(self.root, &self.key(name), expected, |text| {
            let url = match text.split_once("://") {
                Some(_) => text.to_owned(),
                None => format!("{scheme}://{text}"),
            };
            let uri: http::Uri = url.parse().ok()?;
            let authority = uri.authority()?;
            let good = matches!(uri.scheme_str(), Some("http" | "https"))
                && !authority.as_str().contains('@')
                && uri.query().is_none()
                && !url.contains('#');
            good.then(|| url.trim_end_matches('/').to_owned())
        })
    }

    /// The texts of a map, such as the content of a key file.
    #[cfg(feature = "gcs")]
    pub(super) fn texts(self, name: &str) -> Result<Option<Vec<(&'a str, &'a str)>>, ConfigError> {
        let key = self.key(name);
        let Some(node) = self.root.at(&key) else {
            return Ok(None);
        };
        let Value::Map(children) = &node.value else {
            return Err(ConfigError::value(&key, node, "a map of keys"));
        };
        let texts = children
            .iter()
            .filter_map(|(name, node)| match &node.value {
                Value::Scalar(text) => Some((name.as_str(), text.as_str())),
                _ => None,
            });
        Ok(Some(texts.collect()))
    }
}

/// How the store's server is spoken to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Client {
    /// `cafile`, our own: PEM certificates that are trusted beside the
    /// system's. Default: none.
    pub ca_file: Option<PathBuf>,
    /// `skipverify`: whether any certificate is taken. Default: no.
    pub skip_verify: bool,
    /// `useragent`. Default: this program's name and version.
    pub user_agent: Option<String>,
}

impl Client {
    pub(super) fn read(section: Section<'_>) -> Result<Self, ConfigError> {
        let ca_file = section.text("cafile", "the path of a file of PEM certificates")?;
        let agent = "text that fits into a header";
        let user_agent = section.text("useragent", agent)?;
        if let Some(text) = &user_agent
            && http::HeaderValue::from_str(text).is_err()
        {
            return Err(section.refused("useragent", agent));
        }
        Ok(Self {
            ca_file: ca_file.map(PathBuf::from),
            skip_verify: section.boolean("skipverify", false)?,
            user_agent,
        })
    }
}
