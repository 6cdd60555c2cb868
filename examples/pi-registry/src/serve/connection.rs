//! One connection: HTTP/1.1, or HTTP/2 when the client starts with its preface.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use registry_spec::BoxError;
use tokio::sync::watch;
use tower_service::Service;

use super::begun::Begun;
use super::body::{Lingers, RequestBody, ResponseBody};
use super::driver::{Driver, Next, Served};
use super::meter::{Exchange, Meter, Metered, Unread};
use super::tls::{Opened, Transport};

/// How long a peer may be silent. Nothing limits how long a transfer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// A TLS handshake as a whole, from the connection on. Default: 10 s, as
    /// long as Go's clients wait for it.
    pub handshake: Duration,
    /// A connection without a request, and a request's head from its first
    /// chance on. Default: 120 s. It must be longer than a proxy in front
    /// keeps its own idle connections (90 s in Traefik and Go, 60 s in nginx
    /// and cloud balancers), or the proxy sends a request into a connection
    /// that is just being closed and answers 502.
    pub idle: Duration,
    /// A request whose client stopped sending its body, or stopped taking the
    /// response. Default: 5 min, as long as the kubelet waits for progress.
    pub stall: Duration,
}

impl Timeouts {
    /// Once the server stops, a connection without a request is only waited
    /// for as long as a request that is on its way may take to arrive.
    pub(super) fn of_draining(self) -> Self {
        const LAST_CHANCE: Duration = Duration::from_secs(1);
        Self {
            idle: self.idle.min(LAST_CHANCE),
            ..self
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            stall: Duration::from_secs(300),
        }
    }
}

/// How a server talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long a peer may be silent.
    pub timeouts: Timeouts,
    /// Whether HTTP/2 is spoken with clients that start with it, without TLS
    /// or an upgrade. Default: yes. Over TLS, what the configuration of it
    /// offers is spoken.
    pub h2c: bool,
    /// Most connections at once; the others wait. Default: 8192, and never
    /// more than half of the files that may be open. Each costs its buffers
    /// once it sends something, whoever it is; clusters of this size have some
    /// hundreds.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            h2c: true,
            connections: 8192,
        }
    }
}

/// Who is at the other end of the connection; each request carries it among
/// its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// An address: the client's, or that of a proxy before it.
    Tcp(SocketAddr),
    /// Somebody on this machine.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix => f.write_str("unix socket"),
        }
    }
}

/// How hyper is to talk, and for how long.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    /// Whether both are spoken without TLS.
    h2c: bool,
    pub(super) timeouts: Timeouts,
}

impl Protocols {
    pub(super) fn new(options: &Options) -> Self {
        const KIB: usize = 1024;
        const MIB: u32 = 1024 * 1024;
        // Of a request, in either version.
        const HEAD: u32 = MIB / 16;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // hyper starts this clock when the previous response is done, so
            // it is the keep-alive time too and must not be shorter than
            // `idle`.
            .header_read_timeout(options.timeouts.idle)
            .max_header_size(HEAD as usize)
            // Bounds the memory of a connection: hyper keeps one such buffer
            // for each direction, and makes it as large only while as much
            // comes at once. Each read of an upload lets the sender go on, on
            // this core, so a few large ones cost less than many.
            .max_buf_size(256 * KIB);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            // The protocol's default of 64 KiB holds an upload to 64 KiB in
            // each round trip.
            .initial_stream_window_size(MIB)
            .initial_connection_window_size(4 * MIB)
            // hyper takes one chunk of each response before it knows whether
            // the client makes room for it, so streams cost memory even when
            // stalled.
            .max_concurrent_streams(16)
            .max_header_list_size(HEAD)
            .max_send_buf_size(16 * KIB);
        Self {
            http1,
            http2,
            h2c: options.h2c,
            timeouts: options.timeouts,
        }
    }
}

/// Serves one connection until it ends, stalls, or drains after `stopping`.
///
/// While nothing is asked for on an HTTP/1 connection, hyper and its buffers
/// are not there: they are ten times what the rest of it takes.
pub(super) async fn run<S, B>(
    opened: Opened,
    peer: Peer,
    service: Arc<S>,
    protocols: &Protocols,
    stopping: watch::Receiver<bool>,
) where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Opened {
        io,
        transport,
        h2,
        client,
    } = opened;
    let timeouts = protocols.timeouts;
    let meter = Arc::new(Meter::new());
    let begun = Begun::new(Bytes::new(), io);
    let mut line = Metered::new(begun, Arc::clone(&meter));
    let mut driver = Driver {
        peer,
        meter: Arc::clone(&meter),
        timeouts,
        stopping,
    };
    let mut per_request = service_fn(move |request: Request<Incoming>| {
        let exchange = Exchange::begin(&meter);
        let unread = (!request.body().is_end_stream()).then(|| Unread::begin(&meter));
        let lingers = if request.version() >= Version::HTTP_2 {
            // A stream ends without touching the others of its connection.
            Lingers::Never
        } else if request.headers().contains_key(header::EXPECT) {
            Lingers::OnceAsked
        } else {
            Lingers::Always
        };
        let mut request =
            request.map(|body| RequestBody::new(body, timeouts.stall, lingers, unread));
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        extensions.insert(transport);
        if let Some(client) = &client {
            extensions.insert(client.clone());
        }
        let mut service = S::clone(&service);
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            let response = service.call(request).await?;
            Ok::<_, Infallible>(response.map(|body| ResponseBody::new(body, exchange)))
        }
    });
    // Over TLS a client speaks HTTP/2 only where that was agreed on; without,
    // it just begins.
    let mut may_be_http2 = match transport {
        Transport::Tls => h2,
        Transport::Plain | Transport::PlainInsteadOfTls => protocols.h2c,
    };
    loop {
        match driver.next(&mut line, may_be_http2).await {
            Some(Next::Http1) => {
                let io = TokioIo::new(line);
                let mut connection = Box::new(protocols.http1.serve_connection(io, per_request));
                let shutdown = http1::Connection::graceful_shutdown;
                let pinned = Pin::new(&mut *connection);
                if driver.drive(pinned, shutdown, true).await == Served::Ended {
                    return;
                }
                let parts = connection.into_parts();
                line = parts.io.into_inner();
                line.get_mut().put_back(&parts.read_buf);
                per_request = parts.service;
                may_be_http2 = false;
            }
            Some(Next::Http2) => {
                let io = TokioIo::new(line);
                let mut connection = Box::pin(protocols.http2.serve_connection(io, per_request));
                let shutdown = http2::Connection::graceful_shutdown;
                driver.drive(connection.as_mut(), shutdown, false).await;
                return;
            }
            None => return,
        }
    }
}
