//! Why a certificate could not be made.

use std::time::{Duration, SystemTime};

use time::{Date, OffsetDateTime};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a certificate could not be made, or an authority not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A server certificate for nothing: no client would accept it.
    #[error(
        "no host for the certificate: name at least one host name or IP address that clients \
         use, such as registry.local or 192.168.0.201"
    )]
    NoHosts,
    /// Clients refuse certificates that are valid for longer.
    #[error(
        "a validity of {} days is out of range: ask for at least a second and at most {} days",
        days(*.valid),
        days(*.longest)
    )]
    Validity {
        /// What was asked for.
        valid: Duration,
        /// The most that can be asked for.
        longest: Duration,
    },
    /// The clock was never set, as on a board without a battery. A certificate
    /// made now would be expired once it is.
    #[error("the clock of this machine says {}: set it, then make the certificate", date(*.now))]
    Clock {
        /// What the clock says.
        now: SystemTime,
    },
    /// The name of a user or an organization does not fit into a certificate.
    #[error(
        "{name:?} cannot be the name in a certificate: it takes 1 to 64 characters, none of them \
         a control character"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The authority has expired, or is not valid yet.
    #[error(
        "the authority is valid from {} to {}, which is not now: check the clock, or make a new \
         authority and have clients trust it",
        date(*.not_before),
        date(*.not_after)
    )]
    AuthorityNotValid {
        /// When the authority begins to be valid.
        not_before: SystemTime,
        /// When it ends.
        not_after: SystemTime,
    },
    /// No certificate was given for the authority.
    #[error("no certificate for the authority: give its certificate besides its key")]
    NoCertificate,
    /// What was given is not an X.509 certificate.
    #[error("the authority's certificate cannot be read: expected an X.509 certificate")]
    Unreadable {
        /// What the parser found.
        #[source]
        source: BoxError,
    },
    /// A certificate that must not sign others: perhaps a server certificate.
    #[error(
        "{subject:?} is not the certificate of an authority (basicConstraints lacks CA:TRUE): \
         give the certificate that signs, not that of a server"
    )]
    NotAnAuthority {
        /// The certificate's subject.
        subject: String,
    },
    /// An authority whose key may be used for other things only.
    #[error(
        "the authority {subject:?} must not sign certificates (keyUsage lacks keyCertSign): make \
         its certificate again with keyUsage=keyCertSign,cRLSign"
    )]
    MayNotSign {
        /// The certificate's subject.
        subject: String,
    },
    /// A subject that cannot be copied faithfully into issued certificates,
    /// so that no client would find the authority.
    #[error(
        "the authority {subject:?} has a subject that cannot be copied into certificates \
         (an attribute occurs twice, or in an unusual form): use an authority with a plain subject"
    )]
    Subject {
        /// The certificate's subject.
        subject: String,
    },
    /// The authority's key belongs to another certificate.
    #[error(
        "the key does not belong to the authority {subject:?}: give the two files that were made \
         together"
    )]
    KeyMismatch {
        /// The certificate's subject.
        subject: String,
    },
    /// A damaged key, or one of a kind that this cannot sign with.
    #[error(
        "the private key cannot be used: expected an ECDSA key on P-256 or P-384, an Ed25519 key, \
         or an RSA key of 2048 to 4096 bits"
    )]
    UnusableKey,
    /// Cryptography failed, for want of random numbers for example.
    #[error("cannot make the certificate")]
    Failed {
        /// What failed.
        #[source]
        source: BoxError,
    },
}

impl IssueError {
    pub(super) fn failed(source: impl Into<BoxError>) -> Self {
        Self::Failed {
            source: source.into(),
        }
    }
}

fn days(duration: Duration) -> u64 {
    duration.as_secs() / (24 * 60 * 60)
}

fn date(time: SystemTime) -> Date {
    OffsetDateTime::from(time).date()
}
