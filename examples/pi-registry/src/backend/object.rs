//! An object store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{BackoffConfig, RetryConfig};
use registry_storage::ObjectStorage;
use registry_storage::object::{Bucket, ObjectStorageBuilder, ProbeError, ProbeStep, Probed};

use super::client::Connector;
use super::{BackendError, explain};
use crate::config::ObjectStore;

/// How long an address is good that a client is sent to, as with distribution.
const REDIRECT: Duration = Duration::from_secs(20 * 60);

/// An object store, and what is told of it.
#[derive(Clone, Debug)]
pub(crate) struct ObjectBackend {
    storage: ObjectStorage,
    /// The same, but it gives up soon.
    hasty: ObjectStorage,
    place: Arc<Place>,
}

/// Where a driver's content is, and by which keys that was said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Place {
    /// The driver's own key, such as `storage.s3`.
    pub key: &'static str,
    /// The bucket and the root directory in it, as a URL.
    pub bucket: String,
    /// The server.
    pub endpoint: String,
    /// The name of the key that says the bucket.
    pub(super) bucket_key: &'static str,
    /// The name of the key that says the server.
    pub(super) endpoint_key: &'static str,
    /// The names of the keys that say who we are, or what says it instead.
    pub(super) credentials: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.bucket, self.endpoint)
    }
}

impl Place {
    /// That of a store.
    #[must_use]
    pub fn of(store: &ObjectStore) -> Self {
        match store {
            #[cfg(feature = "s3")]
            ObjectStore::S3(s3) => super::s3::place(s3),
            #[cfg(feature = "azure")]
            ObjectStore::Azure(azure) => super::azure::place(azure),
            #[cfg(feature = "gcs")]
            ObjectStore::Gcs(gcs) => super::gcs::place(gcs),
        }
    }

    /// A failure of the storage in words for people, if it is one of the
    /// store.
    pub(crate) fn explain(&self, error: &(dyn std::error::Error + 'static)) -> String {
        explain::explain(error, self)
    }

    /// The same as a whole line.
    pub(super) fn line(&self, error: &(dyn std::error::Error + 'static)) -> String {
        format!("{} is {self}: {}", self.key, self.explain(error))
    }
}

/// A bucket and a root directory as a URL.
pub(super) fn url(scheme: &str, bucket: &str, root: &str) -> String {
    let slash = if root.is_empty() { "" } else { "/" };
    format!("{scheme}://{bucket}{slash}{root}")
}

impl ObjectBackend {
    /// Makes the store's client; asks the store for nothing.
    pub(crate) async fn new(store: &ObjectStore, redirect: bool) -> Result<Self, BackendError> {
        let store = store.clone();
        // Certificates and keys are read from files.
        tokio::task::spawn_blocking(move || Self::build(&store, redirect))
            .await
            .map_err(BackendError::new)?
    }

    fn build(store: &ObjectStore, redirect: bool) -> Result<Self, BackendError> {
        let place = Place::of(store);
        let client = store.client();
        let connector = Connector::new(client, place.key)?;
        if client.skip_verify {
            tracing::warn!(
                "{}.skipverify: whoever answers as {} is believed: use cafile",
                place.key,
                place.endpoint
            );
        }
        let make = |retry: RetryConfig| {
            let mut builder = builder(store, &connector, retry)
                .map_err(|error| BackendError::new(place.line(&error)))?;
            if redirect {
                builder = builder.redirect(REDIRECT);
            }
            Ok::<_, BackendError>(builder.build())
        };
        Ok(Self {
            storage: make(patient())?,
            hasty: make(hasty())?,
            place: Arc::new(place),
        })
    }

    pub(crate) const fn storage(&self) -> &ObjectStorage {
        &self.storage
    }

    /// Lists a little; says what is wrong, soon.
    pub(crate) async fn look(&self) -> Result<(), String> {
        /// A server that takes a connection and says nothing would hold up a
        /// start for as long as a request of a client.
        const SOON: Duration = Duration::from_secs(10);
        match tokio::time::timeout(SOON, self.hasty.reach()).await {
            Ok(result) => self.explained(result).map_err(|(_, line)| line),
            Err(elapsed) => Err(self.place.line(&elapsed)),
        }
    }

    /// Writes, lists, reads and removes an object; says which of these failed.
    pub(crate) async fn probe(&self) -> Result<Probed, (ProbeStep, String)> {
        self.explained(self.hasty.probe().await)
    }

    fn explained<T>(&self, result: Result<T, ProbeError>) -> Result<T, (ProbeStep, String)> {
        result.map_err(|error| (error.step, self.place.line(&error)))
    }
}

/// The storage over a store, by its keys.
fn builder(
    store: &ObjectStore,
    connector: &Connector,
    retry: RetryConfig,
) -> object_store::Result<ObjectStorageBuilder> {
    match store {
        #[cfg(feature = "s3")]
        ObjectStore::S3(s3) => super::s3::builder(s3, connector, retry),
        #[cfg(feature = "azure")]
        ObjectStore::Azure(azure) => super::azure::builder(azure, connector, retry),
        #[cfg(feature = "gcs")]
        ObjectStore::Gcs(gcs) => super::gcs::builder(gcs, connector, retry),
    }
}

/// A storage of a bucket below a `rootdirectory`.
pub(super) fn below(bucket: Bucket, root: &str) -> object_store::Result<ObjectStorageBuilder> {
    Ok(ObjectStorage::builder(bucket).root_directory(Path::parse(root)?))
}

/// For requests of clients, who wait for 30 seconds and more.
fn patient() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 3.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(20),
    }
}

/// For a look, by which somebody wants to know now.
fn hasty() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(2),
    }
}
