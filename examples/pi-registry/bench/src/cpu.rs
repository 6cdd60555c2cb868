//! What a measurement took: time, and CPU time of other processes.

use std::time::Instant;

use crate::Result;

/// A measurement that has begun.
#[derive(Debug)]
pub(crate) struct Watch {
    pids: Vec<u32>,
    ticks: u64,
    began: Instant,
}

impl Watch {
    pub(crate) fn start(pids: Vec<u32>) -> Result<Self> {
        Ok(Self {
            ticks: ticks(&pids)?,
            pids,
            began: Instant::now(),
        })
    }

    /// Ends it; the answer is the line that says so.
    pub(crate) fn stop(self, amount: u64) -> Result<String> {
        let seconds = self.began.elapsed().as_secs_f64();
        let ticks = ticks(&self.pids)?.saturating_sub(self.ticks);
        let cpu = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Ok(format!("{amount} {seconds:.4} {cpu:.2}"))
    }
}

/// `utime` and `stime` of all threads of these processes, those that ended included ([proc_pid_stat(5)]).
///
/// [proc_pid_stat(5)]: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
fn ticks(pids: &[u32]) -> Result<u64> {
    let mut total = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/stat");
        let stat = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The program's name, in parentheses, may have blanks in it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let times = fields.split_ascii_whitespace().skip(11).take(2);
        for time in times {
            total += time.parse::<u64>()?;
        }
    }
    Ok(total)
}
