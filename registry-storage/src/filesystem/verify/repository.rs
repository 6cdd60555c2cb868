//! One repository: looked at, looked at again, told of, repaired.
//!
//! What a first look finds may be a push or a delete that is under way. Only
//! what is still so at a second look is told; a repair takes that one under the
//! repository's lock.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use registry_spec::types::{Digest, RepositoryName};

use super::beneath::{Dir, Place};
use super::links::{Found, Seed};
use super::report::{ProblemKind, Repair};
use super::run::Run;
use crate::filesystem::layout;

/// How often a repair looks again at what it has made reachable. An index may
/// list indexes, but hardly ever this deep.
const ROUNDS: usize = 8;

/// One look at a repository, and what it has found.
pub(super) struct Look<'r, 'a> {
    pub(super) run: &'r Run<'a>,
    pub(super) name: RepositoryName,
    pub(super) dir: Dir,
    /// Whether things are counted.
    pub(super) is_first: bool,
    pub(super) found: Vec<Found>,
    /// Whether something in it leads to content that is bad.
    pub(super) is_touched: bool,
    /// Whether there is a referrers index.
    pub(super) is_indexed: bool,
    /// Manifests that have no entry there, with their subjects.
    pub(super) without_entry: HashSet<(Digest, Digest)>,
    /// Layers whose link names other content, as the first look has hashed it.
    /// Later ones, under the lock, hash nothing.
    pub(super) wrong_aliases: HashSet<Digest>,
    /// Manifests that the repository needs and has no link to.
    pub(super) unlinked: HashSet<Digest>,
}

impl<'a> Run<'a> {
    pub(super) fn check_repository(&self, name: &RepositoryName) {
        let Some(first) = self.look_at(name, None) else {
            return;
        };
        if first.found.is_empty() && !first.is_touched {
            return;
        }
        let wrong = &first.wrong_aliases;
        let lock = match self.options.repair && first.found.iter().any(|f| f.fix.is_some()) {
            true => Some(self.lock(name)),
            false => None,
        };
        let places: HashSet<(ProblemKind, &Path)> = first
            .found
            .iter()
            .map(|f| (f.kind, f.path.as_path()))
            .collect();
        let Some(mut look) = self.look_at(name, Some(wrong)) else {
            return;
        };
        look.found
            .retain(|found| places.contains(&(found.kind, found.path.as_path())));
        let mut told = HashSet::new();
        let mut numbers = look.tell(&mut told);
        let Some(lock) = lock else { return };
        for _ in 0..ROUNDS {
            let mut any = false;
            for (found, number) in look.found.iter().zip(&numbers) {
                let Some(fix) = &found.fix else { continue };
                if number.is_some_and(|number| self.ledger().is_done(number)) {
                    continue;
                }
                let repair = match &lock {
                    Ok(_) => self.fix(name, fix),
                    Err(reason) => Err(reason.clone()),
                };
                any |= repair.is_ok();
                if let Some(number) = number {
                    let repair = repair.map_or_else(Repair::Failed, Repair::Done);
                    self.ledger().repaired(*number, repair);
                }
            }
            if !any {
                return;
            }
            // What has a link now needs things in its turn.
            match self.look_at(name, Some(wrong)) {
                Some(next) => look = next,
                None => return,
            }
            numbers = look.tell(&mut told);
        }
    }

    /// A first look, or a later one with what the first has found out.
    fn look_at(
        &self,
        name: &RepositoryName,
        wrong_aliases: Option<&HashSet<Digest>>,
    ) -> Option<Look<'_, 'a>> {
        let path = self.tree.layout.repository(name);
        let dir = match self.base.below(self.relative(&path)) {
            Ok(dir) => dir?,
            Err(error) => {
                self.unreadable(&path, &error);
                return None;
            }
        };
        let indexed = self.tree.layout.referrers_indexed(name);
        let mut look = Look {
            run: self,
            name: name.clone(),
            dir,
            is_first: wrong_aliases.is_none(),
            found: Vec::new(),
            is_touched: false,
            is_indexed: matches!(self.look(&indexed), Ok(Place::File(_))),
            without_entry: HashSet::new(),
            wrong_aliases: wrong_aliases.cloned().unwrap_or_default(),
            unlinked: HashSet::new(),
        };
        look.everything();
        Some(look)
    }
}

impl Look<'_, '_> {
    fn everything(&mut self) {
        let run = self.run;
        if let Some(manifests) = run.dir(&self.dir, layout::MANIFESTS) {
            run.only(&manifests, &["revisions", "tags"]);
        }
        if let Some(revisions) = self.folder(&[layout::MANIFESTS, "revisions"]) {
            self.revisions(&revisions);
            self.unlisted();
        }
        if let Some(tags) = self.folder(&[layout::MANIFESTS, "tags"]) {
            self.tags(&tags);
        }
        if let Some(layers) = self.folder(&[layout::LAYERS]) {
            self.layers(&layers);
        }
        if let Some(referrers) = self.folder(&[layout::REFERRERS]) {
            self.referrers(&referrers);
        }
        if let Some(uploads) = self.folder(&[layout::UPLOADS]) {
            self.uploads(&uploads);
        }
    }

    /// A directory in the repository.
    pub(super) fn folder(&self, names: &[&str]) -> Option<Dir> {
        let path: PathBuf = names.iter().collect();
        self.dir.below(&path).unwrap_or_else(|error| {
            self.run.unreadable(&self.dir.path.join(path), &error);
            None
        })
    }

    /// Tells of what was found, and whom it hurts. The number of each problem.
    fn tell(&self, told: &mut HashSet<usize>) -> Vec<Option<usize>> {
        let is_first = told.is_empty();
        let mut seeds: Vec<(usize, Seed)> = Vec::new();
        let mut numbers = Vec::new();
        for found in &self.found {
            let (path, detail) = (found.path.clone(), found.detail.clone());
            let number = self.run.ledger().add(found.kind, path, detail, found.mend);
            if let Some(number) = number
                && told.insert(number)
            {
                seeds.push((number, found.hurt.clone()));
            }
            numbers.push(number);
        }
        let any = seeds.iter().any(|(_, seed)| !matches!(seed, Seed::Nobody));
        if any || (is_first && self.is_touched) {
            self.spread(&seeds);
        }
        numbers
    }
}
