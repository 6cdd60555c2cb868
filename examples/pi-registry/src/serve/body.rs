//! The bodies of both directions, as the server hands them on.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use registry_spec::BoxError;
use tokio::time::{Instant, Sleep};

use super::meter::{Exchange, Unread};

/// A client stopped sending in the middle of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no byte of the request body came for {} seconds", limit.as_secs())]
#[non_exhaustive]
pub struct BodyIdle {
    /// How long was waited.
    pub limit: Duration,
}

/// Whether what nobody has read of a body is read at the end anyway, as
/// [`linger`] explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lingers {
    Never,
    /// The client waits to be asked for its body; reading would ask for it.
    OnceAsked,
    Always,
}

/// A request's body that fails once its sender has been silent for too long.
/// The whole may take as long as it takes, and the clock only runs while
/// somebody waits for the next bytes.
#[derive(Debug)]
pub struct RequestBody<B = Incoming>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// `None` once it has ended or failed.
    inner: Option<B>,
    limit: Duration,
    /// Boxed, because most requests never wait for a body.
    clock: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    lingers: Lingers,
    unread: Option<Unread>,
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// `unread` is ended when the end of the body was read.
    pub(super) fn new(inner: B, limit: Duration, lingers: Lingers, unread: Option<Unread>) -> Self {
        Self {
            inner: Some(inner),
            limit,
            clock: None,
            waiting: false,
            lingers,
            unread,
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if this.lingers == Lingers::OnceAsked {
            this.lingers = Lingers::Always;
        }
        let limit = this.limit;
        let frame = if let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) {
            this.waiting = false;
            if (frame.is_none() || inner.is_end_stream())
                && let Some(unread) = this.unread.take()
            {
                unread.end();
            }
            frame.map(|frame| frame.map_err(Into::into))
        } else {
            let clock = this
                .clock
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            if !this.waiting {
                this.waiting = true;
                clock.as_mut().reset(Instant::now() + limit);
            }
            ready!(clock.as_mut().poll(cx));
            Some(Err(BodyIdle { limit }.into()))
        };
        if !matches!(frame, Some(Ok(_))) {
            this.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<B> Drop for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    fn drop(&mut self) {
        if self.lingers == Lingers::Always
            && let Some(inner) = self.inner.take()
            && !inner.is_end_stream()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(linger(inner));
        }
    }
}

/// Reads on for a while after a request was answered before its end, as a
/// refused upload is.
///
/// To close an HTTP/1 connection with unread bytes resets it, and the reset
/// can reach the client before it has read the answer: it then reports a
/// broken connection instead of what was wrong.
async fn linger(mut body: impl Body<Data = Bytes> + Unpin) {
    /// Long enough for the answer to arrive.
    const TIME: Duration = Duration::from_secs(5);
    /// More than a refused manifest; a client that sends more without looking
    /// at the answer is cut.
    const MOST: usize = 16 * 1024 * 1024;
    let read = async {
        let mut read = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > MOST {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(TIME, read).await;
}

pin_project! {
    /// A response's body that tells the meter whose turn it is: the peer's
    /// from one frame until the next is asked for.
    #[derive(Debug)]
    pub(super) struct ResponseBody<B> {
        #[pin]
        inner: B,
        exchange: Exchange,
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn new(inner: B, mut exchange: Exchange) -> Self {
        exchange.set_peers_turn(true);
        Self { inner, exchange }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        this.exchange.set_peers_turn(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;

    use super::*;

    /// A body fed by a channel.
    struct Fed(mpsc::Receiver<Bytes>);

    impl Body for Fed {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.0
                .poll_recv(cx)
                .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sender_is_kept_and_a_silent_one_ended() {
        let limit = Duration::from_secs(60);
        let (sender, receiver) = mpsc::channel(1);
        let mut body = RequestBody::new(Fed(receiver), limit, Lingers::Never, None);
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                let _ = sender.send(Bytes::from_static(b"x")).await;
            }
            std::future::pending::<()>().await;
        });
        for _ in 0..10 {
            let frame = body.frame().await.expect("not ended");
            assert!(frame.is_ok(), "one byte in 50 seconds is enough");
        }
        let error = body.frame().await.expect("not ended").expect_err("silence");
        assert!(error.is::<BodyIdle>(), "{error}");
        assert_eq!(
            error.to_string(),
            "no byte of the request body came for 60 seconds"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_reads_does_not_count() {
        let (sender, receiver) = mpsc::channel(1);
        let limit = Duration::from_secs(60);
        let mut body = RequestBody::new(Fed(receiver), limit, Lingers::Never, None);
        sender.send(Bytes::from_static(b"a")).await.expect("open");
        assert!(body.frame().await.expect("a frame").is_ok());
        tokio::time::sleep(Duration::from_secs(1000)).await;
        sender.send(Bytes::from_static(b"b")).await.expect("open");
        assert!(body.frame().await.expect("a frame").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_read_for_a_while() {
        for (lingers, expected) in [
            (Lingers::Always, 6),
            (Lingers::OnceAsked, 1),
            (Lingers::Never, 1),
        ] {
            let (sender, receiver) = mpsc::channel(1);
            let body = RequestBody::new(Fed(receiver), Duration::from_secs(60), lingers, None);
            drop(body);
            let mut sent = 0;
            // A byte each second, as long as somebody takes it.
            while sender.send(Bytes::from_static(b"x")).await.is_ok() {
                sent += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert!((expected - 1..=expected).contains(&sent), "{sent}");
        }
    }
}
