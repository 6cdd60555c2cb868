//! Runs of the garbage collection.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use registry_storage::collect::Report;

/// What the server's collections did. Clones share it.
#[derive(Clone, Debug)]
pub struct GcMetrics {
    runs: Family<Run, Counter>,
    bytes: Counter,
    seconds: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Run {
    result: &'static str,
}

impl GcMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let runs = Family::default();
        let help = "The number of garbage collections";
        registry.register("pi_registry_gc_runs", help, runs.clone());
        let bytes = Counter::default();
        let help = "The number of bytes that garbage collections freed";
        registry.register("pi_registry_gc_freed_bytes", help, bytes.clone());
        let seconds = Gauge::default();
        let help = "The number of seconds that the last garbage collection took";
        registry.register("pi_registry_gc_duration_seconds", help, seconds.clone());
        Self {
            runs,
            bytes,
            seconds,
        }
    }

    /// Counts a run, which failed if there is no report.
    pub(crate) fn ran(&self, report: Option<&Report>, elapsed: Duration) {
        let result = match report {
            Some(report) if report.problem_count == 0 => "success",
            Some(_) => "problems",
            None => "failure",
        };
        self.runs.get_or_create(&Run { result }).inc();
        if let Some(report) = report {
            let freed = report.blobs_removed.bytes + report.uploads_removed.bytes;
            self.bytes.inc_by(freed);
        }
        self.seconds.set(elapsed.as_secs_f64());
    }
}
