//! What the log tells of the registry's own failures. Clients are told nothing
//! but that there was one.
//!
//! While the storage is away, all requests fail for one reason. It is told
//! once and then from minute to minute, with the number of requests. From then
//! on somebody looks now and then, so that the end is told too, whether or not
//! a request comes.

use std::error::Error;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use registry_spec::storage::StorageError;
use registry_spec::{Event, Failure, Observer, Storage};
use tokio::runtime::Handle;

#[cfg(feature = "object-store")]
use crate::backend::Place;
use crate::config::Driver;
use crate::logging::chain;

/// The time between two lines about one outage.
const AGAIN: Duration = Duration::from_secs(60);

/// How long nothing must have failed for an outage to be over, and the time
/// between two looks: some requests may succeed in the middle of it.
const QUIET: Duration = Duration::from_secs(5);

/// Writes failures into the log.
#[derive(Debug)]
pub(crate) struct LogFailures {
    #[cfg(feature = "object-store")]
    place: Option<Place>,
    storage: Arc<dyn Storage>,
    outage: Arc<Mutex<Option<Outage>>>,
}

/// A time in which the storage is away.
#[derive(Clone, Copy, Debug)]
struct Outage {
    began: Instant,
    last: Instant,
    told: Instant,
    requests: u64,
}

impl LogFailures {
    /// Of the requests to a storage, which is also asked whether it is back.
    pub(crate) fn new(driver: &Driver, storage: Arc<dyn Storage>) -> Self {
        #[cfg(not(feature = "object-store"))]
        let _ = driver;
        Self {
            #[cfg(feature = "object-store")]
            place: match driver {
                Driver::FileSystem(_) => None,
                Driver::ObjectStore(store) => Some(Place::of(store)),
            },
            storage,
            outage: Arc::default(),
        }
    }

    /// Counts a failed request, and says how many have failed by now, if that
    /// is worth a line.
    fn failed(&self, now: Instant) -> Option<u64> {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(outage) = &mut *outage else {
            *outage = Some(Outage {
                began: now,
                last: now,
                told: now,
                requests: 1,
            });
            return Some(1);
        };
        outage.requests += 1;
        outage.last = now;
        (now.duration_since(outage.told) >= AGAIN).then(|| {
            outage.told = now;
            outage.requests
        })
    }

    /// Looks from time to time until the storage is back, and tells of it.
    fn wait_for_the_end(&self) {
        // Without a runtime there are no requests.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (storage, outage) = (Arc::clone(&self.storage), Arc::clone(&self.outage));
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(QUIET).await;
                if storage.list_repositories(None, 1).await.is_err() {
                    continue;
                }
                let now = Instant::now();
                if let Some(outage) = end(&outage, now) {
                    tracing::info!(
                        requests = outage.requests,
                        seconds = now.duration_since(outage.began).as_secs(),
                        "the storage works again, requests had failed"
                    );
                    return;
                }
            }
        });
    }

    fn reason(&self, error: &StorageError) -> String {
        #[cfg(feature = "object-store")]
        if let Some(place) = &self.place {
            return place.explain(error);
        }
        chain(error)
    }
}

/// Ends an outage in which nothing has failed for a while.
fn end(outage: &Mutex<Option<Outage>>, now: Instant) -> Option<Outage> {
    let mut outage = outage.lock().unwrap_or_else(PoisonError::into_inner);
    let over = outage.is_some_and(|outage| now.duration_since(outage.last) >= QUIET);
    if over { outage.take() } else { None }
}

impl Observer for LogFailures {
    fn event(&self, event: &Event<'_>) {
        tracing::debug!(repository = %event.repository, kind = ?event.kind, "done");
    }

    fn failure(&self, failure: &Failure<'_>) {
        match unavailable(failure.cause) {
            Some(error) => {
                tracing::debug!(
                    method = %failure.method,
                    path = failure.path,
                    error = chain(error),
                    "request failed"
                );
                let Some(requests) = self.failed(Instant::now()) else {
                    return;
                };
                tracing::error!(
                    requests,
                    error = self.reason(error),
                    "the storage is away, requests are answered with 503"
                );
                if requests == 1 {
                    self.wait_for_the_end();
                }
            }
            None => tracing::error!(
                method = %failure.method,
                path = failure.path,
                error = chain(failure.cause),
                "request failed"
            ),
        }
    }
}

/// The error that says that the storage is away.
fn unavailable<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a StorageError> {
    iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<StorageError>())
        .find(|error| matches!(error, StorageError::Unavailable { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> LogFailures {
        let storage = Arc::new(registry_spec::storage::MemoryStorage::new());
        LogFailures::new(&Driver::FileSystem("/x".into()), storage)
    }

    #[test]
    fn an_outage_is_told_once_and_then_by_the_minute() {
        let (log, start) = (log(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(log.failed(at(0)), Some(1));
        assert_eq!(log.failed(at(1)), None);
        assert_eq!(log.failed(at(59)), None);
        assert_eq!(log.failed(at(60)), Some(4));
        assert_eq!(log.failed(at(61)), None);
    }

    #[test]
    fn an_outage_ends_with_a_success_after_some_quiet() {
        let (log, start) = (log(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(end(&log.outage, at(0)).is_none(), "none began");
        log.failed(at(1));
        assert!(end(&log.outage, at(2)).is_none(), "perhaps in the middle");
        log.failed(at(3));
        let outage = end(&log.outage, at(9)).expect("over");
        assert_eq!(outage.requests, 2);
        assert!(end(&log.outage, at(10)).is_none(), "told already");
        assert_eq!(log.failed(at(11)), Some(1), "another");
    }

    #[test]
    fn what_says_that_the_storage_is_away_is_found_below_other_errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] StorageError);
        let away = StorageError::Unavailable {
            backend: "x",
            source: "y".into(),
        };
        assert!(unavailable(&Outer(away)).is_some());
        let broken = StorageError::Backend {
            backend: "x",
            source: "y".into(),
        };
        assert!(unavailable(&Outer(broken)).is_none());
    }
}
