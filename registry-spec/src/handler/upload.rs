//! Blob uploads: end-4 to end-6, end-11, end-13, end-14.
//!
//! | request | session before | session after | answer |
//! |---|---|---|---|
//! | `POST …/blobs/uploads/` | none | open at 0 | 202, `Location` |
//! | `POST …?digest=` | none | none, blob visible | 201, digest header |
//! | `POST …?mount=&from=` | none | none, blob visible | 201, digest header |
//! | the same, when it cannot be mounted | none | open at 0 | 202, `Location` |
//! | `PATCH <location>` | open at n | open at n + len | 202, `Range: 0-end` |
//! | `PUT <location>?digest=` | open | gone, blob visible | 201, digest header |
//! | `PATCH`, `PUT` that starts elsewhere | open at n | open at n | 416, `Range: 0-end` |
//! | `GET <location>` | open at n | open at n | 204, `Range: 0-end` |
//! | `DELETE <location>` | open | gone | 204 |

use http::{HeaderMap, Response, StatusCode, header};

use super::{Call, empty, value};
use crate::body::{Body, Payload};
use crate::error::{Error, ErrorCode};
use crate::observer::EventKind;
use crate::route::{FinishUploadQuery, Mount, StartUploadQuery};
use crate::storage::{LengthMismatch, StorageError};
use crate::types::{Digest, RepositoryName, UploadId};
use crate::{header as names, range};

/// `POST`: opens a session, unless the blob can be had in this very request.
pub(crate) async fn start(
    call: &Call<'_>,
    name: RepositoryName,
    query: StartUploadQuery,
    payload: Payload,
) -> Result<Response<Body>, Error> {
    let storage = call.storage();
    if let Some(wanted) = query.mount {
        let mounted = mount(call, &name, &wanted).await?;
        let Mount { digest, from } = wanted;
        if mounted {
            call.observe(&name, EventKind::BlobMounted { digest, from });
            return Ok(call.blob_created(&name, &digest));
        }
        // The client expects to be sent on to an upload, whatever else it said.
        let id = storage.start_upload(&name, digest.algorithm()).await?;
        return Ok(session(call, StatusCode::ACCEPTED, &name, &id, 0));
    }
    let Some(digest) = query.digest else {
        let id = storage.start_upload(&name, query.algorithm).await?;
        return Ok(session(call, StatusCode::ACCEPTED, &name, &id, 0));
    };
    let id = storage.start_upload(&name, digest.algorithm()).await?;
    if let Err(error) = receive_whole(call, &name, &id, &digest, payload).await {
        // The client never learns the session's name, so nobody else will end
        // it. A wrong digest has done so already.
        match storage.cancel_upload(&name, &id).await {
            Ok(()) | Err(StorageError::UploadUnknown) => {}
            Err(also) => call.shared.failed(call.request, &also),
        }
        return Err(error.into());
    }
    call.observe(&name, EventKind::BlobPushed { digest });
    Ok(call.blob_created(&name, &digest))
}

/// `PATCH`: appends a chunk.
pub(crate) async fn append(
    call: &Call<'_>,
    name: RepositoryName,
    id: UploadId,
    payload: Payload,
) -> Result<Response<Body>, Error> {
    let reached = receive_chunk(call, &name, &id, payload).await?;
    Ok(session(call, StatusCode::ACCEPTED, &name, &id, reached))
}

/// `PUT`: appends the last chunk, if there is one, and ends the session.
pub(crate) async fn finish(
    call: &Call<'_>,
    name: RepositoryName,
    id: UploadId,
    query: FinishUploadQuery,
    payload: Payload,
) -> Result<Response<Body>, Error> {
    if payload.length != Some(0) {
        receive_chunk(call, &name, &id, payload).await?;
    }
    let digest = query.digest;
    call.storage()
        .finish_upload(&name, &id, &digest)
        .await
        .map_err(|error| tell_where_it_stands(call, error, &name, &id))?;
    call.observe(&name, EventKind::BlobPushed { digest });
    Ok(call.blob_created(&name, &digest))
}

/// `GET`: where the session stands.
pub(crate) async fn stat(
    call: &Call<'_>,
    name: RepositoryName,
    id: UploadId,
) -> Result<Response<Body>, Error> {
    let offset = call.storage().stat_upload(&name, &id).await?;
    Ok(session(call, StatusCode::NO_CONTENT, &name, &id, offset))
}

/// `DELETE`: drops the session.
pub(crate) async fn cancel(
    call: &Call<'_>,
    name: RepositoryName,
    id: UploadId,
) -> Result<Response<Body>, Error> {
    call.storage().cancel_upload(&name, &id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Whether the blob was mounted. A source that the caller may not read looks
/// like one that does not hold the blob.
async fn mount(call: &Call<'_>, name: &RepositoryName, wanted: &Mount) -> Result<bool, Error> {
    if !call.grant.allows(&wanted.source()) {
        return Ok(false);
    }
    let Mount { digest, from } = wanted;
    match call.storage().mount_blob(name, digest, from.as_ref()).await {
        Ok(()) => Ok(true),
        Err(StorageError::BlobUnknown) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn receive_whole(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    digest: &Digest,
    payload: Payload,
) -> Result<(), StorageError> {
    let storage = call.storage();
    if payload.length != Some(0) {
        storage.append_upload(name, id, 0, payload.content).await?;
    }
    storage.finish_upload(name, id, digest).await
}

/// Appends a request's body where its `Content-Range` says, else at the end.
async fn receive_chunk(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    payload: Payload,
) -> Result<u64, Error> {
    let storage = call.storage();
    let offset = storage.stat_upload(name, id).await?;
    let (at, content) = match chunk_range(call.headers(), payload.length)? {
        Some(chunk) => (
            chunk.start,
            payload.content.with_length(chunk.end - chunk.start),
        ),
        None => (offset, payload.content),
    };
    storage
        .append_upload(name, id, at, content)
        .await
        .map_err(|error| tell_where_it_stands(call, error, name, id))
}

/// A 416 has what the client needs to go on: regctl takes it from here.
fn tell_where_it_stands(
    call: &Call<'_>,
    error: StorageError,
    name: &RepositoryName,
    id: &UploadId,
) -> Error {
    let StorageError::OutOfOrder { offset, .. } = error else {
        return error.into();
    };
    let mut refusal = Error::from(error);
    for (key, value) in &where_it_stands(call, name, id, offset) {
        refusal = refusal.with_header(key.clone(), value.clone());
    }
    refusal
}

/// The `Content-Range` of a chunk, which must fit its announced length. An
/// empty chunk has no range that could be written, so what is sent is ignored.
fn chunk_range(
    headers: &HeaderMap,
    length: Option<u64>,
) -> Result<Option<std::ops::Range<u64>>, Error> {
    let Some(header) = headers.get(header::CONTENT_RANGE) else {
        return Ok(None);
    };
    if length == Some(0) {
        return Ok(None);
    }
    let chunk = header.to_str().ok().and_then(range::chunk).ok_or_else(|| {
        Error::new(
            ErrorCode::BlobUploadInvalid,
            "the Content-Range of a chunk is written first-last, both inclusive",
        )
    })?;
    match length {
        Some(length) if length != chunk.end - chunk.start => {
            let expected = chunk.end - chunk.start;
            Err(StorageError::Body {
                source: LengthMismatch { expected }.into(),
            }
            .into())
        }
        _ => Ok(Some(chunk)),
    }
}

/// An answer about an open session.
fn session(
    call: &Call<'_>,
    status: StatusCode,
    name: &RepositoryName,
    id: &UploadId,
    offset: u64,
) -> Response<Body> {
    let mut response = empty(status);
    response
        .headers_mut()
        .extend(where_it_stands(call, name, id, offset));
    response
}

fn where_it_stands(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    offset: u64,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::LOCATION,
        value(call.url(format_args!("{name}/blobs/uploads/{id}"))),
    );
    headers.insert(header::RANGE, range::held(offset));
    headers.insert(names::DOCKER_UPLOAD_UUID, value(id.as_str()));
    headers
}
