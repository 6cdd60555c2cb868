//! The `handler` label: which kind of path a request has.

/// The names that distribution gives its routes, and two more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Handler {
    Base,
    Blob,
    BlobUpload,
    BlobUploadChunk,
    Catalog,
    Manifest,
    Referrers,
    Tags,
    /// Probes, and paths that are none of the registry's.
    Other,
}

impl Handler {
    /// Looks at as much of a path as is needed to tell; whether the rest is
    /// valid does not matter here.
    pub(super) fn of(path: &str) -> Self {
        let rest = match path {
            "/v2" | "/v2/" => return Self::Base,
            "/v2/_catalog" => return Self::Catalog,
            path => path.strip_prefix("/v2/").unwrap_or_default(),
        };
        let mut segments = rest.rsplit('/');
        let mut next = || segments.next().unwrap_or_default();
        match [next(), next(), next()] {
            // `…/blobs/uploads/` has an empty last segment.
            ["uploads", "blobs", _] | ["", "uploads", "blobs"] => Self::BlobUpload,
            [_, "uploads", "blobs"] => Self::BlobUploadChunk,
            ["list", "tags", _] => Self::Tags,
            [_, "blobs", _] => Self::Blob,
            [_, "manifests", _] => Self::Manifest,
            [_, "referrers", _] => Self::Referrers,
            _ => Self::Other,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Blob => "blob",
            Self::BlobUpload => "blob_upload",
            Self::BlobUploadChunk => "blob_upload_chunk",
            Self::Catalog => "catalog",
            Self::Manifest => "manifest",
            Self::Referrers => "referrers",
            Self::Tags => "tags",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_handler() {
        for (path, handler) in [
            ("/v2", "base"),
            ("/v2/", "base"),
            ("/v2/_catalog", "catalog"),
            ("/v2/a/b/tags/list", "tags"),
            ("/v2/a/manifests/latest", "manifest"),
            ("/v2/a/b/c/blobs/sha256:0", "blob"),
            ("/v2/a/blobs/uploads", "blob_upload"),
            ("/v2/a/blobs/uploads/", "blob_upload"),
            ("/v2/a/blobs/uploads/x-y", "blob_upload_chunk"),
            ("/v2/a/referrers/sha256:0", "referrers"),
            ("/", "other"),
            ("/v2/x", "other"),
            ("/v3/a/tags/list", "other"),
            ("*", "other"),
        ] {
            assert_eq!(Handler::of(path).as_str(), handler, "{path}");
        }
    }
}
