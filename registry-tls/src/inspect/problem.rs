//! Everything that can be wrong, with the data that explains it.

use std::net::IpAddr;

use time::OffsetDateTime;

use super::Role;
use crate::HostName;

/// What is wrong with a certificate. Prints as a sentence with advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no certificate at all.
    #[error("there is no certificate: give a file that holds at least one")]
    NoCertificate,
    /// The bytes are no X.509 certificate, or an extension is garbled.
    #[error("the certificate cannot be read ({reason}): make it again")]
    Unreadable {
        /// What the parser stumbled over.
        reason: String,
    },
    /// The form of 1988, which has no extensions and so no names.
    #[error(
        "the certificate is X.509 version {version}, which cannot name hosts: make it again with \
         extensions (version 3)"
    )]
    OldVersion {
        /// 1 or 2.
        version: u32,
    },
    /// The serial number is negative.
    #[error("the serial number is negative: make the certificate again with a positive one")]
    NegativeSerial,
    /// The serial number has more than 20 bytes.
    #[error("the serial number is {bytes} bytes long, more than 20: make the certificate again")]
    LongSerial {
        /// Its length.
        bytes: usize,
    },
    /// An extension that must be understood and is not.
    #[error(
        "the extension {oid} is marked critical but no client knows it: make the certificate \
         again without it"
    )]
    UnknownCriticalExtension {
        /// Which one.
        oid: String,
    },

    /// The validity is over.
    #[error(
        "the certificate expired on {}, it is now {}: renew it{}",
        utc(.not_after), utc(.now), clock(.not_after, .now)
    )]
    Expired {
        /// When it ended.
        not_after: OffsetDateTime,
        /// When this was looked at.
        now: OffsetDateTime,
    },
    /// The validity has not begun.
    #[error(
        "the certificate is not valid before {}, it is now {}: wait, or make it again{}",
        utc(.not_before), utc(.now), clock(.not_before, .now)
    )]
    NotYetValid {
        /// When it begins.
        not_before: OffsetDateTime,
        /// When this was looked at.
        now: OffsetDateTime,
    },
    /// The validity ends within the time asked about.
    #[error("the certificate expires on {}, in {}: renew it", utc(.not_after), days(.not_after, .now))]
    ExpiresSoon {
        /// When it ends.
        not_after: OffsetDateTime,
        /// When this was looked at.
        now: OffsetDateTime,
    },
    /// Valid for longer than Apple's systems accept, 825 days.
    #[error(
        "the certificate is valid for {days} days, and Apple's systems accept at most 825: make \
         one that is valid for a shorter time if Macs are to use it"
    )]
    LongValidity {
        /// How long it is valid.
        days: i64,
    },

    /// There is no `subjectAltName`, only a common name.
    #[error(
        "the certificate names its host only as common name (CN={common_name}), which clients \
         ignore: make it again with subjectAltName {}", san(.hosts, .common_name)
    )]
    CommonNameOnly {
        /// The common name.
        common_name: String,
        /// The hosts that it should have been for.
        hosts: Vec<HostName>,
    },
    /// There is neither a `subjectAltName` nor a common name.
    #[error(
        "the certificate names no host: make it again with subjectAltName {}",
        san(.hosts, "registry.local")
    )]
    NoNames {
        /// The hosts that it should have been for.
        hosts: Vec<HostName>,
    },
    /// A name or address that clients use is not in the `subjectAltName`.
    #[error(
        "the certificate is not valid for {host}, only for {}: make it again with subjectAltName \
         {} added", list(.names, .addresses), entry(.host)
    )]
    NotCovered {
        /// What clients ask for.
        host: HostName,
        /// The DNS entries that there are.
        names: Vec<String>,
        /// The address entries that there are.
        addresses: Vec<IpAddr>,
    },
    /// An address is written as a DNS entry, where no client looks for it.
    #[error(
        "the address {address} is a DNS entry of subjectAltName, where clients do not look for \
         addresses: make the certificate again with IP:{address} in place of DNS:{address}"
    )]
    AddressAsName {
        /// The address.
        address: IpAddr,
        /// The address entries that there are.
        addresses: Vec<IpAddr>,
    },
    /// A DNS entry that matches no name: a lone `*`, a `*` within a label or
    /// after the first one, a port, a scheme, a dot at the end.
    #[error(
        "the entry DNS:{entry} of subjectAltName matches no host: write plain names, or * as the \
         whole first label before a domain, without scheme, port, path or a dot at the end"
    )]
    UselessEntry {
        /// The entry.
        entry: String,
    },
    /// A wildcard over a top-level domain, such as `*.local`.
    #[error(
        "OpenSSL accepts no wildcard right below a top-level domain, such as {entry}: name the \
         hosts, or use a longer domain"
    )]
    WideWildcard {
        /// The entry.
        entry: String,
    },

    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the certificate: give the pair made together")]
    KeyMismatch,
    /// The private key is of a kind that the registry cannot use.
    #[error(
        "the registry cannot use the private key ({reason}): use ECDSA P-256, or RSA with 2048 \
         bits"
    )]
    KeyUnusable {
        /// What the cryptography said.
        reason: String,
    },
    /// The public key is too short, or on a curve that clients do not know.
    #[error("the key is {key}, which clients refuse: use ECDSA P-256, or RSA with 2048 bits")]
    WeakKey {
        /// The key, such as `RSA 1024`.
        key: String,
        /// Whether the certificate is an authority.
        authority: bool,
    },
    /// Signed over a digest that can be forged.
    #[error(
        "the certificate is signed with {algorithm}, which clients refuse: sign it with SHA-256"
    )]
    WeakSignature {
        /// The algorithm.
        algorithm: String,
        /// Who signed it.
        issuer: String,
        /// Whether it signed itself, so that only Apple looks.
        self_signed: bool,
    },

    /// The server's or client's own certificate is not the first.
    #[error(
        "the file begins with another certificate than the {role}'s own, which is number {}: put \
         that one first, then the one that signed it", .own + 1
    )]
    LeafNotFirst {
        /// Where it is, from 0.
        own: usize,
        /// Whose it is.
        role: Role,
    },
    /// Not each certificate is followed by the one that signed it.
    #[error("the certificate is out of order: after each one put the one that signed it")]
    OutOfOrder,
    /// A certificate that signed none of the others.
    #[error("the certificate has nothing to do with the others in the file: remove it")]
    Unrelated,
    /// The authority has the right name but another key.
    #[error(
        "the certificate was not signed by the authority at hand, though that is named {issuer} \
         as it should be: perhaps the authority was made anew; use the one that signed, or issue \
         the certificate again"
    )]
    WrongAuthorityKey {
        /// The name of both authorities.
        issuer: String,
        /// How Go calls the kind of signature.
        go_kind: String,
    },
    /// No trusted authority signed the chain.
    #[error(
        "the certificate was signed by {issuer}, which is not trusted here: make the client trust \
         that authority"
    )]
    UnknownAuthority {
        /// Who signed the last certificate that could be followed to.
        issuer: String,
        /// Whether the server's certificate signed itself.
        self_signed: bool,
        /// Whether the server shows that authority's own certificate as well.
        shown: bool,
    },
    /// A verifier refused the chain for a rarer reason.
    #[error("the certificate chain is refused: {reason}")]
    Refused {
        /// What the verifier said.
        reason: String,
    },

    /// A certificate that is to sign others may not.
    #[error(
        "the certificate is to sign others but is no authority: make it again with {}",
        if *.flag { "keyCertSign among its keyUsage" } else { "basicConstraints CA:TRUE" }
    )]
    NotAnAuthority {
        /// Whether it has the CA flag, and only `keyCertSign` is missing.
        flag: bool,
    },
    /// A server's certificate is given where its authority is expected.
    #[error(
        "this is a server's or client's certificate, not the authority that signed it: use the \
         certificate of {issuer}"
    )]
    LeafAsAuthority {
        /// Who signed it.
        issuer: String,
    },
    /// A certificate that signed itself and can sign no other.
    #[error(
        "the certificate signed itself and may sign no other, so clients must be given a new file \
         whenever it is renewed: an authority that signs a server certificate lasts longer"
    )]
    TrustsOnlyItself,
    /// A certificate with the CA flag is used by a server or client.
    #[error(
        "the certificate of the {role} is itself an authority, which some clients refuse: let an \
         authority sign one without the CA flag"
    )]
    AuthorityAsLeaf {
        /// Whose it is.
        role: Role,
    },
    /// `extendedKeyUsage` is there, and lacks what the role needs.
    #[error(
        "extendedKeyUsage does not allow the use by a {role}: make the certificate again with {}",
        purpose(.role)
    )]
    WrongPurpose {
        /// What it is used for.
        role: Role,
    },
    /// `extendedKeyUsage` is missing, and Apple's systems ask for it.
    #[error(
        "extendedKeyUsage is missing, and Apple's systems ask for it: make the certificate again \
         with serverAuth if Macs are to use it"
    )]
    NoPurpose,
    /// `keyUsage` is there, and lacks `digitalSignature`.
    #[error(
        "keyUsage does not allow signatures, which TLS needs: make the certificate again with \
         digitalSignature"
    )]
    NoDigitalSignature {
        /// Whether it allows another use in TLS, which contents OpenSSL.
        other_tls_use: bool,
        /// What it is used for.
        role: Role,
    },
}

/// A time as Go and RFC 3339 write it.
pub(super) fn utc(time: &OffsetDateTime) -> String {
    let t = time.to_utc();
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    let (hour, minute, second) = t.as_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A month off is more likely a clock without battery than a forgotten renewal.
fn clock(limit: &OffsetDateTime, now: &OffsetDateTime) -> &'static str {
    if (*limit - *now).abs() > time::Duration::days(30) {
        "; first check this machine's clock, a board such as the Raspberry Pi keeps no time \
         without power"
    } else {
        ""
    }
}

fn days(end: &OffsetDateTime, now: &OffsetDateTime) -> String {
    match (*end - *now).whole_days() {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn list(names: &[String], addresses: &[IpAddr]) -> String {
    let all = names.iter().cloned();
    let all = all.chain(addresses.iter().map(ToString::to_string));
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        "no host at all".to_owned()
    } else {
        all.join(", ")
    }
}

/// What to give to `subjectAltName`, in the words of OpenSSL's configuration.
fn entry(host: &HostName) -> String {
    match host {
        HostName::Dns(name) => format!("DNS:{name}"),
        HostName::Ip(address) => format!("IP:{address}"),
    }
}

fn san(hosts: &[HostName], instead: &str) -> String {
    let entries: Vec<_> = hosts.iter().map(entry).collect();
    match (entries.is_empty(), instead.parse()) {
        (false, _) => entries.join(","),
        (true, Ok(host)) => entry(&host),
        (true, Err(_)) => "DNS:registry.local".to_owned(),
    }
}

fn purpose(role: &Role) -> &'static str {
    if *role == Role::Client {
        "clientAuth"
    } else {
        "serverAuth"
    }
}
