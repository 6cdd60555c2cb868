//! Certificates that an authority signs: of servers, and of users.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use super::authority::{LONGEST_NAME, checked_name};
use super::{DEFAULT_VALIDITY, IssueError, KeyChoice, KeyPem};
use crate::HostName;

/// What a server certificate is like.
#[derive(Debug)]
#[non_exhaustive]
pub struct LeafOptions {
    /// Every name and address that clients use, for they accept no other.
    pub hosts: Vec<HostName>,
    /// How long it is valid from now; by default [`DEFAULT_VALIDITY`], and at
    /// most [`LONGEST_VALIDITY`](super::LONGEST_VALIDITY).
    pub valid: Duration,
    /// Its key; by default a new one of the default kind.
    pub key: KeyChoice,
}

impl LeafOptions {
    /// The defaults, for these hosts.
    #[must_use]
    pub fn new(hosts: Vec<HostName>) -> Self {
        Self {
            hosts,
            valid: DEFAULT_VALIDITY,
            key: KeyChoice::default(),
        }
    }
}

/// What a client certificate is like.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The user: the certificate's common name, of 1 to 64 characters.
    pub name: String,
    /// The organization that the user belongs to; by default none.
    pub organization: Option<String>,
    /// How long it is valid from now, as for servers: nothing but its end
    /// takes a certificate back.
    pub valid: Duration,
    /// Its key; by default a new one of the default kind.
    pub key: KeyChoice,
}

impl ClientOptions {
    /// The defaults, for this user.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            organization: None,
            valid: DEFAULT_VALIDITY,
            key: KeyChoice::default(),
        }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Issued {
    /// The certificate, then the authority's, as PEM. A client that connects
    /// can so be shown the authority that it does not know yet.
    pub certificate_pem: String,
    /// The certificate's key.
    pub key_pem: KeyPem,
    /// The last second at which it is valid.
    pub not_after: SystemTime,
}

/// What a certificate is for, in the words of X.509.
#[derive(Debug)]
pub(super) struct Purpose {
    usage: ExtendedKeyUsagePurpose,
    subject: Vec<(DnType, String)>,
    alternative_names: Vec<SanType>,
}

impl Purpose {
    pub(super) fn server(hosts: &[HostName]) -> Result<Self, IssueError> {
        if hosts.is_empty() {
            return Err(IssueError::NoHosts);
        }
        let mut alternative_names = Vec::new();
        for host in hosts {
            let name = match host {
                HostName::Dns(name) => {
                    SanType::DnsName(name.as_str().try_into().map_err(IssueError::failed)?)
                }
                HostName::Ip(address) => SanType::IpAddress(*address),
            };
            if !alternative_names.contains(&name) {
                alternative_names.push(name);
            }
        }
        // For people only: no client looks at it any more.
        let common_name = hosts.iter().find_map(|host| match host {
            HostName::Dns(name) if name.len() <= LONGEST_NAME => Some(name.clone()),
            _ => None,
        });
        Ok(Self {
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            subject: common_name
                .map(|name| (DnType::CommonName, name))
                .into_iter()
                .collect(),
            alternative_names,
        })
    }

    pub(super) fn client(options: &ClientOptions) -> Result<Self, IssueError> {
        let mut subject = Vec::new();
        if let Some(organization) = &options.organization {
            let organization = checked_name(organization)?.to_owned();
            subject.push((DnType::OrganizationName, organization));
        }
        subject.push((DnType::CommonName, checked_name(&options.name)?.to_owned()));
        Ok(Self {
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            subject,
            alternative_names: Vec::new(),
        })
    }

    /// Adds what it says to a certificate for `key`.
    pub(super) fn describe(
        self,
        mut params: CertificateParams,
        key: &KeyPair,
    ) -> CertificateParams {
        for (attribute, value) in self.subject {
            params.distinguished_name.push(attribute, value);
        }
        params.subject_alt_names = self.alternative_names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // TLS 1.2 has a key exchange, long out of favour, for which old
        // clients want an RSA key to be good.
        if key.algorithm() == &rcgen::PKCS_RSA_SHA256 {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![self.usage];
        params.use_authority_key_identifier_extension = true;
        params
    }
}
