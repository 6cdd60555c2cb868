//! Dates.

use super::Expectations;
use super::certificate::Parsed;
use super::finding::Finding;
use super::problem::Problem;

/// Apple's systems accept no longer validity, also from an authority that the
/// user installed ([requirements](https://support.apple.com/en-us/103769)).
const APPLE_DAYS: i64 = 825;

pub(super) fn check(
    certificate: &Parsed<'_>,
    expected: &Expectations,
    findings: &mut Vec<Finding>,
) {
    let now = expected.now;
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if now < not_before {
        let problem = Problem::NotYetValid { not_before, now };
        findings.push(Finding::error(certificate, problem));
    } else if now > not_after {
        let problem = Problem::Expired { not_after, now };
        findings.push(Finding::error(certificate, problem));
    } else if not_after - now < expected.soon {
        let problem = Problem::ExpiresSoon { not_after, now };
        findings.push(Finding::warning(certificate, problem));
    }
}

/// Only servers' certificates are held to a length.
pub(super) fn check_length(certificate: &Parsed<'_>, findings: &mut Vec<Finding>) {
    let days = (certificate.not_after() - certificate.not_before()).whole_days();
    if days > APPLE_DAYS {
        findings.push(Finding::warning(
            certificate,
            Problem::LongValidity { days },
        ));
    }
}
