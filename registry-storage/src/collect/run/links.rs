//! The first two rows: manifests, and layer links, of one repository.

use std::cmp::Reverse;

use futures_util::future::join_all;
use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName};

use super::super::mark::Marked;
use super::super::report::{Consequence, Item, Reason};
use super::super::steps::{Steps, Unit};
use super::Run;

/// How many generations of manifests go in one collection. Real ones have two
/// or three: an index, its images, their signatures.
const GENERATIONS: usize = 8;

impl<S: Steps> Run<'_, S> {
    /// The first rows: manifests that nothing keeps, generation after
    /// generation, so that what is put back finds all that it keeps. Leaves
    /// those that stay.
    pub(super) async fn untagged(
        &mut self,
        name: &RepositoryName,
        marked: &mut Marked,
    ) -> Result<(), StorageError> {
        let mut deleted: Vec<(Digest, Option<Digest>)> = Vec::new();
        if self.options.dry_run {
            deleted.extend(marked.dead().map(|manifest| (manifest.digest, None)));
            for (digest, _) in &deleted {
                self.removed(
                    Item::Manifest {
                        repository: name,
                        digest: *digest,
                    },
                    Reason::Untagged,
                    0,
                );
            }
            marked.lose(deleted.iter().map(|(digest, _)| *digest));
        } else {
            for _ in 0..GENERATIONS {
                let next = marked.unkept();
                if next.is_empty() || !marked.faults.is_empty() {
                    break;
                }
                self.generation(name, marked, next, &mut deleted).await?;
            }
            if !deleted.is_empty()
                && let Err(error) = self.steps.forget(name, &deleted).await
            {
                self.problem(Some(name), error, Consequence::ItemKept);
            }
        }
        if !deleted.is_empty() {
            marked.settle(self.steps, name).await;
        }
        Ok(())
    }

    /// Manifests that keep none of each other.
    async fn generation(
        &mut self,
        name: &RepositoryName,
        marked: &mut Marked,
        dead: Vec<Digest>,
        deleted: &mut Vec<(Digest, Option<Digest>)>,
    ) -> Result<(), StorageError> {
        let (mut aside, mut kept) = (Vec::new(), Vec::new());
        for some in dead.chunks(S::CONCURRENCY) {
            let units = some.iter().map(|digest| Unit::Manifest(name, *digest));
            for (digest, found) in some.iter().zip(self.set_aside(units).await) {
                match found {
                    Some(_) => aside.push(*digest),
                    // Nothing is set aside twice: its name is that of this run.
                    None => kept.push(*digest),
                }
            }
        }
        let again = Marked::read(self.steps, name, true, Some(marked)).await;
        let is_whole = again.as_ref().is_ok_and(|again| again.faults.is_empty());
        let again = again.map(|again| *marked = again);
        let (live, dead): (Vec<_>, Vec<_>) = aside
            .into_iter()
            .partition(|digest| !is_whole || marked.is_live(digest));
        for digest in live {
            self.put_back(Unit::Manifest(name, digest)).await;
        }
        for some in dead.chunks(S::CONCURRENCY) {
            let subjects = some
                .iter()
                .map(|digest| subject(self.steps, marked, digest));
            let subjects = join_all(subjects).await;
            let units = some.iter().map(|digest| (Unit::Manifest(name, *digest), 0));
            let results = self.delete(units, Reason::Untagged).await;
            for ((digest, subject), was_deleted) in some.iter().zip(subjects).zip(results) {
                match was_deleted {
                    true => {
                        deleted.push((*digest, subject));
                        marked.lose([*digest]);
                    }
                    // Somebody relies on it.
                    false => kept.push(*digest),
                }
            }
        }
        marked.revive(kept);
        for manifest in &mut marked.manifests {
            // What others have set aside goes on as it is.
            manifest.is_aside = false;
        }
        again
    }

    /// The second row: layer links that no manifest uses.
    pub(super) async fn layers(
        &mut self,
        name: &RepositoryName,
        marked: &mut Marked,
        mut is_whole: bool,
    ) -> Result<(), StorageError> {
        let mut listed = self.steps.layers(name).await?;
        // Sha512 first, which may lead to content under a sha256.
        listed.sort_unstable_by_key(|listed| Reverse(listed.digest));
        let mut dead = Vec::new();
        for some in listed.chunks(S::CONCURRENCY) {
            let steps = self.steps;
            let looks = some.iter().map(|listed| {
                let unit = Unit::Layer(name, listed.digest);
                steps.look_at(unit, listed)
            });
            for (listed, found) in some.iter().zip(join_all(looks).await) {
                let digest = listed.digest;
                match found {
                    Ok(None) => {}
                    Ok(Some(found)) if marked.used.contains(&digest) => {
                        if found.content != digest {
                            // Distribution links that as well.
                            marked.used.insert(&found.content);
                        }
                        self.linked.insert(&found.content);
                        if found.is_aside {
                            self.put_back(Unit::Layer(name, digest)).await;
                        }
                    }
                    Ok(Some(found)) if !found.is_old => {
                        self.report.young += 1;
                        self.linked.insert(&found.content);
                    }
                    Ok(Some(_)) => dead.push(digest),
                    Err(error) => {
                        is_whole = false;
                        self.link_unread(&digest);
                        self.problem(Some(name), error, Consequence::RepositoryKept);
                    }
                }
            }
        }
        if !is_whole {
            for digest in dead {
                self.keep(Unit::Layer(name, digest)).await;
            }
            return Ok(());
        }
        if self.options.dry_run {
            for digest in dead {
                self.removed(Unit::Layer(name, digest).item(), Reason::Unused, 0);
            }
            return Ok(());
        }
        let mut aside = Vec::new();
        for some in dead.chunks(S::CONCURRENCY) {
            let units = some.iter().map(|digest| Unit::Layer(name, *digest));
            for (digest, found) in some.iter().zip(self.set_aside(units).await) {
                match found {
                    Some(found) if found.is_old => aside.push(*digest),
                    Some(_) => self.keep(Unit::Layer(name, *digest)).await,
                    None => {}
                }
            }
        }
        if aside.is_empty() {
            return Ok(());
        }
        let again = marked.look_again(self.steps, name, &mut self.linked).await;
        if let Err(error) = again {
            is_whole = false;
            self.problem(Some(name), error, Consequence::RepositoryKept);
        }
        let (dead, used): (Vec<_>, Vec<_>) = aside
            .into_iter()
            .partition(|digest| is_whole && !marked.used.contains(digest));
        for digest in used {
            self.keep(Unit::Layer(name, digest)).await;
        }
        for some in dead.chunks(S::CONCURRENCY) {
            let units = some.iter().map(|digest| (Unit::Layer(name, *digest), 0));
            for (digest, deleted) in some.iter().zip(self.delete(units, Reason::Unused).await) {
                if !deleted {
                    self.keep(Unit::Layer(name, *digest)).await;
                }
            }
        }
        Ok(())
    }
}

async fn subject(steps: &impl Steps, marked: &Marked, digest: &Digest) -> Option<Digest> {
    let content = marked.content(marked.find(digest)?);
    steps.references(&content).await.ok()?.subject
}
