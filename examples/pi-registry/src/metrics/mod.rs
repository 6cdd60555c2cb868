//! Metrics for Prometheus, by the names that distribution's dashboards ask for.
//!
//! | name | labels | what |
//! |---|---|---|
//! | `registry_http_in_flight_requests` | handler | requests that have begun and not ended |
//! | `registry_http_requests_total` | handler, method, code | requests that have ended |
//! | `registry_http_request_duration_seconds` | handler, method | from the head to the end of the response's body |
//! | `registry_http_request_size_bytes` | handler | bytes of the body that were read |
//! | `registry_http_response_size_bytes` | handler | bytes of the body that were sent |
//! | `registry_storage_action_seconds` | driver, action | calls of the storage |
//! | `pi_registry_gc_runs_total` | result | garbage collections of the server: success, problems, failure |
//! | `pi_registry_gc_freed_bytes_total` | | what they freed |
//! | `pi_registry_gc_duration_seconds` | | how long the last one took |
//! | `pi_registry_scrub_runs_total` | result | verifications by the server: healthy, problems, failure |
//! | `pi_registry_scrub_problems` | | how many problems the last one found |
//! | `pi_registry_scrub_duration_seconds` | | how long it took |
//! | `process_*` | | memory, files, processor time, start |
//! | `pi_registry_build_info` | version | always 1 |
//!
//! `handler` is the kind of path, `method` in lower case, `code` the status;
//! one that was given up before there was a response has the code 499, as in
//! the access log. No label takes a value from a client: there is no name, no
//! tag, and a method that HTTP does not know is `other`.

mod garbage;
mod handler;
mod http;
mod process;
mod scrub;
mod storage;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use registry_spec::Storage;

pub use self::http::{Counted, Entry, HttpMetrics, Measured};
pub use garbage::GcMetrics;
pub use scrub::ScrubMetrics;
pub use storage::MeasuredStorage;

use storage::StorageMetrics;

/// What is measured, and its exposition.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    http: HttpMetrics,
    storage: StorageMetrics,
    gc: GcMetrics,
    scrub: ScrubMetrics,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Metrics {
    /// Nothing measured yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let http = HttpMetrics::register(&mut registry);
        let storage = StorageMetrics::register(&mut registry);
        let gc = GcMetrics::register(&mut registry);
        let scrub = ScrubMetrics::register(&mut registry);
        let build = Family::<Build, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&Build { version }).set(1);
        let help = "The version of this program";
        registry.register("pi_registry_build_info", help, build);
        registry.register_collector(Box::new(process::Process));
        Self {
            registry: Arc::new(registry),
            http,
            storage,
            gc,
            scrub,
        }
    }

    /// What measures requests.
    #[must_use]
    pub const fn http(&self) -> &HttpMetrics {
        &self.http
    }

    /// What counts garbage collections.
    #[must_use]
    pub const fn gc(&self) -> &GcMetrics {
        &self.gc
    }

    /// What counts verifications.
    #[must_use]
    pub const fn scrub(&self) -> &ScrubMetrics {
        &self.scrub
    }

    /// The storage of a driver, with its calls measured.
    #[must_use]
    pub fn storage(&self, inner: Arc<dyn Storage>, driver: &'static str) -> MeasuredStorage {
        MeasuredStorage::new(inner, driver, self.storage.clone())
    }

    /// All of it in the text format of Prometheus, version 0.0.4.
    ///
    /// # Errors
    /// Never, in practice: a string takes everything.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
