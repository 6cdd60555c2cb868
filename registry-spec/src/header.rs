//! Header names and values of the protocol that the `http` crate has not.

use http::{HeaderName, HeaderValue};

/// The digest of the content in the answer.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");
/// On every answer: old docker clients and scanners look for it.
pub(crate) const DOCKER_API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// The id of the upload session; docker wants it.
pub(crate) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// The subject that a pushed manifest was filed under (end-7).
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that was moved along with a push by digest (end-7b).
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The filters that a list of referrers went through (end-12b).
pub(crate) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

pub(crate) const API_VERSION: HeaderValue = HeaderValue::from_static("registry/2.0");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
pub(crate) const BYTES: HeaderValue = HeaderValue::from_static("bytes");
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// What may change or must not be kept: lists, errors, answers to writes.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// What must be asked for again each time, by `ETag`: tags.
pub(crate) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Content by digest that anybody may read never changes.
pub(crate) const IMMUTABLE: HeaderValue =
    HeaderValue::from_static("public, max-age=31536000, immutable");
/// Content by digest that took credentials to read.
pub(crate) const IMMUTABLE_PRIVATE: HeaderValue =
    HeaderValue::from_static("private, max-age=31536000, immutable");
