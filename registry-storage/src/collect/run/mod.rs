//! One collection: the collector's side of the protocol.

mod blobs;
mod links;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, RepositoryName};

use super::keys::Keys;
use super::mark::Marked;
use super::options::CollectOptions;
use super::report::{Consequence, Event, Item, Problem, Reason, Report};
use super::steps::{Found, Steps, Unit};

/// Whom a run tells what happens.
pub(crate) type Listener<'a> = &'a mut (dyn FnMut(Event<'_>) + Send);

/// A collection under way.
pub(crate) struct Run<'a, S> {
    steps: &'a S,
    options: &'a CollectOptions,
    listener: Listener<'a>,
    stop: &'a AtomicBool,
    report: Report,
    /// The content of every link that stays, and what the manifests name.
    linked: Keys,
    /// Not all links are known.
    blobs_kept: bool,
}

impl<'a, S: Steps> Run<'a, S> {
    pub(crate) fn new(
        steps: &'a S,
        options: &'a CollectOptions,
        listener: Listener<'a>,
        stop: &'a AtomicBool,
    ) -> Self {
        let report = Report {
            dry_run: options.dry_run,
            ..Report::default()
        };
        Self {
            steps,
            options,
            listener,
            stop,
            report,
            linked: Keys::default(),
            blobs_kept: false,
        }
    }

    /// Fails only before the first deletion, or when it is told to stop.
    pub(crate) async fn finish(mut self) -> Result<Report, StorageError> {
        let repositories = self.steps.repositories().await?;
        for error in repositories.hidden {
            self.keep_blobs(None, error);
        }
        let total = repositories.names.len() as u64;
        for name in &repositories.names {
            self.go_on()?;
            if let Err(error) = self.repository(name).await {
                self.keep_blobs(Some(name), error);
            }
            self.report.repositories += 1;
            let done = self.report.repositories;
            (self.listener)(Event::Repository { name, done, total });
        }
        if !self.blobs_kept {
            self.blobs().await?;
        }
        self.go_on()?;
        self.leftovers(&repositories.names).await;
        Ok(self.report)
    }

    async fn repository(&mut self, name: &RepositoryName) -> Result<(), StorageError> {
        let with_tags = self.options.delete_untagged;
        let mut marked = Marked::read(self.steps, name, with_tags, None).await?;
        if with_tags && marked.faults.is_empty() {
            self.untagged(name, &mut marked).await?;
        }
        for (index, manifest) in marked.manifests.iter().enumerate() {
            if manifest.is_gone {
                continue;
            }
            self.linked.insert(&marked.content(index));
            if manifest.is_aside {
                self.put_back(Unit::Manifest(name, manifest.digest)).await;
            }
        }
        let broken = std::mem::take(&mut marked.broken);
        let is_whole = marked.faults.is_empty();
        for error in std::mem::take(&mut marked.faults) {
            self.problem(Some(name), error, Consequence::RepositoryKept);
        }
        for digest in broken {
            self.link_unread(&digest);
        }
        self.layers(name, &mut marked, is_whole).await?;
        self.linked.append(&mut marked.used);
        Ok(())
    }

    /// Upload sessions, and what is empty then.
    async fn leftovers(&mut self, names: &[RepositoryName]) {
        let dry_run = self.options.dry_run;
        if let Some(age) = self.options.stale_uploads {
            match self.steps.purge_uploads(age, dry_run).await {
                Ok(purged) => {
                    self.report.uploads_removed.count = purged.sessions;
                    self.report.uploads_removed.bytes = purged.bytes;
                }
                Err(error) => self.problem(None, error, Consequence::ItemKept),
            }
        }
        if !self.options.empty_repositories {
            return;
        }
        // Those within others first.
        for name in names.iter().rev() {
            match self.steps.remove_repository(name, dry_run).await {
                Ok(true) => self.removed(Item::Repository(name), Reason::Empty, 0),
                Ok(false) => {}
                Err(error) => self.problem(Some(name), error, Consequence::ItemKept),
            }
        }
    }

    /// Sets some units aside at once. `None` when there is nothing to set aside
    /// any more, or it cannot be; it may not be old if it was touched before.
    async fn set_aside<'u>(&mut self, units: impl Iterator<Item = Unit<'u>>) -> Vec<Option<Found>> {
        let (steps, units) = (self.steps, units.collect::<Vec<_>>());
        let results = join_all(units.iter().map(|unit| steps.set_aside(*unit))).await;
        let mut all = Vec::with_capacity(units.len());
        for (unit, result) in units.into_iter().zip(results) {
            all.push(match result {
                Ok(found) => found,
                Err(error) => {
                    self.problem(unit.repository(), error, Consequence::ItemKept);
                    // It may have been, for all we know.
                    self.keep(unit).await;
                    None
                }
            });
        }
        all
    }

    async fn put_back(&mut self, unit: Unit<'_>) {
        if self.options.dry_run {
            return;
        }
        match self.steps.put_back(unit).await {
            Ok(()) => {
                self.report.put_back += 1;
                (self.listener)(Event::PutBack { item: unit.item() });
            }
            Err(error) => self.problem(unit.repository(), error, Consequence::ItemKept),
        }
    }

    /// Leaves a link where it belongs, and what it names.
    async fn keep(&mut self, unit: Unit<'_>) {
        let (Unit::Manifest(_, digest) | Unit::Layer(_, digest)) = unit else {
            return self.put_back(unit).await;
        };
        self.linked.insert(&digest);
        match self.steps.look(unit).await {
            Ok(Some(found)) => {
                self.linked.insert(&found.content);
                if found.is_aside {
                    self.put_back(unit).await;
                }
            }
            Ok(None) => {}
            Err(error) => self.keep_blobs(unit.repository(), error),
        }
    }

    /// Deletes some units at once, of so many bytes; whether they were there to
    /// be deleted.
    async fn delete<'u>(
        &mut self,
        units: impl Iterator<Item = (Unit<'u>, u64)>,
        reason: Reason,
    ) -> Vec<bool> {
        let (steps, units) = (self.steps, units.collect::<Vec<_>>());
        let results = join_all(units.iter().map(|(unit, _)| steps.delete(*unit))).await;
        let mut all = Vec::with_capacity(units.len());
        for ((unit, bytes), result) in units.into_iter().zip(results) {
            all.push(match result {
                Ok(deleted) => {
                    if deleted {
                        self.removed(unit.item(), reason, bytes);
                    }
                    deleted
                }
                Err(error) => {
                    self.problem(unit.repository(), error, Consequence::ItemKept);
                    self.put_back(unit).await;
                    false
                }
            });
        }
        all
    }

    /// A link that cannot be read names the digest of its path, as a rule.
    fn link_unread(&mut self, digest: &Digest) {
        self.linked.insert(digest);
        if digest.algorithm() != Algorithm::Sha256 {
            self.blobs_kept = true;
        }
    }

    fn removed(&mut self, item: Item<'_>, reason: Reason, bytes: u64) {
        match item {
            Item::Manifest { .. } => self.report.manifests_removed += 1,
            Item::Layer { .. } => self.report.layers_removed += 1,
            Item::Repository(_) => self.report.repositories_removed += 1,
            Item::Blob { .. } => {
                self.report.blobs_removed.count += 1;
                self.report.blobs_removed.bytes += bytes;
            }
        }
        (self.listener)(Event::Removed {
            item,
            reason,
            bytes,
        });
    }

    fn keep_blobs(&mut self, name: Option<&RepositoryName>, error: StorageError) {
        self.blobs_kept = true;
        self.problem(name, error, Consequence::BlobsKept);
    }

    fn problem(
        &mut self,
        name: Option<&RepositoryName>,
        error: StorageError,
        consequence: Consequence,
    ) {
        let problem = Problem {
            repository: name.cloned(),
            error,
            consequence,
        };
        (self.listener)(Event::Problem(&problem));
        self.report.problem_count += 1;
        if self.report.problems.len() < Report::MOST_PROBLEMS {
            self.report.problems.push(problem);
        }
    }

    fn go_on(&self) -> Result<(), StorageError> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(StorageError::backend("collection", "told to stop")),
            false => Ok(()),
        }
    }
}
