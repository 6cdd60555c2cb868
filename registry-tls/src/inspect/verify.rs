//! Would docker, containerd and k3s connect to this server?

use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};
use time::OffsetDateTime;

use super::certificate::Parsed;
use super::finding::{Finding, Severity};
use super::problem::Problem;
use super::{Client, Expectations, Subject, chain, inspect, usage, validity};
use crate::HostName;

/// Longer chains are nobody's.
const LONGEST: usize = 8;

/// Predicts whether a client in Go that trusts `roots` accepts a server that
/// is asked for as `host` and serves `chain`.
///
/// The chain is checked by rustls-webpki, with Go's exceptions, which users'
/// self-signed certificates need: a server's certificate that is itself among
/// the roots is trusted, with or without the CA flag, and one with the CA flag
/// may be a server's. A root must be in its validity and may sign.
///
/// # Errors
/// Everything that Go would complain about, in its order: the first finding is
/// what it prints. Look with [`inspect`] for what other clients complain about.
pub fn verify(
    chain: &[CertificateDer<'_>],
    host: &HostName,
    roots: &[CertificateDer<'_>],
    now: OffsetDateTime,
    provider: &CryptoProvider,
) -> Result<(), Vec<Finding>> {
    let expectations = Expectations::default().hosts([host.clone()]).now(now);
    let mut findings = inspect(&Subject::server(chain, None), &expectations, provider);
    findings.retain(stops_go);
    // Without a first certificate there is nothing more to say.
    if let Some(own) = chain.first().and_then(|der| Parsed::new(0, der).ok()) {
        trust(&own, chain, roots, &expectations, provider, &mut findings);
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

fn stops_go(finding: &Finding) -> bool {
    let in_go = |complaint: &super::Complaint| complaint.client == Client::Go;
    finding.severity == Severity::Error
        && (finding.complaints().iter().any(in_go)
            || matches!(
                finding.problem,
                Problem::NoCertificate | Problem::Unreadable { .. }
            ))
}

/// Finds a way from the server's certificate to a root.
fn trust(
    own: &Parsed<'_>,
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    expected: &Expectations,
    provider: &CryptoProvider,
    findings: &mut Vec<Finding>,
) {
    if roots.iter().any(|root| root.as_ref() == own.der) {
        return;
    }
    let intermediates = chain.get(1..).unwrap_or_default();
    let all: Vec<_> = roots
        .iter()
        .filter_map(|root| Parsed::new(0, root).ok())
        .collect();
    let usable: Vec<_> = all
        .iter()
        .filter(|root| reasons(root, expected).is_empty())
        .collect();
    let served: Vec<_> = intermediates
        .iter()
        .filter_map(|der| Parsed::new(0, der).ok())
        .collect();
    if !reaches(own, &served, &usable, provider) {
        findings.extend(why_not(own, &served, &all, expected, provider));
    } else if own.is_ca() {
        // webpki refuses this outright, Go does not.
    } else if let Err(error) = webpki(own, intermediates, &usable, expected.now, provider)
        && findings.is_empty()
    {
        let reason = error.to_string();
        findings.push(Finding::error(own, Problem::Refused { reason }));
    }
}

/// The whole check, with what `reaches` leaves out, such as the authorities'
/// limits on names and on the length of a chain.
fn webpki(
    own: &Parsed<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &[&Parsed<'_>],
    now: OffsetDateTime,
    provider: &CryptoProvider,
) -> Result<(), Error> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().map(|root| CertificateDer::from(root.der)));
    let der = CertificateDer::from(own.der);
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(&der)?,
        &store,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        provider.signature_verification_algorithms.all,
    )
}

/// Whether signatures lead to a root. Each certificate is followed once, for a
/// server may serve many that have all signed each other.
fn reaches(
    own: &Parsed<'_>,
    served: &[Parsed<'_>],
    roots: &[&Parsed<'_>],
    provider: &CryptoProvider,
) -> bool {
    let mut unseen: Vec<_> = served.iter().filter(|next| next.may_sign()).collect();
    let mut seen = vec![own];
    while let Some(from) = seen.pop() {
        let signed = |by: &&Parsed<'_>| {
            from.is_issued_by(by) && from.is_signed_by(by, provider) == Some(true)
        };
        if roots.iter().any(signed) {
            return true;
        }
        seen.extend(unseen.extract_if(.., |by| signed(by)));
    }
    false
}

/// What keeps Go from trusting a root.
fn reasons(root: &Parsed<'_>, expected: &Expectations) -> Vec<Finding> {
    let mut reasons = Vec::new();
    validity::check(root, expected, &mut reasons);
    usage::check_issuer(root, &mut reasons);
    reasons.retain(|reason| reason.severity == Severity::Error);
    reasons
}

/// Explains why no root was found: the one with the right name is bad or has
/// another key, or there is none.
fn why_not(
    own: &Parsed<'_>,
    served: &[Parsed<'_>],
    roots: &[Parsed<'_>],
    expected: &Expectations,
    provider: &CryptoProvider,
) -> Vec<Finding> {
    let mut last = own;
    for _ in 0..LONGEST {
        if last.is_self_issued() {
            break;
        }
        match served.iter().find(|next| last.is_issued_by(next)) {
            Some(next) => last = next,
            None => break,
        }
    }
    let named: Vec<_> = roots
        .iter()
        .filter(|root| last.is_issued_by(root))
        .collect();
    let signed = |root: &&&Parsed<'_>| last.is_signed_by(root, provider) != Some(false);
    if let Some(root) = named.iter().find(signed) {
        let reasons = reasons(root, expected);
        if !reasons.is_empty() {
            return reasons.into_iter().map(Finding::of_root).collect();
        }
        if last.is_signed_by(root, provider).is_none() {
            let (issuer, key, signature) = (root.subject(), root.key().0, last.signature().0);
            let reason = format!(
                "the signature by {issuer} ({key}, {signature}) is of a kind that is not checked here"
            );
            return vec![Finding::error(last, Problem::Refused { reason })];
        }
    } else if let Some(root) = named.first() {
        return vec![Finding::error(last, chain::wrong_key(root))];
    }
    let problem = Problem::UnknownAuthority {
        issuer: last.issuer(),
        self_signed: own.is_self_issued(),
        shown: last.is_self_issued(),
    };
    vec![Finding::error(own, problem)]
}
