//! What the backend needs of a store.
//!
//! [`ObjectStore`] leaves out what not every store has. Of the stores of the
//! large clouds, a [`Bucket`] has it natively; for all others it makes do:
//!
//! | needed | aws, gcp, azure | any other store |
//! |---|---|---|
//! | parts that outlive a request | [`MultipartStore`] | parts as objects, read once more when they are put together |
//! | a page of a long list | [`PaginatedListStore`] | the whole list is read |
//! | a copy of any size | `aws`: by parts; else one request | one request |
//! | addresses for clients | [`Signer`] | none: no redirects |

use std::fmt;
use std::sync::Arc;

use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::signer::Signer;
use object_store::{Attributes, ObjectStore};

use super::plain::Plain;

/// A store, with all that is needed of it. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
///
/// use object_store::memory::InMemory;
/// use registry_storage::object::Bucket;
///
/// let bucket = Bucket::new(Arc::new(InMemory::new()));
/// # let _ = bucket;
/// ```
#[derive(Clone)]
pub struct Bucket {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) multipart: Arc<dyn MultipartStore>,
    pub(super) lists: Arc<dyn PaginatedListStore>,
    pub(super) signer: Option<Arc<dyn Signer>>,
    pub(super) attributes: Attributes,
    #[cfg(feature = "aws")]
    pub(super) part_copy: Option<super::part_copy::Copier>,
}

impl Bucket {
    /// Any store. One that cannot list page by page, or keep parts over several
    /// requests, has whole lists read, and parts as objects that are read once
    /// more when they are put together.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        let plain = Arc::new(Plain::new(Arc::clone(&store)));
        Self {
            objects: store,
            multipart: Arc::clone(&plain) as _,
            lists: plain,
            signer: None,
            attributes: Attributes::new(),
            #[cfg(feature = "aws")]
            part_copy: None,
        }
    }

    /// A store that has everything natively.
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    fn native<S>(store: S) -> Self
    where
        S: ObjectStore + MultipartStore + PaginatedListStore + Signer,
    {
        let store = Arc::new(store);
        Self {
            objects: Arc::clone(&store) as _,
            multipart: Arc::clone(&store) as _,
            lists: Arc::clone(&store) as _,
            signer: Some(store),
            attributes: Attributes::new(),
            #[cfg(feature = "aws")]
            part_copy: None,
        }
    }

    /// A bucket of S3 or of something that speaks its protocol. `copy` is for
    /// what is larger than one copy may be, or slower than a client waits.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn aws(store: object_store::aws::AmazonS3, copy: super::PartCopy) -> Self {
        let mut bucket = Self::native(store);
        // Not a signer for clients: that one may name the store as they do.
        bucket.part_copy = bucket
            .signer
            .clone()
            .map(|signer| super::part_copy::Copier {
                how: Arc::new(copy),
                signer,
                multipart: Arc::clone(&bucket.multipart),
            });
        bucket
    }

    /// A container of Azure Blob Storage.
    #[cfg(feature = "azure")]
    #[must_use]
    pub fn azure(store: object_store::azure::MicrosoftAzure) -> Self {
        Self::native(store)
    }

    /// A bucket of Google Cloud Storage.
    #[cfg(feature = "gcp")]
    #[must_use]
    pub fn gcp(store: object_store::gcp::GoogleCloudStorage) -> Self {
        Self::native(store)
    }

    /// What signs the addresses that clients are sent to, where they reach the
    /// store by another name than the registry does. Default: the store itself,
    /// as far as it can.
    #[must_use]
    pub fn signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// What every object is put with: a storage class, say. Default: nothing.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A store's own `Debug` may tell its credentials.
        f.debug_tuple("Bucket")
            .field(&format_args!("{}", self.objects))
            .finish()
    }
}
