//! Looks whether what a user gives is an authority.

use std::collections::HashSet;

use rcgen::{Issuer, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

use super::validity::Validity;
use super::{Authority, IssueError, key};

pub(super) fn authority(
    chain: &[CertificateDer<'_>],
    key: &PrivateKeyDer<'_>,
) -> Result<Authority, IssueError> {
    let der = chain.first().ok_or(IssueError::NoCertificate)?;
    let unreadable = |source: x509_parser::error::X509Error| IssueError::Unreadable {
        source: source.into(),
    };
    let (_, certificate) = parse_x509_certificate(der).map_err(|e| match e {
        x509_parser::nom::Err::Error(e) | x509_parser::nom::Err::Failure(e) => unreadable(e),
        x509_parser::nom::Err::Incomplete(_) => IssueError::Unreadable {
            source: "it ends too early".into(),
        },
    })?;
    let subject = certificate.subject().to_string();
    if !certificate
        .basic_constraints()
        .map_err(unreadable)?
        .is_some_and(|constraints| constraints.value.ca)
    {
        return Err(IssueError::NotAnAuthority { subject });
    }
    if certificate
        .key_usage()
        .map_err(unreadable)?
        .is_some_and(|usage| !usage.value.key_cert_sign())
    {
        return Err(IssueError::MayNotSign { subject });
    }
    if !has_plain_subject(&certificate) {
        return Err(IssueError::Subject { subject });
    }
    let key = key::load(key)?;
    if key.subject_public_key_info() != certificate.public_key().raw {
        return Err(IssueError::KeyMismatch { subject });
    }
    let validity = certificate.validity();
    Ok(Authority {
        validity: Validity {
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
        },
        issuer: Issuer::from_ca_cert_der(der, key).map_err(|_| IssueError::Subject { subject })?,
        chain: chain
            .iter()
            .cloned()
            .map(CertificateDer::into_owned)
            .collect(),
    })
}

/// Whether the subject has each attribute once, one after another: of two the
/// library that issues would keep only the last.
fn has_plain_subject(certificate: &X509Certificate<'_>) -> bool {
    let mut seen = HashSet::new();
    let mut relative = certificate.subject().iter();
    relative.all(|name| {
        let mut attributes = name.iter();
        attributes
            .next()
            .is_some_and(|attribute| seen.insert(attribute.attr_type().clone()))
            && attributes.next().is_none()
    })
}
