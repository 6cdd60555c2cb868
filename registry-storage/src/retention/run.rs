//! Going through the repositories.

use std::time::SystemTime;

use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Algorithm, Digest, RepositoryName, Tag};

use super::decide::{Found, Times};
use super::{Decision, Pulls, Retention, Verdict, Why};
use crate::immutable::ImmutableTags;

/// How many names are listed at once.
const PAGE: usize = 1000;

/// What a run tells of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// What became of a tag, or would have.
    Decided(&'a Decision),
    /// A repository keeps the rest of its tags, because something in it could not be
    /// read or removed.
    #[non_exhaustive]
    Failed {
        /// The repository.
        repository: &'a RepositoryName,
        /// What happened.
        error: &'a StorageError,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Tags that stay.
    pub kept: u64,
    /// Tags that were removed, or would have been.
    pub removed: u64,
    /// Repositories that could not be dealt with.
    pub failed: u64,
}

impl Retention {
    /// Looks at every tag of the storage, and removes those that nothing
    /// keeps, unless it is a `dry_run`. `pulls` are the storage's notes, if it has
    /// any; `now` is the time by which ages count.
    ///
    /// The tags of one repository are in memory at a time.
    ///
    /// # Errors
    /// When the repositories cannot be listed, or the notes of pulls not be read.
    /// What happens within one of the repositories is told by [`Event::Failed`].
    pub async fn run(
        &self,
        storage: &dyn Storage,
        pulls: Option<&dyn Pulls>,
        immutable: &ImmutableTags,
        now: SystemTime,
        dry_run: bool,
        mut tell: impl FnMut(Event<'_>) + Send,
    ) -> Result<Summary, StorageError> {
        let pulls = pulls.filter(|_| self.needs_pulls());
        let pulls_since = match pulls {
            Some(pulls) => pulls.noted_since().await?,
            None => None,
        };
        let pass = Pass {
            retention: self,
            storage,
            pulls,
            immutable,
            times: Times { now, pulls_since },
            dry_run,
        };
        let mut summary = Summary::default();
        let mut after: Option<RepositoryName> = None;
        loop {
            let page = storage.list_repositories(after.as_ref(), PAGE).await?;
            for name in &page.items {
                let mut count = |decision: &Decision| {
                    match decision.verdict {
                        Verdict::Kept { .. } => summary.kept += 1,
                        Verdict::Removed => summary.removed += 1,
                    }
                    tell(Event::Decided(decision));
                };
                if let Err(error) = pass.run_in(name, &mut count).await {
                    summary.failed += 1;
                    tell(Event::Failed {
                        repository: name,
                        error: &error,
                    });
                }
            }
            match page.items.last() {
                Some(last) if page.more => after = Some(last.clone()),
                _ => return Ok(summary),
            }
        }
    }
}

/// One run over a storage.
struct Pass<'a> {
    retention: &'a Retention,
    storage: &'a dyn Storage,
    pulls: Option<&'a dyn Pulls>,
    immutable: &'a ImmutableTags,
    times: Times,
    dry_run: bool,
}

impl Pass<'_> {
    async fn run_in(
        &self,
        name: &RepositoryName,
        tell: &mut (impl FnMut(&Decision) + Send),
    ) -> Result<(), StorageError> {
        // All is known before anything is removed.
        let tags = self.find(name).await?;
        let decided = self
            .retention
            .decide(name, tags, self.immutable, self.times);
        for mut decision in decided {
            if let (Verdict::Removed, Some(pushed_at), false) =
                (&decision.verdict, decision.pushed_at, self.dry_run)
                && !self
                    .storage
                    .expire_tag(name, &decision.tag, pushed_at)
                    .await?
            {
                let why = match self.storage.tag_pushed_at(name, &decision.tag).await {
                    // Deleted since it was listed.
                    Err(StorageError::ManifestUnknown) => continue,
                    Err(error) => return Err(error),
                    // A storage that guards immutable tags follows newer rules.
                    Ok(at) if at == Some(pushed_at) => Why::Immutable,
                    Ok(_) => Why::PushedMeanwhile,
                };
                decision.verdict = Verdict::Kept { why, place: None };
            }
            tell(&decision);
        }
        Ok(())
    }

    async fn find(&self, name: &RepositoryName) -> Result<Vec<Found>, StorageError> {
        let storage = self.storage;
        let pulls = self.pulls.filter(|_| self.retention.needs_pulls_of(name));
        let mut found = Vec::new();
        let mut after: Option<Tag> = None;
        loop {
            let page = match storage.list_tags(name, after.as_ref(), PAGE).await {
                // It has gone since it was listed.
                Err(StorageError::NameUnknown) => return Ok(found),
                result => result?,
            };
            let last = page.items.last().cloned();
            for tag in page.items {
                if !self.retention.is_about(name) {
                    found.push(Found {
                        tag,
                        pushed_at: None,
                        pulled_at: None,
                        is_companion: false,
                    });
                    continue;
                }
                match storage.tag_pushed_at(name, &tag).await {
                    Ok(pushed_at) => found.push(Found {
                        is_companion: is_companion(storage, name, &tag).await?,
                        pulled_at: match pulls {
                            Some(pulls) => pulls.pulled_at(name, &tag).await?,
                            None => None,
                        },
                        pushed_at,
                        tag,
                    }),
                    // Deleted since it was listed.
                    Err(StorageError::ManifestUnknown) => {}
                    Err(error) => return Err(error),
                }
            }
            match last {
                Some(last) if page.more => after = Some(last),
                _ => return Ok(found),
            }
        }
    }
}

/// Whether a tag is in the name of a manifest that the repository has.
async fn is_companion(
    storage: &dyn Storage,
    name: &RepositoryName,
    tag: &Tag,
) -> Result<bool, StorageError> {
    let subject = match subject_of(tag) {
        Subject::None => return Ok(false),
        Subject::Unknown => return Ok(true),
        Subject::Manifest(digest) => digest,
    };
    match storage.read_manifest(name, &subject.into()).await {
        Ok(_) => Ok(true),
        Err(StorageError::ManifestUnknown) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The manifest in whose name a tag is.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    None,
    Manifest(Digest),
    /// Of a sha512 the tag has the beginning only.
    Unknown,
}

/// `sha256-<hex>`, and what clients that sign put behind it.
fn subject_of(tag: &Tag) -> Subject {
    let Some((algorithm, rest)) = tag.as_str().split_once('-') else {
        return Subject::None;
    };
    let hex = rest.split('.').next().unwrap_or_default();
    // As many characters as a fallback tag has, of any algorithm.
    let Ok(digest) = format!("{}:{hex}", Algorithm::Sha256).parse() else {
        return Subject::None;
    };
    match algorithm {
        "sha256" => Subject::Manifest(digest),
        "sha512" => Subject::Unknown,
        _ => Subject::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_in_the_name_of_a_manifest_is_recognised() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let hex = digest.hex();
        for (tag, expected) in [
            (format!("sha256-{hex}"), Subject::Manifest(digest)),
            (format!("sha256-{hex}.sig"), Subject::Manifest(digest)),
            (format!("sha256-{hex}.att.1"), Subject::Manifest(digest)),
            (format!("sha512-{hex}"), Subject::Unknown),
            (format!("md5-{hex}"), Subject::None),
            (format!("sha256{hex}"), Subject::None),
            ("sha256-1".to_owned(), Subject::None),
            ("latest".to_owned(), Subject::None),
        ] {
            assert_eq!(subject_of(&tag.parse().expect("a tag")), expected, "{tag}");
        }
    }
}
