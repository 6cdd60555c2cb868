//! What was found, and what became of it.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use registry_spec::types::{Reference, RepositoryName};

/// How many notes are kept; more are only counted. A volume that somebody else
/// uses too may have any number of foreign files.
const MAX_NOTES: usize = 1000;
/// How many problems are kept, of some 500 bytes each, and how many tags that
/// they hurt, of all of them together; more are only counted.
const MAX_PROBLEMS: usize = 10_000;
const MAX_HURTS: usize = 100_000;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The bytes of a blob are not those of its digest: flipped, cut, or empty.
    BlobCorrupt,
    /// The bytes of a blob cannot be read.
    BlobUnreadable,
    /// Something else than a file stands where a blob's bytes should be.
    BlobNotAFile,
    /// A manifest needs a blob whose bytes are not there.
    BlobMissing,
    /// A repository has, or a tag or an index names, a manifest whose bytes are
    /// not there.
    ManifestMissing,
    /// What is linked as a manifest is none.
    ManifestInvalid,
    /// Some content is whole, but a manifest gives it another size.
    SizeMismatch,
    /// A link is empty, cut short, or overwritten.
    LinkBroken,
    /// A link names other content than its folder does.
    LinkForeign,
    /// Something else than a file stands where a link should be.
    LinkNotAFile,
    /// Content is there and is needed, but the repository has no link to it.
    LinkMissing,
    /// A tag has no entry in its own history.
    TagIndexMissing,
    /// The referrers index counts a manifest among its own that it does not list.
    ReferrerMissing,
    /// The referrers index lists a manifest under a subject that it does not have.
    ReferrerStale,
    /// A directory or a file cannot be read.
    Unreadable,
    /// Note: a layer link whose blob is gone, and which no manifest needs.
    LinkDead,
    /// Note: a manifest names content that was never pushed, in a
    /// [sparse](super::VerifyOptions::sparse) registry.
    LeftOut,
    /// Note: a tag that stands nowhere: a push or a delete did not get further.
    TagWithoutCurrent,
    /// Note: a manifest of Docker's first schema, which is not served.
    ManifestSchema1,
    /// Note: an upload session that lacks a file or has a strange one.
    UploadOdd,
    /// Note: a file that a crash has left half-written, or that is being written.
    Temporary,
    /// Note: something that is no registry's.
    Foreign,
}

impl ProblemKind {
    /// Whether it hurts nothing: a note is told, and is no reason to call a
    /// tree unhealthy.
    #[must_use]
    pub const fn is_note(self) -> bool {
        matches!(
            self,
            Self::LinkDead
                | Self::LeftOut
                | Self::TagWithoutCurrent
                | Self::ManifestSchema1
                | Self::UploadOdd
                | Self::Temporary
                | Self::Foreign
        )
    }

    /// A word for programs, which stays the same.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobCorrupt => "blob-corrupt",
            Self::BlobUnreadable => "blob-unreadable",
            Self::BlobNotAFile => "blob-not-a-file",
            Self::BlobMissing => "blob-missing",
            Self::ManifestMissing => "manifest-missing",
            Self::ManifestInvalid => "manifest-invalid",
            Self::SizeMismatch => "size-mismatch",
            Self::LinkBroken => "link-broken",
            Self::LinkForeign => "link-foreign",
            Self::LinkNotAFile => "link-not-a-file",
            Self::LinkMissing => "link-missing",
            Self::TagIndexMissing => "tag-index-missing",
            Self::ReferrerMissing => "referrer-missing",
            Self::ReferrerStale => "referrer-stale",
            Self::Unreadable => "unreadable",
            Self::LinkDead => "link-dead",
            Self::LeftOut => "left-out",
            Self::TagWithoutCurrent => "tag-without-current",
            Self::ManifestSchema1 => "manifest-schema1",
            Self::UploadOdd => "upload-odd",
            Self::Temporary => "temporary",
            Self::Foreign => "foreign",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a problem still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// Nothing: it is repaired, or was a note.
    Nothing,
    /// A run that repairs.
    Repair,
    /// A run that repairs, then a push of what is hurt.
    RepairThenPush,
    /// A push of what is hurt. Or, if nobody wants that any more, its deletion.
    Push,
    /// A person who looks at it.
    ByHand,
}

impl Remedy {
    /// A word for programs, which stays the same.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Repair => "repair",
            Self::RepairThenPush => "repair-then-push",
            Self::Push => "push",
            Self::ByHand => "by-hand",
        }
    }
}

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// What was done.
    Done(String),
    /// Why it was not done.
    Failed(String),
}

/// Something that clients pull: a tag, or a manifest that no tag leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Hurt {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag; a digest where there is none.
    pub reference: Reference,
}

impl Hurt {
    pub(super) fn new(repository: &RepositoryName, reference: impl Into<Reference>) -> Self {
        Self {
            repository: repository.clone(),
            reference: reference.into(),
        }
    }
}

/// As clients write it: `repository:tag` or `repository@digest`.
impl fmt::Display for Hurt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        write!(f, "{}{mark}{}", self.repository, self.reference)
    }
}

/// Something that is wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// Where.
    pub path: PathBuf,
    /// What was found there, in words.
    pub detail: String,
    /// The tags that it hurts: those that lead to it, through indexes, and those
    /// of what a hurt manifest is about (a signature's image).
    pub hurts: Vec<Hurt>,
    /// Whether it hurts more than these, of which nobody keeps a list: very many
    /// are hurt.
    pub hurts_more: bool,
    /// What a repair came to; `None` when there was none to do.
    pub repair: Option<Repair>,
    /// What it still needs.
    pub needs: Remedy,
}

impl Problem {
    fn hurts_nobody(&self) -> bool {
        self.hurts.is_empty() && !self.hurts_more
    }
}

/// What a verification has found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The first ten thousand problems, and the first thousand notes, by path.
    pub problems: Vec<Problem>,
    /// How many problems there were besides. A repair may have left them as they
    /// are; another run tells.
    pub more_problems: u64,
    /// How many notes there were besides.
    pub more_notes: u64,
    /// Blobs looked at.
    pub blobs: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Repositories looked at.
    pub repositories: u64,
    /// Manifests read.
    pub manifests: u64,
    /// Tags looked at.
    pub tags: u64,
}

impl VerifyReport {
    /// Whether every problem is repaired, if there was any.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let is_repaired = |problem: &Problem| problem.needs == Remedy::Nothing;
        self.more_problems == 0 && self.problems.iter().all(is_repaired)
    }
}

/// What would mend a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// Nothing needs to be done.
    Note,
    /// All is done by a repair.
    Repair,
    /// A repair, and a push if something is hurt.
    Blob,
    Push,
    ByHand,
}

/// All problems of a run. A place has one of a kind, which may hurt several
/// repositories.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    problems: Vec<(Problem, Mend)>,
    numbers: HashMap<(ProblemKind, PathBuf), usize>,
    notes: usize,
    more_notes: u64,
    more_problems: u64,
    hurts: usize,
}

impl Ledger {
    /// The number of the problem; `None` for one too many.
    pub(super) fn add(
        &mut self,
        kind: ProblemKind,
        path: PathBuf,
        detail: String,
        mend: Mend,
    ) -> Option<usize> {
        let key = (kind, path);
        if let Some(number) = self.numbers.get(&key) {
            let (problem, held) = &mut self.problems[*number];
            // Other repairs may have made this one possible.
            if (*held, mend) == (Mend::Push, Mend::Repair) {
                *held = mend;
                problem.detail = detail;
            }
            return Some(*number);
        }
        if kind.is_note() {
            if self.notes >= MAX_NOTES {
                self.more_notes += 1;
                return None;
            }
            self.notes += 1;
        } else if self.count() >= MAX_PROBLEMS {
            self.more_problems += 1;
            return None;
        }
        let number = self.problems.len();
        let problem = Problem {
            kind,
            path: key.1.clone(),
            detail,
            hurts: Vec::new(),
            hurts_more: false,
            repair: None,
            needs: Remedy::Nothing,
        };
        self.numbers.insert(key, number);
        self.problems.push((problem, mend));
        Some(number)
    }

    pub(super) fn hurts(&mut self, number: usize, hurt: Hurt) {
        let problem = &mut self.problems[number].0;
        if self.hurts >= MAX_HURTS {
            problem.hurts_more = true;
            return;
        }
        self.hurts += 1;
        problem.hurts.push(hurt);
    }

    /// A later repair that works outdoes an earlier one that failed.
    pub(super) fn repaired(&mut self, number: usize, repair: Repair) {
        let held = &mut self.problems[number].0.repair;
        if !matches!(held, Some(Repair::Done(_))) {
            *held = Some(repair);
        }
    }

    pub(super) fn is_done(&self, number: usize) -> bool {
        matches!(self.problems[number].0.repair, Some(Repair::Done(_)))
    }

    /// How many problems there are, without the notes.
    pub(super) fn count(&self) -> usize {
        self.problems.len() - self.notes
    }

    pub(super) fn into_report(self) -> VerifyReport {
        let mut problems: Vec<Problem> = self
            .problems
            .into_iter()
            .map(|(mut problem, mend)| {
                // More than one look may have told of the same.
                problem.hurts.sort_by_cached_key(ToString::to_string);
                problem.hurts.dedup();
                let done = matches!(problem.repair, Some(Repair::Done(_)));
                problem.needs = match mend {
                    Mend::Note => Remedy::Nothing,
                    Mend::Blob if done && problem.hurts_nobody() => Remedy::Nothing,
                    Mend::Repair if done => Remedy::Nothing,
                    Mend::Repair => Remedy::Repair,
                    Mend::Blob if done => Remedy::Push,
                    Mend::Blob if problem.hurts_nobody() => Remedy::Repair,
                    Mend::Blob => Remedy::RepairThenPush,
                    Mend::Push => Remedy::Push,
                    Mend::ByHand => Remedy::ByHand,
                };
                problem
            })
            .collect();
        problems.sort_by(|one, other| (&one.path, one.kind).cmp(&(&other.path, other.kind)));
        VerifyReport {
            problems,
            more_notes: self.more_notes,
            more_problems: self.more_problems,
            ..VerifyReport::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound_and_the_rest_is_counted() {
        let mut ledger = Ledger::default();
        let path = |number: usize| PathBuf::from(number.to_string());
        let hurt = Hurt::new(
            &"a".parse().expect("a name"),
            Reference::Tag("v1".parse().expect("a tag")),
        );
        for number in 0..MAX_PROBLEMS + 3 {
            let kept = ledger.add(
                ProblemKind::BlobCorrupt,
                path(number),
                String::new(),
                Mend::Blob,
            );
            assert_eq!(kept.is_some(), number < MAX_PROBLEMS);
        }
        // One that is kept is found again, and a note is no problem.
        let again = ledger.add(ProblemKind::BlobCorrupt, path(7), String::new(), Mend::Blob);
        assert_eq!(again, Some(7));
        let note = ledger.add(ProblemKind::Foreign, path(7), String::new(), Mend::Note);
        assert!(note.is_some());
        for number in [0, 1] {
            for _ in 0..MAX_HURTS {
                ledger.hurts(number, hurt.clone());
            }
        }
        ledger.repaired(1, Repair::Done(String::new()));
        ledger.repaired(2, Repair::Done(String::new()));
        let report = ledger.into_report();
        assert_eq!((report.more_problems, report.more_notes), (3, 0));
        assert_eq!(report.problems.len(), MAX_PROBLEMS + 1);
        assert!(!report.is_healthy());
        let needs = |text: &str| {
            let at = |problem: &&Problem| problem.path.as_os_str() == text;
            report.problems.iter().find(at).expect("kept").needs
        };
        assert_eq!(needs("0"), Remedy::RepairThenPush);
        assert_eq!(needs("1"), Remedy::Push, "it hurts what is not kept");
        assert_eq!(needs("2"), Remedy::Nothing);
    }
}
