//! Which file holds the configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::env::CONFIGURATION_PATH;
use super::error::ConfigError;

/// A configuration file's place and text.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Where distribution's images have their file, 3.x before 2.x.
const WELL_KNOWN: &[&str] = &[
    "/etc/distribution/config.yml",
    "/etc/docker/registry/config.yml",
];

/// Which files are looked for when none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Search {
    /// None: the built-in defaults apply. For a start without any words, which
    /// must not depend on what a package of distribution left in `/etc`.
    Named,
    /// `/etc/distribution/config.yml`, else `/etc/docker/registry/config.yml`:
    /// for a start in distribution's place.
    WellKnown,
}

impl Search {
    pub(super) fn places(self) -> &'static [&'static str] {
        match self {
            Self::Named => &[],
            Self::WellKnown => WELL_KNOWN,
        }
    }
}

/// Reads the file of the argument, else of the variable, else the first of
/// `places` that exists; `None` when there is none of them.
pub(super) fn locate(
    argument: Option<&Path>,
    places: &[&str],
    variables: &[(String, String)],
) -> Result<Option<Found>, ConfigError> {
    let variable = variables
        .iter()
        .find(|(name, value)| name == CONFIGURATION_PATH && !value.is_empty())
        .map(|(_, value)| Path::new(value));
    let Some(path) = argument.or(variable) else {
        for path in places.iter().map(Path::new) {
            match fs::read_to_string(path) {
                Ok(text) => {
                    let path = path.to_owned();
                    return Ok(Some(Found { path, text }));
                }
                // Also where the directory is no directory.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(unreadable("configuration", path, &error)),
            }
        }
        return Ok(None);
    };
    let text =
        fs::read_to_string(path).map_err(|error| unreadable("configuration", path, &error))?;
    Ok(Some(Found {
        path: path.to_owned(),
        text,
    }))
}

pub(super) fn unreadable(what: &str, path: &Path, error: &io::Error) -> ConfigError {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "give the path of an existing file",
        io::ErrorKind::PermissionDenied => "make it readable for the user of this process",
        io::ErrorKind::IsADirectory => "give the path of a file",
        io::ErrorKind::InvalidData => "save it as UTF-8",
        _ => "check the path",
    };
    ConfigError::at(
        path.display(),
        format_args!("cannot read the {what}: {error}: {advice}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_wins_over_the_variable() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (a, b) = (dir.path().join("a.yml"), dir.path().join("b.yml"));
        fs::write(&a, "from: a").expect("written");
        fs::write(&b, "from: b").expect("written");
        let variables = [(CONFIGURATION_PATH.to_owned(), b.display().to_string())];
        let found = locate(Some(&a), &[], &variables).expect("readable");
        assert_eq!(found.expect("found").text, "from: a");
        let found = locate(None, &["/none"], &variables).expect("readable");
        assert_eq!(found.expect("found").path, b);
    }

    #[test]
    fn the_first_place_that_exists_is_read() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (a, b) = (path("a.yml"), path("b.yml"));
        let places = [a.as_str(), b.as_str()];
        assert!(locate(None, &places, &[]).expect("no fault").is_none());
        fs::write(&b, "from: b").expect("written");
        let found = locate(None, &places, &[]).expect("readable");
        assert_eq!(found.expect("found").path, Path::new(&b));
        fs::write(&a, "from: a").expect("written");
        let found = locate(None, &places, &[]).expect("readable");
        assert_eq!(found.expect("found").text, "from: a");
        // One that is there but cannot be read is not passed over.
        fs::write(&a, [0xff]).expect("written");
        let error = locate(None, &places, &[]).expect_err("no text").to_string();
        assert!(
            error.starts_with(&a) && error.ends_with("save it as UTF-8"),
            "{error}"
        );
        assert_eq!(Search::Named.places().len(), 0);
    }

    #[test]
    fn an_unreadable_file_is_one_line() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("none.yml");
        let error = locate(Some(&path), &[], &[])
            .expect_err("missing")
            .to_string();
        let expected = format!(
            "{}: cannot read the configuration: No such file or directory (os error 2): \
             give the path of an existing file",
            path.display()
        );
        assert_eq!(error, expected);
    }
}
