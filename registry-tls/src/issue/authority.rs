//! The authority: a certificate that clients trust, and the key that signs.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::leaf::{ClientOptions, Issued, LeafOptions, Purpose};
use super::validity::Validity;
use super::{DEFAULT_AUTHORITY_VALIDITY, IssueError, KeyChoice, KeyKind, KeyPem, key, load};
use crate::pem;

/// The longest common name ([RFC 5280, appendix A], `ub-common-name`).
///
/// [RFC 5280, appendix A]: https://www.rfc-editor.org/rfc/rfc5280#appendix-A.1
pub(super) const LONGEST_NAME: usize = 64;

/// What a new authority is like.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorityOptions {
    /// Whose authority it is, for people who look at their trust store:
    /// becomes `<name> registry CA <random id>`, cut to what fits. The id
    /// tells an authority from the one that it replaces: clients look for
    /// issuers by name.
    pub name: String,
    /// How long it is valid; by default [`DEFAULT_AUTHORITY_VALIDITY`].
    pub valid: Duration,
    /// The kind of its key; by default [`KeyKind::EcdsaP256`].
    pub key: KeyKind,
}

impl AuthorityOptions {
    /// The defaults, under this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            valid: DEFAULT_AUTHORITY_VALIDITY,
            key: KeyKind::default(),
        }
    }
}

/// Signs certificates.
///
/// Its key is what clients trust: keep it in one place, with [`write_secret`].
/// A server needs only what [`issue`](Self::issue) returns.
///
/// [`write_secret`]: crate::files::write_secret
pub struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// The authority's certificate, then those of who signed it, if anybody.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) validity: Validity,
}

impl Authority {
    /// Makes a key and a certificate that it signs itself.
    ///
    /// # Errors
    /// [`IssueError::Name`], [`IssueError::Validity`], [`IssueError::Clock`],
    /// [`IssueError::Failed`].
    pub fn new(options: &AuthorityOptions) -> Result<Self, IssueError> {
        Self::new_at(options, OffsetDateTime::now_utc())
    }

    /// Makes a certificate for a key that exists, whatever kind the options
    /// ask for: to go on after an interruption between the two files.
    ///
    /// # Errors
    /// [`IssueError::UnusableKey`], and as for [`new`](Self::new).
    pub fn with_key(
        options: &AuthorityOptions,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Self, IssueError> {
        Self::signed_by(options, key::load(key)?, OffsetDateTime::now_utc())
    }

    pub(super) fn new_at(
        options: &AuthorityOptions,
        now: OffsetDateTime,
    ) -> Result<Self, IssueError> {
        Self::signed_by(options, key::generate(options.key)?, now)
    }

    fn signed_by(
        options: &AuthorityOptions,
        key: KeyPair,
        now: OffsetDateTime,
    ) -> Result<Self, IssueError> {
        let validity = Validity::of_authority(now, options.valid)?;
        let mut params = parameters(validity)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name(&options.name)?);
        // It signs servers and users, never another authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];

        let certificate = params.self_signed(&key).map_err(IssueError::failed)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            chain: vec![certificate.into()],
            validity,
        })
    }

    /// Takes an authority that exists: one made here before, or by a program
    /// such as `openssl`.
    ///
    /// `chain` holds the authority's certificate first; if another authority
    /// has signed it, that one's may follow, and is served along.
    ///
    /// # Errors
    /// [`IssueError::NoCertificate`], [`IssueError::Unreadable`],
    /// [`IssueError::NotAnAuthority`], [`IssueError::MayNotSign`],
    /// [`IssueError::Subject`], [`IssueError::UnusableKey`],
    /// [`IssueError::KeyMismatch`].
    pub fn load(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> Result<Self, IssueError> {
        load::authority(chain, key)
    }

    /// Issues a server certificate. To renew one, issue it again.
    ///
    /// It ends with the authority, if that ends earlier than asked for.
    ///
    /// # Errors
    /// [`IssueError::NoHosts`], [`IssueError::Validity`],
    /// [`IssueError::Clock`], [`IssueError::AuthorityNotValid`],
    /// [`IssueError::UnusableKey`], [`IssueError::Failed`].
    pub fn issue(&self, options: &LeafOptions) -> Result<Issued, IssueError> {
        self.issue_at(options, OffsetDateTime::now_utc())
    }

    pub(super) fn issue_at(
        &self,
        options: &LeafOptions,
        now: OffsetDateTime,
    ) -> Result<Issued, IssueError> {
        let purpose = Purpose::server(&options.hosts)?;
        self.sign(purpose, options.valid, &options.key, now)
    }

    /// Issues a certificate for a user who proves with it who they are
    /// (mutual TLS).
    ///
    /// # Errors
    /// [`IssueError::Name`], and as for [`issue`](Self::issue).
    pub fn issue_client(&self, options: &ClientOptions) -> Result<Issued, IssueError> {
        let purpose = Purpose::client(options)?;
        let now = OffsetDateTime::now_utc();
        self.sign(purpose, options.valid, &options.key, now)
    }

    fn sign(
        &self,
        purpose: Purpose,
        valid: Duration,
        key: &KeyChoice,
        now: OffsetDateTime,
    ) -> Result<Issued, IssueError> {
        let validity = self.validity.within(now, valid)?;
        let key = key.key_pair()?;
        let params = purpose.describe(parameters(validity)?, &key);
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(IssueError::failed)?;
        Ok(Issued {
            certificate_pem: pem::encode("CERTIFICATE", certificate.der())
                + &self.certificate_pem(),
            key_pem: KeyPem::of(&key),
            not_after: validity.not_after.into(),
        })
    }

    /// What clients must trust, as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.chain
            .iter()
            .map(|certificate| pem::encode("CERTIFICATE", certificate))
            .collect()
    }

    /// What clients must trust, as DER.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The key that signs.
    #[must_use]
    pub fn key_pem(&self) -> KeyPem {
        KeyPem::of(self.issuer.key())
    }

    /// The last second at which clients accept what this has issued.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.validity.not_after.into()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("issuer", &self.issuer)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// What all certificates have: a time, and a serial number that no other has.
///
/// The library's own serial number follows from the key, so a renewal that
/// keeps its key would repeat it, which Firefox and others refuse.
fn parameters(validity: Validity) -> Result<CertificateParams, IssueError> {
    let mut serial: [u8; 16] = random()?;
    // Positive, and not short.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

fn common_name(name: &str) -> Result<String, IssueError> {
    let end = format!(" registry CA {}", hex::encode(random::<4>()?));
    let start: String = name.chars().take(LONGEST_NAME - end.len()).collect();
    checked_name(&start)?;
    Ok(start + &end)
}

/// Refuses what has no place in a subject.
pub(super) fn checked_name(name: &str) -> Result<&str, IssueError> {
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count());
    (fits && !name.contains(char::is_control))
        .then_some(name)
        .ok_or_else(|| IssueError::Name {
            name: name.to_owned(),
        })
}

fn random<const N: usize>() -> Result<[u8; N], IssueError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(IssueError::failed)?;
    Ok(bytes)
}
