//! Signing in as docker does, with Basic or with a token.

use std::net::SocketAddr;

use http::{HeaderValue, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registry_tls::inspect::{Expectations, verify};
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::trust::RegistryAddress;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Patient;
use super::http::challenges;
use super::login::{Login, secret};
use super::machine::Machine;
use crate::certificates::tls_provider;
use crate::commands::remote::{self, Reply, Shown, get};
use crate::commands::report::Report;
use crate::logging::chain;

pub(super) const WHAT: &str = "sign-in";

/// The scheme and the parameters of `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
struct Challenge<'a> {
    scheme: &'a str,
    parameters: &'a str,
}

impl<'a> Challenge<'a> {
    fn of(text: &'a str) -> Self {
        let (scheme, parameters) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        Self { scheme, parameters }
    }

    fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The value of a parameter; quotes hide commas.
    fn get(&self, name: &str) -> Option<String> {
        let mut rest = self.parameters.trim_start_matches([' ', ',']);
        while let Some((key, after)) = rest.split_once('=') {
            let value;
            (value, rest) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            if key.trim().eq_ignore_ascii_case(name) {
                return Some(value.trim().to_owned());
            }
            rest = rest.trim_start_matches([' ', ',']);
        }
        None
    }
}

/// Whom to ask, and whom to believe.
struct Visit<'a> {
    address: &'a RegistryAddress,
    socket: SocketAddr,
    roots: &'a [CertificateDer<'static>],
}

pub(super) async fn check(
    machine: &Machine,
    patient: &Patient,
    socket: SocketAddr,
    reply: &Reply,
    believed: bool,
    roots: &[CertificateDer<'static>],
    report: &mut Report,
) {
    if reply.status == StatusCode::OK {
        if patient.login.is_some() {
            let text = "the registry asks nobody for a password at /v2/, so docker sends none";
            report.warning(WHAT, text);
        }
        return;
    }
    let all = challenges(&reply.headers);
    let Some(first) = all.first().map(|text| Challenge::of(text)) else {
        let text = "401 without WWW-Authenticate: docker cannot sign in: let the registry or the \
                    proxy send the header";
        return report.error(WHAT, text);
    };
    if all.len() > 1 {
        let text = format!(
            "there are {} headers WWW-Authenticate: docker and others heed one of them only",
            all.len()
        );
        report.warning(WHAT, &text);
    }
    let realm = first.get("realm").unwrap_or_default();
    report.ok(
        WHAT,
        &format!("the registry wants {} of realm {realm:?}", first.scheme),
    );
    let kept;
    let login = match &patient.login {
        Some(login) => Some(login),
        None => {
            kept = Login::kept(machine, &patient.address, report);
            kept.as_ref()
        }
    };
    let visit = Visit {
        address: &patient.address,
        socket,
        roots,
    };
    let who = login.map_or("nobody".to_owned(), |login| {
        format!("{} (from {})", login.user, login.from)
    });
    let outcome = if login.is_some() && !believed {
        // Nor may it say where the password is to go.
        Err(not_tried(&patient.address))
    } else if first.is("Basic") {
        match login {
            None => Ok("no password is at hand: try one with --user NAME".to_owned()),
            Some(login) => visit.try_with(login.basic(), &who).await,
        }
    } else if first.is("Bearer") {
        visit.bearer(&first, &realm, login, &who).await
    } else {
        Err(format!(
            "docker knows Basic and Bearer, not {}",
            first.scheme
        ))
    };
    match outcome {
        Ok(text) => report.ok(WHAT, &text),
        Err(text) => report.error(WHAT, &text),
    }
}

impl Visit<'_> {
    /// `GET /v2/` again.
    async fn try_with(&self, value: Option<HeaderValue>, who: &str) -> Result<String, String> {
        let tcp = remote::connect(self.socket)
            .await
            .map_err(|error| chain(&error))?;
        let stream = self.trusted(tcp, self.socket, self.address).await?;
        let reply = get(stream, &self.address.to_string(), "/v2/", value).await?;
        match reply.status {
            StatusCode::OK => Ok(format!("works as {who}")),
            StatusCode::UNAUTHORIZED => Err(format!(
                "refused for {who}: the user or the password is wrong: look with pi-registry user \
                 list on the server, and run docker login {} again",
                self.address
            )),
            status => Err(format!("GET /v2/ as {who} is {status}")),
        }
    }

    /// Fetches a token from the realm, then uses it.
    async fn bearer(
        &self,
        challenge: &Challenge<'_>,
        realm: &str,
        login: Option<&Login>,
        who: &str,
    ) -> Result<String, String> {
        let bad = || format!("the realm {realm:?} is no URL: set the token server's whole address");
        let uri: Uri = realm.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?.as_str();
        if uri.scheme_str() != Some("https") {
            return Err(format!(
                "the realm {realm} has no TLS, so that passwords can be read on the way; none was \
                 sent: set an https:// address as the registry's realm"
            ));
        }
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut query: Vec<_> = uri.query().map(str::to_owned).into_iter().collect();
        if let Some(service) = challenge.get("service") {
            query.push(format!("service={}", encode(&service)));
        }
        if let Some(login) = login {
            query.push(format!("account={}&client_id=docker", encode(&login.user)));
        }
        let path = format!("{}?{}", uri.path(), query.join("&"));
        let server: RegistryAddress = authority.parse().map_err(|_| bad())?;
        let failed = |error: String| format!("the token server {server} cannot be asked: {error}");
        let reply = async {
            let stream = self.open(&server).await?;
            get(stream, authority, &path, login.and_then(Login::basic)).await
        };
        let reply = reply.await.map_err(failed)?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED if login.is_none() => {
                return Ok("no password is at hand: try one with --user NAME".to_owned());
            }
            StatusCode::UNAUTHORIZED => {
                return Err(format!(
                    "the token server {server} refuses {who}: the user or the password is wrong"
                ));
            }
            status => return Err(format!("the token server {server} answers {status}")),
        }
        let token: Option<serde_json::Value> = serde_json::from_slice(&reply.body).ok();
        let token = token.as_ref().and_then(|body| {
            let text = |key| body.get(key).and_then(|token| token.as_str());
            text("token").or_else(|| text("access_token"))
        });
        let token = token.ok_or_else(|| {
            format!("the token server {server} answers without \"token\" in JSON")
        })?;
        if login.is_none() {
            return Ok(format!("the token server {server} gives tokens to anybody"));
        }
        let answer = self.try_with(secret(format!("Bearer {token}")), who).await;
        answer.map_err(|error| {
            format!(
                "{error}; the token server {server} gave a token, so look whether the registry \
                     has its key, service and issuer"
            )
        })
    }

    async fn open(&self, server: &RegistryAddress) -> Result<TlsStream<TcpStream>, String> {
        let (socket, tcp) = remote::connect_any(server)
            .await
            .map_err(|error| chain(&error))?;
        self.trusted(tcp, socket, server).await
    }

    /// A connection over which a password may go.
    async fn trusted(
        &self,
        tcp: TcpStream,
        socket: SocketAddr,
        server: &RegistryAddress,
    ) -> Result<TlsStream<TcpStream>, String> {
        let shown = remote::handshake(tcp, socket, server.host()).await;
        let shown = shown.map_err(|error| chain(&error))?;
        if !believe(&shown, server, self.roots) {
            return Err(not_tried(server));
        }
        shown.stream.map_err(|error| chain(&error))
    }
}

/// Whether a client here would take this for the server.
pub(super) fn believe(
    shown: &Shown,
    server: &RegistryAddress,
    roots: &[CertificateDer<'_>],
) -> bool {
    let now = Expectations::default().now;
    let verdict = verify(&shown.chain, server.host(), roots, now, &tls_provider());
    verdict.is_ok() && shown.proven
}

fn not_tried(server: &RegistryAddress) -> String {
    format!(
        "not tried, as no client here trusts the certificate of {server}: make one trust it, or \
         give its CA with --ca FILE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let text = r#"Bearer realm="https://a/token?x=1,2", service="r, s",scope=x"#;
        let challenge = Challenge::of(text);
        assert!(challenge.is("bearer"));
        assert_eq!(
            challenge.get("realm").as_deref(),
            Some("https://a/token?x=1,2")
        );
        assert_eq!(challenge.get("service").as_deref(), Some("r, s"));
        assert_eq!(challenge.get("scope").as_deref(), Some("x"));
        assert_eq!(challenge.get("error"), None);
        assert_eq!(Challenge::of("Basic").get("realm"), None);
        assert_eq!(Challenge::of("Basic realm=\"x").get("realm"), None);
    }
}
