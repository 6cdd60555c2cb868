//! `process_*`: what the system knows of the process, read at each scrape.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The names that every Prometheus client uses; what cannot be read is left
/// out.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resident_memory(),
        )?;
        gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            open_files(),
        )?;
        let stat = Stat::read();
        gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            stat.as_ref().and_then(Stat::start_time),
        )?;
        if let Some(stat) = stat {
            let metric = ConstCounter::new(stat.cpu);
            let help = "Total user and system CPU time spent in seconds.";
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?)?;
        }
        Ok(())
    }
}

fn resident_memory() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u32 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(f64::from(pages) * rustix::param::page_size() as f64)
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory itself.
    Some(count.saturating_sub(1) as f64)
}

/// Two lines of `/proc`, in seconds.
struct Stat {
    cpu: f64,
    /// After the machine's start.
    started: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        // The name before may hold anything, spaces and parentheses too.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // proc(5) counts from 1, and the name is the second.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: (field(14)? + field(15)?) / ticks,
            started: field(22)? / ticks,
        })
    }

    fn start_time(&self) -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        let boot: f64 = line.trim().parse().ok()?;
        Some(boot + self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let line = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1000 1 1";
        let stat = Stat::parse(line).expect("readable");
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!((stat.cpu * ticks).round(), 200.0);
        assert_eq!((stat.started * ticks).round(), 1000.0);
        assert!(Stat::parse("nonsense").is_none());
    }
}
