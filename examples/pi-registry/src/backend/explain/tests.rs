use std::fmt;

use super::*;

/// A sentence and its cause.
#[derive(Debug)]
struct Chain(&'static str, Option<io::Error>);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Chain {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_ref().map(|error| error as _)
    }
}

fn place(key: &'static str, endpoint: &str) -> Place {
    let (bucket_key, endpoint_key) = match key {
        "storage.azure" => ("container", "serviceurl"),
        _ => ("bucket", "regionendpoint"),
    };
    Place {
        key,
        bucket: "s3://b".to_owned(),
        endpoint: endpoint.to_owned(),
        bucket_key,
        endpoint_key,
        credentials: "KEYS".to_owned(),
    }
}

fn explained(text: &'static str, cause: Option<io::Error>) -> String {
    let error = Chain(text, cause);
    explain(&error, &place("storage.s3", "https://a:9000"))
}

#[test]
fn an_answer_of_the_store_is_told_in_its_words() {
    for (answer, line) in [
        (
            "Server returned non-2xx status code: 404 Not Found: <?xml version=\"1.0\"?>\n<Error>\
             <Code>NoSuchBucket</Code><Message>It is not there.</Message></Error>",
            "the store answers 404 NoSuchBucket: It is not there: make the bucket, or correct \
             storage.s3.bucket",
        ),
        (
            "Server returned non-2xx status code: 400 Bad Request: <Error><Code>\
             AuthorizationHeaderMalformed</Code><Message>expecting &#39;eu-1&#39;</Message></Error>",
            "the store answers 400 AuthorizationHeaderMalformed: expecting 'eu-1': correct \
             storage.s3.region",
        ),
        (
            "Received redirect without LOCATION, this normally indicates an incorrectly \
             configured region",
            "the store sends us elsewhere: correct storage.s3.region",
        ),
        (
            "Server returned non-2xx status code: 307 Temporary Redirect: ",
            "the store answers 307: correct storage.s3.region",
        ),
        (
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId\
             </Code><Message>No.</Message></Error>",
            "the store answers 403 InvalidAccessKeyId: No: correct KEYS",
        ),
        (
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>\
             SignatureDoesNotMatch</Code></Error>",
            "the store answers 403 SignatureDoesNotMatch: correct KEYS",
        ),
        (
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>AccessDenied</Code>\
             <Message>Access Denied.</Message></Error>",
            "the store answers 403 AccessDenied: Access Denied: allow KEYS to list, read, write \
             and delete there",
        ),
        (
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>\
             RequestTimeTooSkewed</Code></Error>",
            "the store answers 403 RequestTimeTooSkewed: set the clock of this machine, or the \
             store's",
        ),
        (
            "Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown\
             </Code></Error>",
            "the store answers 503 SlowDown: the store is busy, starting or broken: look at its \
             own log",
        ),
        (
            "Server returned error response: <Error><Code>InternalError</Code></Error>",
            "the store answers InternalError",
        ),
        (
            "Server returned non-2xx status code: 400 Bad Request: Client sent an HTTP request \
             to an HTTPS server.\n",
            "the store answers 400: Client sent an HTTP request to an HTTPS server: the store \
             wants TLS: storage.s3.secure: true, or https:// in storage.s3.regionendpoint",
        ),
        (
            "Server returned non-2xx status code: 404 Not Found: <html>\n<p>nginx</p>",
            "the store answers 404: make the bucket, or correct storage.s3.bucket or \
             storage.s3.regionendpoint",
        ),
        (
            "Server returned non-2xx status code: 401 Unauthorized: {\"error\": {\"code\": 401, \
             \"message\": \"Invalid Credentials\"}}",
            "the store answers 401: Invalid Credentials: correct KEYS",
        ),
        (
            "Server returned non-2xx status code: 400 Bad Request: {\"error\": \"invalid_grant\", \
             \"error_description\": \"Invalid JWT\"}",
            "the store answers 400 invalid_grant: Invalid JWT: correct KEYS",
        ),
        (
            "DeleteObjects request failed for key a/b: Access Denied. (code: AccessDenied)",
            "the store answers AccessDenied: Access Denied: allow KEYS to list, read, write and \
             delete there",
        ),
        ("something else", "something else"),
    ] {
        assert_eq!(explained(answer, None), line);
    }
}

#[test]
fn a_way_that_is_closed_is_told_with_its_cause() {
    let tls = |error: rustls::Error| io::Error::other(error);
    for (cause, line) in [
        (
            io::Error::from(io::ErrorKind::ConnectionRefused),
            "connection refused: start the store, or correct storage.s3.regionendpoint",
        ),
        (
            io::Error::from(io::ErrorKind::TimedOut),
            "it does not answer in time: see whether storage.s3.regionendpoint is right, and a \
             firewall between",
        ),
        (
            tls(CertificateError::UnknownIssuer.into()),
            "TLS failed: invalid peer certificate: UnknownIssuer: name the file of its CA in \
             storage.s3.cafile, or believe anybody with storage.s3.skipverify: true",
        ),
        (
            tls(CertificateError::Expired.into()),
            "TLS failed: invalid peer certificate: Expired: renew the store's certificate, or \
             set the clock of this machine",
        ),
        (
            tls(CertificateError::NotValidForName.into()),
            "TLS failed: invalid peer certificate: NotValidForName: use a name of the \
             certificate in storage.s3.regionendpoint, or a certificate with this one",
        ),
        (
            tls(rustls::Error::InvalidMessage(
                rustls::InvalidMessage::InvalidContentType,
            )),
            "TLS failed: received corrupt message of type InvalidContentType: the store speaks \
             no TLS there: storage.s3.secure: false, or http:// in storage.s3.regionendpoint",
        ),
    ] {
        assert_eq!(explained("error sending request", Some(cause)), line);
    }
    assert_eq!(
        explained("dns error", Some(io::Error::other("no such name"))),
        "its name cannot be resolved: no such name: correct storage.s3.regionendpoint, or this \
         machine's DNS"
    );
}

#[test]
fn a_machine_without_credentials_is_told_so() {
    let line = explained(
        "Error performing PUT http://169.254.169.254/latest/api/token in 1s - x",
        Some(io::Error::from(io::ErrorKind::TimedOut)),
    );
    assert_eq!(
        line,
        "nobody tells this machine credentials for it: give KEYS"
    );
    // A name in the bucket is no server.
    let line = explained(
        "Error performing GET http://a/b/169.254.169.254/x in 1s - x",
        Some(io::Error::from(io::ErrorKind::ConnectionRefused)),
    );
    assert!(line.starts_with("connection refused"), "{line}");
}

#[test]
fn each_driver_has_its_own_keys() {
    let error = Chain(
        "Server returned non-2xx status code: 404 Not Found: <Error><Code>ContainerNotFound\
             </Code></Error>",
        None,
    );
    let azure = place("storage.azure", "https://a");
    assert!(
        explain(&error, &azure).ends_with("make the container, or correct storage.azure.container"),
    );
    let error = Chain(
        "error sending request",
        Some(io::Error::other(rustls::Error::InvalidMessage(
            rustls::InvalidMessage::InvalidContentType,
        ))),
    );
    assert!(explain(&error, &azure).ends_with("no TLS there: http:// in storage.azure.serviceurl"));
}

#[test]
fn a_text_of_somebody_else_is_cut_and_on_one_line() {
    let line = plain(&"a\n\u{1b}".repeat(1000));
    assert!(
        line.len() < 300 && !line.contains(char::is_control),
        "{line}"
    );
}
