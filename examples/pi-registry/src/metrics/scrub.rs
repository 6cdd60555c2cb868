//! Verifications by the server.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the server's verifications found. Clones share it.
#[derive(Clone, Debug)]
pub struct ScrubMetrics {
    runs: Family<Run, Counter>,
    problems: Gauge<u64, AtomicU64>,
    seconds: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Run {
    result: &'static str,
}

impl ScrubMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let runs = Family::default();
        let help = "The number of verifications of all that is kept";
        registry.register("pi_registry_scrub_runs", help, runs.clone());
        let problems = Gauge::default();
        let help = "The number of problems that the last verification found";
        registry.register("pi_registry_scrub_problems", help, problems.clone());
        let seconds = Gauge::default();
        let help = "The number of seconds that the last verification took";
        registry.register("pi_registry_scrub_duration_seconds", help, seconds.clone());
        Self {
            runs,
            problems,
            seconds,
        }
    }

    /// Counts a run that found so many problems; `None` for one that failed.
    pub(crate) fn ran(&self, problems: Option<u64>, elapsed: Duration) {
        let result = match problems {
            Some(0) => "healthy",
            Some(_) => "problems",
            None => "failure",
        };
        self.runs.get_or_create(&Run { result }).inc();
        if let Some(problems) = problems {
            self.problems.set(problems);
        }
        self.seconds.set(elapsed.as_secs_f64());
    }
}
