//! The CA flag, `keyUsage` and `extendedKeyUsage`.

use super::Role;
use super::certificate::Parsed;
use super::finding::Finding;
use super::problem::Problem;

/// The certificate of a server or a client.
pub(super) fn check_own(certificate: &Parsed<'_>, role: Role, findings: &mut Vec<Finding>) {
    if let Some(usage) = certificate.key_usage()
        && !usage.digital_signature()
    {
        let other_tls_use = usage.key_encipherment() || usage.key_agreement();
        let problem = Problem::NoDigitalSignature {
            other_tls_use,
            role,
        };
        // Go and OpenSSL do not ask clients for it.
        findings.push(if other_tls_use || role == Role::Client {
            Finding::warning(certificate, problem)
        } else {
            Finding::error(certificate, problem)
        });
    }
    match certificate.extended_key_usage() {
        Some(usage) => {
            let right = if role == Role::Client {
                usage.client_auth
            } else {
                usage.server_auth
            };
            if !right && !usage.any {
                findings.push(Finding::error(certificate, Problem::WrongPurpose { role }));
            }
        }
        None if role == Role::Server => {
            findings.push(Finding::warning(certificate, Problem::NoPurpose));
        }
        None => {}
    }
    if certificate.is_ca() {
        let problem = Problem::AuthorityAsLeaf { role };
        // This registry checks clients with rustls, which refuses it.
        findings.push(if role == Role::Client {
            Finding::error(certificate, problem)
        } else {
            Finding::warning(certificate, problem)
        });
    }
}

/// A certificate that signed another one of its chain.
pub(super) fn check_issuer(certificate: &Parsed<'_>, findings: &mut Vec<Finding>) {
    if !certificate.may_sign() {
        findings.push(Finding::error(certificate, not_an_authority(certificate)));
    }
}

/// A certificate that is to be trusted.
pub(super) fn check_trusted(certificate: &Parsed<'_>, findings: &mut Vec<Finding>) {
    if certificate.may_sign() {
        return;
    }
    let issuer = certificate.issuer();
    findings.push(match (certificate.is_self_issued(), certificate.is_ca()) {
        // Clients accept a server's certificate that is itself trusted.
        (true, _) if certificate.has_names() => {
            Finding::warning(certificate, Problem::TrustsOnlyItself)
        }
        (false, false) => Finding::error(certificate, Problem::LeafAsAuthority { issuer }),
        _ => Finding::error(certificate, not_an_authority(certificate)),
    });
}

fn not_an_authority(certificate: &Parsed<'_>) -> Problem {
    Problem::NotAnAuthority {
        flag: certificate.is_ca(),
    }
}
