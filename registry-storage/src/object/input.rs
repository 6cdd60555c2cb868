//! The body of an append, which ends when its request is dropped.

use bytes::Bytes;
use futures_util::StreamExt;
use registry_spec::BoxError;
use registry_spec::storage::ByteStream;
use tokio::sync::oneshot;

pub(super) struct Input {
    body: ByteStream,
    /// What has been received and is in no buffer.
    pub(super) rest: Bytes,
    ended: bool,
    pub(super) failure: Option<BoxError>,
    /// Ends when nobody waits for the answer any more.
    gone: oneshot::Receiver<()>,
}

#[derive(Debug, thiserror::Error)]
#[error("the request was dropped")]
struct Dropped;

impl Input {
    pub(super) fn new(body: ByteStream, gone: oneshot::Receiver<()>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            ended: false,
            failure: None,
            gone,
        }
    }

    /// Waits until there is a rest; `false` at the end of the body, or when it
    /// fails. May be dropped at any time without a loss.
    pub(super) async fn wait(&mut self) -> bool {
        while self.rest.is_empty() && !self.ended {
            let next = tokio::select! {
                next = self.body.next() => next,
                _ = &mut self.gone => Some(Err(Dropped.into())),
            };
            match next {
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(error)) => self.fail(error),
                None => self.ended = true,
            }
        }
        !self.rest.is_empty()
    }

    /// Does some work; `None` when the request is dropped meanwhile.
    pub(super) async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if !self.ended {
            tokio::select! {
                done = work => return Some(done),
                _ = &mut self.gone => self.fail(Dropped.into()),
            }
        }
        None
    }

    fn fail(&mut self, error: BoxError) {
        self.ended = true;
        self.rest = Bytes::new();
        self.failure = Some(error);
    }
}
