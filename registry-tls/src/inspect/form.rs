//! Version, serial number and critical extensions.

use super::Role;
use super::certificate::Parsed;
use super::finding::Finding;
use super::problem::Problem;

/// The extensions of RFC 5280 that a client may be asked to understand.
const KNOWN: [&str; 9] = [
    "2.5.29.15", // keyUsage
    "2.5.29.17", // subjectAltName
    "2.5.29.19", // basicConstraints
    "2.5.29.30", // nameConstraints
    "2.5.29.32", // certificatePolicies
    "2.5.29.33", // policyMappings
    "2.5.29.36", // policyConstraints
    "2.5.29.37", // extendedKeyUsage
    "2.5.29.54", // inhibitAnyPolicy
];

pub(super) fn check(certificate: &Parsed<'_>, role: Role, findings: &mut Vec<Finding>) {
    let version = certificate.version();
    if version < 3 {
        // Go and OpenSSL take an old authority as it is.
        let make = match role {
            Role::Authority => Finding::warning,
            Role::Server | Role::Client => Finding::error,
        };
        findings.push(make(certificate, Problem::OldVersion { version }));
    }
    let serial = certificate.x509.raw_serial();
    if serial.first().is_some_and(|first| first & 0x80 != 0) {
        findings.push(Finding::error(certificate, Problem::NegativeSerial));
    }
    // A zero may stand in front, so that the number is not negative.
    let digits = serial.strip_prefix(&[0]).unwrap_or(serial);
    if digits.len() > 20 {
        let bytes = digits.len();
        findings.push(Finding::warning(certificate, Problem::LongSerial { bytes }));
    }
    for extension in certificate.x509.extensions() {
        let oid = extension.oid.to_id_string();
        if extension.critical && !KNOWN.contains(&oid.as_str()) {
            let problem = Problem::UnknownCriticalExtension { oid };
            findings.push(Finding::error(certificate, problem));
        }
    }
}
