//! Which client fails, and what it prints.
//!
//! How the messages were obtained: certificates made by OpenSSL 3.0.19, served
//! on 127.0.0.1 by Go's `net/http`, then asked for by each client.
//!
//! | client  | program and version                             | obtained         |
//! |---------|-------------------------------------------------|------------------|
//! | Go      | `net/http` of Go 1.26.8                         | run, text copied |
//! | OpenSSL | curl 7.88.1 with OpenSSL 3.0.19, security level 2 | run, text copied |
//! | rustls  | rustls 0.23.46 with rustls-webpki               | run, in the tests |
//! | Apple   | macOS; [what it asks for][apple]                | documented       |
//! | Windows | curl with Schannel                              | documented       |
//! | Chrome  | its names of errors                             | documented       |
//!
//! Docker puts `Error response from daemon: Get "https://…/v2/": ` before Go's
//! message, containerd and k3s their own words; Go before 1.20 left out
//! `tls: failed to verify certificate: `. curl puts `curl: (60) ` before its
//! own, and newer ones write `target hostname`.
//!
//! What was tried and works with Go and with OpenSSL, and so is no error: a
//! self-signed certificate with the CA flag (or without it) as both the
//! server's and the trusted one, even one signed with SHA-1; a served root; a
//! foreign or misplaced certificate after the first; a serial number of zero or
//! of 24 bytes; an X.509 version 1 root; `keyUsage` of only `keyEncipherment`.
//!
//! [apple]: https://support.apple.com/en-us/103769

use std::fmt;
use std::net::IpAddr;

use super::Role;
use super::problem::{Problem, utc};
use crate::HostName;

/// A family of clients that share a TLS library, and so their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Client {
    /// Docker, containerd, k3s, podman, crane and everything else in Go.
    Go,
    /// curl, Python, Git and others that use OpenSSL.
    OpenSsl,
    /// Safari, and programs on macOS that ask the system.
    Apple,
    /// Programs on Windows that ask the system, curl among them.
    Windows,
    /// Programs in Rust; for client certificates, the registry itself.
    Rustls,
    /// Chrome, Edge and other browsers of that kind.
    Chrome,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "docker, containerd, k3s, podman",
            Self::OpenSsl => "curl (OpenSSL)",
            Self::Apple => "macOS",
            Self::Windows => "Windows",
            Self::Rustls => "programs in Rust",
            Self::Chrome => "Chrome",
        })
    }
}

/// A client that fails, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// Who fails.
    pub client: Client,
    /// What it prints.
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.client, self.message)
    }
}

/// The complaints about a problem of the certificate with this subject.
pub(super) fn about(problem: &Problem, subject: &str) -> Vec<Complaint> {
    match problem {
        Problem::UnknownCriticalExtension { .. } => vec![
            go("unhandled critical extension"),
            openssl("unhandled critical extension"),
        ],
        Problem::NegativeSerial => vec![complaint(
            Client::Go,
            "tls: failed to parse certificate from server: x509: negative serial number",
        )],
        Problem::OldVersion { .. } => vec![rustls("Other(OtherError(UnsupportedCertVersion))")],

        Problem::Expired { not_after, now } => {
            let (now, end) = (utc(now), utc(not_after));
            vec![
                go(&format!("{DATES}: current time {now} is after {end}")),
                openssl("certificate has expired"),
                windows("SEC_E_CERT_EXPIRED (0x80090328) - The received certificate has expired."),
                complaint(Client::Chrome, "NET::ERR_CERT_DATE_INVALID"),
            ]
        }
        Problem::NotYetValid { not_before, now } => {
            let (now, begin) = (utc(now), utc(not_before));
            vec![
                go(&format!("{DATES}: current time {now} is before {begin}")),
                openssl("certificate is not yet valid"),
                complaint(Client::Chrome, "NET::ERR_CERT_DATE_INVALID"),
            ]
        }
        Problem::LongValidity { .. } | Problem::NoPurpose => vec![apple(subject)],

        Problem::CommonNameOnly { common_name, hosts } => {
            // Go speaks of the common name only when it would have matched.
            let other = hosts.iter().find(|host| host.to_string() != *common_name);
            let named = hosts.is_empty() || hosts.iter().any(|h| h.to_string() == *common_name);
            let legacy = "certificate relies on legacy Common Name field, use SANs instead";
            let message = match other {
                Some(host) if !named => go_names(host, &[], &[]),
                _ => legacy.to_owned(),
            };
            vec![go(&message), wrong_name_in_chrome()]
        }
        Problem::NoNames { hosts } => {
            let mut complaints: Vec<_> = hosts
                .iter()
                .take(1)
                .map(|h| go(&go_names(h, &[], &[])))
                .collect();
            complaints.push(complaint(
                Client::OpenSsl,
                "SSL: unable to obtain common name from peer certificate",
            ));
            complaints.push(wrong_name_in_chrome());
            complaints
        }
        Problem::NotCovered {
            host,
            names,
            addresses,
        } => wrong_name(host, names, addresses),
        Problem::AddressAsName { address, addresses } => {
            wrong_name(&HostName::Ip(*address), &[], addresses)
        }
        Problem::WideWildcard { entry } => {
            vec![openssl_name(&entry.replacen('*', "registry", 1))]
        }

        // A server does not start with such a pair: this is what registry:2 prints.
        Problem::KeyMismatch => {
            vec![complaint(
                Client::Go,
                "tls: private key does not match public key",
            )]
        }
        Problem::WeakKey { key, authority } => weak_key(key, *authority),
        Problem::WeakSignature {
            self_signed: true, ..
        } => vec![apple(subject)],
        Problem::WeakSignature {
            algorithm, issuer, ..
        } => {
            let algorithm = go_algorithm(algorithm);
            let why = format!("x509: cannot verify signature: insecure algorithm {algorithm}");
            vec![
                go(&possibly(&why, issuer)),
                openssl("CA signature digest algorithm too weak"),
            ]
        }

        Problem::LeafNotFirst { .. } => vec![
            complaint(Client::Go, "tls: private key does not match public key"),
            openssl("unsuitable certificate purpose"),
        ],
        Problem::WrongAuthorityKey { go_kind, issuer } => vec![
            go(&possibly(go_kind, issuer)),
            openssl("unable to get local issuer certificate"),
        ],
        Problem::UnknownAuthority {
            self_signed, shown, ..
        } => vec![
            go("certificate signed by unknown authority"),
            openssl(match (self_signed, shown) {
                (true, _) => "self-signed certificate",
                (false, true) => "self-signed certificate in certificate chain",
                (false, false) => "unable to get local issuer certificate",
            }),
            windows(
                "SEC_E_UNTRUSTED_ROOT (0x80090325) - The certificate chain was issued by an \
                 authority that is not trusted.",
            ),
            complaint(Client::Chrome, "NET::ERR_CERT_AUTHORITY_INVALID"),
        ],

        Problem::NotAnAuthority { .. } => vec![
            go(&possibly(
                "x509: invalid signature: parent certificate cannot sign this kind of certificate",
                subject,
            )),
            openssl("invalid CA certificate"),
        ],
        Problem::LeafAsAuthority { .. } => vec![
            go("certificate signed by unknown authority"),
            openssl("unable to get local issuer certificate"),
        ],
        Problem::AuthorityAsLeaf { .. } => {
            vec![rustls("Other(OtherError(CaUsedAsEndEntity))")]
        }
        Problem::WrongPurpose { role: Role::Client } => {
            // These are what the client prints; the reason is in our log.
            vec![
                complaint(Client::Go, "remote error: tls: bad certificate"),
                complaint(
                    Client::OpenSsl,
                    "OpenSSL SSL_read: OpenSSL/3.0.19: error:0A000412:SSL routines::sslv3 alert \
                     bad certificate, errno 0",
                ),
            ]
        }
        Problem::WrongPurpose { .. } => vec![
            go("certificate specifies an incompatible key usage"),
            openssl("unsuitable certificate purpose"),
        ],
        Problem::NoDigitalSignature {
            role: Role::Client, ..
        } => vec![],
        Problem::NoDigitalSignature { other_tls_use, .. } => {
            let chrome = complaint(Client::Chrome, "ERR_SSL_KEY_USAGE_INCOMPATIBLE");
            let openssl = openssl("unsuitable certificate purpose");
            if *other_tls_use {
                vec![chrome]
            } else {
                vec![openssl, chrome]
            }
        }

        Problem::NoCertificate
        | Problem::Unreadable { .. }
        | Problem::LongSerial { .. }
        | Problem::ExpiresSoon { .. }
        | Problem::UselessEntry { .. }
        | Problem::KeyUnusable { .. }
        | Problem::OutOfOrder
        | Problem::Refused { .. }
        | Problem::Unrelated
        | Problem::TrustsOnlyItself => vec![],
    }
}

const DATES: &str = "certificate has expired or is not yet valid";

fn complaint(client: Client, message: &str) -> Complaint {
    let message = message.to_owned();
    Complaint { client, message }
}

fn go(message: &str) -> Complaint {
    complaint(
        Client::Go,
        &format!("tls: failed to verify certificate: x509: {message}"),
    )
}

/// As Go's `x509.UnknownAuthorityError` puts it.
fn possibly(why: &str, authority: &str) -> String {
    format!(
        "certificate signed by unknown authority (possibly because of \"{why}\" while trying to \
         verify candidate authority certificate \"{}\")",
        plain(authority)
    )
}

fn openssl(message: &str) -> Complaint {
    complaint(
        Client::OpenSsl,
        &format!("SSL certificate problem: {message}"),
    )
}

fn openssl_name(host: &str) -> Complaint {
    let text = "no alternative certificate subject name matches target host name";
    complaint(Client::OpenSsl, &format!("SSL: {text} '{host}'"))
}

fn windows(message: &str) -> Complaint {
    let text = format!("schannel: next InitializeSecurityContext failed: {message}");
    complaint(Client::Windows, &text)
}

fn rustls(message: &str) -> Complaint {
    complaint(
        Client::Rustls,
        &format!("invalid peer certificate: {message}"),
    )
}

fn apple(subject: &str) -> Complaint {
    let name = plain(subject);
    complaint(
        Client::Apple,
        &format!("“{name}” certificate is not standards compliant"),
    )
}

fn wrong_name_in_chrome() -> Complaint {
    complaint(Client::Chrome, "NET::ERR_CERT_COMMON_NAME_INVALID")
}

fn wrong_name(host: &HostName, names: &[String], addresses: &[IpAddr]) -> Vec<Complaint> {
    vec![
        go(&go_names(host, names, addresses)),
        openssl_name(&host.to_string()),
        complaint(
            Client::Windows,
            "schannel: SNI or certificate check failed: SEC_E_WRONG_PRINCIPAL (0x80090322) - The \
             target principal name is incorrect.",
        ),
        wrong_name_in_chrome(),
    ]
}

/// As Go's `x509.HostnameError` puts it.
fn go_names(host: &HostName, names: &[String], addresses: &[IpAddr]) -> String {
    let valid: Vec<_> = match host {
        HostName::Ip(_) if addresses.is_empty() => {
            return format!(
                "cannot validate certificate for {host} because it doesn't contain any IP SANs"
            );
        }
        HostName::Ip(_) => addresses.iter().map(ToString::to_string).collect(),
        HostName::Dns(_) => names.to_vec(),
    };
    if valid.is_empty() {
        format!("certificate is not valid for any names, but wanted to match {host}")
    } else {
        format!("certificate is valid for {}, not {host}", valid.join(", "))
    }
}

/// Go works with RSA keys from 1024 bits and does not know odd curves.
fn weak_key(key: &str, authority: bool) -> Vec<Complaint> {
    let Some(bits) = key.strip_prefix("RSA ") else {
        let message =
            "tls: failed to parse certificate from server: x509: unsupported elliptic curve";
        return if key == "ECDSA secp256k1" {
            vec![complaint(Client::Go, message)]
        } else {
            vec![]
        };
    };
    let openssl = openssl(if authority {
        "CA certificate key too weak"
    } else {
        "EE certificate key too weak"
    });
    let short = bits.parse().is_ok_and(|bits: usize| bits < 1024);
    let handshake = complaint(Client::Go, "remote error: tls: handshake failure");
    if short {
        vec![handshake, openssl]
    } else {
        vec![openssl]
    }
}

fn go_algorithm(algorithm: &str) -> &str {
    match algorithm {
        "md2WithRSAEncryption" => "MD2-RSA",
        "md5WithRSAEncryption" => "MD5-RSA",
        "sha1WithRSAEncryption" => "SHA1-RSA",
        "ecdsa-with-SHA1" => "ECDSA-SHA1",
        "dsa-with-SHA1" => "DSA-SHA1",
        other => other,
    }
}

/// The common name of a subject, which is what Go and macOS print, or all of it.
fn plain(subject: &str) -> &str {
    let name = subject
        .split(", ")
        .find_map(|part| part.strip_prefix("CN="));
    name.unwrap_or(subject)
}
