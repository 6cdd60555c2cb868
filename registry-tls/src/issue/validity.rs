//! From when to when a certificate is valid.

use std::time::Duration;

use time::OffsetDateTime;

use super::IssueError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a new authority is valid, unless asked otherwise: ten years, for
/// each client must be told of the next one.
pub const DEFAULT_AUTHORITY_VALIDITY: Duration = DAY.saturating_mul(3650);

/// How long a server or client certificate is valid, unless asked otherwise.
///
/// As long as can be with a few days to spare: in a small cluster an expired
/// certificate does more harm than one that lives long, whose key never left
/// the server. The 398 days of public authorities do not bind an authority
/// that the user has installed.
pub const DEFAULT_VALIDITY: Duration = DAY.saturating_mul(820);

/// The longest that a server certificate may be valid: [Apple's systems]
/// refuse more than 825 days from any authority, and so do Go programs on
/// them ("certificate is not standards compliant").
///
/// [Apple's systems]: https://support.apple.com/en-us/103769
pub const LONGEST_VALIDITY: Duration = DAY.saturating_mul(825);

/// Dates beyond 30 years are nothing that anybody means.
const LONGEST_AUTHORITY_VALIDITY: Duration = DAY.saturating_mul(30 * 365);

/// Clocks of clients that went wrong by less still accept a new certificate.
const BACKDATED: Duration = DAY;

/// A clock before this, 1 January 2025 in Unix time, was never set.
const CLOCK_IS_SET: i64 = 1_735_689_600;

/// The first and the last second of a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Validity {
    pub(super) fn of_authority(now: OffsetDateTime, valid: Duration) -> Result<Self, IssueError> {
        Self::from_now(now, valid, LONGEST_AUTHORITY_VALIDITY)
    }

    /// Within the authority's own: an issued certificate is of no use beyond.
    pub(super) fn within(self, now: OffsetDateTime, valid: Duration) -> Result<Self, IssueError> {
        let wanted = Self::from_now(now, valid, LONGEST_VALIDITY)?;
        if now < self.not_before || now > self.not_after {
            return Err(IssueError::AuthorityNotValid {
                not_before: self.not_before.into(),
                not_after: self.not_after.into(),
            });
        }
        Ok(Self {
            not_before: wanted.not_before.max(self.not_before),
            not_after: wanted.not_after.min(self.not_after),
        })
    }

    fn from_now(
        now: OffsetDateTime,
        valid: Duration,
        longest: Duration,
    ) -> Result<Self, IssueError> {
        if now.unix_timestamp() < CLOCK_IS_SET {
            return Err(IssueError::Clock { now: now.into() });
        }
        if valid < Duration::from_secs(1) || valid > longest {
            return Err(IssueError::Validity { valid, longest });
        }
        // Certificates count whole seconds, and the last one is included.
        let end = now.replace_nanosecond(0).unwrap_or(now) + valid;
        Ok(Self {
            not_before: (end - valid - BACKDATED).max(end - longest),
            not_after: end - Duration::from_secs(1),
        })
    }
}
