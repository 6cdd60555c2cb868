//! The thread that writes the lines.
//!
//! A pipe that nobody empties blocks its writer. So requests only put their
//! line into a bounded queue; when that is full, lines are dropped and counted
//! rather than requests held up.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// How long to wait after a write that failed.
const RETRY: Duration = Duration::from_millis(100);

/// Lines that wait for the writer: a burst, in at most a few MiB.
const QUEUE: usize = 1024;

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

/// Where finished lines go. Clones share one writer.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Sink {
    /// Starts the writer, which lives as long as its sinks.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(output, &lines, &counter))?;
        Ok(Self { queue, dropped })
    }

    /// Never blocks.
    pub(super) fn line(&self, line: String) {
        if self.queue.try_send(Message::Line(line)).is_err()
            && self.dropped.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!("access log lines are being dropped: standard output is blocked");
        }
    }

    /// Waits until what was queued so far is written, or the time is up.
    pub(super) fn flush(&self, within: Duration) {
        let (done, wait) = mpsc::sync_channel(1);
        // A full queue is one that nobody empties: not worth waiting for.
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(within);
        }
    }
}

/// Runs until all sinks are gone, or the output's reader is.
fn write_all(output: impl Write, lines: &Receiver<Message>, dropped: &AtomicU64) {
    let mut output = io::BufWriter::new(output);
    while let Ok(message) = lines.recv() {
        let mut next = Some(message);
        // What has queued up meanwhile goes out in one write.
        let mut written = Ok(());
        while let Some(message) = next {
            written = write_one(&mut output, message);
            if written.is_err() {
                break;
            }
            next = lines.try_recv().ok();
        }
        match written.and_then(|()| output.flush()) {
            Ok(()) => report(dropped),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return closed(&error),
            // A full disk or pipe: it may be better soon.
            Err(_) => {
                dropped.fetch_add(1, Ordering::Relaxed);
                thread::sleep(RETRY);
            }
        }
    }
}

fn report(dropped: &AtomicU64) {
    let lost = dropped.swap(0, Ordering::Relaxed);
    if lost > 0 {
        tracing::warn!(
            lost,
            "access log lines dropped: standard output could not be written"
        );
    }
}

fn write_one(output: &mut impl Write, message: Message) -> io::Result<()> {
    match message {
        Message::Line(line) => output.write_all(line.as_bytes()),
        Message::Flush(done) => {
            output.flush()?;
            let _ = done.send(());
            Ok(())
        }
    }
}

/// A reader that has gone away, as in `pi-registry | head`, is no reason to
/// stop serving.
fn closed(error: &io::Error) {
    tracing::warn!(%error, "the access log ends: standard output cannot be written");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order() {
        let output = Shared::default();
        let sink = Sink::start(output.clone()).expect("a thread");
        for n in 0..100 {
            sink.line(format!("{n}\n"));
        }
        sink.flush(Duration::from_secs(10));
        let written = output.0.lock().expect("no panic").clone();
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(String::from_utf8(written).expect("text"), expected);
    }

    #[test]
    fn a_closed_pipe_neither_blocks_nor_panics() {
        let sink = Sink::start(Broken).expect("a thread");
        for _ in 0..3 * QUEUE {
            sink.line("x\n".to_owned());
        }
        sink.flush(Duration::from_secs(10));
    }

    #[test]
    fn a_full_disk_costs_lines_and_not_the_log() {
        /// Has no room the first two times.
        struct Full(u8, Shared);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0 > 0 {
                    self.0 -= 1;
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.1.write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let output = Shared::default();
        let sink = Sink::start(Full(2, output.clone())).expect("a thread");
        for _ in 0..3 {
            sink.line("early\n".to_owned());
            sink.flush(Duration::from_secs(10));
        }
        sink.line("late\n".to_owned());
        sink.flush(Duration::from_secs(10));
        let written = output.0.lock().expect("no panic").clone();
        assert!(written.ends_with(b"late\n"), "{written:?}");
    }

    #[test]
    fn a_blocked_pipe_drops_lines_and_never_blocks() {
        struct Blocked(mpsc::Receiver<()>);
        impl Write for Blocked {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, blocked) = mpsc::channel();
        let sink = Sink::start(Blocked(blocked)).expect("a thread");
        // Long enough to go past the writer's own buffer.
        let line = "x".repeat(16 * 1024);
        for _ in 0..QUEUE + 100 {
            sink.line(line.clone());
        }
        assert!(sink.dropped.load(Ordering::Relaxed) >= 98);
        drop(release);
    }
}
