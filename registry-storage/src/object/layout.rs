//! Where everything is. No other file knows a key.
//!
//! The layout is CNCF Distribution's, under `<root>/docker/registry/v2`; what
//! is marked with `*` is ours, in places that Distribution walks past.
//!
//! ```text
//! blobs/<alg>/<hh>/<hex>/data
//! repositories/<name>/_layers/<alg>/<hex>/link
//! repositories/<name>/_manifests/kept                               *
//! repositories/<name>/_manifests/revisions/<alg>/<hex>/link
//! repositories/<name>/_manifests/tags/<tag>/current/link
//! repositories/<name>/_manifests/tags/<tag>/index/<alg>/<hex>/link
//! repositories/<name>/_uploads/<id>/data
//! repositories/<name>/_uploads/<id>/startedat
//! repositories/<name>/_uploads/<id>/session                         *
//! repositories/<name>/_referrers/<alg>/<hex>/<alg>/<hex>/link       *
//! repositories/<name>/_referrers/indexed                            *
//! tombstones/<unit>/<id>                                            *
//! pushes/<name>/_manifests/<alg>/<hex>/<id>                         *
//! probes/<id>                                                       *
//! ```
//!
//! A unit of a garbage collection is a blob, `blobs/<alg>/<hex>`, or a link,
//! `repositories/<name>/_layers/<alg>/<hex>` or `…/_manifests/<alg>/<hex>`.
//!
//! A [`Path`] is one object; a `String` is a prefix, and ends with `/`.

use object_store::path::Path;
use registry_spec::types::{Algorithm, Digest, RepositoryName, Tag, UploadId};

use crate::collect::Unit;

/// What every tag that is there has below its prefix.
pub(super) const CURRENT_LINK: &str = "current/link";
/// What every repository in the catalog has below its prefix.
pub(super) const MANIFESTS: &str = "_manifests/";
/// What a repository with upload sessions has below its prefix.
pub(super) const UPLOADS: &str = "_uploads/";

#[derive(Debug)]
pub(super) struct Layout {
    /// Where the tree begins; ends with `/`.
    tree: String,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        let root = root.as_ref();
        let separator = if root.is_empty() { "" } else { "/" };
        Self {
            tree: format!("{root}{separator}docker/registry/v2/"),
        }
    }

    fn at(&self, key: &str) -> Path {
        verbatim(&format!("{}{key}", self.tree))
    }

    fn in_repository(&self, name: &RepositoryName, key: &str) -> Path {
        self.at(&format!("repositories/{name}/{key}"))
    }

    fn below_repository(&self, name: &RepositoryName, key: &str) -> String {
        format!("{}repositories/{name}/{key}/", self.tree)
    }

    pub(super) fn tree(&self) -> &str {
        &self.tree
    }

    pub(super) fn blob_data(&self, digest: &Digest) -> Path {
        let (algorithm, hex) = (digest.algorithm(), digest.hex());
        self.at(&format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2]))
    }

    pub(super) fn repositories(&self) -> String {
        format!("{}repositories/", self.tree)
    }

    pub(super) fn layer(&self, name: &RepositoryName, digest: &Digest) -> Path {
        self.in_repository(name, &format!("_layers/{}/link", pair(digest)))
    }

    /// A repository is in the catalog once there is something below this.
    pub(super) fn manifests(&self, name: &RepositoryName) -> String {
        self.below_repository(name, "_manifests")
    }

    /// An empty object that keeps a repository in the catalog when its last
    /// manifest goes: a store has no empty directories.
    pub(super) fn kept(&self, name: &RepositoryName) -> Path {
        self.in_repository(name, "_manifests/kept")
    }

    pub(super) fn revisions(&self, name: &RepositoryName) -> String {
        self.below_repository(name, "_manifests/revisions")
    }

    pub(super) fn revision(&self, name: &RepositoryName, digest: &Digest) -> Path {
        self.in_repository(name, &format!("_manifests/revisions/{}/link", pair(digest)))
    }

    pub(super) fn tags(&self, name: &RepositoryName) -> String {
        self.below_repository(name, "_manifests/tags")
    }

    pub(super) fn tag(&self, name: &RepositoryName, tag: &Tag) -> String {
        self.below_repository(name, &format!("_manifests/tags/{tag}"))
    }

    pub(super) fn tag_current(&self, name: &RepositoryName, tag: &Tag) -> Path {
        self.in_repository(name, &format!("_manifests/tags/{tag}/{CURRENT_LINK}"))
    }

    pub(super) fn tag_index(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Path {
        self.in_repository(
            name,
            &format!("_manifests/tags/{tag}/index/{}/link", pair(digest)),
        )
    }

    pub(super) fn uploads(&self, name: &RepositoryName) -> String {
        self.below_repository(name, "_uploads")
    }

    pub(super) fn upload(&self, name: &RepositoryName, id: &str) -> String {
        self.below_repository(name, &format!("_uploads/{id}"))
    }

    pub(super) fn upload_data(&self, name: &RepositoryName, id: &UploadId) -> Path {
        self.in_repository(name, &format!("_uploads/{id}/data"))
    }

    pub(super) fn upload_started_at(&self, name: &RepositoryName, id: &UploadId) -> Path {
        self.in_repository(name, &format!("_uploads/{id}/startedat"))
    }

    pub(super) fn upload_session(&self, name: &RepositoryName, id: &UploadId) -> Path {
        self.in_repository(name, &format!("_uploads/{id}/session"))
    }

    pub(super) fn referrers(&self, name: &RepositoryName, subject: &Digest) -> String {
        self.below_repository(name, &format!("_referrers/{}", pair(subject)))
    }

    pub(super) fn referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Path {
        self.in_repository(
            name,
            &format!("_referrers/{}/{}/link", pair(subject), pair(digest)),
        )
    }

    /// How far the entries can be relied upon.
    pub(super) fn referrers_indexed(&self, name: &RepositoryName) -> Path {
        self.in_repository(name, "_referrers/indexed")
    }

    /// Where a unit of a garbage collection is.
    pub(super) fn place(&self, unit: Unit<'_>) -> Path {
        match unit {
            Unit::Manifest(name, digest) => self.revision(name, &digest),
            Unit::Layer(name, digest) => self.layer(name, &digest),
            Unit::Blob(digest) => self.blob_data(&digest),
        }
    }

    pub(super) fn layers(&self, name: &RepositoryName) -> String {
        self.below_repository(name, "_layers")
    }

    /// What all begins with that a repository has, and none below it.
    pub(super) fn own(&self, name: &RepositoryName) -> String {
        format!("{}repositories/{name}/_", self.tree)
    }

    /// All that is derived from a repository's manifests.
    pub(super) fn all_referrers(&self, name: &RepositoryName) -> String {
        self.below_repository(name, "_referrers")
    }

    pub(super) fn blobs_of(&self, algorithm: Algorithm) -> String {
        format!("{}blobs/{algorithm}/", self.tree)
    }

    pub(super) fn tombstones(&self) -> String {
        format!("{}tombstones/", self.tree)
    }

    /// Those of one unit.
    pub(super) fn tombstones_of(&self, unit: Unit<'_>) -> String {
        let unit = match unit {
            Unit::Manifest(name, digest) => {
                format!("repositories/{name}/_manifests/{}", pair(&digest))
            }
            Unit::Layer(name, digest) => format!("repositories/{name}/_layers/{}", pair(&digest)),
            Unit::Blob(digest) => format!("blobs/{}", pair(&digest)),
        };
        format!("{}tombstones/{unit}/", self.tree)
    }

    pub(super) fn tombstone(&self, unit: Unit<'_>, run: &UploadId) -> Path {
        verbatim(&format!("{}{run}", self.tombstones_of(unit)))
    }

    pub(super) fn pushes(&self) -> String {
        format!("{}pushes/", self.tree)
    }

    /// The repository of a push.
    pub(super) fn pushed_to(&self, push: &Path) -> Option<RepositoryName> {
        let below = push.as_ref().strip_prefix(&self.pushes())?;
        below.split_once("/_manifests/")?.0.parse().ok()
    }

    /// Those of one repository's manifests.
    pub(super) fn pushes_to(&self, name: &RepositoryName) -> String {
        format!("{}pushes/{name}/_manifests/", self.tree)
    }

    /// Those of one manifest.
    pub(super) fn pushes_of(&self, name: &RepositoryName, digest: &Digest) -> String {
        format!("{}{}/", self.pushes_to(name), pair(digest))
    }

    pub(super) fn push(&self, name: &RepositoryName, digest: &Digest, id: &UploadId) -> Path {
        verbatim(&format!("{}{id}", self.pushes_of(name, digest)))
    }

    /// What a look at the store writes and removes again.
    pub(super) fn probe(&self) -> Path {
        self.at(&format!("probes/{}", UploadId::random()))
    }

    pub(super) fn probes(&self) -> String {
        format!("{}probes/", self.tree)
    }
}

/// The path of a key or prefix that is written as the store has it: nothing in
/// it is escaped once more, as [`Path::from`] would.
pub(super) fn verbatim(key: &str) -> Path {
    // What is no path to this crate, with an empty segment say, is none of ours.
    Path::parse(key).unwrap_or_else(|_| Path::from(key))
}

fn pair(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm(), digest.hex())
}

/// The digest that a key below `prefix` stands for: `<alg>/<hex>/link`.
pub(super) fn digest_below(prefix: &str, key: &str) -> Option<Digest> {
    digest_of(key.strip_prefix(prefix)?.strip_suffix("/link")?)
}

/// The digest of a push below `prefix`: `<alg>/<hex>/<id>`.
pub(super) fn pushed_below(prefix: &str, key: &str) -> Option<Digest> {
    digest_of(key.strip_prefix(prefix)?.rsplit_once('/')?.0)
}

/// The digest of content whose key is below a blobs' `prefix`:
/// `<hh>/<hex>/data`.
pub(super) fn blob_below(prefix: &str, algorithm: Algorithm, key: &str) -> Option<Digest> {
    let (part, rest) = key.strip_prefix(prefix)?.split_once('/')?;
    let hex = rest.strip_suffix("/data")?;
    // What lies in another's folder is nobody's.
    let digest = format!("{algorithm}:{hex}").parse().ok()?;
    hex.starts_with(part).then_some(digest)
}

fn digest_of(pair: &str) -> Option<Digest> {
    let (algorithm, hex) = pair.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// The tag whose link has a key below the tags' `prefix`.
pub(super) fn is_current(prefix: &str, key: &str) -> bool {
    let below = key.strip_prefix(prefix);
    let below = below.and_then(|key| key.split_once('/'));
    below.is_some_and(|(_, below)| below == CURRENT_LINK)
}

/// Where a tag once stood, by the key of that below the tags' `prefix`.
pub(super) fn stood_at(prefix: &str, key: &str) -> Option<Digest> {
    let (_, below) = key.strip_prefix(prefix)?.split_once('/')?;
    digest_below("index/", below)
}

/// The key of what follows `<digest>` below `prefix`: `<alg>/<hex>/link`.
pub(super) fn key_below(prefix: &str, digest: &Digest) -> String {
    format!("{prefix}{}/link", pair(digest))
}
