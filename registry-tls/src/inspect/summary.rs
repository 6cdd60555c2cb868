//! What is in a certificate, for a person to read.

use std::fmt;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::certificate::Parsed;
use super::problem::{Problem, utc};
use crate::HostName;

/// What is in a certificate. Prints as several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateSummary {
    /// Whose it is, such as `CN=registry.local`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The hosts of its `subjectAltName`.
    pub hosts: Vec<HostName>,
    /// When its validity begins.
    pub not_before: OffsetDateTime,
    /// When its validity ends.
    pub not_after: OffsetDateTime,
    /// Whether it has the CA flag.
    pub is_ca: bool,
    /// The public key, such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
    /// The signature's algorithm, as OpenSSL names it.
    pub signature: String,
    /// The serial number in hexadecimal, as OpenSSL prints it.
    pub serial: String,
    /// The SHA-256 of the whole certificate.
    pub fingerprint: Fingerprint,
}

impl CertificateSummary {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`Problem::Unreadable`] when it is none.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, Problem> {
        let certificate = Parsed::new(0, der)?;
        let names = certificate.names().iter();
        let names = names.filter_map(|name| name.parse().ok());
        let names = names.filter(|host| matches!(host, HostName::Dns(_)));
        let addresses = certificate.addresses().iter().copied();
        Ok(Self {
            subject: certificate.subject(),
            issuer: certificate.issuer(),
            hosts: names.chain(addresses.map(HostName::Ip)).collect(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            is_ca: certificate.is_ca(),
            key: certificate.key().0,
            signature: certificate.signature().0,
            serial: certificate.x509.raw_serial_as_string(),
            fingerprint: Fingerprint::of(der),
        })
    }
}

impl fmt::Display for CertificateSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        writeln!(f, "subject:    {}", self.subject)?;
        writeln!(f, "issuer:     {}", self.issuer)?;
        if !hosts.is_empty() {
            writeln!(f, "hosts:      {}", hosts.join(", "))?;
        }
        let (from, to) = (utc(&self.not_before), utc(&self.not_after));
        writeln!(f, "valid:      {from} to {to}")?;
        writeln!(f, "authority:  {}", if self.is_ca { "yes" } else { "no" })?;
        writeln!(f, "key:        {}", self.key)?;
        writeln!(f, "signature:  {}", self.signature)?;
        writeln!(f, "serial:     {}", self.serial)?;
        write!(f, "sha256:     {}", self.fingerprint)
    }
}

/// The SHA-256 of a certificate, by which people compare two of them. Prints
/// as `openssl x509 -fingerprint -sha256` does: `AB:CD:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(der: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// 64 lower-case digits without colons, as `sha256sum` prints.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at > 0 { ":" } else { "" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}
