//! Which of a repository's manifests live, and what they name.

use futures_util::future::join_all;
use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, References, RepositoryName};

use super::keys::Keys;
use super::steps::{Found, Steps, Unit};

/// A repository's manifests.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// Ascending; those that are set aside too.
    pub(super) manifests: Vec<Manifest>,
    /// What any of them names.
    pub(super) used: Keys,
    /// Why it is not known what they all name, or which live.
    pub(super) faults: Vec<StorageError>,
    /// Those whose link cannot be read.
    pub(super) broken: Vec<Digest>,
    /// Those whose bytes are kept under another digest.
    aliases: Vec<(usize, Digest)>,
    /// Which one keeps which; ascending.
    edges: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Manifest {
    pub(super) digest: Digest,
    pub(super) is_aside: bool,
    pub(super) is_live: bool,
    /// Somebody has removed it since it was listed. One that is pushed again
    /// is another one.
    pub(super) is_gone: bool,
}

impl Marked {
    /// Reads all of a repository's manifests. Those live that a tag reaches,
    /// or that refer to something live by their subject; those that are young,
    /// and those that lived when they were `known` or were not yet known. Without
    /// a look at the tags nothing is told about that.
    pub(super) async fn read<S: Steps>(
        steps: &S,
        name: &RepositoryName,
        with_tags: bool,
        known: Option<&Self>,
    ) -> Result<Self, StorageError> {
        let mut marked = Self::default();
        let mut listed = steps.manifests(name).await?;
        listed.sort_unstable_by_key(|listed| listed.digest);
        listed.dedup_by_key(|listed| listed.digest);
        for some in listed.chunks(S::CONCURRENCY) {
            let looks = some.iter().map(|listed| {
                let unit = Unit::Manifest(name, listed.digest);
                steps.look_at(unit, listed)
            });
            for (listed, found) in some.iter().zip(join_all(looks).await) {
                marked.add(listed.digest, found, known);
            }
        }
        let all: Vec<usize> = (0..marked.manifests.len()).collect();
        for some in all.chunks(S::CONCURRENCY) {
            for (index, references) in marked.references_of(steps, name, some).await {
                match references {
                    Ok(Some(references)) => marked.link(index, &references),
                    Ok(None) => marked.manifests[index].is_gone = true,
                    Err(error) => marked.faults.push(error),
                }
            }
        }
        marked.edges.sort_unstable();
        if with_tags {
            match steps.tags(name).await {
                Ok(tagged) => {
                    for digest in tagged {
                        if let Some(index) = marked.find(&digest) {
                            marked.manifests[index].is_live = true;
                        }
                    }
                }
                Err(error) => marked.faults.push(error),
            }
        }
        marked.spread();
        Ok(marked)
    }

    fn add(
        &mut self,
        digest: Digest,
        found: Result<Option<Found>, StorageError>,
        known: Option<&Self>,
    ) {
        match found {
            Ok(Some(found)) => {
                if found.content != digest {
                    let index = self.manifests.len();
                    self.aliases.push((index, found.content));
                }
                let lived = known.is_some_and(|known| match known.find(&digest) {
                    Some(index) => known.manifests[index].is_live,
                    None => true,
                });
                self.manifests.push(Manifest {
                    digest,
                    is_aside: found.is_aside,
                    is_live: !found.is_old || lived,
                    is_gone: false,
                });
            }
            Ok(None) => {}
            Err(error) => {
                self.faults.push(error);
                self.broken.push(digest);
            }
        }
    }

    /// Keeps what a manifest names.
    fn link(&mut self, index: usize, references: &References) {
        for child in &references.children {
            let child = self.find(child);
            self.edges.extend(child.map(|child| (index, child)));
        }
        let subject = references.subject.as_ref();
        let subject = subject.and_then(|subject| self.find(subject));
        self.edges.extend(subject.map(|subject| (subject, index)));
        self.use_all(references);
    }

    /// The next manifests to go: those that do not live and that nothing keeps
    /// which is to go as well. Where they keep each other in a circle, all of
    /// them.
    pub(super) fn unkept(&self) -> Vec<Digest> {
        let is_dead =
            |index: usize| !self.manifests[index].is_live && !self.manifests[index].is_gone;
        let mut is_kept = vec![false; self.manifests.len()];
        for (from, to) in &self.edges {
            is_kept[*to] |= is_dead(*from);
        }
        let dead = || (0..self.manifests.len()).filter(|index| is_dead(*index));
        let unkept: Vec<usize> = dead().filter(|index| !is_kept[*index]).collect();
        let next = if unkept.is_empty() {
            dead().collect()
        } else {
            unkept
        };
        next.into_iter()
            .map(|index| self.manifests[index].digest)
            .collect()
    }

    /// All that do not live.
    pub(super) fn dead(&self) -> impl Iterator<Item = &Manifest> {
        let dead = |manifest: &&Manifest| !manifest.is_live && !manifest.is_gone;
        self.manifests.iter().filter(dead)
    }

    /// Takes those for gone.
    pub(super) fn lose(&mut self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            if let Some(index) = self.find(&digest) {
                self.manifests[index].is_gone = true;
            }
        }
    }

    /// Takes those for live, and what they keep.
    pub(super) fn revive(&mut self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            if let Some(index) = self.find(&digest) {
                self.manifests[index].is_live = true;
            }
        }
        self.spread();
    }

    /// Forgets what only those name that are gone.
    pub(super) async fn settle<S: Steps>(&mut self, steps: &S, name: &RepositoryName) {
        self.used = Keys::default();
        let left = (0..self.manifests.len()).filter(|index| !self.manifests[*index].is_gone);
        let left: Vec<usize> = left.collect();
        for some in left.chunks(S::CONCURRENCY) {
            for (index, references) in self.references_of(steps, name, some).await {
                match references {
                    Ok(Some(references)) => self.use_all(&references),
                    Ok(None) => self.manifests[index].is_gone = true,
                    Err(error) => self.faults.push(error),
                }
            }
        }
    }

    /// Adds what was pushed since the manifests were read.
    pub(super) async fn look_again(
        &mut self,
        steps: &impl Steps,
        name: &RepositoryName,
        linked: &mut Keys,
    ) -> Result<(), StorageError> {
        for listed in steps.manifests(name).await? {
            let digest = listed.digest;
            if self.find(&digest).is_none()
                && let Some(found) = steps.look_at(Unit::Manifest(name, digest), &listed).await?
            {
                linked.insert(&found.content);
                if let Some(references) = references(steps, name, &digest, &found.content).await? {
                    self.use_all(&references);
                }
            }
        }
        Ok(())
    }

    /// Reads some manifests at once.
    async fn references_of(
        &self,
        steps: &impl Steps,
        name: &RepositoryName,
        some: &[usize],
    ) -> Vec<(usize, Result<Option<References>, StorageError>)> {
        let reads = some.iter().map(|index| async move {
            let (digest, content) = (self.manifests[*index].digest, self.content(*index));
            (*index, references(steps, name, &digest, &content).await)
        });
        join_all(reads).await
    }

    fn use_all(&mut self, references: &References) {
        for digest in references.blobs.iter().chain(&references.children) {
            self.used.insert(digest);
        }
    }

    /// Where the bytes of a manifest are.
    pub(super) fn content(&self, index: usize) -> Digest {
        let of = |alias: &(usize, Digest)| alias.0;
        match self.aliases.binary_search_by_key(&index, of) {
            Ok(alias) => self.aliases[alias].1,
            Err(_) => self.manifests[index].digest,
        }
    }

    /// Where a manifest is among these, unless it is gone.
    pub(super) fn find(&self, digest: &Digest) -> Option<usize> {
        let digest_of = |manifest: &Manifest| manifest.digest;
        let found = self.manifests.binary_search_by_key(digest, digest_of).ok();
        found.filter(|index| !self.manifests[*index].is_gone)
    }

    /// Whether a manifest is among these, and lives.
    pub(super) fn is_live(&self, digest: &Digest) -> bool {
        self.find(digest)
            .is_some_and(|index| self.manifests[index].is_live)
    }

    /// What an edge leads to from something live lives.
    fn spread(&mut self) {
        let live = |(index, manifest): (usize, &Manifest)| manifest.is_live.then_some(index);
        let mut reached: Vec<usize> = self.manifests.iter().enumerate().filter_map(live).collect();
        while let Some(from) = reached.pop() {
            let first = self.edges.partition_point(|(start, _)| *start < from);
            for (start, to) in &self.edges[first..] {
                if *start != from {
                    break;
                }
                if !self.manifests[*to].is_live {
                    self.manifests[*to].is_live = true;
                    reached.push(*to);
                }
            }
        }
    }
}

/// What one of the repository's manifests names; `None`, if somebody has
/// removed it meanwhile.
async fn references(
    steps: &impl Steps,
    name: &RepositoryName,
    digest: &Digest,
    content: &Digest,
) -> Result<Option<References>, StorageError> {
    match steps.references(content).await {
        Ok(references) => Ok(Some(references)),
        Err(error) => match steps.look(Unit::Manifest(name, *digest)).await? {
            Some(_) => Err(error),
            None => Ok(None),
        },
    }
}
