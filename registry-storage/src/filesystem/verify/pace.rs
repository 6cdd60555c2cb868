//! How fast is read.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lets any number of threads read so many bytes per second together.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<NonZeroU64>,
    /// When the next bytes may be read.
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rate: Option<NonZeroU64>) -> Self {
        Self {
            rate,
            next: Mutex::new(Instant::now()),
        }
    }

    /// How much of a buffer to fill at once, so that no pause is longer than
    /// about a second per reader.
    pub(super) fn at_most(&self, len: usize) -> usize {
        match self.rate {
            Some(rate) => usize::try_from(rate.get()).map_or(len, |rate| rate.min(len)),
            None => len,
        }
    }

    /// Waits until so many bytes may be read.
    pub(super) fn wait_for(&self, bytes: usize) {
        let pause = self.take(bytes, Instant::now());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }

    /// What is not used while nobody reads is not saved up.
    fn take(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*next).max(now);
        *next = begin + Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        begin - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_together_get_the_rate_and_no_more() {
        let pace = Pace::new(NonZeroU64::new(1000));
        let now = Instant::now() + Duration::from_secs(1);
        assert_eq!(pace.at_most(4096), 1000);
        assert_eq!(pace.take(500, now), Duration::ZERO);
        assert_eq!(pace.take(1000, now), Duration::from_millis(500));
        assert_eq!(pace.take(1, now), Duration::from_millis(1500));
        // A rest of ten seconds saves nothing up.
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.take(1000, later), Duration::ZERO);
        assert_eq!(pace.take(1000, later), Duration::from_secs(1));

        let pace = Pace::new(None);
        assert_eq!(pace.at_most(4096), 4096);
        assert_eq!(pace.take(usize::MAX, now), Duration::ZERO);
    }
}
