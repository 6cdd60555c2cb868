//! Responses followed to their end, for those who tell of requests: the access
//! log and the metrics.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Follows one request. What it tells, it tells when it is dropped, so that a
/// request which is abandoned at any point is told of, too.
pub trait Watch {
    /// The head of the response is there; `ended` when no body follows it.
    fn responded(&mut self, status: StatusCode, ended: bool);

    /// Some bytes of the body were handed on; `ended` when they were the last
    /// of a known length, after which nobody asks for the end.
    fn sent(&mut self, bytes: u64, ended: bool);

    /// The body has come to its end, or broke off.
    fn ended(&mut self, whole: bool);
}

pin_project! {
    /// The future of a response that is followed, if anybody wants it to be.
    #[derive(Debug)]
    pub struct WatchedFuture<F, W> {
        #[pin]
        inner: F,
        watch: Option<W>,
    }
}

impl<F, W> WatchedFuture<F, W> {
    /// Follows the response of a future.
    pub const fn new(inner: F, watch: Option<W>) -> Self {
        Self { inner, watch }
    }
}

impl<F, B, E, W> Future for WatchedFuture<F, W>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    W: Watch,
{
    type Output = Result<Response<WatchedBody<B, W>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let mut watch = this.watch.take();
        if let Some(watch) = &mut watch {
            let status = response.status();
            let bodyless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            watch.responded(status, bodyless || response.body().is_end_stream());
        }
        Poll::Ready(Ok(response.map(|inner| WatchedBody {
            remaining: inner.size_hint().exact(),
            inner,
            watch,
        })))
    }
}

pin_project! {
    /// The body of such a response.
    #[derive(Debug)]
    pub struct WatchedBody<B, W> {
        #[pin]
        inner: B,
        // What is left of a known length: hyper does not ask for the end of a
        // body once it has all the bytes.
        remaining: Option<u64>,
        watch: Option<W>,
    }
}

/// A body that nobody follows.
impl<B, W> From<B> for WatchedBody<B, W> {
    fn from(inner: B) -> Self {
        Self {
            inner,
            remaining: None,
            watch: None,
        }
    }
}

impl<B, W> Body for WatchedBody<B, W>
where
    B: Body<Data = Bytes>,
    W: Watch,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = ready!(this.inner.poll_frame(cx));
        if let Some(watch) = this.watch {
            match &polled {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    *this.remaining = this.remaining.map(|left| left.saturating_sub(length));
                    watch.sent(length, *this.remaining == Some(0));
                }
                Some(Err(_)) => watch.ended(false),
                None => watch.ended(true),
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
