//! What the checks look at.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;

use http::{HeaderValue, Method, Request, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use registry_spec::Body;
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::config::HttpCheck;
use crate::logging::chain;

/// One thing that must hold.
#[derive(Debug)]
pub(super) enum Probe {
    /// The storage answers.
    Storage(Backend),
    /// The file is not there.
    File(PathBuf),
    /// The URL answers as it should.
    Http(Box<HttpCheck>),
    /// The address takes connections.
    Tcp(String),
    /// Whatever is said of its first, second, … run.
    #[cfg(test)]
    Counting {
        runs: std::sync::atomic::AtomicUsize,
        answer: fn(usize) -> Result<(), String>,
    },
}

impl Probe {
    /// Looks once; says what is wrong.
    pub(super) async fn run(&self) -> Result<(), String> {
        match self {
            Self::Storage(backend) => backend.look().await,
            Self::File(path) => absent(path).await,
            Self::Http(check) => head(check).await,
            Self::Tcp(addr) => match TcpStream::connect(addr).await {
                Ok(_) => Ok(()),
                Err(error) => Err(chain(&error)),
            },
            #[cfg(test)]
            Self::Counting { runs, answer } => {
                answer(runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1)
            }
        }
    }

    /// Whether giving up leaves a thread behind in the file system, which no
    /// second one should join.
    pub(super) const fn blocks(&self) -> bool {
        match self {
            Self::Storage(backend) => backend.look_blocks(),
            Self::File(_) => true,
            _ => false,
        }
    }
}

async fn absent(path: &Path) -> Result<(), String> {
    let path = path.to_owned();
    let found = tokio::task::spawn_blocking(move || path.metadata()).await;
    match found {
        Ok(Ok(_)) => Err("file exists".to_owned()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(error) => Err(chain(&error)),
    }
}

async fn head(check: &HttpCheck) -> Result<(), String> {
    let text = |error: &(dyn Error + 'static)| chain(error);
    let (host, port) = (check.uri.host().unwrap_or_default(), check.uri.port_u16());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port.unwrap_or(80)))
        .await
        .map_err(|error| text(&error))?;
    let handshake = http1::handshake::<_, Body>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| text(&error))?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::HEAD;
    if let Some(target) = check.uri.path_and_query() {
        *request.uri_mut() = Uri::from(target.clone());
    }
    let authority = match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    if let Ok(authority) = HeaderValue::from_str(&authority) {
        request.headers_mut().insert(header::HOST, authority);
    }
    request.headers_mut().extend(check.headers.clone());
    let mut connection = pin!(connection);
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer,
        // Its good end is that of the answer.
        Err(error) = &mut connection => Err(error),
    };
    let answer = answer.map_err(|error| text(&error))?;
    let (status, expected) = (answer.status().as_u16(), check.status.as_u16());
    if status == expected {
        return Ok(());
    }
    let mut fault = format!("status {status}, expected {expected}");
    if answer.status().is_redirection() && answer.headers().contains_key(header::LOCATION) {
        fault.push_str(&format!(
            ": {status} redirects are not followed: check the final address"
        ));
    }
    Err(fault)
}
