//! Blobs: end-2 and end-10.
//!
//! | request | answer |
//! |---|---|
//! | `GET`, `HEAD` | 200 |
//! | `GET` of what the storage has elsewhere | 307, `Location` |
//! | with `If-None-Match` of the same digest | 304 |
//! | `GET` with `Range` of one part | 206, `Content-Range` |
//! | of several parts | 206, `multipart/byteranges` |
//! | of nothing that is there | 416, `Content-Range: bytes */<length>` |
//! | `DELETE` | 202 |

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::conditional::{etag, not_modified, range_applies};
use super::{Call, empty, switched_off, value};
use crate::body::Body;
use crate::error::{Error, ErrorCode};
use crate::observer::EventKind;
use crate::range::{MAX_PARTS, Requested, content_range, requested};
use crate::storage::{BlobUrl, ByteStream, Storage};
use crate::types::{Digest, RepositoryName, UploadId};
use crate::{BoxError, header as names};

/// `GET` and `HEAD` of a blob.
pub(crate) async fn pull(
    call: &Call<'_>,
    name: RepositoryName,
    digest: Digest,
) -> Result<Response<Body>, Error> {
    let storage = call.storage();
    let conditional = call.headers().contains_key(header::IF_NONE_MATCH);
    if call.is_head() || conditional {
        let size = storage.stat_blob(&name, &digest).await?;
        if not_modified(call.headers(), &digest) {
            return Ok(respond(call, StatusCode::NOT_MODIFIED, &digest));
        }
        if call.is_head() {
            return Ok(whole(call, &digest, size, Body::empty()));
        }
    }
    if let Some(elsewhere) = storage.redirect_blob(&name, &digest).await? {
        let size = elsewhere.size;
        call.observe(&name, EventKind::BlobPulled { digest, size });
        return Ok(redirect(&digest, elsewhere));
    }
    let range = call
        .headers()
        .get(header::RANGE)
        .filter(|_| range_applies(call.headers(), &digest))
        .and_then(|range| range.to_str().ok());
    let (size, response) = match range {
        None => read_whole(call, &name, &digest).await?,
        Some(range) => {
            let size = storage.stat_blob(&name, &digest).await?;
            match requested(range, size) {
                Requested::Whole => read_whole(call, &name, &digest).await?,
                Requested::Unsatisfiable => return Err(unsatisfiable(size)),
                Requested::TooMany => return Err(too_many()),
                Requested::Parts(parts) => {
                    let response = read_parts(call, &name, &digest, size, parts).await?;
                    (size, response)
                }
            }
        }
    };
    call.observe(&name, EventKind::BlobPulled { digest, size });
    Ok(response)
}

/// `DELETE` of a blob, referenced or not.
pub(crate) async fn delete(
    call: &Call<'_>,
    name: RepositoryName,
    digest: Digest,
) -> Result<Response<Body>, Error> {
    if !call.shared.deletes.blobs {
        return Err(switched_off("blobs", "GET, HEAD"));
    }
    call.storage().delete_blob(&name, &digest).await?;
    call.observe(&name, EventKind::BlobDeleted { digest });
    Ok(empty(StatusCode::ACCEPTED))
}

async fn read_whole(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(u64, Response<Body>), Error> {
    let blob = call.storage().read_blob(name, digest, None).await?;
    let body = Body::stream(blob.content, blob.size);
    Ok((blob.size, whole(call, digest, blob.size, body)))
}

async fn read_parts(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
    size: u64,
    parts: Vec<Range<u64>>,
) -> Result<Response<Body>, Error> {
    let mut response = respond(call, StatusCode::PARTIAL_CONTENT, digest);
    if let [part] = parts.as_slice() {
        let blob = call
            .storage()
            .read_blob(name, digest, Some(part.clone()))
            .await?;
        let length = part.end - part.start;
        let headers = response.headers_mut();
        describe(headers, length);
        headers.insert(header::CONTENT_RANGE, value(content_range(part, size)));
        *response.body_mut() = Body::stream(blob.content, length);
    } else {
        let multipart = Multipart::new(parts, size);
        let headers = response.headers_mut();
        describe(headers, multipart.length());
        headers.insert(header::CONTENT_TYPE, multipart.content_type());
        *response.body_mut() = multipart.body(Arc::clone(call.storage()), name.clone(), *digest);
    }
    Ok(response)
}

/// What every answer about a blob says.
fn respond(call: &Call<'_>, status: StatusCode, digest: &Digest) -> Response<Body> {
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert(names::DOCKER_CONTENT_DIGEST, value(digest.to_string()));
    headers.insert(header::ETAG, etag(digest));
    headers.insert(header::ACCEPT_RANGES, names::BYTES);
    call.immutable(headers);
    response
}

fn describe(headers: &mut HeaderMap, length: u64) {
    headers.insert(header::CONTENT_TYPE, names::OCTET_STREAM);
    headers.insert(header::CONTENT_LENGTH, length.into());
}

fn whole(call: &Call<'_>, digest: &Digest, size: u64, body: Body) -> Response<Body> {
    let mut response = respond(call, StatusCode::OK, digest);
    describe(response.headers_mut(), size);
    *response.body_mut() = body;
    response
}

/// The address lets its bearer in, so nobody may keep it.
fn redirect(digest: &Digest, elsewhere: BlobUrl) -> Response<Body> {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = response.headers_mut();
    headers.insert(names::DOCKER_CONTENT_DIGEST, value(digest.to_string()));
    headers.insert(header::CACHE_CONTROL, names::NO_STORE);
    headers.insert(header::LOCATION, elsewhere.url);
    response
}

fn unsatisfiable(size: u64) -> Error {
    Error::new(
        ErrorCode::SizeInvalid,
        "the requested range is not satisfiable",
    )
    .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
    .with_header(header::CONTENT_RANGE, value(format!("bytes */{size}")))
}

/// Podman asks again for half as many.
fn too_many() -> Error {
    Error::new(
        ErrorCode::Unsupported,
        format!("at most {MAX_PARTS} ranges in one request"),
    )
    .with_status(StatusCode::BAD_REQUEST)
}

/// Several parts of one blob in one body
/// ([RFC 9110, 14.6](https://www.rfc-editor.org/rfc/rfc9110#section-14.6)).
struct Multipart {
    /// Each part with the lines that go before it.
    parts: Vec<(Bytes, Range<u64>)>,
    boundary: String,
    closing: Bytes,
}

impl Multipart {
    fn new(parts: Vec<Range<u64>>, size: u64) -> Self {
        // Any text does that the content is most unlikely to hold.
        let boundary = UploadId::random().to_string();
        let parts = parts
            .into_iter()
            .map(|part| {
                let range = content_range(&part, size);
                let lines = format!(
                    "\r\n--{boundary}\r\ncontent-type: application/octet-stream\r\ncontent-range: {range}\r\n\r\n"
                );
                (lines.into(), part)
            })
            .collect();
        let closing = format!("\r\n--{boundary}--\r\n").into();
        Self {
            parts,
            boundary,
            closing,
        }
    }

    fn content_type(&self) -> HeaderValue {
        value(format!("multipart/byteranges; boundary={}", self.boundary))
    }

    fn length(&self) -> u64 {
        let parts: u64 = self
            .parts
            .iter()
            .map(|(lines, part)| lines.len() as u64 + (part.end - part.start))
            .sum();
        parts + self.closing.len() as u64
    }

    /// Opens one part after the other, as the client reads on.
    fn body(self, storage: Arc<dyn Storage>, name: RepositoryName, digest: Digest) -> Body {
        let length = self.length();
        let closing = self.closing;
        let content = stream::iter(self.parts)
            .then(move |(lines, part)| {
                let (storage, name) = (Arc::clone(&storage), name.clone());
                async move {
                    let blob = storage.read_blob(&name, &digest, Some(part)).await?;
                    Ok::<_, BoxError>(stream::iter([Ok(lines)]).chain(blob.content))
                }
            })
            .try_flatten()
            .chain(stream::iter([Ok(closing)]));
        Body::stream(ByteStream::new(content), length)
    }
}
