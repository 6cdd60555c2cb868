//! Content on the move.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};

use crate::BoxError;

/// A stream of bytes: a request's body, a blob's content.
///
/// Chunks are passed on as they came, without copying. An `Err` is always the
/// last item; a stream that ends without one is complete.
///
/// ```
/// use futures_util::TryStreamExt;
/// use registry_spec::storage::ByteStream;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let chunks: Vec<_> = ByteStream::from("hello").try_collect().await.expect("in memory");
/// assert_eq!(chunks, ["hello"]);
/// # }
/// ```
pub struct ByteStream {
    inner: Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>,
    length: Option<u64>,
}

impl ByteStream {
    /// Wraps any stream of bytes.
    pub fn new<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self {
            inner: Box::pin(stream.map(|item| item.map_err(Into::into))),
            length: None,
        }
    }

    /// A stream without any bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            inner: Box::pin(stream::empty()),
            length: Some(0),
        }
    }

    /// How many bytes it was to have when it was made, if that is known: for a
    /// backend that would rather refuse now than when its disk is full.
    #[must_use]
    pub const fn announced_length(&self) -> Option<u64> {
        self.length
    }

    /// The same stream, which fails with [`LengthMismatch`] as soon as it is
    /// longer, or when it ends shorter, than `length` bytes.
    #[must_use]
    pub fn with_length(self, length: u64) -> Self {
        Self {
            inner: Box::pin(ExactLength {
                inner: self,
                expected: length,
                remaining: length,
            }),
            length: Some(length),
        }
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByteStream")
    }
}

impl From<Bytes> for ByteStream {
    fn from(bytes: Bytes) -> Self {
        Self {
            length: Some(bytes.len() as u64),
            inner: Box::pin(stream::iter([Ok(bytes)])),
        }
    }
}

impl From<&'static str> for ByteStream {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

/// A body was not as long as its headers said (code-10 `SIZE_INVALID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("provided length did not match content length, expected {expected} bytes")]
#[non_exhaustive]
pub struct LengthMismatch {
    /// The length announced, in bytes.
    pub expected: u64,
}

struct ExactLength {
    inner: ByteStream,
    expected: u64,
    remaining: u64,
}

impl Stream for ExactLength {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mismatch = LengthMismatch {
            expected: self.expected,
        };
        Poll::Ready(match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
            Some(Ok(chunk)) => match self.remaining.checked_sub(chunk.len() as u64) {
                Some(remaining) => {
                    self.remaining = remaining;
                    Some(Ok(chunk))
                }
                None => Some(Err(mismatch.into())),
            },
            None if self.remaining > 0 => {
                // Said once; a caller that polls again sees the end.
                self.remaining = 0;
                Some(Err(mismatch.into()))
            }
            end_or_error => end_or_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    async fn read(chunks: &[&'static str], length: u64) -> Result<usize, BoxError> {
        let chunks: Vec<Result<Bytes, BoxError>> = chunks
            .iter()
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
            .collect();
        let bytes: Vec<Bytes> = ByteStream::new(stream::iter(chunks))
            .with_length(length)
            .try_collect()
            .await?;
        Ok(bytes.iter().map(Bytes::len).sum())
    }

    #[test]
    fn a_stream_tells_the_length_that_was_announced() {
        let unknown = ByteStream::new(stream::iter([Ok::<_, BoxError>(Bytes::new())]));
        assert_eq!(unknown.announced_length(), None);
        assert_eq!(unknown.with_length(7).announced_length(), Some(7));
        assert_eq!(ByteStream::from("abc").announced_length(), Some(3));
        assert_eq!(ByteStream::empty().announced_length(), Some(0));
    }

    #[tokio::test]
    async fn a_stream_of_another_length_fails() {
        assert_eq!(read(&["ab", "c"], 3).await.expect("exact"), 3);
        assert_eq!(read(&[], 0).await.expect("empty"), 0);
        for (chunks, length) in [(&["ab", "c"][..], 2), (&["ab"], 3), (&[], 1), (&["a"], 0)] {
            let error = read(chunks, length).await.expect_err("another length");
            assert!(error.is::<LengthMismatch>());
        }
    }
}
