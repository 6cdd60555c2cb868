//! Steps 6 and 7: what the registry answers, and what time it has.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::header::{DATE, SERVER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use registry_tls::rustls::pki_types::CertificateDer;

use super::machine::Machine;
use super::{Patient, sign_in};
use crate::commands::remote::{Reply, Shown, get};
use crate::commands::report::Report;
use crate::logging::chain;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

pub(super) async fn check(
    machine: &Machine,
    patient: &Patient,
    socket: SocketAddr,
    shown: Shown,
    roots: &[CertificateDer<'static>],
    report: &mut Report,
) {
    let asked = shown.asks_for_certificate;
    let believed = sign_in::believe(&shown, &patient.address, roots);
    let reply = match shown.stream {
        Ok(stream) => get(stream, &patient.address.to_string(), "/v2/", None).await,
        Err(error) => Err(chain(&error)),
    };
    let reply = match reply {
        Ok(reply) => reply,
        Err(_) if asked => {
            let text = "the server refuses clients without a certificate: give one to each \
                        client, or set http.tls.clientauth of the registry to another mode";
            return report.error("http", text);
        }
        Err(error) => {
            let text = format!("GET /v2/ failed: {error}: look into the registry's log");
            return report.error("http", &text);
        }
    };
    answer(&reply, report);
    if matches!(reply.status, StatusCode::OK | StatusCode::UNAUTHORIZED) {
        sign_in::check(machine, patient, socket, &reply, believed, roots, report).await;
    }
    clock(&reply.headers, SystemTime::now(), report);
}

/// Explains the answer to `GET /v2/`.
fn answer(reply: &Reply, report: &mut Report) {
    let text = |name: &HeaderName| {
        reply
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let is_registry = text(&API_VERSION) == Some("registry/2.0");
    let by = text(&SERVER)
        .map(|name| format!(" (Server: {name})"))
        .unwrap_or_default();
    let status = reply.status;
    let what = format!("GET /v2/ is {status}{by}");
    let advice = match status.as_u16() {
        200 | 401 if is_registry => return report.ok("http", &what),
        200 if reply.headers.get("content-type").is_some_and(is_html) => {
            "this is a page for people: the registry is elsewhere, look at the port or ask who \
             runs the server"
        }
        200 | 401 => {
            let text = format!(
                "{what} without Docker-Distribution-API-Version: it may be no registry, or a proxy \
                 removes the header"
            );
            return report.warning("http", &text);
        }
        400 => {
            let body: String = String::from_utf8_lossy(&reply.body)
                .chars()
                .take(200)
                .collect();
            let text = format!("{what}: the server says {:?}", body.trim());
            return report.error("http", &text);
        }
        301 | 302 | 307 | 308 => {
            let to = text(&http::header::LOCATION).unwrap_or("nowhere");
            let text = format!("{what} to {to}: use the address that it leads to");
            return report.error("http", &text);
        }
        403 => "the server forbids it: look for an address filter of a proxy or the registry",
        404 => {
            "there is no registry at /v2/: it has another port, or a path prefix, which docker \
             cannot have: let the proxy pass /v2/ on"
        }
        429 => "too many requests: wait, or raise the limit of the proxy",
        502..=504 => {
            "the proxy does not reach the registry: look whether it runs and where the \
                      proxy looks for it"
        }
        _ => "look into the server's log",
    };
    report.error("http", &format!("{what}: {advice}"));
}

fn is_html(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"text/html")
}

/// All values of `WWW-Authenticate`.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<&str> {
    let all = headers.get_all(WWW_AUTHENTICATE).iter();
    all.filter_map(|value| value.to_str().ok()).collect()
}

/// Certificates and tokens are for a time.
fn clock(headers: &HeaderMap, now: SystemTime, report: &mut Report) {
    const MUCH: Duration = Duration::from_secs(300);
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        return report.ok("clock", "the server does not tell its time");
    };
    let (behind, off) = match now.duration_since(date) {
        Ok(off) => (false, off),
        Err(error) => (true, error.duration()),
    };
    if off <= MUCH {
        return report.ok("clock", "that of this machine and the server's agree");
    }
    let word = if behind { "behind" } else { "ahead of" };
    let minutes = off.as_secs() / 60;
    report.warning(
        "clock",
        &format!(
            "this machine is {minutes} minutes {word} the server, so that one of them takes \
             certificates and tokens for expired or not yet valid: set the clocks (timedatectl)"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> String {
        let mut reply = Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body: body.into(),
        };
        for (name, value) in headers {
            reply.headers.insert(*name, HeaderValue::from_static(value));
        }
        let mut report = Report::default();
        answer(&reply, &mut report);
        report.lines.remove(0)
    }

    #[test]
    fn each_status_is_explained() {
        let version = ("docker-distribution-api-version", "registry/2.0");
        for (status, headers, body, expected) in [
            (200, &[version] as &[_], "", "ok: http: GET /v2/ is 200 OK"),
            (401, &[version], "", "ok: http: GET /v2/ is 401"),
            (200, &[], "", "warning: http: GET /v2/ is 200"),
            (
                200,
                &[("content-type", "text/html")],
                "",
                "error: http: GET /v2/ is 200",
            ),
            (400, &[], "use https\n", "says \"use https\""),
            (403, &[], "", "forbids"),
            (404, &[], "", "path prefix"),
            (302, &[("location", "https://x/")], "", "to https://x/"),
            (
                502,
                &[("server", "nginx")],
                "",
                "502 Bad Gateway (Server: nginx)",
            ),
            (500, &[], "", "error: http"),
        ] {
            let line = line(status, headers, body);
            assert!(line.contains(expected), "{line}");
        }
    }

    #[test]
    fn five_minutes_are_too_many() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let time = httpdate::parse_http_date(date).expect("a date");
        let headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static(date))]);
        let found = |now| {
            let mut report = Report::default();
            clock(&headers, now, &mut report);
            report.lines.remove(0)
        };
        assert!(found(time + Duration::from_secs(299)).starts_with("ok: "));
        let late = found(time + Duration::from_secs(601));
        assert!(
            late.starts_with("warning: clock: this machine is 10 minutes ahead"),
            "{late}"
        );
        let early = found(time - Duration::from_secs(601));
        assert!(early.contains("10 minutes behind"), "{early}");
    }
}
