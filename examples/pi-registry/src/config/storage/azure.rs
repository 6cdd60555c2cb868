//! `storage.azure`: Azure Blob Storage.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::error::ConfigError;
use super::super::secret::Secret;
use super::section::{Client, Section};

/// A container of Azure Blob Storage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Azure {
    /// `accountname`.
    pub account: String,
    /// `container`.
    pub container: String,
    /// `accountkey` or `credentials`.
    pub credentials: AzureCredentials,
    /// `serviceurl`. Default: `https://<accountname>.blob.<realm>`.
    pub endpoint: String,
    /// `rootdirectory`, without slashes around it. Default: empty.
    pub root: String,
    /// How its server is spoken to.
    pub client: Client,
}

/// Who the registry is to Azure.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AzureCredentials {
    /// `accountkey`.
    AccountKey(Secret),
    /// `credentials` of the type `client_secret`: an application.
    #[non_exhaustive]
    Application {
        /// `tenantid`.
        tenant: String,
        /// `clientid`.
        client: String,
        /// `secret`.
        secret: Secret,
    },
    /// A workload's or machine's identity, as the environment tells it.
    Environment,
}

impl Azure {
    pub(super) fn read(section: Section<'_>) -> Result<Self, ConfigError> {
        let account = section.required("accountname", "the name of a storage account")?;
        let container = section.required("container", "the name of a container")?;
        let realm = section.text("realm", "a domain such as core.windows.net")?;
        let realm = realm.as_deref().unwrap_or("core.windows.net");
        let endpoint = section.url("serviceurl", "https")?;
        Ok(Self {
            endpoint: endpoint.unwrap_or_else(|| format!("https://{account}.blob.{realm}")),
            credentials: AzureCredentials::read(section)?,
            root: section.root_directory()?,
            client: Client::read(section)?,
            account,
            container,
        })
    }
}

impl AzureCredentials {
    fn read(section: Section<'_>) -> Result<Self, ConfigError> {
        const TYPE: &str = "credentials.type";
        const TYPES: &str = "shared_key, client_secret or default_credentials";
        const KEY: &str = "accountkey";
        let expected = "the key of the account in base64";
        let key = section.secret(KEY, expected)?;
        let kind = section.text(TYPE, TYPES)?;
        match (kind.as_deref(), key) {
            (None | Some("shared_key"), Some(key)) => {
                if BASE64_STANDARD.decode(key.reveal()).is_err() {
                    return Err(section.refused(KEY, expected));
                }
                Ok(Self::AccountKey(key))
            }
            (Some("shared_key"), None) => Err(section.missing(KEY, expected)),
            (Some("client_secret"), _) => {
                let text =
                    |name: &str| section.required(name, "the application's, for client_secret");
                Ok(Self::Application {
                    tenant: text("credentials.tenantid")?,
                    client: text("credentials.clientid")?,
                    secret: Secret::new(text("credentials.secret")?),
                })
            }
            (None | Some("default_credentials"), _) => Ok(Self::Environment),
            (Some(_), _) => Err(section.refused(TYPE, TYPES)),
        }
    }
}
