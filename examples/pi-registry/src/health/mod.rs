//! `health`: what must hold for the registry to answer.
//!
//! | check | holds when |
//! |---|---|
//! | `storagedriver` | the storage can be listed |
//! | `file` | the file does not exist: an operator's switch |
//! | `http` | a `HEAD` request is answered with the status; redirects are not followed |
//! | `tcp` | a connection can be opened |
//!
//! A check fails once it found as many failures in a row as its threshold
//! says, and holds again with the first success. While any fails, every path
//! is answered with 503, `/` too, so that probes and balancers turn away. The
//! log tells of each change, not of each request.

mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use registry_spec::{Body, Error, ErrorCode};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::backend::Backend;
use crate::config;
use crate::filter::Filter;
use probe::Probe;

/// How long a look at the storage or a file may take.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What the checks found. Before a service, it answers for it while any fails.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// How many fail: all that a request looks at.
    failing: AtomicUsize,
    /// By check, what is wrong.
    reasons: Vec<(String, Mutex<Option<String>>)>,
}

/// Without any check, always in good health.
impl Default for Health {
    fn default() -> Self {
        Self::of(std::iter::empty())
    }
}

/// The checks at work; they end when this is dropped.
#[derive(Debug)]
#[must_use = "checks end when this is dropped"]
pub struct Checks {
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Check {
    name: String,
    probe: Arc<Probe>,
    interval: Duration,
    timeout: Duration,
    threshold: usize,
}

impl Health {
    /// Starts the checks of a configuration, on the runtime of the caller.
    pub fn watch(health: &config::Health, backend: &Backend) -> (Self, Checks) {
        Self::start(checks(health, backend))
    }

    fn start(checks: Vec<Check>) -> (Self, Checks) {
        let health = Self::of(checks.iter().map(|check| check.name.clone()));
        let mut tasks = JoinSet::new();
        for (index, check) in checks.into_iter().enumerate() {
            tasks.spawn(watch(check, health.clone(), index));
        }
        (health, Checks { _tasks: tasks })
    }

    fn of(names: impl Iterator<Item = String>) -> Self {
        let reasons = names.map(|name| (name, Mutex::new(None)));
        Self {
            state: Arc::new(State {
                failing: AtomicUsize::new(0),
                reasons: reasons.collect(),
            }),
        }
    }

    /// The checks that fail, and why.
    #[must_use]
    pub fn failing(&self) -> BTreeMap<String, String> {
        let reasons = self.state.reasons.iter();
        reasons
            .filter_map(|(name, reason)| {
                let reason = reason.lock().unwrap_or_else(PoisonError::into_inner);
                Some((name.clone(), reason.clone()?))
            })
            .collect()
    }

    fn set(&self, index: usize, now: Option<String>) {
        let (name, reason) = &self.state.reasons[index];
        let mut reason = reason.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*reason, &now) {
            (None, Some(error)) => {
                self.state.failing.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    check = name,
                    error,
                    "unhealthy, requests are answered with 503"
                );
            }
            (Some(_), None) => {
                self.state.failing.fetch_sub(1, Ordering::Relaxed);
                tracing::info!(check = name, "healthy again");
            }
            _ => {}
        }
        *reason = now;
    }
}

impl Filter for Health {
    fn filter<B>(&self, request: Request<B>) -> ControlFlow<Response<Body>, Request<B>> {
        if self.state.failing.load(Ordering::Relaxed) == 0 {
            return ControlFlow::Continue(request);
        }
        /// The usual interval of a check.
        const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");
        let error = Error::new(ErrorCode::Unavailable, "the service is unavailable")
            .with_header(header::RETRY_AFTER, RETRY_AFTER);
        ControlFlow::Break(error.into_response())
    }
}

/// The checks by the names that distribution gives them.
fn checks(health: &config::Health, backend: &Backend) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(check) = health.storage {
        checks.push(Check {
            name: format!("storagedriver_{}", backend.driver()),
            probe: Arc::new(Probe::Storage(backend.clone())),
            interval: check.interval,
            timeout: LOCAL_TIMEOUT,
            threshold: check.threshold,
        });
    }
    for check in &health.files {
        checks.push(Check {
            name: check.path.display().to_string(),
            probe: Arc::new(Probe::File(check.path.clone())),
            interval: check.interval,
            timeout: LOCAL_TIMEOUT,
            threshold: 1,
        });
    }
    for check in &health.http {
        let uri = &check.uri;
        // Without what may be secret: a user's password, or the query.
        let port = uri
            .port_u16()
            .map_or_else(String::new, |port| format!(":{port}"));
        let host = uri.host().unwrap_or_default();
        checks.push(Check {
            name: format!("http://{host}{port}{}", uri.path()),
            probe: Arc::new(Probe::Http(Box::new(check.clone()))),
            interval: check.interval,
            timeout: check.timeout,
            threshold: check.threshold,
        });
    }
    for check in &health.tcp {
        checks.push(Check {
            name: check.addr.clone(),
            probe: Arc::new(Probe::Tcp(check.addr.clone())),
            interval: check.interval,
            timeout: check.timeout,
            threshold: check.threshold,
        });
    }
    checks
}

async fn watch(check: Check, health: Health, index: usize) {
    // An interval of nothing would panic.
    let mut ticks = interval(check.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    let mut stuck = None;
    loop {
        ticks.tick().await;
        let mut look = stuck.take().unwrap_or_else(|| {
            let probe = Arc::clone(&check.probe);
            tokio::spawn(async move { probe.run().await })
        });
        let found = match timeout(check.timeout, &mut look).await {
            Ok(Ok(found)) => found,
            Ok(Err(panicked)) => Err(panicked.to_string()),
            Err(_) => {
                if check.probe.blocks() {
                    stuck = Some(look);
                } else {
                    look.abort();
                }
                Err(format!("no answer in {:?}", check.timeout))
            }
        };
        match found {
            Ok(()) => {
                failures = 0;
                health.set(index, None);
            }
            Err(error) => {
                failures += 1;
                if failures >= check.threshold {
                    health.set(index, Some(error));
                } else {
                    tracing::debug!(check = check.name, error, failures, "check failed");
                }
            }
        }
    }
}
