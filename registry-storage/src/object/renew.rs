//! Keeping links young that somebody is about to rely on, see
//! [`collect`](crate::collect#the-grace-period).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use object_store::{Error, PutPayload};
use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName};

use super::error::At;
use super::objects::{Condition, Link, Objects, cannot_compare};
use crate::collect::{Unit, YOUNG};

/// Whether links can be renewed here at all.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    refused: AtomicBool,
}

impl Renewals {
    /// Whether a link stays as it is. One of the future does not: some clock
    /// is wrong, by so little that it is soon the past.
    fn are_needless(&self, modified: SystemTime) -> bool {
        self.refused.load(Ordering::Relaxed) || modified.elapsed().is_ok_and(|age| age < YOUNG)
    }
}

impl Objects {
    /// Keeps a blob for a client that is told that it is there: writes its link
    /// once more, if need be. `false` when it is gone.
    pub(super) async fn renew_layer(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        link: Link,
    ) -> Result<bool, StorageError> {
        let Some(content) = link.digest else {
            return Ok(false);
        };
        if self.renewals.are_needless(link.modified) {
            return Ok(true);
        }
        let path = self.layout.layer(name, digest);
        let payload = PutPayload::from(content.to_string());
        // Not over what somebody has removed meanwhile.
        let unchanged = Condition::Unchanged(link.version);
        match self.put_compared(&path, payload, &unchanged).await {
            Err(error)
                if cannot_compare(&error)
                    || matches!(
                        error,
                        Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
                    ) =>
            {
                // Nobody can push here, or collect; it need not be tried each time.
                self.renewals.refused.store(true, Ordering::Relaxed);
                return Ok(true);
            }
            written => written.at("write", path.as_ref())?,
        };
        let tombstones = self.tombstones().await?;
        self.settle(Unit::Layer(name, *digest), &tombstones).await?;
        Ok(self.read_link(&path).await?.is_some())
    }
}
