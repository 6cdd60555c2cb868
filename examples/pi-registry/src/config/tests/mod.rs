//! The whole way from file and variables to values, and every error's text.

mod auth;
mod faults;
#[cfg(all(feature = "s3", feature = "azure", feature = "gcs"))]
mod object_stores;
mod tags;
mod values;
mod warnings;

use std::ffi::OsString;
use std::fs;

use super::Config;

/// Loads `text` from a file that is called `c.yml` in messages.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("c.yml");
    fs::write(&path, text).expect("written");
    let environment = variables
        .iter()
        .map(|&(name, value)| (OsString::from(name), OsString::from(value)));
    let short = |line: String| line.replace(path.to_str().expect("UTF-8"), "c.yml");
    let mut config = Config::load(Some(&path), environment).map_err(|e| short(e.to_string()))?;
    config.warnings = config.warnings.into_iter().map(short).collect();
    Ok(config)
}
