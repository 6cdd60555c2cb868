//! Streams of which the first bytes were looked at.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::listener::Io;

/// What a client of HTTP/2 begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream with bytes before it that were taken off it.
pub(super) struct Begun {
    begin: Bytes,
    io: Box<dyn Io>,
}

impl Begun {
    pub(super) const fn new(begin: Bytes, io: Box<dyn Io>) -> Self {
        Self { begin, io }
    }

    /// Puts bytes back, before what is to be read next. They are copied: even
    /// none of them would keep the whole buffer of which they are a part.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        self.begin = [bytes, &self.begin].concat().into();
    }
}

/// Reads until it is clear whether HTTP/2 begins; that and what was read. Little
/// room is all that a connection takes while it waits here.
pub(super) async fn look<T>(io: &mut T, may_be_http2: bool) -> io::Result<(Bytes, bool)>
where
    T: AsyncRead + Unpin,
{
    let mut begin = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() {
        let read = io.read(&mut begin[length..]).await?;
        length += read;
        if read == 0 || !may_be_http2 || !PREFACE.starts_with(&begin[..length]) {
            break;
        }
    }
    let is_http2 = may_be_http2 && begin == *PREFACE;
    Ok((Bytes::copy_from_slice(&begin[..length]), is_http2))
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.begin.is_empty() || buffer.remaining() == 0 {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let length = self.begin.len().min(buffer.remaining());
        buffer.put_slice(&self.begin.split_to(length));
        if buffer.remaining() > 0 {
            // hyper doubles its buffer after a read of only a few bytes. What
            // goes wrong here does so again in the next read, or ends there.
            let _ = Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What a look at these pieces finds, and what can be read afterwards.
    async fn looked(pieces: &[&str], may_be_http2: bool) -> (bool, String) {
        let (mut client, server) = tokio::io::duplex(1024);
        let pieces: Vec<String> = pieces.iter().map(ToString::to_string).collect();
        tokio::spawn(async move {
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.expect("open");
                tokio::task::yield_now().await;
            }
        });
        let mut io = Begun::new(Bytes::new(), Box::new(server));
        let (begin, is_http2) = look(&mut io, may_be_http2).await.expect("open");
        io.put_back(&begin);
        let mut text = String::new();
        io.read_to_string(&mut text).await.expect("open");
        (is_http2, text)
    }

    #[tokio::test]
    async fn http2_is_told_by_its_whole_preface_and_nothing_is_lost() {
        for (pieces, expected) in [
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"][..], true),
            (&["P", "RI * HTTP/2.0\r\n\r\n", "SM\r\n\r\n", "more"], true),
            (&["P", "OST / HTTP/1.1\r\n\r\n"], false),
            (&["GET / HTTP/1.1\r\n\r\n"], false),
            (&["PRI * HTTP/2.0"], false),
            (&[], false),
        ] {
            let whole = pieces.concat();
            assert_eq!(looked(pieces, true).await, (expected, whole.clone()));
            assert_eq!(looked(pieces, false).await, (false, whole));
        }
    }

    #[tokio::test]
    async fn bytes_that_were_put_back_come_together_with_the_next() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"/v2/").await.expect("open");
        let mut io = Begun::new(Bytes::from_static(b"GET "), Box::new(server));
        let mut buffer = [0; 64];
        let read = io.read(&mut buffer).await.expect("open");
        assert_eq!(&buffer[..read], b"GET /v2/");
        io.put_back(b"two");
        io.put_back(b"one ");
        let read = io.read(&mut buffer).await.expect("open");
        assert_eq!(&buffer[..read], b"one two");
    }
}
