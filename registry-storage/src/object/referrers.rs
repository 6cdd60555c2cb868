//! What refers to a manifest: end-12.
//!
//! Distribution's layout has no such index, so `_referrers/` is ours. It holds
//! nothing but what the manifests say:
//!
//! | key below `_referrers/` | holds |
//! |---|---|
//! | `<subject>/<referrer>/link` | an entry, written before the referrer's first tag |
//! | `indexed` | up to what time of the store's clock manifests have been looked at |
//!
//! A bucket that Distribution has written, or writes in between, has referrers
//! without an entry. So the manifests that are younger than `indexed` are
//! looked at before a list, at most once in [`FRESH`] by one registry.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_spec::storage::{Page, StorageError};
use registry_spec::types::{Digest, Manifest, RepositoryName};

use super::error::At;
use super::layout::{digest_below, key_below};
use super::objects::{CONCURRENCY, Objects};

/// How long a repository is taken to be indexed without another look.
const FRESH: Duration = Duration::from_secs(5);
/// How many repositories are remembered to be so.
const REMEMBERED: usize = 1024;
/// After how many manifests to say how far it has come.
const BATCH: usize = 500;
/// A store may show an object later than it dates it.
const SLACK: Duration = Duration::from_secs(5);
/// Longer than any time.
const MAX_TIME_LEN: u64 = 64;

/// The repositories that were looked at a moment ago.
#[derive(Debug, Default)]
pub(super) struct Indexed(Mutex<HashMap<RepositoryName, Instant>>);

impl Indexed {
    fn is_fresh(&self, name: &RepositoryName) -> bool {
        let indexed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        indexed.get(name).is_some_and(|at| at.elapsed() < FRESH)
    }

    fn insert(&self, name: &RepositoryName, at: Instant) {
        let mut indexed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if indexed.len() >= REMEMBERED {
            indexed.retain(|_, at| at.elapsed() < FRESH);
        }
        if indexed.len() < REMEMBERED {
            indexed.insert(name.clone(), at);
        }
    }
}

impl Objects {
    pub(super) async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let unwritten = self.refresh(name, subject).await?;
        let prefix = self.layout.referrers(name, subject);
        let mut offset = after.map(|after| key_below(&prefix, after));
        let later = |digest: &Digest| after.is_none_or(|after| digest > after);
        let mut digests: BTreeSet<Digest> = unwritten.into_iter().filter(later).collect();
        let mut listed = 0;
        // One more than fits shows whether there is more.
        while listed <= limit {
            let page = self
                .list_page(&prefix, offset.as_deref(), None, limit.saturating_add(1))
                .await?;
            let keys = page.result.objects.iter();
            let keys = keys.map(|object| object.location.as_ref());
            let Some(last) = keys.clone().max() else {
                break;
            };
            offset = Some(last.to_owned());
            let found: Vec<Digest> = keys.filter_map(|key| digest_below(&prefix, key)).collect();
            listed += found.len();
            digests.extend(found);
            if page.page_token.is_none() {
                break;
            }
        }
        Ok(Page::take(digests, limit))
    }

    /// Adds an entry. The caller has stored the referrer itself.
    pub(super) async fn write_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        self.write_link(&self.layout.referrer(name, subject, digest), digest)
            .await
    }

    /// Completes the index, and returns those referrers of `subject` whose
    /// entry could not be written, as with credentials that may only read.
    async fn refresh(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Digest>, StorageError> {
        if self.indexed.is_fresh(name) {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        let marker = self.layout.referrers_indexed(name);
        let until = self.get(&marker, MAX_TIME_LEN).await?;
        let until = until.and_then(|until| time(&until.bytes));
        let prefix = self.layout.revisions(name);
        let mut revisions: Vec<(SystemTime, Digest)> = self
            .below(&prefix)
            .try_filter_map(|revision| {
                let modified = SystemTime::from(revision.last_modified);
                let is_new = until.is_none_or(|until| modified + SLACK >= until);
                let digest = digest_below(&prefix, revision.location.as_ref());
                let new = digest.filter(|_| is_new).map(|digest| (modified, digest));
                std::future::ready(Ok(new))
            })
            .try_collect()
            .await
            .at("list", &prefix)?;
        revisions.sort_unstable();
        let mut unwritten = Vec::new();
        let mut failure = None;
        for batch in revisions.chunks(BATCH) {
            let failed = self.index(name, subject, batch, &mut unwritten).await?;
            failure = failure.or(failed);
            // So much need not be done once more if the request is dropped.
            if failure.is_none()
                && let Some((latest, _)) = batch.last()
                && until != Some(*latest)
            {
                let text = humantime::format_rfc3339(*latest).to_string();
                failure = self.put(&marker, text.into()).await.err();
            }
        }
        match failure {
            Some(error) => self.warn_once(
                &marker,
                format_args!("each list of referrers reads all manifests: {error}"),
            ),
            None => self.indexed.insert(name, began),
        }
        Ok(unwritten)
    }

    /// Writes the entries of some manifests. Those of `subject` that cannot be
    /// written are added to `unwritten`, and one of the failures is returned.
    async fn index(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        revisions: &[(SystemTime, Digest)],
        unwritten: &mut Vec<Digest>,
    ) -> Result<Option<StorageError>, StorageError> {
        let digests: Vec<Digest> = revisions.iter().map(|(_, digest)| *digest).collect();
        let looks = digests.into_iter().map(|digest| async move {
            let bytes = self.manifest_bytes(name, &digest).await?;
            let its_subject = bytes.and_then(|bytes| Manifest::subject_of(&bytes));
            let Some(its_subject) = its_subject else {
                return Ok(None);
            };
            let written = self.write_referrer(name, &its_subject, &digest).await;
            Ok::<_, StorageError>(Some((its_subject, digest, written)))
        });
        let mut looks = stream::iter(looks).buffer_unordered(CONCURRENCY);
        let mut failure = None;
        while let Some(look) = looks.try_next().await? {
            if let Some((its_subject, digest, Err(error))) = look {
                failure = Some(error);
                if its_subject == *subject {
                    unwritten.push(digest);
                }
            }
        }
        Ok(failure)
    }
}

fn time(text: &[u8]) -> Option<SystemTime> {
    humantime::parse_rfc3339(std::str::from_utf8(text).ok()?.trim()).ok()
}
