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
//!
//! An entry outlives its manifest. It is not listed then, and it is right
//! again when the manifest is pushed again, which Distribution may do without
//! any sign of it in the directory above. A garbage collection removes it, and
//! `indexed` with it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use registry_spec::storage::{Page, StorageError};
use registry_spec::types::{Algorithm, Digest, Manifest, RepositoryName};

use super::FileSystem;
use super::atomic::Draft;
use super::coverage::{self, Changed, Coverage, Time};
use super::entries::{entries, page};
use super::error::At;
use super::places::turn;
use super::tree::Tree;
use super::{atomic, disk, layout};

impl FileSystem {
    pub(super) async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let (repository, subject, after) = (name.clone(), *subject, after.copied());
        let listed = self.blocking(move |tree| match tree.is_indexed(&repository)? {
            true => tree
                .indexed_referrers(&repository, &subject, after.as_ref(), limit)
                .map(Some),
            false => Ok(None),
        });
        if let Some(page) = listed.await? {
            return Ok(page);
        }
        // Whoever waits here finds the index complete, as a rule.
        let permit = turn(&self.places.refreshes).await;
        let name = name.clone();
        self.blocking(move |tree| {
            let _permit = permit;
            tree.list_referrers(&name, &subject, after.as_ref(), limit)
        })
        .await
    }
}

impl Tree {
    pub(super) fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let unwritten = self.refresh(name, subject)?;
        self.referrers_with(&unwritten, name, subject, after, limit)
    }

    fn indexed_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        self.referrers_with(&BTreeSet::new(), name, subject, after, limit)
    }

    /// Those that have an entry, and those that are `unwritten`.
    fn referrers_with(
        &self,
        unwritten: &BTreeSet<Digest>,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
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

    fn write_entry(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> io::Result<()> {
        let dir = self.layout.referrer(name, subject, digest);
        let link = layout::link(&dir);
        atomic::retry(|| {
            disk::create_dir_all(&dir)?;
            atomic::write_derived(&link, digest.to_string().as_bytes())
        })
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

    fn is_indexed(&self, name: &RepositoryName) -> Result<bool, StorageError> {
        let path = self.layout.referrers_indexed(name);
        let changed = Changed::last(&self.layout, name)?;
        Ok(changed.is_never()
            || coverage::is_complete(&path, &changed, |digest| self.has_manifest(name, digest))?)
    }

    /// Completes the index, and returns those referrers of `subject` whose
    /// entry could not be written, as on a read-only tree.
    fn refresh(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<BTreeSet<Digest>, StorageError> {
        let mut unwritten = BTreeSet::new();
        if self.is_indexed(name)? {
            return Ok(unwritten);
        }
        // In this order: the draft's time must be older than any change that
        // the scan may miss.
        let path = self.layout.referrers_indexed(name);
        let draft = begin_draft(&path);
        let now = draft.as_ref().ok().map(|(_, now)| *now);
        let changed = Changed::last(&self.layout, name)?;
        let mut coverage = Coverage::read(&path);
        self.scan(name, &mut coverage)?;

        let mut failure = None;
        coverage.settle(|digest, its_subject| {
            if self.has_entry(name, its_subject, digest)? {
                return Ok(true);
            }
            let Err(error) = self.write_entry(name, its_subject, digest) else {
                return Ok(true);
            };
            failure = Some(error);
            if its_subject == subject {
                unwritten.insert(*digest);
            }
            Ok(false)
        })?;
        let now = now.filter(|_| failure.is_none());
        let written =
            draft.and_then(|(draft, _)| draft.publish(coverage.to_text(&changed, now).as_bytes()));
        if let Some(error) = failure.or(written.err()) {
            self.warn_once(
                &path,
                format_args!("each list of referrers reads all manifests: {error}"),
            );
        }
        Ok(unwritten)
    }

    /// Looks at every manifest of which nothing is known, and forgets what is
    /// not there any more.
    fn scan(&self, name: &RepositoryName, coverage: &mut Coverage) -> Result<(), StorageError> {
        coverage.empty.clear();
        for algorithm in Algorithm::ALL {
            for entry in entries(&self.layout.revisions(name, algorithm))? {
                let Some(digest) = digest_of(algorithm, &entry?.0) else {
                    continue;
                };
                if coverage.has_seen(&digest) {
                    continue;
                }
                if let Some(bytes) = self.manifest_bytes(name, &digest)? {
                    coverage.add(digest, Manifest::subject_of(&bytes));
                } else if self.has_manifest(name, &digest)? {
                    // Too large to be read.
                    coverage.add(digest, None);
                } else {
                    coverage.empty.push(digest);
                }
            }
        }
        coverage.forget_unseen();
        Ok(())
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
