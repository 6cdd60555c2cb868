//! Bodies: the one of every response, and the reading of a request's.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use http_body::{Frame, SizeHint};

use crate::BoxError;
use crate::observer::{Failure, Observer};
use crate::storage::ByteStream;

/// A response's body: empty, in memory, or a stream of known length.
///
/// A stream that fails or ends early fails the body, so that the server cuts
/// the connection; it never looks complete when it is not.
pub struct Body(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    Stream {
        content: ByteStream,
        remaining: u64,
        watch: Option<Box<Watch>>,
    },
}

/// Who is told when a stream breaks off.
struct Watch {
    observer: Arc<dyn Observer>,
    method: Method,
    uri: Uri,
}

/// A stream ended before all that was announced had come.
#[derive(Debug, thiserror::Error)]
#[error("the content ended {missing} bytes early")]
struct Truncated {
    missing: u64,
}

/// A stream goes on after all that was announced.
#[derive(Debug, thiserror::Error)]
#[error("the content is longer than announced")]
struct Overlong;

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// `length` bytes that come from `content`.
    #[must_use]
    pub const fn stream(content: ByteStream, length: u64) -> Self {
        Self(Kind::Stream {
            content,
            remaining: length,
            watch: None,
        })
    }

    /// The same body, whose failure `observer` is told of.
    pub(crate) fn watched(mut self, observer: Arc<dyn Observer>, request: Parts) -> Self {
        if let Kind::Stream { watch, .. } = &mut self.0 {
            *watch = Some(Box::new(Watch {
                observer,
                method: request.method,
                uri: request.uri,
            }));
        }
        self
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() {
            Kind::Empty
        } else {
            Kind::Full(bytes)
        })
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (content, remaining, watch) = match &mut self.0 {
            Kind::Empty => return Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Kind::Stream { remaining: 0, .. } => return Poll::Ready(None),
            Kind::Stream {
                content,
                remaining,
                watch,
            } => (content, remaining, watch),
        };
        let error: BoxError = match ready!(Pin::new(content).poll_next(cx)) {
            Some(Ok(chunk)) => match remaining.checked_sub(chunk.len() as u64) {
                Some(left) => {
                    *remaining = left;
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                None => Overlong.into(),
            },
            Some(Err(error)) => error,
            None => Truncated {
                missing: *remaining,
            }
            .into(),
        };
        if let Some(watch) = watch {
            watch.observer.failure(&Failure {
                method: &watch.method,
                path: watch.uri.path(),
                cause: &*error,
            });
        }
        self.0 = Kind::Empty;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Empty | Kind::Stream { remaining: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Kind::Empty => 0,
            Kind::Full(bytes) => bytes.len() as u64,
            Kind::Stream { remaining, .. } => *remaining,
        })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("length", &http_body::Body::size_hint(self).exact())
            .finish()
    }
}

/// A request's body, no longer generic, and its length if that was announced.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) content: ByteStream,
    /// In bytes, from `Content-Length` or from what the server knows.
    pub(crate) length: Option<u64>,
}

impl Payload {
    pub(crate) fn new<B>(headers: &HeaderMap, body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let length = announced.or_else(|| body.size_hint().exact());
        if length == Some(0) && body.is_end_stream() {
            return Self {
                content: ByteStream::empty(),
                length,
            };
        }
        let content = ByteStream::new(DataFrames(Box::pin(body)));
        Self {
            // Not every server that an embedder brings compares the two.
            content: match length {
                Some(length) => content.with_length(length),
                None => content,
            },
            length,
        }
    }
}

/// The data of a body; trailers mean nothing in this protocol.
struct DataFrames<B>(Pin<Box<B>>);

impl<B> Stream for DataFrames<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.0.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    fn streamed(chunks: &[&'static str], length: u64) -> Body {
        let chunks: Vec<Result<Bytes, BoxError>> = chunks
            .iter()
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
            .collect();
        Body::stream(ByteStream::new(stream::iter(chunks)), length)
    }

    #[tokio::test]
    async fn a_body_knows_its_length_and_delivers_it() {
        let body = streamed(&["ab", "c"], 3);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
        assert_eq!(body.collect().await.expect("whole").to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_stream_of_another_length_fails_the_body() {
        assert!(streamed(&["ab"], 3).collect().await.is_err());
        assert!(streamed(&["abcd"], 3).collect().await.is_err());
    }
}
