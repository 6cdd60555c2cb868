//! The first two rows: manifests, and layer links, of one repository.

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
        for digest in dead {
            match self.set_aside(Unit::Manifest(name, digest)).await {
                Some(_) => aside.push(digest),
                // Nothing is set aside twice: its name is that of this run.
                None => kept.push(digest),
            }
        }
        let again = Marked::read(self.steps, name, true, Some(marked)).await;
        let is_whole = again.as_ref().is_ok_and(|again| again.faults.is_empty());
        let again = again.map(|again| *marked = again);
        for digest in aside {
            let unit = Unit::Manifest(name, digest);
            if !is_whole || marked.is_live(&digest) {
                self.put_back(unit).await;
                continue;
            }
            let subject = subject(self.steps, marked, &digest).await;
            match self.delete(unit, Reason::Untagged).await {
                true => {
                    deleted.push((digest, subject));
                    marked.lose([digest]);
                }
                // Somebody relies on it.
                false => kept.push(digest),
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
        listed.sort_unstable_by(|one, other| other.cmp(one));
        let mut dead = Vec::new();
        for digest in listed {
            let unit = Unit::Layer(name, digest);
            match self.steps.look(unit).await {
                Ok(None) => {}
                Ok(Some(found)) if marked.used.contains(&digest) => {
                    if found.content != digest {
                        // Distribution links that as well.
                        marked.used.insert(&found.content);
                    }
                    self.linked.insert(&found.content);
                    if found.is_aside {
                        self.put_back(unit).await;
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
        for digest in dead {
            match self.set_aside(Unit::Layer(name, digest)).await {
                Some(true) => aside.push(digest),
                Some(false) => self.keep(Unit::Layer(name, digest)).await,
                None => {}
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
        for digest in aside {
            let unit = Unit::Layer(name, digest);
            let is_dead = is_whole && !marked.used.contains(&digest);
            if !(is_dead && self.delete(unit, Reason::Unused).await) {
                self.keep(unit).await;
            }
        }
        Ok(())
    }
}

async fn subject(steps: &impl Steps, marked: &Marked, digest: &Digest) -> Option<Digest> {
    let content = marked.content(marked.find(digest)?);
    steps.references(&content).await.ok()?.subject
}
