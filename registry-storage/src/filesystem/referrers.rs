//! What refers to a manifest: end-12.
//!
//! Distribution's layout has no such index, so `_referrers/` is ours. It holds
//! nothing but what the manifests say:
//!
//! | path in `_referrers/` | holds |
//! |---|---|
//! | `<subject>/<referrer>/link` | an entry, written before the referrer's first tag |
//! | `indexed` | how far the entries can be relied upon, see [`Coverage`] |
//!
//! A tree that Distribution has written, or writes in between, has referrers
//! without an entry. Before each list, [`Tree::refresh`] therefore looks for
//! manifests that nobody has looked at yet. Nothing here is synced: another
//! boot trusts no entry that it has not seen.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use registry_spec::storage::{Page, StorageError};
use registry_spec::types::{Algorithm, Digest, Manifest, RepositoryName};

use super::atomic::Draft;
use super::coverage::{self, Changed, Coverage, Time};
use super::entries::{entries, page};
use super::error::At;
use super::tree::Tree;
use super::{atomic, disk, layout};

impl Tree {
    pub(super) fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let unwritten = self.refresh(name, subject)?;
        page(
            after,
            limit,
            |smallest| {
                for algorithm in Algorithm::ALL {
                    for entry in entries(&self.layout.referrers(name, subject, algorithm))? {
                        if let Some(digest) = digest_of(algorithm, &entry?.0)
                            && !unwritten.contains(&digest)
                        {
                            smallest.offer(digest);
                        }
                    }
                }
                unwritten.iter().for_each(|digest| smallest.offer(*digest));
                Ok(())
            },
            |digest| {
                let listed = unwritten.contains(digest) || self.has_entry(name, subject, digest)?;
                Ok(listed && self.has_manifest(name, digest)?)
            },
        )
    }

    /// Adds an entry. The caller has made the referrer itself durable.
    pub(super) fn write_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let dir = self.layout.referrer(name, subject, digest);
        self.write_entry(name, subject, digest)
            .at("write", &layout::link(&dir))
    }

    pub(super) fn remove_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let dir = self.layout.referrer(name, subject, digest);
        atomic::remove(&layout::link(&dir)).map(|_| ())
    }

    fn write_entry(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> io::Result<()> {
        let dir = self.layout.referrer(name, subject, digest);
        disk::create_dir_all(&dir)?;
        atomic::write_derived(&layout::link(&dir), digest.to_string().as_bytes())
    }

    fn has_entry(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let entry = self.read_link(&self.layout.referrer(name, subject, digest))?;
        Ok(entry == Some(*digest))
    }

    /// Completes the index, and returns those referrers of `subject` whose
    /// entry could not be written, as on a read-only tree.
    fn refresh(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<BTreeSet<Digest>, StorageError> {
        let mut unwritten = BTreeSet::new();
        let path = self.layout.referrers_indexed(name);
        let changed = Changed::last(&self.layout, name)?;
        if changed.is_never()
            || coverage::is_complete(&path, &changed, |digest| self.has_manifest(name, digest))?
        {
            return Ok(unwritten);
        }
        // In this order: the draft's time must be older than any change that
        // the scan may miss.
        let draft = begin_draft(&path);
        let now = draft.as_ref().ok().map(|(_, now)| *now);
        let changed = Changed::last(&self.layout, name)?;
        let known = self.scan(name, Coverage::read(&path))?;

        let mut failure = None;
        for (digest, its_subject) in &known.subjects {
            let Some(its_subject) = its_subject else {
                continue;
            };
            if !self.has_entry(name, its_subject, digest)?
                && let Err(error) = self.write_entry(name, its_subject, digest)
            {
                failure = Some(error);
                if its_subject == subject {
                    unwritten.insert(*digest);
                }
            }
        }
        let now = now.filter(|_| failure.is_none());
        let written =
            draft.and_then(|(draft, _)| draft.publish(known.to_text(&changed, now).as_bytes()));
        if written.is_err() || failure.is_some() {
            self.warn_once(
                &path,
                "not writable, so each list of referrers reads all manifests",
            );
        }
        Ok(unwritten)
    }

    /// Looks at every manifest of which nothing is known, and forgets what is
    /// not there any more.
    fn scan(&self, name: &RepositoryName, known: Coverage) -> Result<Coverage, StorageError> {
        let mut found = Coverage::default();
        for algorithm in Algorithm::ALL {
            for entry in entries(&self.layout.revisions(name, algorithm))? {
                let Some(digest) = digest_of(algorithm, &entry?.0) else {
                    continue;
                };
                if let Some(subject) = known.subjects.get(&digest) {
                    found.subjects.insert(digest, *subject);
                } else if let Some(bytes) = self.manifest_bytes(name, &digest)? {
                    found.subjects.insert(digest, Manifest::subject_of(&bytes));
                } else if self.has_manifest(name, &digest)? {
                    // Too large to be read.
                    found.subjects.insert(digest, None);
                } else {
                    found.empty.push(digest);
                }
            }
        }
        Ok(found)
    }
}

/// The new coverage, to be filled, and the time at which it was created.
fn begin_draft(path: &Path) -> io::Result<(Draft<'_>, Time)> {
    disk::create_dir_all(layout::parent(path))?;
    let draft = Draft::begin(path)?;
    let now = Time::of(&draft.metadata()?);
    Ok((draft, now))
}

fn digest_of(algorithm: Algorithm, hex: &str) -> Option<Digest> {
    format!("{algorithm}:{hex}").parse().ok()
}
