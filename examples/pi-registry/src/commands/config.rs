//! `config`: prints the configuration that results.

use std::process::ExitCode;

use super::{complain, print};
use crate::cli::Place;
use crate::config::Document;

/// Prints the configuration; 0 when a registry would start with it.
pub(crate) fn run(place: &Place) -> ExitCode {
    let document = Document::load(place.file.as_deref(), place.search, std::env::vars_os());
    let document = match document {
        Ok(document) => document,
        Err(error) => {
            complain(error);
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = print(&document.to_yaml()) {
        complain(format_args!("cannot print the configuration: {error}"));
        return ExitCode::FAILURE;
    }
    // After the print, which shows what the fault is about.
    match document.config() {
        Ok(config) => {
            for warning in config.warnings {
                complain(warning);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}
