//! What moves on a connection, and whose turn it is.
//!
//! A time limit must hit a peer that has gone silent and nothing else: not a
//! slow transfer, and not the registry's own work, such as hashing a large
//! upload again. So each connection counts the moment of its last byte, its
//! requests in flight, and how many of these wait for the peer to take more of
//! the response.
//!
//! They also tell whether a connection rests between two requests, so that
//! nothing need be remembered of it but the stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Timeouts;

/// The counters of one connection.
#[derive(Debug)]
pub(super) struct Meter {
    start: Instant,
    /// Milliseconds after `start` when a byte last moved or a turn changed.
    moved: AtomicU64,
    in_flight: AtomicUsize,
    peers_turn: AtomicUsize,
    /// Bodies of requests that were not read to their end.
    unread: AtomicUsize,
    /// Whether bytes came since the last head or the end of the last body.
    begun: AtomicBool,
    /// Whether bytes were written that the stream may not have taken.
    unflushed: AtomicBool,
}

/// What a look at the counters says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing to do before this moment.
    Wait(Instant),
    /// No request, and none for a while.
    Idle,
    /// Every request waits for the peer, who takes nothing.
    Stalled,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            moved: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            peers_turn: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            begun: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
        }
    }

    /// Something moved just now.
    pub(super) fn touch(&self) {
        let millis = self.start.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.moved.store(millis, Ordering::Relaxed);
    }

    fn moved(&self) -> Instant {
        self.start + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }

    /// Since when an HTTP/1 connection is between two requests: all that came
    /// was a whole request, and all that was answered is on its way. A body
    /// that nobody read to its end leaves that unknown for good.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let quiet = self.in_flight.load(Ordering::Relaxed) == 0
            && self.unread.load(Ordering::Relaxed) == 0
            && !self.begun.load(Ordering::Relaxed)
            && !self.unflushed.load(Ordering::Relaxed);
        quiet.then(|| self.moved())
    }

    pub(super) fn verdict(&self, timeouts: &Timeouts) -> Verdict {
        let now = Instant::now();
        let moved = self.moved();
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        if in_flight == 0 {
            let end = moved + timeouts.idle;
            return if now >= end {
                Verdict::Idle
            } else {
                Verdict::Wait(end)
            };
        }
        let end = moved + timeouts.stall;
        if now < end {
            Verdict::Wait(end)
        } else if self.peers_turn.load(Ordering::Relaxed) == in_flight {
            Verdict::Stalled
        } else {
            // Our turn: the clock starts when it becomes the peer's.
            Verdict::Wait(now + timeouts.stall)
        }
    }
}

/// One request, from its head to the end of its response.
#[derive(Debug)]
pub(super) struct Exchange {
    meter: Arc<Meter>,
    peers_turn: bool,
}

impl Exchange {
    pub(super) fn begin(meter: &Arc<Meter>) -> Self {
        meter.in_flight.fetch_add(1, Ordering::Relaxed);
        meter.begun.store(false, Ordering::Relaxed);
        Self {
            meter: Arc::clone(meter),
            peers_turn: false,
        }
    }

    /// Says whether the peer has to take something before this goes on.
    pub(super) fn set_peers_turn(&mut self, peers: bool) {
        if peers == self.peers_turn {
            return;
        }
        self.peers_turn = peers;
        if peers {
            self.meter.touch();
            self.meter.peers_turn.fetch_add(1, Ordering::Relaxed);
        } else {
            self.meter.peers_turn.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.set_peers_turn(false);
        self.meter.touch();
        self.meter.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a request, until its end was read.
#[derive(Debug)]
pub(super) struct Unread {
    meter: Arc<Meter>,
}

impl Unread {
    pub(super) fn begin(meter: &Arc<Meter>) -> Self {
        meter.unread.fetch_add(1, Ordering::Relaxed);
        Self {
            meter: Arc::clone(meter),
        }
    }

    /// The next byte is one of another request.
    pub(super) fn end(self) {
        self.meter.begun.store(false, Ordering::Relaxed);
        self.meter.unread.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    /// An IO that tells the meter of every byte.
    #[derive(Debug)]
    pub(super) struct Metered<T> {
        #[pin]
        inner: T,
        meter: Arc<Meter>,
    }
}

impl<T> Metered<T> {
    pub(super) fn new(inner: T, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }

    pub(super) const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: AsyncRead> AsyncRead for Metered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        let polled = this.inner.poll_read(cx, buf);
        if buf.filled().len() > before {
            this.meter.begun.store(true, Ordering::Relaxed);
            this.meter.touch();
        }
        polled
    }
}

impl<T: AsyncWrite> AsyncWrite for Metered<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        this.meter.unflushed.store(true, Ordering::Relaxed);
        told(this.meter, this.inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        this.meter.unflushed.store(true, Ordering::Relaxed);
        told(this.meter, this.inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let flushed = this.inner.poll_flush(cx);
        this.meter
            .unflushed
            .store(flushed.is_pending(), Ordering::Relaxed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        // Nothing comes after it.
        this.meter.unflushed.store(true, Ordering::Relaxed);
        this.inner.poll_shutdown(cx)
    }
}

fn told(meter: &Meter, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if matches!(polled, Poll::Ready(Ok(written)) if written > 0) {
        meter.touch();
    }
    polled
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        handshake: Duration::from_secs(1),
        idle: Duration::from_secs(10),
        stall: Duration::from_secs(60),
    };

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_becomes_idle() {
        let meter = Meter::new();
        pass(9).await;
        assert!(matches!(meter.verdict(&TIMEOUTS), Verdict::Wait(_)));
        meter.touch();
        pass(9).await;
        assert!(matches!(meter.verdict(&TIMEOUTS), Verdict::Wait(_)));
        pass(1).await;
        assert_eq!(meter.verdict(&TIMEOUTS), Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_work_is_never_a_stall() {
        let meter = Arc::new(Meter::new());
        let mut exchange = Exchange::begin(&meter);
        pass(10_000).await;
        assert!(matches!(meter.verdict(&TIMEOUTS), Verdict::Wait(_)));
        // The time of our work does not count against the peer.
        exchange.set_peers_turn(true);
        pass(59).await;
        assert!(matches!(meter.verdict(&TIMEOUTS), Verdict::Wait(_)));
        pass(1).await;
        assert_eq!(meter.verdict(&TIMEOUTS), Verdict::Stalled);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_and_other_requests_keep_a_connection() {
        let meter = Arc::new(Meter::new());
        let mut stuck = Exchange::begin(&meter);
        stuck.set_peers_turn(true);
        pass(59).await;
        meter.touch();
        pass(59).await;
        assert!(matches!(meter.verdict(&TIMEOUTS), Verdict::Wait(_)));
        let other = Exchange::begin(&meter);
        pass(60).await;
        assert!(matches!(meter.verdict(&TIMEOUTS), Verdict::Wait(_)));
        drop(other);
        pass(60).await;
        assert_eq!(meter.verdict(&TIMEOUTS), Verdict::Stalled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_between_whole_requests_alone() {
        let meter = Arc::new(Meter::new());
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Metered::new(server, Arc::clone(&meter));
        let mut buffer = [0; 64];
        assert!(meter.quiet_since().is_some());
        client.write_all(b"head").await.expect("open");
        assert!(server.read(&mut buffer).await.expect("open") > 0);
        assert!(meter.quiet_since().is_none(), "perhaps half a head");
        let exchange = Exchange::begin(&meter);
        let unread = Unread::begin(&meter);
        assert!(meter.quiet_since().is_none(), "a request");
        server.write_all(b"answer").await.expect("open");
        drop(exchange);
        assert!(meter.quiet_since().is_none(), "not flushed");
        server.flush().await.expect("open");
        assert!(meter.quiet_since().is_none(), "a body that nobody read");
        client.write_all(b"body").await.expect("open");
        assert!(server.read(&mut buffer).await.expect("open") > 0);
        unread.end();
        pass(5).await;
        let quiet = meter.quiet_since().expect("all is done");
        assert_eq!(quiet.elapsed(), Duration::from_secs(5));
        server.shutdown().await.expect("open");
        assert!(meter.quiet_since().is_none(), "nothing comes any more");
    }
}
