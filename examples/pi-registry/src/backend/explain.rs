//! What object stores, and the ways to them, say when they fail: in their own
//! words, with what to do about it.
//!
//! The library tells most of it as text in a chain of sources. What a server
//! answered begins with one of two sentences there, and holds the body.

use std::error::Error;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};
use registry_tls::rustls::{self, CertificateError};

use super::object::Place;
use super::trust;

/// A failure in one line: what happened, and what to do.
pub(super) fn explain(error: &(dyn Error + 'static), place: &Place) -> String {
    let found = Found::of(error);
    let what = found.what();
    match found.advice(place) {
        Some(advice) => format!("{what}: {advice}"),
        None => what,
    }
}

/// What a chain of sources tells.
#[derive(Debug, Default)]
struct Found {
    /// The status of the answer.
    status: Option<u16>,
    /// The store's word for what is wrong, such as `NoSuchBucket`.
    code: Option<String>,
    /// Its sentence about it.
    message: Option<String>,
    /// A redirect that leads nowhere.
    redirected: bool,
    /// The server that tells a machine its credentials was asked.
    asked_for_credentials: bool,
    tls: Option<rustls::Error>,
    io: Option<io::ErrorKind>,
    no_name: bool,
    timeout: bool,
    /// The innermost sentence.
    last: String,
}

/// What the library says before the status and body of an answer.
const ANSWERS: &[&str] = &[
    "Server returned non-2xx status code: ",
    "Server returned error response: ",
];

/// Where clouds tell their machines and containers who they are.
const METADATA: &[&str] = &[
    "://169.254.169.254/",
    "://169.254.170.2/",
    "://169.254.170.23/",
    "://metadata.google.internal/",
];

impl Found {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut found = Self::default();
        let mut next = Some(error);
        while let Some(error) = next {
            found.look(error);
            next = match error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
            {
                // An error of I/O hides the one in it from its sources.
                Some(inner) => Some(inner as &(dyn Error + 'static)),
                None => error.source(),
            };
        }
        found
    }

    fn look(&mut self, error: &(dyn Error + 'static)) {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            self.tls = Some(error.clone());
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            self.io = Some(error.kind());
            self.timeout |= error.kind() == io::ErrorKind::TimedOut;
        }
        if let Some(error) = error.downcast_ref::<HttpError>() {
            self.timeout |= error.kind() == HttpErrorKind::Timeout;
        }
        self.timeout |= error.is::<tokio::time::error::Elapsed>();
        let text = error.to_string();
        for answer in ANSWERS {
            if let Some(rest) = text.strip_prefix(answer) {
                self.answer(rest);
            }
        }
        if let Some((told, code)) = text.rsplit_once(" (code: ") {
            // One of several objects that one request was to delete.
            self.code = sentence(code.trim_end_matches(')'));
            self.message = told.rsplit_once(": ").and_then(|(_, told)| sentence(told));
        }
        self.no_name |= text == "dns error";
        self.redirected |= text.starts_with("Received redirect without LOCATION");
        if let Some((request, _)) = text
            .strip_prefix("Error performing ")
            .and_then(|text| text.split_once(" in "))
        {
            self.asked_for_credentials |= METADATA.iter().any(|server| request.contains(server));
        }
        self.last = text;
    }

    /// `403 Forbidden: <?xml …`, or the body alone.
    fn answer(&mut self, text: &str) {
        let status = text.get(..3).and_then(|status| status.parse().ok());
        self.status = status;
        let body = match (status, text.split_once(": ")) {
            (Some(_), Some((_, body))) => body,
            (Some(_), None) => "",
            (None, _) => text,
        };
        self.code = element(body, "Code").or_else(|| field(body, "error"));
        self.message = element(body, "Message")
            .or_else(|| field(body, "message"))
            .or_else(|| field(body, "error_description"));
        if self.code.is_none() && self.message.is_none() {
            self.message = sentence(body);
        }
    }

    fn what(&self) -> String {
        if self.asked_for_credentials {
            return "nobody tells this machine credentials for it".to_owned();
        }
        if let Some(tls) = &self.tls {
            return plain(&format!("TLS failed: {tls}"));
        }
        let mut what = match (&self.code, self.status) {
            (Some(code), Some(status)) => format!("the store answers {status} {code}"),
            (Some(code), None) => format!("the store answers {code}"),
            (None, Some(status)) => format!("the store answers {status}"),
            (None, None) if self.redirected => return "the store sends us elsewhere".to_owned(),
            (None, None) if self.no_name => {
                return format!("its name cannot be resolved: {}", plain(&self.last));
            }
            (None, None) if self.timeout => {
                return "it does not answer in time".to_owned();
            }
            (None, None) => return plain(&self.last),
        };
        if let Some(message) = &self.message {
            what = format!("{what}: {message}");
        }
        what
    }

    fn advice(&self, place: &Place) -> Option<String> {
        let (key, bucket, endpoint) = (place.key, place.bucket_key, place.endpoint_key);
        let credentials = &place.credentials;
        if self.asked_for_credentials {
            return Some(format!("give {credentials}"));
        }
        if let Some(tls) = &self.tls {
            return Some(tls_advice(tls, place));
        }
        let code = self.code.as_deref().unwrap_or_default();
        let message = self.message.as_deref().unwrap_or_default();
        Some(match (code, self.status) {
            ("NoSuchBucket" | "ContainerNotFound", _) => {
                format!("make the {bucket}, or correct {key}.{bucket}")
            }
            ("InvalidBucketName" | "InvalidResourceName", _) => format!("correct {key}.{bucket}"),
            (
                "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException"
                | "InvalidRegion"
                | "PermanentRedirect"
                | "TemporaryRedirect",
                _,
            )
            | ("", Some(300..=399)) => format!("correct {key}.region"),
            ("RequestTimeTooSkewed" | "RequestExpired" | "RequestNotReady", _) => {
                "set the clock of this machine, or the store's".to_owned()
            }
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "InvalidTokenId"
                | "ExpiredToken"
                | "AuthenticationFailed"
                | "InvalidAuthenticationInfo"
                | "NoAuthenticationInformation"
                | "invalid_grant"
                | "invalid_client",
                _,
            )
            | (_, Some(401)) => format!("correct {credentials}"),
            ("AccountIsDisabled" | "ResourceNotFound", _) => format!("correct {credentials}"),
            (code, _) if code.starts_with("KMS.") => format!("correct {key}.keyid"),
            ("", Some(400)) if message.contains("HTTPS server") => encrypt(place),
            ("AccessDenied", _) | (_, Some(403)) => {
                format!("allow {credentials} to list, read, write and delete there")
            }
            (_, Some(404)) => {
                format!("make the {bucket}, or correct {key}.{bucket} or {key}.{endpoint}")
            }
            (_, Some(429 | 500..)) => {
                "the store is busy, starting or broken: look at its own log".to_owned()
            }
            (_, Some(_)) => return None,
            (_, None) if self.redirected => format!("correct {key}.region"),
            (_, None) if self.no_name => format!("correct {key}.{endpoint}, or this machine's DNS"),
            (_, None) if self.timeout => {
                format!("see whether {key}.{endpoint} is right, and a firewall between")
            }
            (_, None) => match self.io {
                Some(io::ErrorKind::ConnectionRefused) => {
                    format!("start the store, or correct {key}.{endpoint}")
                }
                Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                    format!("correct {key}.{endpoint}, or this machine's network")
                }
                Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
                    if place.endpoint.starts_with("http://") =>
                {
                    encrypt(place)
                }
                _ => return None,
            },
        })
    }
}

fn tls_advice(error: &rustls::Error, place: &Place) -> String {
    let (key, endpoint) = (place.key, place.endpoint_key);
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "use a name of the certificate in {key}.{endpoint}, or a certificate with this one"
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "renew the store's certificate, or set the clock of this machine".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
            if trust::system_roots().is_empty() =>
        {
            format!(
                "this machine has no CA certificates: install the package ca-certificates, name a \
                 file of them in SSL_CERT_FILE, or that of the store's CA in {key}.cafile"
            )
        }
        rustls::Error::InvalidCertificate(_) => format!(
            "name the file of its CA in {key}.cafile, or believe anybody with {key}.skipverify: true"
        ),
        rustls::Error::InvalidMessage(_) => {
            let how = match key.starts_with("storage.s3") {
                true => format!("{key}.secure: false, or "),
                false => String::new(),
            };
            format!("the store speaks no TLS there: {how}http:// in {key}.{endpoint}")
        }
        _ => format!("see what TLS {} speaks", place.endpoint),
    }
}

/// For a store that wants TLS.
fn encrypt(place: &Place) -> String {
    let (key, endpoint) = (place.key, place.endpoint_key);
    let how = match key.starts_with("storage.s3") {
        true => format!("{key}.secure: true, or "),
        false => String::new(),
    };
    format!("the store wants TLS: {how}https:// in {key}.{endpoint}")
}

/// The text of an element of a small XML document without namespaces.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    sentence(&text)
}

/// A text of a JSON document: of itself or of its `error`.
fn field(json: &str, name: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(json).ok()?;
    let text = |value: &serde_json::Value| value.get(name)?.as_str().and_then(sentence);
    text(&json).or_else(|| text(json.get("error")?))
}

/// The first line of a text that is not markup, without the full stop.
fn sentence(text: &str) -> Option<String> {
    let line = text.trim().lines().next()?.trim();
    let line = line.strip_suffix('.').unwrap_or(line);
    (!line.is_empty() && !line.starts_with(['<', '{'])).then(|| plain(line))
}

/// A text of somebody else, cut, on one line.
fn plain(text: &str) -> String {
    const LONGEST: usize = 240;
    let plain: String = text.chars().take(LONGEST).collect();
    let cut = if plain.len() < text.len() { "…" } else { "" };
    format!("{}{cut}", plain.replace(char::is_control, " "))
}

#[cfg(test)]
mod tests;
