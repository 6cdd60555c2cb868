//! `verify`: whether all that a directory keeps is whole, and what mends it.
//!
//! | exit code | |
//! |---|---|
//! | 0 | all is whole, or is again |
//! | 1 | something is not: it needs a repair, a push, or a person |
//! | 2 | it could not be told: a wrong configuration or command line, a directory that is no registry's or cannot be used |

mod report;

use std::io::ErrorKind;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use registry_storage::FileSystem;
use registry_storage::filesystem::verify::{
    Phase, Progress, Verifier, VerifyError, VerifyOptions, VerifyReport,
};

use super::amounts::{count, size};
use super::progress::Shown;
use super::{complain, print};
use crate::cli::Place;
use crate::config::Document;
use crate::logging::chain;

#[derive(Args, Debug, PartialEq, Eq)]
#[command(after_help = "\
Reads all that storage.filesystem.rootdirectory keeps: hashes blobs, follows
links, looks for all that manifests need, and names the tags that each problem
hurts. Nothing is changed without --repair.

With --repair nothing is deleted: what is bad is put aside, in
docker/registry/v2/put-aside/, so that the next push of the image heals it, and
links are written again where their content is whole. What only a push can heal
is told, with what to push. Works while a registry serves the same directory;
registry:2 must be started again after a repair.

Exit code 0: all is whole, or is again. 1: something needs a repair, a push or a
person. 2: it could not be told.")]
pub(crate) struct Arguments {
    /// Configuration file, as registry:2 reads it
    /// [default: $REGISTRY_CONFIGURATION_PATH, else none].
    pub(crate) config: Option<PathBuf>,
    /// Mend what can be mended.
    #[arg(long)]
    repair: bool,
    /// Hash manifests only; of other blobs look at the size.
    #[arg(long)]
    quick: bool,
    /// Read so many bytes per second at most, as 500K, 20M or 1G; 0 or none: as
    /// fast as it goes. The default is less than half of what SD cards give, for a
    /// registry that serves from the same one.
    #[arg(long, value_name = "BYTES", value_parser = rate, default_value = "10M")]
    rate: Rate,
    /// Read with so many threads [default: one per core, at most four].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Verifies, prints what was found, and tells it by the exit code.
pub(crate) fn run(place: &Place, arguments: &Arguments) -> ExitCode {
    let found = match arguments.verify(place) {
        Ok(found) => found,
        Err(line) => {
            complain(line);
            return ExitCode::from(2);
        }
    };
    let text = match arguments.json {
        true => report::json(&found),
        false => report::text(&found),
    };
    if let Err(error) = print(&text) {
        complain(format_args!("cannot print the report: {error}"));
        return ExitCode::from(2);
    }
    match found.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

impl Arguments {
    fn verify(&self, place: &Place) -> Result<VerifyReport, String> {
        let document = Document::load(place.file.as_deref(), place.search, std::env::vars_os());
        let config = document.and_then(|document| document.config());
        let config = config.map_err(|error| error.to_string())?;
        let driver = config.storage.driver;
        let root = driver.directory().ok_or_else(|| {
            format!(
                "the configuration keeps its data by storage.{}: verify is for storage.filesystem",
                driver.name()
            )
        })?;
        let mut options = VerifyOptions::default();
        options.rate = self.rate.0;
        options.workers = self.workers.unwrap_or(options.workers);
        options.quick = self.quick;
        options.repair = self.repair;
        options.sparse = !config.validation;
        let mut shown = Shown::new(self.json);
        let found = Verifier::new(&FileSystem::new(root), options).run(|progress| {
            shown.tell(progress.blobs_done, |elapsed| line(progress, elapsed));
            ControlFlow::Continue(())
        });
        shown.clear();
        found.map_err(|error| {
            let (chain, advice) = (chain(&error), advice(&error));
            format!("nothing was verified: {chain}{advice}")
        })
    }
}

/// What the operator may do about it.
fn advice(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Unreadable { source, .. } | VerifyError::Unwritable { source, .. }
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            "; run it as root, or as the user of the registry"
        }
        VerifyError::Unreadable { .. } | VerifyError::NotARegistry { .. } => {
            "; storage.filesystem.rootdirectory is the directory that has docker/ in it"
        }
        _ => "",
    }
}

/// Bytes per second; `None` without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<NonZeroU64>);

/// Bytes, with a letter for powers of 1024.
fn rate(text: &str) -> Result<Rate, &'static str> {
    const EXPECTED: &str = "expected a number of bytes, as 500K, 20M or 1G; 0 or none: no limit";
    if text == "none" {
        return Ok(Rate(None));
    }
    let (digits, unit) = match text.strip_suffix(['K', 'k', 'M', 'm', 'G', 'g']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, ""),
    };
    let shift = match unit {
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => 0,
    };
    let number: u64 = digits.parse().map_err(|_| EXPECTED)?;
    let bytes = number.checked_mul(1 << shift).ok_or(EXPECTED)?;
    Ok(Rate(NonZeroU64::new(bytes)))
}

fn line(progress: &Progress, elapsed: Duration) -> String {
    let per_second = u128::from(progress.bytes) * 1000 / elapsed.as_millis().max(100);
    let mut line = match progress.phase {
        Phase::Blobs => format!("{:3.0} % of the blobs", progress.blobs_done * 100.0),
        _ => count(progress.repositories, "repository", "repositories"),
    };
    line += &format!(
        ", {}, {} at {}/s",
        count(progress.blobs, "blob", "blobs"),
        size(progress.bytes),
        size(u64::try_from(per_second).unwrap_or(u64::MAX))
    );
    if progress.problems > 0 {
        line += &format!(", {}", count(progress.problems, "problem", "problems"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_letters_and_zero_is_none() {
        for (text, bytes) in [
            ("1", 1),
            ("500K", 512_000),
            ("2m", 2 << 20),
            ("1G", 1 << 30),
        ] {
            assert_eq!(rate(text), Ok(Rate(NonZeroU64::new(bytes))));
        }
        for text in ["0", "0M", "none"] {
            assert_eq!(rate(text), Ok(Rate(None)), "{text}");
        }
        for text in ["", "M", "-1", "1.5M", "20MB", "99999999999999999999", "é"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
