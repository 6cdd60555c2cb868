//! `garbage-collect`: removes what nothing needs, beside a running registry.
//!
//! | exit code | |
//! |---|---|
//! | 0 | collected |
//! | 1 | not, or something was kept since it could not be read |
//! | 2 | a wrong command line |

mod output;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use registry_storage::collect::CollectOptions;

use super::complain;
use crate::backend;
use crate::cli::Place;
use crate::config::{Document, parse_duration};
use output::{Output, Way};

/// distribution's arguments; `-m` and `--delete-untagged=true` are the same.
#[derive(Args, Debug, PartialEq, Eq)]
#[command(after_help = "\
Removes the blobs that no image uses any more, links that nothing needs, upload
sessions that are a week old, and empty repositories. With --delete-untagged also
the manifests that no tag reaches, that no index names which lives, and that do
not refer to an image which lives, as signatures do.

The registry may go on serving, pulls and pushes too; so may other collections.
Only a push that relies on a blob for longer than --grace without a sign is told
that the blob is gone. Several machines on one network file system must see each
other's changes at once (NFS: mounted with noac). A bucket may be collected from anywhere, if its store can write on a
condition, as S3, MinIO, Azure and Google do. registry:2 must not be running: it takes no part in this.

Where something cannot be read, all that it may need is kept, and the exit code
is 1; `pi-registry verify` tells more.")]
pub(crate) struct Arguments {
    /// Configuration file, as registry:2 reads it
    /// [default: $REGISTRY_CONFIGURATION_PATH, else none].
    pub(crate) config: Option<PathBuf>,
    /// Only tell what would be removed.
    #[arg(short, long, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new())]
    dry_run: Option<bool>,
    /// Remove manifests that no tag reaches
    /// [default: storage.maintenance.gc.deleteuntagged, else no].
    #[arg(short = 'm', long, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new())]
    delete_untagged: Option<bool>,
    /// Print the sum only.
    #[arg(short, long, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new())]
    quiet: Option<bool>,
    /// How long ago the last push of what goes must be, or of a layer the last
    /// question for it, too, as 24h or 90m. With less than half an hour, pushes
    /// under way may be refused [default: storage.maintenance.gc.grace, else 24h].
    #[arg(long, value_name = "DURATION", value_parser = grace)]
    grace: Option<Duration>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

fn grace(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("expected a duration, as 24h or 90m")
}

/// Collects garbage, and tells what was removed.
pub(crate) fn run(place: &Place, arguments: &Arguments) -> ExitCode {
    match arguments.collect(place) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(line) => {
            complain(line);
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    /// Whether nothing went wrong.
    fn collect(&self, place: &Place) -> Result<bool, String> {
        let document = Document::load(place.file.as_deref(), place.search, std::env::vars_os());
        let config = document.and_then(|document| document.config());
        let storage = config.map_err(|error| error.to_string())?.storage;
        let mut options = CollectOptions::default();
        options.grace = self.grace.unwrap_or(storage.gc.grace);
        options.delete_untagged = self.delete_untagged.unwrap_or(storage.gc.delete_untagged);
        options.dry_run = self.dry_run.unwrap_or(false);
        options.stale_uploads = storage.purge.filter(|purge| !purge.dry_run).map(|p| p.age);
        let way = match (self.json, self.quiet.unwrap_or(false)) {
            (true, _) => Way::Json,
            (false, true) => Way::Sum,
            (false, false) => Way::Lines,
        };
        let output = Arc::new(Mutex::new(Output::new(way, options.dry_run)));
        let listener = {
            let output = Arc::clone(&output);
            move |event: registry_storage::collect::Event<'_>| {
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                output.tell(&event);
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start: {error}"))?;
        let collected = backend::collect(&storage.driver, options, listener);
        let collected = runtime.block_on(collected);
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.clear();
        let unprinted = |error| format!("cannot print the report: {error}");
        match collected {
            Ok(report) => {
                output.end(&report).map_err(unprinted)?;
                Ok(report.problem_count == 0)
            }
            Err(error) => {
                let was_begun = output.fail(&error).map_err(unprinted)?;
                Err(match was_begun {
                    true => format!("stopped in the middle: {error}"),
                    false => format!("nothing was removed: {error}"),
                })
            }
        }
    }
}
