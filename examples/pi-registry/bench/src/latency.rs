//! How long each request took.

use std::time::Duration;

/// The times of many requests, in microseconds: more than an hour fits into each.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The median, what 99 of 100 stay within, and the longest: milliseconds with a blank between them. Each is the time of a
    /// request that was made, none lies between two; without requests they are 0.
    pub(crate) fn summary(mut self) -> String {
        self.0.sort_unstable();
        let within = |percent: usize| {
            let rank = (self.0.len() * percent).div_ceil(100);
            let micros = rank.checked_sub(1).map_or(0, |index| self.0[index]);
            format!("{:.2}", f64::from(micros) / 1000.0)
        };
        [50, 99, 100].map(within).join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(millis: impl IntoIterator<Item = u64>) -> String {
        let mut latencies = Latencies::default();
        for millis in millis {
            latencies.add(Duration::from_millis(millis));
        }
        latencies.summary()
    }

    #[test]
    fn the_slowest_of_a_hundred_is_not_within_the_99th() {
        assert_eq!(summary([]), "0.00 0.00 0.00");
        assert_eq!(summary([7]), "7.00 7.00 7.00");
        assert_eq!(summary([9, 1]), "1.00 9.00 9.00");
        assert_eq!(summary((1..=100).rev()), "50.00 99.00 100.00");
        assert_eq!(summary((1..=101).rev()), "51.00 100.00 101.00");
        assert_eq!(summary((1..=1000).rev()), "500.00 990.00 1000.00");
    }

    #[test]
    fn those_of_several_connections_are_one_series() {
        let mut all = Latencies::default();
        for millis in [3, 1, 2] {
            let mut one = Latencies::default();
            one.add(Duration::from_millis(millis));
            all.append(one);
        }
        assert_eq!(all.count(), 3);
        assert_eq!(all.summary(), "2.00 3.00 3.00");
        let mut endless = Latencies::default();
        endless.add(Duration::MAX);
        assert_eq!(endless.summary(), ["4294967.29"; 3].join(" "));
    }
}
