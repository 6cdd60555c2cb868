//! What was removed, for people and for programs, as it happens: nothing is kept
//! in memory, however much it is.

use std::io::{self, BufWriter, Stdout, Write as _};

use registry_storage::collect::{Consequence, Counted, Event, Item, Problem, Reason, Report};
use serde_json::{Value, json};

use super::super::amounts::{count, size};
use super::super::complain;
use super::super::progress::Shown;
use crate::logging::chain;

/// What is printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A line for each thing, and the sum.
    Lines,
    Sum,
    /// One object.
    Json,
}

#[derive(Debug)]
pub(super) struct Output {
    way: Way,
    dry_run: bool,
    shown: Shown,
    out: BufWriter<Stdout>,
    items: u64,
    failed: Option<io::Error>,
}

impl Output {
    pub(super) fn new(way: Way, dry_run: bool) -> Self {
        Self {
            way,
            dry_run,
            shown: Shown::new(way != Way::Lines),
            out: BufWriter::new(io::stdout()),
            items: 0,
            failed: None,
        }
    }

    pub(super) fn tell(&mut self, event: &Event<'_>) {
        match *event {
            Event::Repository { done, total, .. } => {
                let line = |_| format!("{done} of {}", count(total, "repository", "repositories"));
                self.shown.tell(0.5 * part(done, total), line);
                self.flush();
            }
            Event::Blobs { done, total } => {
                let line = |_| format!("{:.0} % of the blobs", 100.0 * part(done, total));
                self.shown.tell(0.5 + 0.5 * part(done, total), line);
                self.flush();
            }
            Event::Removed {
                item,
                reason,
                bytes,
            } => self.removed(item, reason, bytes),
            Event::Problem(problem) => {
                self.clear();
                complain(line_of(problem));
            }
            // Only the number is of interest.
            _ => {}
        }
    }

    /// Makes room for lines of others.
    pub(super) fn clear(&mut self) {
        self.shown.clear();
    }

    fn removed(&mut self, item: Item<'_>, reason: Reason, bytes: u64) {
        let text = match self.way {
            Way::Sum => return,
            Way::Lines => {
                let done = if self.dry_run {
                    "would remove"
                } else {
                    "removed"
                };
                let size = match item {
                    Item::Blob { .. } => format!(" ({})", size(bytes)),
                    _ => String::new(),
                };
                format!("{done} {}{size}: {}\n", name(item), why(reason))
            }
            Way::Json => {
                let start = if self.items == 0 { OPEN } else { ",\n" };
                format!("{start}{}", object(item, reason, bytes))
            }
        };
        self.items += 1;
        self.clear();
        self.print(&text);
    }

    /// Prints the sum.
    pub(super) fn end(&mut self, report: &Report) -> io::Result<()> {
        let text = match self.way {
            Way::Lines | Way::Sum => sum(report),
            Way::Json => {
                let start = if self.items == 0 { OPEN } else { "" };
                let rest = rest(report).to_string();
                format!("{start}],{}\n", rest.trim_start_matches('{'))
            }
        };
        self.print(&text);
        self.flush();
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Ends it without a sum; whether something had been told of.
    pub(super) fn fail(&mut self, error: &str) -> io::Result<bool> {
        if self.way == Way::Json {
            let start = if self.items == 0 { OPEN } else { "" };
            self.print(&format!("{start}],\"error\":{}}}\n", Value::from(error)));
        }
        self.flush();
        self.failed.take().map_or(Ok(self.items > 0), Err)
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.flush().err();
        }
    }

    /// A collection goes on when nobody reads.
    fn print(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text.as_bytes()).err();
        }
    }
}

const OPEN: &str = "{\"removed\":[";

fn part(done: u64, total: u64) -> f64 {
    done as f64 / total.max(1) as f64
}

fn name(item: Item<'_>) -> String {
    match item {
        Item::Manifest { repository, digest } => format!("manifest {repository}@{digest}"),
        Item::Layer { repository, digest } => format!("layer link {repository}@{digest}"),
        Item::Blob { digest } => format!("blob {digest}"),
        Item::Repository(name) => format!("repository {name}"),
        _ => "something".to_owned(),
    }
}

const fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Untagged => "no tag reaches it",
        Reason::Unused => "no manifest of the repository uses it",
        Reason::Unlinked => "no repository has it",
        Reason::Empty => "nothing is in it",
        _ => "it is not needed",
    }
}

fn object(item: Item<'_>, reason: Reason, bytes: u64) -> Value {
    let (kind, repository, digest) = match item {
        Item::Manifest { repository, digest } => ("manifest", Some(repository), Some(digest)),
        Item::Layer { repository, digest } => ("layer", Some(repository), Some(digest)),
        Item::Blob { digest } => ("blob", None, Some(digest)),
        Item::Repository(repository) => ("repository", Some(repository), None),
        _ => ("other", None, None),
    };
    json!({
        "kind": kind,
        "repository": repository.map(|name| name.as_str()),
        "digest": digest.map(|digest| digest.to_string()),
        "why": why(reason),
        "bytes": bytes,
    })
}

const fn kept(consequence: Consequence) -> &'static str {
    match consequence {
        Consequence::RepositoryKept => "nothing that the repository may need was removed",
        Consequence::BlobsKept => "no blob was removed",
        _ => "it was kept",
    }
}

fn line_of(problem: &Problem) -> String {
    let repository = problem.repository.as_ref();
    let repository = repository.map_or(String::new(), |name| format!("{name}: "));
    let (error, kept) = (chain(&problem.error), kept(problem.consequence));
    format!("{repository}{error}: {kept}")
}

fn sum(report: &Report) -> String {
    let removed = [
        count(report.manifests_removed, "manifest", "manifests"),
        count(report.layers_removed, "layer link", "layer links"),
        with_size(report.blobs_removed, "blob", "blobs"),
        with_size(report.uploads_removed, "upload", "uploads"),
        count(report.repositories_removed, "repository", "repositories"),
    ];
    let done = match report.dry_run {
        true => "would be removed",
        false => "removed",
    };
    let mut line = format!("{done}: {}", removed.join(", "));
    line += &format!(
        "; of {} and {}",
        count(report.repositories, "repository", "repositories"),
        count(report.blobs, "blob", "blobs")
    );
    if report.young > 0 {
        line += &format!("; {} younger than the grace period", report.young);
    }
    if report.problem_count > 0 {
        line += &format!("; {}", count(report.problem_count, "problem", "problems"));
    }
    line + "\n"
}

fn with_size(counted: Counted, one: &str, many: &str) -> String {
    let number = count(counted.count, one, many);
    match counted.count {
        0 => number,
        _ => format!("{number} ({})", size(counted.bytes)),
    }
}

/// All but what is removed.
fn rest(report: &Report) -> Value {
    let problem = |problem: &Problem| {
        json!({
            "repository": problem.repository.as_ref().map(|name| name.as_str()),
            "error": chain(&problem.error),
            "kept": kept(problem.consequence),
        })
    };
    json!({
        "dry_run": report.dry_run,
        "repositories": report.repositories,
        "blobs": report.blobs,
        "manifests_removed": report.manifests_removed,
        "layers_removed": report.layers_removed,
        "blobs_removed": report.blobs_removed.count,
        "bytes_freed": report.blobs_removed.bytes + report.uploads_removed.bytes,
        "uploads_removed": report.uploads_removed.count,
        "repositories_removed": report.repositories_removed,
        "put_back": report.put_back,
        "young": report.young,
        "problem_count": report.problem_count,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
