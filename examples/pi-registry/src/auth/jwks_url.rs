//! Fetches the keys of a token server over HTTPS.
//!
//! The server must have a certificate that this machine trusts; of another CA
//! whoever starts the registry names the file in `SSL_CERT_FILE`. Redirects
//! are not followed, and proxies not asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use registry_spec::BoxError;
use registry_tls::rustls::pki_types::ServerName;
use registry_tls::rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::certificates::tls_provider;
use crate::logging::chain;

/// How long it may take in all.
const LIMIT: Duration = Duration::from_secs(10);

/// A longer answer is no set of keys.
const MOST: usize = 1 << 20;

/// The body of a 200 at this URL.
pub(super) async fn fetch(url: &Uri) -> Result<Vec<u8>, String> {
    match tokio::time::timeout(LIMIT, exchange(url)).await {
        Ok(done) => done.map_err(|error| chain(&*error)),
        Err(_) => Err(format!("no answer within {} seconds", LIMIT.as_secs())),
    }
}

async fn exchange(url: &Uri) -> Result<Vec<u8>, BoxError> {
    let host = url.host().unwrap_or_default();
    let name = host.trim_matches(['[', ']']);
    let connector = TlsConnector::from(Arc::new(client().await?));
    let tcp = TcpStream::connect((name, url.port_u16().unwrap_or(443))).await?;
    let tls = connector.connect(ServerName::try_from(name.to_owned())?, tcp);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls.await?)).await?;
    // Ends with this function, however that ends.
    let mut connections = JoinSet::new();
    connections.spawn(connection);

    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map_or(host, |authority| authority.as_str());
    let agent = concat!("pi-registry/", env!("CARGO_PKG_VERSION"));
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, agent)
        .header(header::ACCEPT, "application/json, */*")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        return Err(format!("it answers {status}, expected 200: give the final URL").into());
    }
    let body = Limited::new(response.into_body(), MOST).collect().await?;
    Ok(body.to_bytes().to_vec())
}

async fn client() -> Result<ClientConfig, BoxError> {
    // Looked at each time: a CA may have been added.
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Ok(ClientConfig::builder_with_provider(tls_provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
