//! A look at the store: what a program wants to know before it serves.

use std::fmt;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use registry_spec::storage::StorageError;

use super::error::ObjectError;
use super::objects::{Objects, cannot_compare};

/// What was asked of the store when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeStep {
    /// Listing objects: what every registry needs.
    List,
    /// Writing one.
    Write,
    /// Reading it back.
    Read,
    /// Removing it.
    Delete,
}

impl ProbeStep {
    const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Write => "write",
            Self::Read => "read",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for ProbeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The store does not do what a registry needs.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} objects")]
#[non_exhaustive]
pub struct ProbeError {
    /// What was asked.
    pub step: ProbeStep,
    /// What the store answered, or why it did not.
    #[source]
    pub source: Error,
}

impl ProbeError {
    /// As the failure of what needs the store below a prefix.
    pub(super) fn below(self, prefix: &str) -> StorageError {
        ObjectError::Store {
            operation: self.step.as_str(),
            key: prefix.to_owned(),
            source: self.source,
        }
        .into()
    }
}

/// What a store was seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probed {
    /// Whether it compares before it writes, as it must where several
    /// registries write to it.
    pub compares: bool,
}

impl ProbeStep {
    fn failed(self) -> impl Fn(Error) -> ProbeError {
        move |source| ProbeError { step: self, source }
    }
}

impl Objects {
    pub(super) async fn reach(&self) -> Result<(), ProbeError> {
        self.list_one(self.layout.tree())
            .await
            .map(|_| ())
            .map_err(ProbeStep::List.failed())
    }

    pub(super) async fn probe(&self) -> Result<Probed, ProbeError> {
        const CONTENT: Bytes = Bytes::from_static(b"written by a look at the store");
        let store = &self.bucket.objects;
        self.reach().await?;
        let path = self.layout.probe();
        let put = |content, mode| {
            let options = PutOptions {
                mode,
                attributes: self.bucket.attributes.clone(),
                ..PutOptions::default()
            };
            store.put_opts(&path, PutPayload::from_bytes(content), options)
        };
        let old = put(Bytes::new(), PutMode::Overwrite)
            .await
            .map_err(ProbeStep::Write.failed())?;
        put(CONTENT, PutMode::Overwrite)
            .await
            .map_err(ProbeStep::Write.failed())?;
        let read = async {
            let listed = self.list_one(&self.layout.probes()).await;
            if !listed.map_err(ProbeStep::List.failed())? {
                return Err(ProbeStep::List.failed()(not_seen(&path)));
            }
            let bytes = async { store.get(&path).await?.bytes().await };
            let bytes = bytes.await.map_err(ProbeStep::Read.failed())?;
            if bytes != CONTENT {
                return Err(ProbeStep::Read.failed()(not_seen(&path)));
            }
            // In place of what is not there any more, and beside what is there.
            for mode in [PutMode::Update(old.into()), PutMode::Create] {
                match put(CONTENT, mode).await {
                    Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                    Ok(_) => return Ok(false),
                    Err(error) if cannot_compare(&error) => return Ok(false),
                    Err(error) => return Err(ProbeStep::Write.failed()(error)),
                }
            }
            Ok(true)
        };
        let read = read.await;
        // Also when it cannot be read: nothing is left behind.
        let deleted = store.delete(&path).await;
        let compares = read?;
        deleted.map_err(ProbeStep::Delete.failed())?;
        Ok(Probed { compares })
    }

    async fn list_one(&self, prefix: &str) -> object_store::Result<bool> {
        let page = self.try_list_page(prefix, None, None, 1).await?;
        Ok(!page.result.objects.is_empty())
    }
}

fn not_seen(path: &Path) -> Error {
    Error::NotFound {
        path: path.to_string(),
        source: "the store does not show what was written a moment ago".into(),
    }
}
