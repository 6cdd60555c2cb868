//! Where everything is. No other file knows a path.
//!
//! The layout is CNCF Distribution's, under `<root>/docker/registry/v2`; what
//! is marked with `*` is ours, in places that Distribution walks past.
//!
//! ```text
//! blobs/<alg>/<hh>/<hex>/data
//! put-aside/<path>.<uuid>                                           *
//! pulls-noted                                                       *
//! verified                                                          *
//! repositories/<name>/_layers/<alg>/<hex>/link
//! repositories/<name>/_manifests/revisions/<alg>/<hex>/link
//! repositories/<name>/_manifests/tags/<tag>/current/link
//! repositories/<name>/_manifests/tags/<tag>/index/<alg>/<hex>/link
//! repositories/<name>/_manifests/tags/<tag>/pulled                  *
//! repositories/<name>/_uploads/<id>/data
//! repositories/<name>/_uploads/<id>/startedat
//! repositories/<name>/_uploads/<id>/hashstate.json                  *
//! repositories/<name>/_referrers/<alg>/<hex>/<alg>/<hex>/link       *
//! repositories/<name>/_referrers/indexed                            *
//! repositories/<name>/_referrers/lock                               *
//! ```
//!
//! A garbage collection sets `data` and the links of `_layers` and `revisions`
//! aside as `data.<run>.aside` and `link.<run>.aside` beside them. Distribution
//! looks for `data` and `link` only.
//!
//! None of our files may lie in `repositories/<name>/` itself: Distribution's
//! walk ends at a file whose name begins with `_`, and would not see what
//! comes after it.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use registry_spec::types::{Algorithm, Digest, RepositoryName, Tag, UploadId};

use crate::collect::Unit;

/// The directories in the tree.
pub(super) const BLOBS: &str = "blobs";
pub(super) const REPOSITORIES: &str = "repositories";
/// The file in a blob's directory, and in an upload session's.
pub(super) const DATA: &str = "data";
/// The file in every directory that points at a digest.
pub(super) const LINK: &str = "link";
/// The directories in a repository.
pub(super) const LAYERS: &str = "_layers";
pub(super) const MANIFESTS: &str = "_manifests";
pub(super) const UPLOADS: &str = "_uploads";
pub(super) const REFERRERS: &str = "_referrers";
/// All of these.
pub(super) const RESERVED: [&str; 4] = [LAYERS, MANIFESTS, UPLOADS, REFERRERS];
/// The file in a tag's directory that says by its time when it was pulled.
pub(super) const PULLED: &str = "pulled";
/// More bytes than the paths below the tree have, but for very long names; so
/// that each is made by one allocation.
const ROOM: usize = 256;
/// What a file is called while it is written.
const TEMPORARY_SUFFIX: &str = ".tmp";
/// What a file is called while a garbage collection has set it aside.
const ASIDE_SUFFIX: &str = ".aside";

#[derive(Debug)]
pub(super) struct Layout {
    /// What the operator configured.
    root: PathBuf,
    /// Where the tree begins.
    tree: PathBuf,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            tree: root.join("docker/registry/v2"),
            root,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// A path below the tree, of a directory and what follows.
    fn below(&self, dir: [&str; 3], path: fmt::Arguments<'_>) -> PathBuf {
        let mut whole = OsString::with_capacity(self.tree.as_os_str().len() + ROOM);
        whole.push(&self.tree);
        for part in dir {
            whole.push(part);
        }
        whole.write_fmt(path).expect("strings take any text");
        whole.into()
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        let (algorithm, first) = (digest.algorithm(), digest.hash()[0]);
        self.below(
            ["/blobs/", algorithm.as_str(), "/"],
            format_args!("{first:02x}/{digest:x}"),
        )
    }

    pub(super) fn blob_data(&self, digest: &Digest) -> PathBuf {
        let mut path = self.blob(digest);
        path.push(DATA);
        path
    }

    /// Where a unit is unless it is set aside.
    pub(super) fn place(&self, unit: Unit<'_>) -> PathBuf {
        match unit {
            Unit::Manifest(name, digest) => link_in(self.revision(name, &digest)),
            Unit::Layer(name, digest) => link_in(self.layer(name, &digest)),
            Unit::Blob(digest) => self.blob_data(&digest),
        }
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.tree.join(REPOSITORIES)
    }

    /// Where a repair puts what is bad, under the path that it had.
    pub(super) fn put_aside_folder(&self) -> PathBuf {
        self.tree.join("put-aside")
    }

    /// Says since when all pulls are noted.
    pub(super) fn pulls_noted(&self) -> PathBuf {
        self.tree.join("pulls-noted")
    }

    /// Says by its time when all was verified.
    pub(super) fn verified(&self) -> PathBuf {
        self.tree.join("verified")
    }

    /// The directory of a repository.
    pub(super) fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.in_repository(name, format_args!(""))
    }

    fn in_repository(&self, name: &RepositoryName, path: fmt::Arguments<'_>) -> PathBuf {
        self.below(["/repositories/", name.as_str(), "/"], path)
    }

    pub(super) fn layer(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.in_repository(name, format_args!("_layers/{}", Pair(digest)))
    }

    /// A repository is in the catalog once it has this directory.
    pub(super) fn manifests(&self, name: &RepositoryName) -> PathBuf {
        self.in_repository(name, format_args!("_manifests"))
    }

    pub(super) fn revisions(&self, name: &RepositoryName, algorithm: Algorithm) -> PathBuf {
        self.in_repository(name, format_args!("_manifests/revisions/{algorithm}"))
    }

    pub(super) fn revision(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.in_repository(name, format_args!("_manifests/revisions/{}", Pair(digest)))
    }

    pub(super) fn tags(&self, name: &RepositoryName) -> PathBuf {
        self.in_repository(name, format_args!("_manifests/tags"))
    }

    pub(super) fn tag(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.in_repository(name, format_args!("_manifests/tags/{tag}"))
    }

    pub(super) fn tag_current(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.in_repository(name, format_args!("_manifests/tags/{tag}/current"))
    }

    pub(super) fn tag_pulled(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.in_repository(name, format_args!("_manifests/tags/{tag}/{PULLED}"))
    }

    pub(super) fn tag_index(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> PathBuf {
        self.in_repository(
            name,
            format_args!("_manifests/tags/{tag}/index/{}", Pair(digest)),
        )
    }

    pub(super) fn uploads(&self, name: &RepositoryName) -> PathBuf {
        self.in_repository(name, format_args!("_uploads"))
    }

    pub(super) fn upload(&self, name: &RepositoryName, id: &UploadId) -> PathBuf {
        self.in_repository(name, format_args!("_uploads/{id}"))
    }

    pub(super) fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        algorithm: Algorithm,
    ) -> PathBuf {
        self.in_repository(
            name,
            format_args!("_referrers/{}/{algorithm}", Pair(subject)),
        )
    }

    pub(super) fn referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> PathBuf {
        self.in_repository(
            name,
            format_args!("_referrers/{}/{}", Pair(subject), Pair(digest)),
        )
    }

    /// What the referrers index covers.
    pub(super) fn referrers_indexed(&self, name: &RepositoryName) -> PathBuf {
        self.in_repository(name, format_args!("_referrers/indexed"))
    }

    /// Held by whoever changes manifests or tags.
    pub(super) fn lock(&self, name: &RepositoryName) -> PathBuf {
        self.in_repository(name, format_args!("_referrers/lock"))
    }
}

/// The two levels that stand for a digest.
struct Pair<'a>(&'a Digest);

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}", self.0.algorithm(), self.0)
    }
}

pub(super) fn link(dir: &Path) -> PathBuf {
    dir.join(LINK)
}

/// As `link`, in the directory's own buffer.
pub(super) fn link_in(mut dir: PathBuf) -> PathBuf {
    dir.push(LINK);
    dir
}

pub(super) fn upload_data(session: &Path) -> PathBuf {
    session.join(DATA)
}

pub(super) fn upload_started_at(session: &Path) -> PathBuf {
    session.join("startedat")
}

pub(super) fn upload_hash_state(session: &Path) -> PathBuf {
    session.join("hashstate.json")
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent()
        .expect("every path of the layout is below the root")
}

/// A new name beside `path`, as Distribution forms it.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{TEMPORARY_SUFFIX}", UploadId::random()));
    path.with_file_name(name)
}

/// A new name for what a repair puts aside.
pub(super) fn put_aside_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", UploadId::random()));
    path.with_file_name(name)
}

/// Where a collection sets aside what is at `place`.
pub(super) fn aside(place: &Path, run: &UploadId) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{run}{ASIDE_SUFFIX}"));
    place.with_file_name(name)
}

/// Whether a file beside `place` is what was there, set aside.
pub(super) fn is_aside(place: &Path, name: &OsStr) -> bool {
    let of = place.file_name().unwrap_or_default().as_encoded_bytes();
    let rest = name.as_encoded_bytes().strip_prefix(of);
    rest.is_some_and(|rest| rest.starts_with(b".") && rest.ends_with(ASIDE_SUFFIX.as_bytes()))
}

pub(super) fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes()
        .ends_with(TEMPORARY_SUFFIX.as_bytes())
}
