//! A connection's time limits, before a request and while hyper serves.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::begun::{Begun, look};
use super::connection::{Peer, Timeouts};
use super::meter::{Meter, Metered, Verdict};

/// How long a connection keeps hyper's buffers after a response. Long enough
/// for a client in the middle of its work, and short enough that a burst of
/// connections does not have them all at once.
const REST: Duration = Duration::from_millis(100);

/// How long a goodbye may take: over TLS it is a message.
const GOODBYE: Duration = Duration::from_secs(1);

/// The stream of a connection.
pub(super) type Line = Metered<Begun>;

/// What a connection begins with, after a while without anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Http1,
    Http2,
}

/// Why hyper serves a connection no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// It has ended, or must.
    Ended,
    /// Everything that was asked for is answered.
    Resting,
}

/// Watches over one connection.
pub(super) struct Driver {
    pub(super) peer: Peer,
    pub(super) meter: Arc<Meter>,
    pub(super) timeouts: Timeouts,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Driver {
    /// Waits for the next request to begin; `None` when none is to come, after
    /// which the connection is closed.
    pub(super) async fn next(&mut self, line: &mut Line, may_be_http2: bool) -> Option<Next> {
        let begun = tokio::select! {
            begun = look(line, may_be_http2) => begun.ok(),
            () = sleep(self.timeouts.idle) => None,
            () = stopped(&mut self.stopping) => None,
        };
        match begun {
            Some((begin, is_http2)) if !begin.is_empty() => {
                line.get_mut().put_back(&begin);
                Some(if is_http2 { Next::Http2 } else { Next::Http1 })
            }
            _ => {
                let _ = timeout(GOODBYE, line.shutdown()).await;
                None
            }
        }
    }

    /// Lets hyper serve until the connection ends, stalls, drains after
    /// `stopping`, or rests where it may.
    pub(super) async fn drive<C, E>(
        &mut self,
        mut connection: Pin<&mut C>,
        graceful_shutdown: fn(Pin<&mut C>),
        may_rest: bool,
    ) -> Served
    where
        C: Future<Output = Result<(), E>>,
        E: Debug,
    {
        let Self {
            peer,
            meter,
            timeouts,
            stopping,
        } = self;
        let (mut closing, mut draining) = (false, false);
        let mut drain = pin!(stopped(stopping));
        loop {
            let timeouts = if draining {
                timeouts.of_draining()
            } else {
                *timeouts
            };
            let mut next_look = match meter.verdict(&timeouts) {
                Verdict::Wait(until) => until,
                Verdict::Idle if !closing => {
                    // Says goodbye in HTTP/2, and closes an HTTP/1 connection
                    // that is between requests. What is left after the same
                    // time again is cut.
                    closing = true;
                    graceful_shutdown(connection.as_mut());
                    meter.touch();
                    continue;
                }
                Verdict::Idle => return Served::Ended,
                Verdict::Stalled => {
                    tracing::info!(
                        %peer,
                        "connection cut: the client takes no more of the response"
                    );
                    return Served::Ended;
                }
            };
            let may_rest = may_rest && !closing && !draining;
            let quiet = meter.quiet_since().filter(|_| may_rest);
            if let Some(since) = quiet {
                let rests = since + REST;
                if rests <= Instant::now() {
                    return Served::Resting;
                }
                next_look = next_look.min(rests);
            }
            let awaits_quiet = may_rest && quiet.is_none();
            let served = poll_fn(|cx| match connection.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if awaits_quiet && meter.quiet_since().is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                // hyper must have had its turn before it is found at rest: what
                // it still had to write has then moved, or waits to be flushed.
                biased;
                ended = served => match ended {
                    Some(Ok(())) => return Served::Ended,
                    Some(Err(error)) => {
                        // A client that goes away is everyday.
                        tracing::debug!(%peer, ?error, "connection ended with an error");
                        return Served::Ended;
                    }
                    None => {}
                },
                () = &mut drain, if !draining => {
                    draining = true;
                    graceful_shutdown(connection.as_mut());
                }
                () = sleep_until(next_look) => {}
            }
        }
    }
}

/// Waits for the server to stop. When it has gone nobody is left to wait for.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|&stop| stop).await;
}
