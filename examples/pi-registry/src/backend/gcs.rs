//! Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{RetryConfig, StaticCredentialProvider};
use registry_storage::object::{Bucket, ObjectStorageBuilder};

use super::client::Connector;
use super::object::{Place, below, url};
use crate::config::{Gcs, GcsCredentials};

pub(super) fn place(gcs: &Gcs) -> Place {
    const KEY: &str = "storage.gcs";
    Place {
        key: KEY,
        bucket: url("gs", &gcs.bucket, &gcs.root),
        endpoint: match &gcs.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => "https://storage.googleapis.com".to_owned(),
        },
        bucket_key: "bucket",
        endpoint_key: "endpoint",
        credentials: match &gcs.credentials {
            GcsCredentials::File(_) => format!("{KEY}.keyfile"),
            GcsCredentials::Key(_) => format!("{KEY}.credentials"),
            GcsCredentials::Environment => {
                format!("{KEY}.keyfile, or GOOGLE_APPLICATION_CREDENTIALS")
            }
            GcsCredentials::Nobody => format!("{KEY}.keyfile"),
        },
    }
}

pub(super) fn builder(
    gcs: &Gcs,
    connector: &Connector,
    retry: RetryConfig,
) -> object_store::Result<ObjectStorageBuilder> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&gcs.bucket)
        .with_retry(retry)
        .with_http_connector(connector.clone());
    if let Some(endpoint) = &gcs.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    match &gcs.credentials {
        GcsCredentials::File(path) => {
            builder = builder.with_service_account_path(path.to_string_lossy());
        }
        GcsCredentials::Key(json) => builder = builder.with_service_account_key(json.reveal()),
        GcsCredentials::Environment => {
            if let Ok(path) = std::env::var("GOOGLE_APPLICATION_CREDENTIALS")
                && !path.is_empty()
            {
                builder = builder.with_application_credentials(path);
            }
        }
        GcsCredentials::Nobody => {
            // Some requests ask for credentials all the same.
            let nobody = GcpCredential {
                bearer: String::new(),
            };
            builder = builder
                .with_skip_signature(true)
                .with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
        }
    }
    let part = usize::try_from(gcs.chunk_size).unwrap_or(usize::MAX);
    Ok(below(Bucket::gcp(builder.build()?), &gcs.root)?.part_size(part))
}
