//! Which certificate is the server's own, and which signed it.

use rustls::crypto::CryptoProvider;

use super::certificate::Parsed;
use super::finding::Finding;
use super::problem::Problem;
use super::{Subject, key};

/// The certificate that the file is about: the first one, unless the key or
/// the CA flags say that it is another.
pub(super) fn own<'c, 'a>(
    certificates: &'c [Parsed<'a>],
    subject: &Subject<'_>,
    provider: &CryptoProvider,
    findings: &mut Vec<Finding>,
) -> Option<&'c Parsed<'a>> {
    let first = certificates.first()?;
    let public = subject
        .key
        .and_then(|private| key::public_key(private, provider).ok()?);
    let own = match public {
        Some(public) => certificates.iter().find(|it| it.public_key() == public),
        None if first.is_ca() => certificates.iter().find(|it| !it.is_ca()),
        None => None,
    };
    let own = own.unwrap_or(first);
    if own.position != first.position {
        let (own, role) = (own.position, subject.role);
        findings.push(Finding::error(first, Problem::LeafNotFirst { own, role }));
    }
    Some(own)
}

/// Follows the chain from its own certificate, and returns those that signed.
pub(super) fn check<'c, 'a>(
    certificates: &'c [Parsed<'a>],
    own: &Parsed<'_>,
    provider: &CryptoProvider,
    findings: &mut Vec<Finding>,
) -> Vec<&'c Parsed<'a>> {
    let mut issuers: Vec<&Parsed<'_>> = Vec::new();
    let mut last = own.position;
    let mut current = own;
    while !current.is_self_issued() {
        let unused = |it: &&Parsed<'_>| {
            it.position != own.position && issuers.iter().all(|used| used.position != it.position)
        };
        let named: Vec<_> = certificates
            .iter()
            .filter(unused)
            .filter(|it| current.is_issued_by(it))
            .collect();
        let signed = |it: &&&Parsed<'_>| current.is_signed_by(it, provider) != Some(false);
        // Some authorities have two certificates: one that signed will do.
        let Some(issuer) = named.iter().find(signed).copied() else {
            if let Some(impostor) = named.first() {
                findings.push(Finding::error(current, wrong_key(impostor)));
                issuers.push(impostor);
            }
            break;
        };
        // The place of one's own certificate has been complained about.
        if issuer.position < last && last != own.position {
            findings.push(Finding::warning(issuer, Problem::OutOfOrder));
        }
        last = issuer.position;
        issuers.push(issuer);
        current = issuer;
    }
    for other in certificates {
        let is_issuer = |it: &Parsed<'_>| it.position != other.position && it.is_issued_by(other);
        if other.position != own.position && !certificates.iter().any(is_issuer) {
            findings.push(Finding::warning(other, Problem::Unrelated));
        }
    }
    issuers
}

pub(super) fn wrong_key(authority: &Parsed<'_>) -> Problem {
    let rsa = authority.key().0.starts_with("RSA");
    Problem::WrongAuthorityKey {
        issuer: authority.subject(),
        go_kind: if rsa {
            "crypto/rsa: verification error"
        } else {
            "x509: ECDSA verification failure"
        }
        .to_owned(),
    }
}
