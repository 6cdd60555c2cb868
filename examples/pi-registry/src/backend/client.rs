//! The HTTP client of the object stores.
//!
//! There is no limit on the time that a request takes in all: a layer may be
//! large, and a line slow. What is limited is silence.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::{BackendError, trust};
use crate::config::Client;
use crate::logging::chain;

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the store may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// The slowest line on which a part still arrives, in bytes per second: the
/// store answers only after the whole of it.
const SLOWEST: u64 = 64 * 1024;

/// Less than servers wait before they close a connection that is not used,
/// as far as is known of them.
const IDLE: Duration = Duration::from_secs(15);

/// Makes the clients of all of a driver's requests from one, with one pool of
/// connections.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    client: reqwest::Client,
}

impl Connector {
    /// Reads the files of certificates.
    pub(super) fn new(client: &Client, key: &str) -> Result<Self, BackendError> {
        const AGENT: &str = concat!("pi-registry/", env!("CARGO_PKG_VERSION"));
        // Of HTTP_PROXY and the like the library takes notice by itself, as Go
        // does.
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(trust::tls(client, key)?)
            .user_agent(client.user_agent.as_deref().unwrap_or(AGENT))
            .http1_only()
            .connect_timeout(CONNECT)
            .tcp_keepalive(SILENCE)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(128)
            // A signature is good for one host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| BackendError::new(format_args!("{key}: {}", chain(&error))))?;
        Ok(Self { client })
    }

    #[cfg(feature = "s3")]
    pub(super) fn client(&self) -> HttpClient {
        HttpClient::new(Patient {
            client: self.client.clone(),
        })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Patient {
            client: self.client.clone(),
        }))
    }
}

/// Waits as long as something moves.
#[derive(Debug)]
struct Patient {
    client: reqwest::Client,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer for {} seconds", .0.as_secs())]
struct Silence(Duration);

fn silent(after: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Silence(after))
}

#[async_trait]
impl HttpService for Patient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let sent = request.body().content_length() as u64;
        let limit = SILENCE + Duration::from_secs(sent / SLOWEST);
        let answer = tokio::time::timeout(limit, HttpService::call(&self.client, request));
        let response = answer.await.map_err(|_| silent(limit))??;
        Ok(response.map(|body| {
            HttpResponseBody::new(Watched {
                body,
                silence: tokio::time::sleep(SILENCE),
                waiting: false,
            })
        }))
    }
}

pin_project! {
    /// A body that fails when nothing of it comes for a while. A reader who
    /// takes its time is no reason to.
    struct Watched {
        #[pin]
        body: HttpResponseBody,
        #[pin]
        silence: Sleep,
        waiting: bool,
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(context) {
            *this.waiting = false;
            return Poll::Ready(frame);
        }
        if !*this.waiting {
            *this.waiting = true;
            this.silence.as_mut().reset(Instant::now() + SILENCE);
        }
        ready!(this.silence.poll(context));
        Poll::Ready(Some(Err(silent(SILENCE))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
