//! One line of the access log, in Apache's combined format:
//!
//! ```text
//! 10.42.0.7 - - [02/Jan/2006:15:04:05 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "docker/29.0"
//! ```
//!
//! A transfer that did not come to its end has ` aborted` after it; one that
//! had no response yet has the status 499, as in nginx.

use std::fmt::Write as _;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, Request, StatusCode, Version, header};

use super::clock;
use crate::proxies::Client;

/// Longest part of a line that a client chooses, in bytes before escaping.
/// A path of the longest name and digest fits.
const LONGEST_FIELD: usize = 1024;

/// Query parameters whose value is part of the protocol. Any other may be a
/// secret, such as a token or a signature, and is masked.
const PLAIN_PARAMETERS: &[&str] = &[
    "artifactType",
    "digest",
    "digest-algorithm",
    "from",
    "last",
    "mount",
    "n",
    "ns",
    "tag",
];

/// What a request says about itself, kept until its response is done.
#[derive(Debug)]
pub(super) struct Line {
    start: String,
    end: String,
}

impl Line {
    pub(super) fn new<B>(request: &Request<B>) -> Self {
        let mut start = String::with_capacity(192);
        match request.extensions().get() {
            Some(Client(address)) => {
                let _ = write!(start, "{address}");
            }
            // On a socket of the file system, without a word of a proxy.
            None => start.push('-'),
        }
        start.push_str(" - - [");
        clock::write(&mut start, SystemTime::now());
        start.push_str("] \"");
        escape(&mut start, request.method().as_str().as_bytes());
        start.push(' ');
        escape(&mut start, request.uri().path().as_bytes());
        if let Some(query) = request.uri().query() {
            start.push('?');
            escape(&mut start, masked(query).as_bytes());
        }
        start.push_str(match request.version() {
            Version::HTTP_10 => " HTTP/1.0\" ",
            Version::HTTP_2 => " HTTP/2.0\" ",
            _ => " HTTP/1.1\" ",
        });
        let mut end = String::with_capacity(64);
        // A page's address may carry a secret in its query as well.
        let referer = value(request.headers(), &header::REFERER);
        let referer = referer.split(|&c| c == b'?').next().unwrap_or_default();
        for field in [referer, value(request.headers(), &header::USER_AGENT)] {
            end.push_str(" \"");
            escape(&mut end, field);
            end.push('"');
        }
        Self { start, end }
    }

    /// The whole line, with its line break.
    pub(super) fn finish(&self, status: Option<StatusCode>, sent: u64, aborted: bool) -> String {
        /// nginx's "client closed request"; no client ever sees it.
        const CLOSED: u16 = 499;
        let Self { start, end } = self;
        let status = status.map_or(CLOSED, |status| status.as_u16());
        let mark = if aborted { " aborted" } else { "" };
        format!("{start}{status} {sent}{end}{mark}\n")
    }
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a [u8] {
    headers.get(name).map_or(&[], |value| value.as_bytes())
}

/// The query with the values of unknown parameters replaced.
fn masked(query: &str) -> String {
    let mut masked = String::with_capacity(query.len());
    for (index, parameter) in query.split('&').enumerate() {
        if index > 0 {
            masked.push('&');
        }
        match parameter.split_once('=') {
            Some((name, _)) if !PLAIN_PARAMETERS.contains(&name) => {
                masked.push_str(name);
                masked.push_str("=***");
            }
            // Without a name, the whole may be the secret.
            None if !parameter.is_empty() => masked.push_str("***"),
            _ => masked.push_str(parameter),
        }
    }
    masked
}

/// Writes client-chosen bytes so that they can neither end the line nor the
/// quotes around them, nor move a terminal's cursor.
fn escape(to: &mut String, bytes: &[u8]) {
    let cut = bytes.len().min(LONGEST_FIELD);
    for &byte in &bytes[..cut] {
        match byte {
            b'"' | b'\\' => {
                to.push('\\');
                to.push(char::from(byte));
            }
            b' '..=b'~' => to.push(char::from(byte)),
            _ => {
                let _ = write!(to, "\\x{byte:02x}");
            }
        }
    }
    if cut < bytes.len() {
        to.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows the time, so that tests need no clock.
    fn line(request: &Request<()>) -> String {
        let line = Line::new(request).finish(Some(StatusCode::OK), 2, false);
        let (_, rest) = line.split_once("] ").expect("a time");
        rest.to_owned()
    }

    #[test]
    fn a_line_is_in_the_combined_format() {
        let client = std::net::IpAddr::from([10, 0, 0, 7]);
        let request = Request::get("/v2/")
            .header("user-agent", "docker/29.0")
            .header("referer", "http://ui.example/list?token=s3cret")
            .header("authorization", "Basic c2VjcmV0")
            .extension(Client(client))
            .body(())
            .expect("valid");
        assert_eq!(
            line(&request),
            "\"GET /v2/ HTTP/1.1\" 200 2 \"http://ui.example/list\" \"docker/29.0\"\n"
        );
        let whole = Line::new(&request).finish(None, 0, true);
        assert!(whole.starts_with("10.0.0.7 - - ["), "{whole}");
        assert!(whole.contains(" +0000] \"GET "), "{whole}");
        assert!(whole.contains("\" 499 0 \""), "{whole}");
        assert!(whole.ends_with("\" aborted\n"), "{whole}");
    }

    #[test]
    fn what_a_client_sends_cannot_break_the_line() {
        let value = http::HeaderValue::from_bytes(b"a\x1b[2J");
        // A header value cannot hold an escape character to begin with.
        assert!(value.is_err());
        let value = http::HeaderValue::from_bytes(b"a\"b\\c\td\xff").expect("valid");
        let request = Request::get("/v2/%0a%22\"?n=%0a")
            .header("user-agent", value)
            .body(())
            .expect("valid");
        assert_eq!(
            line(&request),
            "\"GET /v2/%0a%22\\\"?n=%0a HTTP/1.1\" 200 2 \"\" \"a\\\"b\\\\c\\x09d\\xff\"\n"
        );
        let mut escaped = String::new();
        escape(&mut escaped, b"\n\r\x1b\x7f\0");
        assert_eq!(escaped, "\\x0a\\x0d\\x1b\\x7f\\x00");
    }

    #[test]
    fn a_long_field_is_cut() {
        let request = Request::get(format!("/{}", "x".repeat(5000)))
            .body(())
            .expect("valid");
        let line = line(&request);
        assert!(line.len() < LONGEST_FIELD + 100, "{}", line.len());
        assert!(line.contains("xxx... HTTP/1.1"), "{line}");
    }

    #[test]
    fn values_of_unknown_parameters_are_masked() {
        for (query, expected) in [
            (
                "digest=sha256:ab&_state=secret",
                "digest=sha256:ab&_state=***",
            ),
            ("n=5&last=a/b", "n=5&last=a/b"),
            ("token=", "token=***"),
            ("secret", "***"),
            ("", ""),
            ("&&a=b", "&&a=***"),
        ] {
            assert_eq!(masked(query), expected);
        }
    }

    #[test]
    fn credentials_in_an_absolute_address_are_left_out() {
        let request = Request::get("http://user:password@host/v2/")
            .body(())
            .expect("valid");
        assert!(line(&request).starts_with("\"GET /v2/ HTTP/1.1\""));
    }
}
