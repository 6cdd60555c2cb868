//! S3, and what speaks its protocol.

use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{Attribute, Attributes, RetryConfig};
use registry_storage::object::{Bucket, ObjectStorageBuilder, PartCopy};

use super::client::Connector;
use super::object::{Place, below, url};
use crate::config::{Encryption, S3};

/// Where an AWS machine, container or pod is told who it is. The other
/// variables of AWS say where and how, which is the configuration's.
const CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_ENDPOINT_URL_STS",
    "AWS_METADATA_ENDPOINT",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

pub(super) fn place(s3: &S3) -> Place {
    Place {
        key: s3.key,
        bucket: url("s3", &s3.bucket, &s3.root),
        endpoint: s3.endpoint.clone(),
        bucket_key: "bucket",
        endpoint_key: "regionendpoint",
        credentials: match s3.credentials {
            Some(_) => format!("{0}.accesskey and {0}.secretkey", s3.key),
            None => format!(
                "{0}.accesskey and {0}.secretkey, or AWS_* variables",
                s3.key
            ),
        },
    }
}

pub(super) fn builder(
    s3: &S3,
    connector: &Connector,
    retry: RetryConfig,
) -> object_store::Result<ObjectStorageBuilder> {
    let at = |endpoint: &str| store(s3, endpoint, connector, retry.clone());
    let mut copy = PartCopy::new(&s3.bucket, connector.client());
    if let Some(bytes) = s3.copy_part_size {
        copy = copy.part_size(bytes);
    }
    if let Some(parts) = s3.copy_concurrency {
        copy = copy.concurrency(usize::try_from(parts).unwrap_or(usize::MAX));
    }
    if let Some(bytes) = s3.copy_threshold {
        copy = copy.threshold(bytes);
    }
    let mut bucket = Bucket::aws(at(&s3.endpoint)?, copy);
    if let Some(endpoint) = &s3.redirect_endpoint {
        bucket = bucket.signer(Arc::new(at(endpoint)?));
    }
    if let Some(class) = &s3.storage_class {
        let class = (Attribute::StorageClass, class.clone());
        bucket = bucket.attributes(Attributes::from_iter([class]));
    }
    let part = usize::try_from(s3.chunk_size).unwrap_or(usize::MAX);
    Ok(below(bucket, &s3.root)?.part_size(part))
}

fn store(
    s3: &S3,
    endpoint: &str,
    connector: &Connector,
    retry: RetryConfig,
) -> object_store::Result<AmazonS3> {
    let encrypted = endpoint.starts_with("https://");
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_endpoint(endpoint)
        .with_allow_http(!encrypted)
        .with_virtual_hosted_style_request(!s3.path_style)
        // TLS sees to it that nobody changes what is sent.
        .with_unsigned_payload(encrypted)
        .with_retry(retry)
        .with_http_connector(connector.clone());
    if let Some(key) = &s3.credentials {
        builder = builder
            .with_access_key_id(key.id.reveal())
            .with_secret_access_key(key.secret.reveal());
        if let Some(token) = &key.session {
            builder = builder.with_token(token.reveal());
        }
    } else {
        for name in CREDENTIALS {
            let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse()?;
            if let Ok(value) = std::env::var(name)
                && !value.is_empty()
            {
                builder = builder.with_config(key, value);
            }
        }
    }
    match &s3.encryption {
        Some(Encryption::Aes256) => {
            builder = builder.with_config("aws_server_side_encryption".parse()?, "AES256");
        }
        Some(Encryption::Kms(key)) => builder = builder.with_sse_kms_encryption(key),
        None => {}
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_credentials_has_a_meaning() {
        for name in CREDENTIALS {
            let key: Result<AmazonS3ConfigKey, _> = name.to_ascii_lowercase().parse();
            assert!(key.is_ok(), "{name}");
        }
    }
}
