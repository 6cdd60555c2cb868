//! One access line per request, on standard output, when its response is done.
//!
//! The number of bytes is what the HTTP server took to send; of an aborted
//! transfer, what stood in its buffer and the system's has not arrived.

mod clock;
mod line;
mod writer;

use std::io::{self, Write};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use crate::watched::{Watch, WatchedBody, WatchedFuture};
use line::Line;
use writer::Sink;

/// The access log: wraps services and writes their lines.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// `None` writes nothing.
    sink: Option<Sink>,
}

impl AccessLog {
    /// A log that a thread of its own writes to `output`.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let sink = Some(Sink::start(output)?);
        Ok(Self { sink })
    }

    /// No log.
    #[must_use]
    pub const fn off() -> Self {
        Self { sink: None }
    }

    /// The service with a log of its requests.
    pub fn wrap<S>(&self, inner: S) -> Logged<S> {
        let sink = self.sink.clone();
        Logged { inner, sink }
    }

    /// Waits, for a limited time, until the lines so far are written.
    pub fn flush(&self, within: Duration) {
        if let Some(sink) = &self.sink {
            sink.flush(within);
        }
    }
}

/// A service whose requests are logged.
#[derive(Clone, Debug)]
pub struct Logged<S> {
    inner: S,
    sink: Option<Sink>,
}

impl<S, A, B> Service<Request<A>> for Logged<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<WatchedBody<B, Entry>>;
    type Error = S::Error;
    type Future = WatchedFuture<S::Future, Entry>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let entry = self.sink.as_ref().map(|sink| Entry {
            line: Line::new(&request),
            // hyper sends no body for HEAD, whatever the service returns.
            bodyless: request.method() == Method::HEAD,
            status: None,
            sent: 0,
            complete: false,
            sink: sink.clone(),
        });
        WatchedFuture::new(self.inner.call(request), entry)
    }
}

/// One request's line to be, written when it is dropped.
#[derive(Debug)]
pub struct Entry {
    line: Line,
    bodyless: bool,
    status: Option<StatusCode>,
    sent: u64,
    complete: bool,
    sink: Sink,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let line = self.line.finish(self.status, self.sent, !self.complete);
        self.sink.line(line);
    }
}

impl Watch for Entry {
    fn responded(&mut self, status: StatusCode, ended: bool) {
        self.status = Some(status);
        self.complete = self.bodyless || ended;
    }

    fn sent(&mut self, bytes: u64, ended: bool) {
        self.sent += bytes;
        self.complete = ended;
    }

    fn ended(&mut self, whole: bool) {
        self.complete = whole;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use registry_spec::BoxError;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The frames of a response; an error ends it.
    type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

    fn frames(texts: &[&'static str]) -> Frames {
        let frame = |text: &&'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        texts.iter().map(frame).collect()
    }

    /// Sends one request to a service with this answer, reads `take` frames of
    /// it, and returns the end of the line, from the status on.
    async fn logged(method: Method, answer: Frames, take: usize) -> String {
        let output = Output::default();
        let log = AccessLog::start(output.clone()).expect("a thread");
        let service = service_fn(move |_: Request<()>| {
            let body = StreamBody::new(tokio_stream(&answer));
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let request = Request::builder().method(method).uri("/v2/").body(());
        let response = log.wrap(service).oneshot(request.expect("valid")).await;
        let mut body = response.expect("infallible").into_body();
        for _ in 0..take {
            let _ = body.frame().await;
        }
        drop(body);
        log.flush(Duration::from_secs(10));
        let written = output.0.lock().expect("no panic").clone();
        let line = String::from_utf8(written).expect("text");
        let (_, rest) = line.split_once("HTTP/1.1\" ").expect("a request line");
        rest.to_owned()
    }

    /// A stream over a copy of the frames.
    fn tokio_stream(
        frames: &Frames,
    ) -> impl futures_core::Stream<Item = Result<Frame<Bytes>, BoxError>> + use<> {
        let frames: Frames = frames
            .iter()
            .map(|frame| match frame {
                Ok(frame) => Ok(Frame::data(frame.data_ref().cloned().unwrap_or_default())),
                Err(error) => Err(error.to_string().into()),
            })
            .collect();
        futures_util::stream::iter(frames)
    }

    #[tokio::test]
    async fn a_line_is_written_when_the_body_has_ended() {
        let line = logged(Method::GET, frames(&["ab", "c"]), 3).await;
        assert_eq!(line, "200 3 \"\" \"\"\n");
    }

    #[tokio::test]
    async fn a_body_that_is_left_or_fails_is_marked() {
        let line = logged(Method::GET, frames(&["ab", "c"]), 1).await;
        assert_eq!(line, "200 2 \"\" \"\" aborted\n");
        let mut failing = frames(&["ab"]);
        failing.push(Err("disk".into()));
        let line = logged(Method::GET, failing, 2).await;
        assert_eq!(line, "200 2 \"\" \"\" aborted\n");
    }

    #[tokio::test]
    async fn a_log_that_is_off_passes_everything_on() {
        let service = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(registry_spec::Body::empty()))
        });
        let log = AccessLog::off();
        let response = log.wrap(service).oneshot(Request::new(())).await;
        assert_eq!(response.expect("infallible").status(), StatusCode::OK);
        log.flush(Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_head_request_sends_nothing_and_is_complete() {
        let line = logged(Method::HEAD, frames(&["ab"]), 0).await;
        assert_eq!(line, "200 0 \"\" \"\"\n");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_leaves_its_line() {
        let output = Output::default();
        let log = AccessLog::start(output.clone()).expect("a thread");
        let never = service_fn(|_: Request<()>| {
            std::future::pending::<Result<Response<registry_spec::Body>, Infallible>>()
        });
        drop(log.wrap(never).oneshot(Request::new(())));
        let mut call = Box::pin(log.wrap(never).oneshot(Request::new(())));
        let polled = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        drop(call);
        log.flush(Duration::from_secs(10));
        let written = output.0.lock().expect("no panic").clone();
        let text = String::from_utf8(written).expect("text");
        assert!(
            text.ends_with("HTTP/1.1\" 499 0 \"\" \"\" aborted\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "the first was never called");
    }
}
