//! The third row: blobs.

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest};

use super::super::report::{Consequence, Event, Reason};
use super::super::steps::{Steps, Unit};
use super::Run;

impl<S: Steps> Run<'_, S> {
    /// The third row: blobs without a link.
    pub(super) async fn blobs(&mut self) -> Result<(), StorageError> {
        let mut aside = Vec::new();
        let parts = || {
            Algorithm::ALL
                .into_iter()
                .flat_map(|a| (0..=u8::MAX).map(move |n| (a, n)))
        };
        let total = parts().count() as u64;
        for (done, (algorithm, first)) in (1..).zip(parts()) {
            if let Err(error) = self.go_on() {
                self.put_all_back(&aside).await;
                return Err(error);
            }
            match self.steps.blobs(algorithm, first).await {
                Ok(listed) => {
                    for digest in listed {
                        self.blob(digest, &mut aside).await;
                    }
                }
                Err(error) => self.problem(None, error, Consequence::ItemKept),
            }
            (self.listener)(Event::Blobs { done, total });
        }
        if aside.is_empty() {
            return Ok(());
        }
        aside.sort_unstable();
        let linked = match linked_since(self.steps, &aside).await {
            Ok(linked) => linked,
            Err(error) => {
                self.put_all_back(&aside).await;
                self.problem(None, error, Consequence::BlobsKept);
                return Ok(());
            }
        };
        for digest in aside {
            let unit = Unit::Blob(digest);
            if linked.binary_search(&digest).is_ok() {
                self.put_back(unit).await;
            } else {
                self.delete(unit, Reason::Unlinked).await;
            }
        }
        Ok(())
    }

    async fn blob(&mut self, digest: Digest, aside: &mut Vec<Digest>) {
        let unit = Unit::Blob(digest);
        let found = match self.steps.look(unit).await {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) => return self.problem(None, error, Consequence::ItemKept),
        };
        self.report.blobs += 1;
        if self.linked.contains(&digest) {
            if found.is_aside {
                self.put_back(unit).await;
            }
        } else if !found.is_old {
            self.report.young += 1;
        } else if self.options.dry_run {
            self.removed(unit.item(), Reason::Unlinked, found.bytes);
        } else {
            match self.set_aside(unit).await {
                Some(true) => aside.push(digest),
                Some(false) => self.put_back(unit).await,
                None => {}
            }
        }
    }
}

/// Which of these blobs have a link now; ascending.
async fn linked_since(steps: &impl Steps, aside: &[Digest]) -> Result<Vec<Digest>, StorageError> {
    let repositories = steps.repositories().await?;
    if let Some(error) = repositories.hidden.into_iter().next() {
        return Err(error);
    }
    let mut linked = Vec::new();
    for name in &repositories.names {
        let layers = steps.layers(name).await?;
        let manifests = steps.manifests(name).await?;
        let layers = layers.into_iter().map(|digest| Unit::Layer(name, digest));
        let manifests = manifests
            .into_iter()
            .map(|digest| Unit::Manifest(name, digest));
        for unit in layers.chain(manifests) {
            let (Unit::Layer(_, digest) | Unit::Manifest(_, digest)) = unit else {
                continue;
            };
            let is_ours = aside.binary_search(&digest).is_ok();
            // Another digest's content may be one of these.
            if !is_ours && digest.algorithm() == Algorithm::Sha256 {
                continue;
            }
            match steps.look(unit).await {
                Ok(Some(found)) => linked.extend([digest, found.content]),
                Ok(None) => {}
                Err(_) if digest.algorithm() == Algorithm::Sha256 => linked.push(digest),
                Err(error) => return Err(error),
            }
        }
    }
    linked.sort_unstable();
    Ok(linked)
}
