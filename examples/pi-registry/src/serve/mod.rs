//! The HTTP server: accepts connections, serves them, and drains them at the
//! end.
//!
//! | limit | value | why |
//! |---|---|---|
//! | TLS handshake, from the connection on | 10 s | whoever stalls holds nothing up but itself |
//! | idle connection, request head | 120 s | longer than proxies in front keep theirs |
//! | silence in a body, either way | 5 min | a transfer may take hours, but must move |
//! | HTTP/1 head | 64 KiB | memory per connection is a constant |
//! | HTTP/1 buffers | 256 KiB each way | memory per connection is a constant, and uploads take few reads |
//! | HTTP/1 buffers after a response | 100 ms | thousands of idle connections take little memory |
//! | on the way to a client on this machine | 512 KiB | it stays in the processor's caches |
//! | HTTP/2 | 16 streams, 1 MiB window each, 4 MiB together, 64 KiB of headers | uploads at full speed within bounds |
//! | connections | 8192, and half of the open files | so that nobody takes all memory or all files |
//!
//! A stalled download is found by looking at the whole connection: on HTTP/2,
//! one stream that takes nothing beside others that move is not cut. It holds
//! an open file and a chunk of it.

mod begun;
mod bind;
mod body;
mod connection;
mod driver;
mod listener;
mod meter;
#[cfg(test)]
mod tests;
mod tls;
mod unix;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use registry_spec::BoxError;
use registry_tls::Reloading;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tower_service::Service;

use crate::open_files;

pub use bind::{BindError, bind};
pub use body::{BodyIdle, RequestBody};
pub use connection::{Options, Peer, Timeouts};
pub use listener::{Bound, Listener};
pub use tls::Transport;

use connection::Protocols;
use listener::Io;

/// How long to rest after the system refused a connection, for want of file
/// descriptors or memory: both come back only when something ends.
const ACCEPT_REST: Duration = Duration::from_secs(1);

/// How long to wait for connections that are cut.
const CUT: Duration = Duration::from_secs(1);

/// Serves until `stop`, then lets what is in flight finish, until `give_up`:
/// over TLS where there is a certificate.
///
/// Connections without a request are closed at once. Returns how many were cut
/// in the end.
pub async fn serve<S, B>(
    listener: Listener,
    tls: Option<Arc<Reloading>>,
    service: S,
    options: Options,
    stop: impl Future<Output = ()>,
    give_up: impl Future<Output = ()>,
) -> usize
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let protocols = Arc::new(Protocols::new(&options));
    // Each request has a clone of its own; one for each connection would be a
    // third of what an idle one takes.
    let service = Arc::new(service);
    let (stopping, watch_stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let most = options.connections.min(open_files::limit() / 2);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            // The others wait in the listener's queue.
            (stream, peer) = accept(&listener), if connections.len() < most => {
                let tls = tls.clone();
                let service = Arc::clone(&service);
                let protocols = Arc::clone(&protocols);
                let mut stopping = watch_stopping.clone();
                let limit = protocols.timeouts.handshake;
                connections.spawn(async move {
                    // Both steps are boxed: a task has room for all of its
                    // steps as long as it lives.
                    let opening = Box::pin(tls::open(stream, peer, tls.as_deref(), limit));
                    let opened = tokio::select! {
                        opened = opening => opened,
                        _ = stopping.wait_for(|&stop| stop) => None,
                    };
                    if let Some(opened) = opened {
                        let run = connection::run(opened, peer, service, &protocols, stopping);
                        Box::pin(run).await;
                    }
                });
            }
            Some(ended) = connections.join_next() => report(ended),
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let mut give_up = pin!(give_up);
    loop {
        tokio::select! {
            biased;
            ended = connections.join_next() => match ended {
                Some(ended) => report(ended),
                None => return 0,
            },
            () = &mut give_up => break,
        }
    }
    let cut = connections.len();
    // Waits for them, so that each still writes its line into the log; but
    // not for one whose thread hangs in a file system that does not answer.
    let _ = tokio::time::timeout(CUT, connections.shutdown()).await;
    cut
}

/// The next connection. A failure to accept is logged and never ends the server.
async fn accept(listener: &Listener) -> (Box<dyn Io>, Peer) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client was gone before we looked.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => {
                tracing::error!(
                    %error,
                    "cannot accept connections, trying again in a second"
                );
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// A task that panicked has taken its own connection with it, nothing else.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection failed");
    }
}
