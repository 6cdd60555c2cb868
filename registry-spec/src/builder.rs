//! How a [`Registry`] is put together.

use std::sync::Arc;

use crate::auth::Authorizer;
use crate::base_url::BaseUrl;
use crate::observer::{Observer, Silent};
use crate::service::{Registry, Shared};
use crate::storage::Storage;

/// Builds a [`Registry`].
///
/// ```
/// use std::sync::Arc;
/// use registry_spec::{AllowAll, Deletes, Registry, storage::MemoryStorage};
///
/// let registry = Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(AllowAll))
///     .deletes(Deletes::none())
///     .build();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct RegistryBuilder {
    shared: Shared,
}

impl RegistryBuilder {
    pub(crate) fn new(storage: Arc<dyn Storage>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            shared: Shared {
                storage,
                authorizer,
                observer: Arc::new(Silent),
                deletes: Deletes::default(),
                validation: Validation::default(),
                limits: Limits::default(),
                base_url: BaseUrl::default(),
                read_only: false,
            },
        }
    }

    /// Who is told of events and failures. Default: nobody; a server should
    /// at least log the failures.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.shared.observer = observer;
        self
    }

    /// What may be deleted by those who have the right to. Default: everything.
    pub fn deletes(mut self, deletes: Deletes) -> Self {
        self.shared.deletes = deletes;
        self
    }

    /// What a manifest is checked for. Default: [`Validation::Full`].
    pub fn validation(mut self, validation: Validation) -> Self {
        self.shared.validation = validation;
        self
    }

    /// The sizes of things. Default: see [`Limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.shared.limits = limits;
        self
    }

    /// What goes before `/v2/…` in `Location` and `Link`. Default: nothing.
    pub fn base_url(mut self, base_url: BaseUrl) -> Self {
        self.shared.base_url = base_url;
        self
    }

    /// Whether everything but pulling is refused with 405 `UNSUPPORTED`, as
    /// while storage is being moved. Default: `false`.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.shared.read_only = read_only;
        self
    }

    /// The registry.
    #[must_use]
    pub fn build(self) -> Registry {
        Registry::new(self.shared)
    }
}

/// What may be deleted; the rest is refused with 405 `UNSUPPORTED` (end-9, end-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deletes {
    /// Tags alone.
    pub tags: bool,
    /// Manifests by digest, and with them their tags.
    pub manifests: bool,
    /// Blobs.
    pub blobs: bool,
}

impl Deletes {
    /// Everything may be deleted.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            tags: true,
            manifests: true,
            blobs: true,
        }
    }

    /// Nothing may be deleted.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            tags: false,
            manifests: false,
            blobs: false,
        }
    }
}

impl Default for Deletes {
    fn default() -> Self {
        Self::all()
    }
}

/// What a pushed manifest is checked for, beyond being one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validation {
    /// That the repository holds what it references: an image that was
    /// accepted can be pulled.
    #[default]
    Full,
    /// Nothing: for mirrors that copy manifests before, or without, their
    /// content. A pull may then fail half-way.
    Sparse,
}

/// The sizes of things that a client can ask for or send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest manifest in bytes; a larger one is refused with 413. Default:
    /// 4 MiB; the spec expects 4 MB to work
    /// ([end-7](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests)),
    /// and clients refuse to read more.
    pub manifest_bytes: usize,
    /// Most tags in one page of a list, also when none or a larger `n` is
    /// asked for. Default: 1000. CNCF Distribution clamps only an `n` to that,
    /// and sends everything to those who do not ask for a page.
    pub tag_items: usize,
    /// The same for the repositories of a page of the catalog.
    pub catalog_items: usize,
    /// The same for the descriptors of a page of referrers.
    pub referrer_items: usize,
    /// Largest list of referrers in bytes; longer ones are paged. Default:
    /// 4 MiB less some slack, the most that clients read.
    pub referrers_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            manifest_bytes: 4 * MIB,
            tag_items: 1000,
            catalog_items: 1000,
            referrer_items: 1000,
            referrers_bytes: 4 * MIB - 16 * 1024,
        }
    }
}
