//! Azure Blob Storage.

use object_store::RetryConfig;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use registry_storage::object::{Bucket, ObjectStorageBuilder};

use super::client::Connector;
use super::object::{Place, below, url};
use crate::config::{Azure, AzureCredentials};

/// Where a workload or machine is told who it is.
const CREDENTIALS: &[&str] = &[
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
];

pub(super) fn place(azure: &Azure) -> Place {
    const KEY: &str = "storage.azure";
    Place {
        key: KEY,
        bucket: url("azure", &azure.container, &azure.root),
        endpoint: azure.endpoint.clone(),
        bucket_key: "container",
        endpoint_key: "serviceurl",
        credentials: match azure.credentials {
            AzureCredentials::AccountKey(_) => format!("{KEY}.accountname and {KEY}.accountkey"),
            AzureCredentials::Application { .. } => format!("{KEY}.credentials"),
            AzureCredentials::Environment => {
                format!("{KEY}.accountkey, or AZURE_* variables")
            }
        },
    }
}

pub(super) fn builder(
    azure: &Azure,
    connector: &Connector,
    retry: RetryConfig,
) -> object_store::Result<ObjectStorageBuilder> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&azure.account)
        .with_container_name(&azure.container)
        .with_endpoint(azure.endpoint.clone())
        .with_allow_http(azure.endpoint.starts_with("http://"))
        .with_retry(retry)
        .with_http_connector(connector.clone());
    match &azure.credentials {
        AzureCredentials::AccountKey(key) => builder = builder.with_access_key(key.reveal()),
        AzureCredentials::Application {
            tenant,
            client,
            secret,
        } => {
            builder = builder.with_client_secret_authorization(client, secret.reveal(), tenant);
        }
        AzureCredentials::Environment => {
            for name in CREDENTIALS {
                let key: AzureConfigKey = name.to_ascii_lowercase().parse()?;
                if let Ok(value) = std::env::var(name)
                    && !value.is_empty()
                {
                    builder = builder.with_config(key, value);
                }
            }
        }
    }
    below(Bucket::azure(builder.build()?), &azure.root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_credentials_has_a_meaning() {
        for name in CREDENTIALS {
            let key: Result<AzureConfigKey, _> = name.to_ascii_lowercase().parse();
            assert!(key.is_ok(), "{name}");
        }
    }
}
