//! Referrers: end-12.
//!
//! The list is put together from two sources: the manifests whose `subject`
//! the storage knows, and those in the index that clients without this API
//! keep under the [fallback tag](Tag::referrers_fallback). Each manifest is
//! read for its descriptor, one at a time, until the page is full or enough has
//! been read; one that does not name the subject is left out.

use std::collections::{BTreeSet, VecDeque};

use futures_util::TryFutureExt;
use http::{HeaderValue, Response};

use super::{Call, json as json_response, value};
use crate::body::Body;
use crate::error::Error;
use crate::header as names;
use crate::route::ReferrersQuery;
use crate::storage::StorageError;
use crate::types::{Descriptor, Digest, Index, Manifest, MediaType, RepositoryName, Tag};

/// Most manifests that are read for one answer, and most bytes of them. What is
/// left goes to the next page, also when a filter has let nothing through yet.
const MOST_READ: usize = 1000;
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// `GET …/referrers/<digest>`. An unknown repository or subject has none,
/// which is not an error.
pub(crate) async fn list(
    call: &Call<'_>,
    name: RepositoryName,
    subject: Digest,
    query: ReferrersQuery,
) -> Result<Response<Body>, Error> {
    let limit = call.page_size(query.n, call.shared.limits.referrer_items);
    let mut found: Vec<Descriptor> = Vec::new();
    let mut room = call.shared.limits.referrers_bytes;
    let mut last = query.last;
    let (mut manifests, mut bytes) = (0, 0);
    let mut more = false;
    let mut candidates = Candidates::new(call, &name, &subject, query.last).await?;
    while limit > 0
        && let Some(digest) = candidates.next().await?
    {
        if found.len() == limit || manifests == MOST_READ || bytes >= MOST_BYTES {
            more = true;
            break;
        }
        manifests += 1;
        if let Some(referrer) = describe(call, &name, &subject, &digest).await? {
            bytes += referrer.size;
            if query.artifact_type.is_none() || referrer.artifact_type == query.artifact_type {
                let length = serde_json::to_vec(&referrer)
                    .map_err(Error::internal)?
                    .len();
                // One that is larger than any page still gets a page of its own.
                if length > room && !found.is_empty() {
                    more = true;
                    break;
                }
                // One more for the comma.
                room = room.saturating_sub(length + 1);
                found.push(referrer);
            }
        }
        last = Some(digest);
    }
    let index = Index::new(MediaType::OCI_INDEX, found);
    let mut response = json_response(value(MediaType::OCI_INDEX.as_str()), &index)?;
    if query.artifact_type.is_some() {
        response.headers_mut().insert(
            names::OCI_FILTERS_APPLIED,
            HeaderValue::from_static("artifactType"),
        );
    }
    if more {
        call.link_next(
            &mut response,
            format_args!("{name}/referrers/{subject}"),
            &[
                ("artifactType", query.artifact_type.map(|t| t.to_string())),
                ("last", last.map(|digest| digest.to_string())),
                ("n", query.n.map(|_| limit.to_string())),
            ],
        );
    }
    Ok(response)
}

/// The descriptor of a referrer; `None` when it is gone, or none of this subject.
async fn describe(
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
    digest: &Digest,
) -> Result<Option<Descriptor>, Error> {
    match call.storage().read_manifest(name, &(*digest).into()).await {
        Ok(stored) => Ok(Manifest::referrer_of(
            subject,
            stored.media_type,
            *digest,
            &stored.bytes,
        )),
        Err(StorageError::ManifestUnknown) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The digests of both sources, merged in order.
struct Candidates<'a> {
    call: &'a Call<'a>,
    name: &'a RepositoryName,
    subject: &'a Digest,
    stored: VecDeque<Digest>,
    /// The last one that the storage told.
    after: Option<Digest>,
    more_stored: bool,
    fallback: BTreeSet<Digest>,
}

impl<'a> Candidates<'a> {
    async fn new(
        call: &'a Call<'a>,
        name: &'a RepositoryName,
        subject: &'a Digest,
        after: Option<Digest>,
    ) -> Result<Self, Error> {
        let mut fallback = fallback_index(call, name, subject).await?;
        fallback.retain(|digest| after.is_none_or(|after| *digest > after));
        Ok(Self {
            call,
            name,
            subject,
            stored: VecDeque::new(),
            after,
            more_stored: true,
            fallback,
        })
    }

    async fn next(&mut self) -> Result<Option<Digest>, Error> {
        /// Digests read ahead.
        const PAGE: usize = 128;
        if self.stored.is_empty() && self.more_stored {
            let page = self
                .call
                .storage()
                .list_referrers(self.name, self.subject, self.after.as_ref(), PAGE)
                .await?;
            self.more_stored = page.more;
            self.after = page.items.last().copied().or(self.after);
            self.stored = page.items.into();
        }
        let next = match (self.stored.front(), self.fallback.first()) {
            (Some(stored), Some(fallback)) => *stored.min(fallback),
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => return Ok(None),
        };
        self.fallback.remove(&next);
        if self.stored.front() == Some(&next) {
            self.stored.pop_front();
        }
        Ok(Some(next))
    }
}

async fn fallback_index(
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
) -> Result<BTreeSet<Digest>, Error> {
    let tag = Tag::referrers_fallback(subject).into();
    let stored = call
        .storage()
        .read_manifest(name, &tag)
        .map_ok(Some)
        .or_else(|error| async {
            match error {
                StorageError::ManifestUnknown => Ok(None),
                error => Err(error),
            }
        })
        .await?;
    let manifest =
        stored.and_then(|stored| Manifest::parse(Some(&stored.media_type), &stored.bytes).ok());
    Ok(match manifest {
        Some(Manifest::Index(index)) => index.manifests.iter().map(|d| d.digest).collect(),
        _ => BTreeSet::new(),
    })
}
