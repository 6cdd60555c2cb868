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

/// Reads the file of the argument, else of the variable; `None` when neither
/// names one.
pub(super) fn locate(
    argument: Option<&Path>,
    variables: &[(String, String)],
) -> Result<Option<Found>, ConfigError> {
    let variable = variables
        .iter()
        .find(|(name, value)| name == CONFIGURATION_PATH && !value.is_empty())
        .map(|(_, value)| Path::new(value));
    let Some(path) = argument.or(variable) else {
        return Ok(None);
    };
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(Some(Found {
        path: path.to_owned(),
        text,
    }))
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "give the path of an existing file",
        io::ErrorKind::PermissionDenied => "make it readable for the user of this process",
        io::ErrorKind::IsADirectory => "give the path of a file",
        io::ErrorKind::InvalidData => "save it as UTF-8",
        _ => "check the path",
    };
    ConfigError::at(
        path.display(),
        format_args!("cannot read the configuration: {error}: {advice}"),
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
        let found = locate(Some(&a), &variables).expect("readable");
        assert_eq!(found.expect("found").text, "from: a");
        let found = locate(None, &variables).expect("readable");
        assert_eq!(found.expect("found").path, b);
    }

    #[test]
    fn an_unreadable_file_is_one_line() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("none.yml");
        let error = locate(Some(&path), &[]).expect_err("missing").to_string();
        let expected = format!(
            "{}: cannot read the configuration: No such file or directory (os error 2): \
             give the path of an existing file",
            path.display()
        );
        assert_eq!(error, expected);
    }
}
