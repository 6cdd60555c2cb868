//! How far it is: a line that is drawn again on a terminal, now and then a line
//! elsewhere.

use std::io::{self, IsTerminal as _, Stderr, Write as _};
use std::time::{Duration, Instant};

/// How long a log hears nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// The characters of the bar.
const WIDTH: usize = 20;

#[derive(Debug)]
pub(crate) struct Shown {
    stderr: Stderr,
    way: Way,
    began: Instant,
    told: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Bar,
    Lines,
    /// Who reads JSON waits for the end.
    Nothing,
}

impl Shown {
    pub(crate) fn new(for_program: bool) -> Self {
        let stderr = io::stderr();
        let way = match (stderr.is_terminal(), for_program) {
            (true, _) => Way::Bar,
            (false, false) => Way::Lines,
            (false, true) => Way::Nothing,
        };
        let now = Instant::now();
        Self {
            stderr,
            way,
            began: now,
            told: now,
        }
    }

    /// Which part is done, from 0 to 1, and a line about it, which is made
    /// with the time that it took.
    pub(crate) fn tell(&mut self, done: f64, line: impl FnOnce(Duration) -> String) {
        let elapsed = self.began.elapsed();
        let written = match self.way {
            // Back to the beginning of the line, and what was there away.
            Way::Bar => write!(self.stderr, "\r\x1b[K{} {}", bar(done), line(elapsed))
                .and_then(|()| self.stderr.flush()),
            Way::Lines if self.told.elapsed() >= SILENCE => {
                self.told = Instant::now();
                writeln!(self.stderr, "pi-registry: {}", line(elapsed))
            }
            Way::Lines | Way::Nothing => Ok(()),
        };
        if written.is_err() {
            self.way = Way::Nothing;
        }
    }

    /// Makes room for the report.
    pub(crate) fn clear(&mut self) {
        if self.way == Way::Bar {
            let _ = write!(self.stderr, "\r\x1b[K");
        }
    }
}

fn bar(done: f64) -> String {
    let full = (1..=WIDTH)
        .filter(|&step| step as f64 <= done * WIDTH as f64)
        .count();
    format!("[{}{}]", "#".repeat(full), " ".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_long_as_what_is_done() {
        for (done, expected) in [
            (0.0, "[                    ]"),
            (0.5, "[##########          ]"),
            (1.0, "[####################]"),
            (f64::NAN, "[                    ]"),
            (7.0, "[####################]"),
        ] {
            assert_eq!(bar(done), expected);
        }
    }
}
