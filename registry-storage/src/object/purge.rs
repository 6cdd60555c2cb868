//! Removing upload sessions that nobody goes on with.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use registry_spec::storage::StorageError;
use registry_spec::types::{RepositoryName, UploadId};

use super::error::At;
use super::tombstones::is_older;
use super::upload::Uploads;
use crate::PurgedUploads;

/// What there is of a session.
struct Found {
    /// When something of it was last written.
    newest: SystemTime,
    bytes: u64,
}

impl Uploads {
    /// Removes what nothing has been written to for so long before `now`.
    /// `dry_run` only counts.
    pub(super) async fn purge_all(
        &self,
        now: SystemTime,
        older_than: Duration,
        dry_run: bool,
    ) -> Result<PurgedUploads, StorageError> {
        let mut purged = PurgedUploads::default();
        let mut walk = self.objects.walk(None, usize::MAX);
        while let Some(visit) = walk.next().await? {
            let Ok(name) = visit.name.parse::<RepositoryName>() else {
                continue;
            };
            if !visit.has_uploads {
                continue;
            }
            for (id, found) in self.sessions(&name).await? {
                if !is_older(found.newest, now, older_than) {
                    continue;
                }
                // What cannot be purged must not keep the rest from it.
                match self
                    .purge_one(&name, &id, &found, (now, older_than), dry_run)
                    .await
                {
                    Ok(Some(bytes)) => {
                        purged.sessions += 1;
                        purged.bytes += bytes;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let error: &dyn Error = &error;
                        tracing::warn!(%name, %id, error, "upload session not purged");
                    }
                }
            }
        }
        Ok(purged)
    }

    async fn sessions(
        &self,
        name: &RepositoryName,
    ) -> Result<BTreeMap<String, Found>, StorageError> {
        let prefix = self.objects.layout.uploads(name);
        let mut sessions = BTreeMap::<String, Found>::new();
        let mut below = self.objects.below(&prefix);
        while let Some(object) = below.try_next().await.at("list", &prefix)? {
            let key = object.location.as_ref();
            let Some((id, _)) = key
                .strip_prefix(&prefix)
                .and_then(|key| key.split_once('/'))
            else {
                continue;
            };
            let modified = object.last_modified.into();
            let found = sessions.entry(id.to_owned()).or_insert(Found {
                newest: modified,
                bytes: 0,
            });
            found.newest = found.newest.max(modified);
            found.bytes += object.size;
        }
        Ok(sessions)
    }

    /// The bytes that the session held; `None` when there is no such session,
    /// or somebody has gone on with it.
    async fn purge_one(
        &self,
        name: &RepositoryName,
        id: &str,
        found: &Found,
        (now, older_than): (SystemTime, Duration),
        dry_run: bool,
    ) -> Result<Option<u64>, StorageError> {
        let Ok(id) = id.parse::<UploadId>() else {
            // No session of anybody's has such a name.
            return Ok(None);
        };
        let keys = self.keys(name, &id);
        // The list may be old by now: there may have been much to remove.
        let there = self.objects.head(&keys.session).await?;
        if there.is_some_and(|there| !is_older(there.last_modified.into(), now, older_than)) {
            return Ok(None);
        }
        let header = match self.objects.read_header(&keys.session).await {
            Ok(header) => header,
            // Broken: there is nothing to be gone on with.
            Err(StorageError::Backend { .. }) => None,
            Err(error) => return Err(error),
        };
        if !dry_run {
            self.remove(&keys, header.as_ref()).await?;
        }
        Ok(Some(header.map_or(found.bytes, |header| header.offset)))
    }
}
