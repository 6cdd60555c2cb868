//! Verification in the server: it reads everything, slowly, and tells what is
//! not whole. Mending is left to `verify --repair`.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use registry_storage::FileSystem;
use registry_storage::filesystem::verify::{
    Problem, Remedy, Verifier, VerifyOptions, VerifyReport,
};

use super::{Backend, FIRST};
use crate::config::Scrub;
use crate::logging::chain;
use crate::metrics::ScrubMetrics;

/// How many problems get a line each, and how many of their tags are in it.
const LINES: usize = 100;
const TAGS: usize = 5;

impl Backend {
    /// Verifies all that is kept, again and again; `sparse` as in
    /// [`VerifyOptions`]. Never returns, unless the configuration does not ask for
    /// it.
    pub async fn scrub(self, sparse: bool, metrics: Option<ScrubMetrics>) {
        let Some((scrub, files)) = self.scrub.zip(self.directory()) else {
            return;
        };
        tokio::time::sleep(FIRST).await;
        // A restart is no reason to begin anew.
        let last = files.verified_at().await.unwrap_or_default();
        let ago = last.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        let mut rest = ago.map_or(Duration::ZERO, |ago| scrub.interval.saturating_sub(ago));
        loop {
            tokio::time::sleep(rest).await;
            let began = Instant::now();
            let problems = verify(&files, &scrub, sparse).await;
            if let Some(metrics) = &metrics {
                metrics.ran(problems, began.elapsed());
            }
            rest = scrub.interval;
        }
    }
}

/// How many problems there are; `None` when it failed, which the log tells.
async fn verify(files: &FileSystem, scrub: &Scrub, sparse: bool) -> Option<u64> {
    let mut options = VerifyOptions::default();
    options.rate = scrub.rate;
    options.workers = NonZeroUsize::MIN;
    options.sparse = sparse;
    let stop = StopWhenDropped::default();
    let (verifier, flag) = (Verifier::new(files, options), Arc::clone(&stop.0));
    let run = tokio::task::spawn_blocking(move || {
        verifier.run(|_| match flag.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    });
    let report = match run.await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            tracing::error!(error = chain(&error), "cannot verify what is kept");
            return None;
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "cannot verify what is kept");
            return None;
        }
    };
    if let Err(error) = files.note_verified().await {
        tracing::warn!(
            error = chain(&error),
            "not noted that all was verified: it is again after the next start"
        );
    }
    Some(tell(&report))
}

/// Writes what was found into the log; how many problems there are.
fn tell(report: &VerifyReport) -> u64 {
    let open = |problem: &&Problem| problem.needs != Remedy::Nothing;
    for problem in report.problems.iter().filter(open).take(LINES) {
        let hurts: Vec<_> = problem
            .hurts
            .iter()
            .take(TAGS)
            .map(ToString::to_string)
            .collect();
        tracing::error!(
            kind = problem.kind.as_str(),
            path = %problem.path.display(),
            hurts = hurts.join(", "),
            needs = problem.needs.as_str(),
            "not whole: {}",
            problem.detail
        );
    }
    let problems = report.problems.iter().filter(open).count() as u64 + report.more_problems;
    tracing::info!(
        blobs = report.blobs,
        bytes = report.bytes,
        repositories = report.repositories,
        problems,
        "all that is kept was verified"
    );
    problems
}

#[derive(Default)]
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Config, Document, Search};

    /// The server's backend, of a tree with a blob that is not its own.
    async fn damaged(dir: &std::path::Path, more: &str) -> Backend {
        let blob = format!("docker/registry/v2/blobs/sha256/aa/{}", "a".repeat(64));
        fs::create_dir_all(dir.join(&blob)).expect("made");
        fs::write(dir.join(blob).join("data"), "flipped").expect("written");
        let file = dir.join("c.yml");
        let text = format!(
            "storage: {{filesystem: {{rootdirectory: '{}'}}, maintenance: {{scrub: {{{more}}}}}}}",
            dir.display()
        );
        fs::write(&file, text).expect("written");
        let document = Document::load(Some(&file), Search::Named, []).expect("valid");
        let config: Config = document.config().expect("valid");
        Backend::open(&config.storage).await.expect("usable")
    }

    #[tokio::test]
    async fn damage_is_counted_where_it_is_asked_for_and_left_alone() {
        for (more, expected) in [("enabled: true", 1), ("rate: 0", 0)] {
            let dir = tempfile::tempdir().expect("a directory");
            let backend = damaged(dir.path(), more).await;
            let metrics = crate::metrics::Metrics::new();
            tokio::time::pause();
            let scrub = tokio::spawn(backend.clone().scrub(false, Some(metrics.scrub().clone())));
            tokio::time::sleep(2 * FIRST).await;
            tokio::time::resume();
            let line = format!("pi_registry_scrub_problems {expected}");
            for _ in 0..500 {
                let is_noted = dir.path().join("docker/registry/v2/verified").exists();
                if expected == 0 || (is_noted && metrics.text().expect("text").contains(&line)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(metrics.text().expect("text").contains(&line));
            scrub.abort();
            let data = format!("docker/registry/v2/blobs/sha256/aa/{}/data", "a".repeat(64));
            assert_eq!(fs::read(dir.path().join(data)).expect("there"), b"flipped");
            if expected == 0 {
                continue;
            }
            // Another start soon after it.
            let again = crate::metrics::Metrics::new();
            tokio::time::pause();
            let scrub = tokio::spawn(backend.scrub(false, Some(again.scrub().clone())));
            tokio::time::sleep(2 * FIRST).await;
            tokio::time::resume();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!again.text().expect("text").contains("scrub_runs_total{"));
            scrub.abort();
        }
    }
}
