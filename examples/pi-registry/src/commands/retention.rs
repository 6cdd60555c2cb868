//! `retention`: removes the tags that no rule keeps, or tells of them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use registry_storage::retention::{Decision, Event, Pulls, Summary, Verdict};
use serde_json::json;

use super::{complain, exit_code};
use crate::backend::Backend;
use crate::config::{Config, Document, Search, TagRules};
use crate::logging::chain;

#[derive(Args, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Configuration file [default: the one that `serve` takes].
    config: Option<PathBuf>,
    /// Only tell what would be removed.
    #[arg(short, long)]
    dry_run: bool,
    /// Print a line of JSON for each tag, and one for all.
    #[arg(long)]
    json: bool,
}

/// Applies the rules once; 1 when something could not be read or removed.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    exit_code(arguments.run())
}

impl Arguments {
    fn run(&self) -> Result<(), String> {
        let (file, search) = (self.config.as_deref(), Search::WellKnown);
        let document = Document::load(file, search, std::env::vars_os());
        let config = document.and_then(|document| document.config());
        let config = config.map_err(|error| error.to_string())?;
        self.look(&config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start: {error}"))?;
        runtime.block_on(async {
            let backend = Backend::open(&config.storage).await;
            let backend = backend.map_err(|error| error.to_string())?;
            self.apply(&backend, &config.tags, &mut io::stdout()).await
        })
    }

    /// What must hold before anything is removed.
    fn look(&self, config: &Config) -> Result<(), String> {
        if config.tags.retention.is_empty() {
            complain("there are no tags.retention.rules: every tag is kept");
        }
        if config.storage.read_only && !self.dry_run {
            return Err(
                "storage.maintenance.readonly.enabled is true: nothing is removed: use --dry-run, \
                 or switch it off"
                    .to_owned(),
            );
        }
        // Not to be made for the occasion: the path may be a slip.
        match config.storage.driver.directory() {
            Some(root) if !root.is_dir() => Err(format!(
                "storage.filesystem.rootdirectory is {root:?}, which is no directory: give that of \
                 the registry"
            )),
            _ => Ok(()),
        }
    }

    async fn apply(
        &self,
        backend: &Backend,
        tags: &TagRules,
        out: &mut (impl Write + Send),
    ) -> Result<(), String> {
        let mut unwritten = None;
        let tell = |event: Event<'_>| match event {
            Event::Decided(decision) => {
                let line = match self.json {
                    true => self.as_json(decision),
                    false => self.as_text(decision),
                };
                if let Err(error) = writeln!(out, "{line}") {
                    unwritten.get_or_insert(error);
                }
            }
            Event::Failed {
                repository, error, ..
            } => complain(format_args!(
                "{repository}: what is left of its tags is kept: {}",
                chain(error)
            )),
            _ => {}
        };
        let now = SystemTime::now();
        let (storage, files) = (backend.storage(), backend.directory());
        let pulls = files.as_ref().map(|files| files as &dyn Pulls);
        let run = tags
            .retention
            .run(&*storage, pulls, &tags.immutable, now, self.dry_run, tell);
        let summary = run
            .await
            .map_err(|error| format!("the repositories cannot be listed: {}", chain(&error)))?;
        let written = match unwritten {
            Some(error) => Err(error),
            None => writeln!(out, "{}", self.end(&summary)).and_then(|()| out.flush()),
        };
        written.map_err(|error| format!("cannot print: {error}"))?;
        match summary.failed {
            0 => Ok(()),
            failed => Err(format!("{failed} repositories could not be dealt with")),
        }
    }

    fn removed(&self) -> &'static str {
        match self.dry_run {
            true => "would go",
            false => "removed",
        }
    }

    fn as_text(&self, decision: &Decision) -> String {
        let Decision {
            repository, tag, ..
        } = decision;
        let times = [
            ("pushed", decision.pushed_at),
            ("pulled", decision.pulled_at),
        ];
        let times: String = times
            .iter()
            .filter_map(|(what, at)| Some((what, humantime::format_rfc3339_seconds((*at)?))))
            .map(|(what, at)| format!(", {what} {at}"))
            .collect();
        match &decision.verdict {
            Verdict::Kept { why, place, .. } => {
                let place = place
                    .as_ref()
                    .map_or(String::new(), |at| format!(" ({at})"));
                format!("{:<9}{repository}:{tag}  {why}{place}{times}", "kept")
            }
            _ => format!(
                "{:<9}{repository}:{tag}  no rule keeps it{times}",
                self.removed()
            ),
        }
    }

    fn as_json(&self, decision: &Decision) -> String {
        let (why, place) = match &decision.verdict {
            Verdict::Kept { why, place, .. } => (Some(why.as_str()), place.as_deref()),
            _ => (None, None),
        };
        let told =
            |at: Option<SystemTime>| at.map(|at| humantime::format_rfc3339_seconds(at).to_string());
        json!({
            "repository": decision.repository,
            "tag": decision.tag,
            "kept": why.is_some(),
            "why": why,
            "rule": place,
            "pushedat": told(decision.pushed_at),
            "pulledat": told(decision.pulled_at),
        })
        .to_string()
    }

    fn end(&self, summary: &Summary) -> String {
        let Summary {
            kept,
            removed,
            failed,
            ..
        } = summary;
        match self.json {
            true => json!({
                "kept": kept, "removed": removed, "failed": failed, "dryrun": self.dry_run
            })
            .to_string(),
            false => format!(
                "{kept} tags kept, {removed} {}",
                match self.dry_run {
                    true => "would be removed",
                    false => "removed",
                }
            ),
        }
    }
}
