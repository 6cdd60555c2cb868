//! Who a client with a verified certificate is.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry as oid;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::host_name::address;
use crate::inspect::Fingerprint;

/// What a verified certificate says about the client that showed it.
///
/// Only [`Reloading::client_identity`](crate::Reloading::client_identity) makes
/// one, so it always stands for a certificate that a CA of the server signed
/// and whose key the client has. Clones share it. It is smaller than the
/// certificate, which TLS bounds at 64 KiB.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity(Arc<Inner>);

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Inner {
    subject: String,
    common_name: Option<String>,
    organizations: Vec<String>,
    dns_names: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
    addresses: Vec<IpAddr>,
    fingerprint: String,
}

impl ClientIdentity {
    /// `None` when the certificate is not valid now, or cannot be read.
    pub(crate) fn of_verified(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        if !certificate.validity().is_valid() {
            return None;
        }
        let subject = certificate.subject();
        let mut identity = Inner {
            subject: rfc4514(subject),
            // The most specific one, as in Go; when that one says nothing,
            // none. Another would be somebody else's.
            common_name: subject.iter_common_name().last().and_then(text),
            organizations: subject.iter_organization().filter_map(text).collect(),
            fingerprint: Fingerprint::of(der).hex(),
            ..Inner::default()
        };
        identity.add_alternative_names(&certificate);
        Some(Self(Arc::new(identity)))
    }

    /// The whole subject, as in
    /// [RFC 4514](https://www.rfc-editor.org/rfc/rfc4514): `CN=ci,O=builders`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The subject's `CN`, which Kubernetes takes for the user's name. Of
    /// several the last one counts; `None` also when it is empty, in an old
    /// encoding, or has control characters.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.0.common_name.as_deref()
    }

    /// The subject's `O`s, which Kubernetes takes for the user's groups.
    #[must_use]
    pub fn organizations(&self) -> &[String] {
        &self.0.organizations
    }

    /// Alternative names that are host names, as written.
    #[must_use]
    pub fn dns_names(&self) -> &[String] {
        &self.0.dns_names
    }

    /// Alternative names that are e-mail addresses.
    #[must_use]
    pub fn emails(&self) -> &[String] {
        &self.0.emails
    }

    /// Alternative names that are URIs, such as those of SPIFFE.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.0.uris
    }

    /// Alternative names that are IP addresses.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.0.addresses
    }

    /// SHA-256 of the certificate, in hexadecimal digits of lower case.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint.clone()
    }
}

impl Inner {
    fn add_alternative_names(&mut self, certificate: &X509Certificate<'_>) {
        // More than one extension, or a broken one, says nothing.
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return;
        };
        for name in &extension.value.general_names {
            match *name {
                GeneralName::DNSName(name) => self.dns_names.extend(clean(name)),
                GeneralName::RFC822Name(name) => self.emails.extend(clean(name)),
                GeneralName::URI(name) => self.uris.extend(clean(name)),
                GeneralName::IPAddress(bytes) => self.addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }
}

fn text(value: &AttributeTypeAndValue<'_>) -> Option<String> {
    value.as_str().ok().and_then(clean)
}

/// What has control characters in it is no name but an attempt at something.
fn clean(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// The most specific part first, which certificates have last.
fn rfc4514(name: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = name
        .iter()
        .map(|part| {
            let attributes: Vec<_> = part.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let names = [
        (oid::OID_X509_COMMON_NAME, "CN"),
        (oid::OID_X509_LOCALITY_NAME, "L"),
        (oid::OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
        (oid::OID_X509_ORGANIZATION_NAME, "O"),
        (oid::OID_X509_ORGANIZATIONAL_UNIT, "OU"),
        (oid::OID_X509_COUNTRY_NAME, "C"),
        (oid::OID_X509_STREET_ADDRESS, "STREET"),
        (oid::OID_DOMAIN_COMPONENT, "DC"),
        (oid::OID_USERID, "UID"),
    ];
    let known = names.iter().find(|(oid, _)| oid == attribute.attr_type());
    match (known, attribute.as_str()) {
        (Some((_, name)), Ok(value)) => format!("{name}={}", escaped(value)),
        // Values of other types are printed as they are encoded.
        _ => {
            let value = attribute.attr_value();
            let header = x509_parser::asn1_rs::ToDer::to_der_vec(value).unwrap_or_default();
            format!("{}=#{}", attribute.attr_type(), hex::encode(header))
        }
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if index == 0 => text.push_str("\\#"),
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    text.push_str(&format!("\\{byte:02X}"));
                }
            }
            c => text.push(c),
        }
    }
    text
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("subject", &self.0.subject)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_rfc_4514_says() {
        for (value, expected) in [
            ("ci", "ci"),
            ("James \"Jim\" Smith, III", "James \\\"Jim\\\" Smith\\, III"),
            ("#1 ", "\\#1\\ "),
            (" ", "\\ "),
            ("a+b;<c>\\", "a\\+b\\;\\<c\\>\\\\"),
            ("a\0b\n", "a\\00b\\0A"),
            ("Лучић", "Лучић"),
        ] {
            assert_eq!(escaped(value), expected);
        }
    }

    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    #[test]
    fn a_last_name_that_says_nothing_gives_no_way_to_one_before_it() {
        for last in ["", "root\0.local", "root\n"] {
            let mut params = rcgen::CertificateParams::default();
            // The second one by its number: of one kind only one is kept.
            params.distinguished_name = rcgen::DistinguishedName::new();
            let names = [
                (rcgen::DnType::CommonName, "admin"),
                (rcgen::DnType::CustomDnType(vec![2, 5, 4, 3]), last),
            ];
            for (kind, name) in names {
                params.distinguished_name.push(kind, name);
            }
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            let identity = ClientIdentity::of_verified(certificate.der()).expect("valid now");
            assert!(identity.subject().ends_with(",CN=admin"), "{identity:?}");
            assert_eq!(identity.common_name(), None, "{last:?}");
        }
    }

    #[test]
    fn names_with_control_characters_are_none() {
        assert_eq!(clean("admin\0.local"), None);
        assert_eq!(clean(""), None);
        assert_eq!(clean("ci").as_deref(), Some("ci"));
    }
}
