//! A request over a connection that stands already.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::LIMIT;
use crate::logging::chain;

/// Answers to what is asked here are short.
const MOST: usize = 1 << 20;

/// A whole answer.
#[derive(Debug)]
pub(in crate::commands) struct Reply {
    pub(in crate::commands) status: StatusCode,
    pub(in crate::commands) headers: HeaderMap,
    pub(in crate::commands) body: Bytes,
}

/// Asks once over a new connection.
pub(in crate::commands) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
    authorization: Option<HeaderValue>,
) -> Result<Reply, String> {
    let mut request = Request::get(path).header(HOST, host).header(
        USER_AGENT,
        concat!("pi-registry/", env!("CARGO_PKG_VERSION")),
    );
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (parts, body) = match sender.send_request(request).await {
            Ok(response) => response.into_parts(),
            // The connection knows the cause.
            Err(error) => return Err(connection.await.ok().and_then(Result::err).unwrap_or(error)),
        };
        // A longer body, which nobody has a use for, is left out.
        let body = Limited::new(body, MOST).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    };
    match timeout(LIMIT, exchange).await {
        Err(_) => Err(format!("no answer within {} seconds", LIMIT.as_secs())),
        Ok(reply) => reply.map_err(|error: hyper::Error| chain(&error)),
    }
}
