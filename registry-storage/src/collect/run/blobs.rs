//! The third row: blobs.

use futures_util::future::join_all;
use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest};

use super::super::report::{Consequence, Event, Reason};
use super::super::steps::{Found, Listed, Steps, Unit};
use super::Run;

/// A blob that is set aside, and its length in bytes.
type Aside = (Digest, u64);

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
                    for some in listed.chunks(S::CONCURRENCY) {
                        self.some_blobs(some, &mut aside).await;
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
        for some in aside.chunks(S::CONCURRENCY) {
            let is_linked = |(digest, _): &Aside| linked.binary_search(digest).is_ok();
            let (back, gone): (Vec<Aside>, Vec<Aside>) = some.iter().partition(|of| is_linked(of));
            self.put_all_back(&back).await;
            let gone = gone.into_iter();
            let units = gone.map(|(digest, bytes)| (Unit::Blob(digest), bytes));
            self.delete(units, Reason::Unlinked).await;
        }
        Ok(())
    }

    async fn some_blobs(&mut self, some: &[Listed], aside: &mut Vec<Aside>) {
        let steps = self.steps;
        let looks = some.iter().map(|listed| {
            let unit = Unit::Blob(listed.digest);
            steps.look_at(unit, listed)
        });
        let mut dead = Vec::new();
        for (listed, found) in some.iter().zip(join_all(looks).await) {
            match found {
                Ok(Some(found)) => {
                    if self.is_garbage(listed.digest, &found).await {
                        dead.push(listed.digest);
                    }
                }
                Ok(None) => {}
                Err(error) => self.problem(None, error, Consequence::ItemKept),
            }
        }
        let units = dead.iter().map(|digest| Unit::Blob(*digest));
        for (digest, found) in dead.iter().zip(self.set_aside(units).await) {
            match found {
                Some(found) if found.is_old => aside.push((*digest, found.bytes)),
                Some(_) => self.put_back(Unit::Blob(*digest)).await,
                None => {}
            }
        }
    }

    async fn is_garbage(&mut self, digest: Digest, found: &Found) -> bool {
        let unit = Unit::Blob(digest);
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
            return true;
        }
        false
    }

    async fn put_all_back(&mut self, aside: &[Aside]) {
        for (digest, _) in aside {
            self.put_back(Unit::Blob(*digest)).await;
        }
    }
}

/// Which of these blobs have a link now; ascending.
async fn linked_since(steps: &impl Steps, aside: &[Aside]) -> Result<Vec<Digest>, StorageError> {
    let repositories = steps.repositories().await?;
    if let Some(error) = repositories.hidden.into_iter().next() {
        return Err(error);
    }
    let mut linked = Vec::new();
    for name in &repositories.names {
        let layers = steps.layers(name).await?;
        let manifests = steps.manifests(name).await?;
        let unit_of = |listed: &Listed| Unit::Layer(name, listed.digest);
        let layers = layers.iter().map(|listed| (unit_of(listed), listed));
        let unit_of = |listed: &Listed| Unit::Manifest(name, listed.digest);
        let manifests = manifests.iter().map(|listed| (unit_of(listed), listed));
        for (unit, listed) in layers.chain(manifests) {
            let digest = listed.digest;
            let is_ours = aside.binary_search_by_key(&digest, |of| of.0).is_ok();
            // Another digest's content may be one of these.
            if !is_ours && digest.algorithm() == Algorithm::Sha256 {
                continue;
            }
            match steps.look_at(unit, listed).await {
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
