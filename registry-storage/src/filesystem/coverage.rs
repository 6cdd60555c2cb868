//! How far a repository's referrers index can be relied upon: `_referrers/indexed`.
//!
//! ```text
//! 1 <boot> <mtime of revisions/sha256> <mtime of revisions/sha512>
//! ? <digest>              a directory without a manifest (yet)
//! <digest> -              a manifest without a subject
//! <digest> <subject>      a manifest with one
//! ```
//!
//! As long as the modification times are the same, no revision has been added
//! or removed since, except in those directories that had none; they may have
//! got one without a sign, and are looked at each time.
//!
//! * Times are compared for being equal, and with a time that the same file
//!   system gave to another file; never with a clock, which small boards set
//!   late or not at all.
//! * A time is only written down when it had passed before the directory was
//!   read: within one tick of the file system's clock, an addition that came
//!   after the reading would not change it.
//! * What a digest's manifest has for a subject never changes, so that those
//!   lines stay true, whatever is deleted and pushed again.
//! * The entries are not synced. After another boot the lines are believed
//!   but the entries are not; within a boot, a manifest with a line has its
//!   entry, since that is written first and not removed before
//!   the lines are.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, RepositoryName};

use super::error::At;
use super::hash_state::BOOT;
use super::layout::Layout;
use super::open::open;

const VERSION: &str = "1";
/// Stands for a time that cannot be relied upon; equal to none.
const UNRELIABLE: &str = "?";
const NONE: &str = "-";

/// A modification time: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(i64, i64);

impl Time {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(metadata.mtime(), metadata.mtime_nsec())
    }
}

/// When the directories of revisions last changed, one per algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changed([Option<Time>; Algorithm::ALL.len()]);

impl Changed {
    pub(super) fn last(layout: &Layout, name: &RepositoryName) -> Result<Self, StorageError> {
        let mut times = [None; Algorithm::ALL.len()];
        for (time, algorithm) in times.iter_mut().zip(Algorithm::ALL) {
            let path = layout.revisions(name, algorithm);
            let metadata = fs::metadata(&path).if_present("read", &path)?;
            *time = metadata.as_ref().map(Time::of);
        }
        Ok(Self(times))
    }

    /// There is no such directory.
    pub(super) fn is_never(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The first line of the file, written at a scan that began at `now`;
    /// without a `now` it is never believed.
    fn header(&self, now: Option<Time>) -> String {
        let mut header = format!("{VERSION} {}", *BOOT);
        for time in self.0 {
            match (time, now) {
                (None, _) => header.push_str(" -"),
                (Some(time), Some(now)) if time < now => {
                    write!(header, " {}.{:09}", time.0, time.1).expect("a String takes all");
                }
                (Some(_), _) => {
                    header.push(' ');
                    header.push_str(UNRELIABLE);
                }
            }
        }
        header
    }

    /// Whether a first line says that nothing has changed.
    fn is_covered_by(&self, header: &str) -> bool {
        let passed = Time(i64::MAX, 0);
        header == self.header(Some(passed))
    }
}

/// Whether there is something to look at: the directories have changed, or one
/// of those without a manifest has one now.
pub(super) fn is_complete(
    path: &Path,
    changed: &Changed,
    mut has_manifest: impl FnMut(&Digest) -> Result<bool, StorageError>,
) -> Result<bool, StorageError> {
    let Some(mut lines) = lines(path) else {
        return Ok(false);
    };
    if !lines
        .next()
        .is_some_and(|header| changed.is_covered_by(&header))
    {
        return Ok(false);
    }
    for line in lines {
        let Some(digest) = line.strip_prefix("? ") else {
            break;
        };
        match digest.parse() {
            Ok(digest) if !has_manifest(&digest)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// What is known of a repository's manifests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    /// Directories without a manifest.
    pub(super) empty: Vec<Digest>,
    /// Each manifest looked at. There may be very many, so that there is one
    /// map of them, for what the file says and for what a scan finds.
    manifests: HashMap<Digest, Known>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    subject: Option<Digest>,
    /// Its entry is there, if it has a subject.
    has_entry: bool,
    /// This scan has come across it.
    seen: bool,
}

impl Coverage {
    /// Reads the file; nothing is known when any of it cannot be read.
    pub(super) fn read(path: &Path) -> Self {
        Self::parse(path).unwrap_or_default()
    }

    fn parse(path: &Path) -> Option<Self> {
        let mut lines = lines(path)?;
        let header = lines.next()?;
        let mut header = header.split(' ');
        if header.next() != Some(VERSION) {
            return None;
        }
        let has_entry = header.next() == Some(BOOT.as_str());
        let mut coverage = Self::default();
        for line in lines {
            let (digest, subject) = match line.split_once(' ')? {
                ("?", digest) => {
                    coverage.empty.push(digest.parse().ok()?);
                    continue;
                }
                (digest, NONE) => (digest, None),
                (digest, subject) => (digest, Some(subject.parse().ok()?)),
            };
            let known = Known {
                subject,
                has_entry,
                seen: false,
            };
            coverage.manifests.insert(digest.parse().ok()?, known);
        }
        Some(coverage)
    }

    /// Whether a manifest that a scan comes across is known already.
    pub(super) fn has_seen(&mut self, digest: &Digest) -> bool {
        let known = self.manifests.get_mut(digest);
        known.map(|known| known.seen = true).is_some()
    }

    /// Adds a manifest that a scan has come across.
    pub(super) fn add(&mut self, digest: Digest, subject: Option<Digest>) {
        let known = Known {
            subject,
            has_entry: false,
            seen: true,
        };
        self.manifests.insert(digest, known);
    }

    /// Ends a scan.
    pub(super) fn forget_unseen(&mut self) {
        self.manifests.retain(|_, known| known.seen);
    }

    /// Makes sure of the entries that cannot be relied upon yet; a manifest is
    /// forgotten when `ensure`, called with it and its subject, has none for it.
    pub(super) fn settle(
        &mut self,
        mut ensure: impl FnMut(&Digest, &Digest) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let mut result = Ok(());
        self.manifests.retain(|digest, known| {
            if let Some(subject) = &known.subject
                && !known.has_entry
                && result.is_ok()
            {
                match ensure(digest, subject) {
                    Ok(has_entry) => known.has_entry = has_entry,
                    Err(error) => result = Err(error),
                }
                return known.has_entry;
            }
            true
        });
        result
    }

    /// The file, after a scan that began at `now` and found `changed`; without
    /// a `now` it makes the next one scan again.
    pub(super) fn to_text(&self, changed: &Changed, now: Option<Time>) -> String {
        let mut text = changed.header(now);
        for digest in &self.empty {
            write!(text, "\n? {digest}").expect("a String takes all");
        }
        for (digest, known) in &self.manifests {
            match &known.subject {
                Some(subject) => write!(text, "\n{digest} {subject}"),
                None => write!(text, "\n{digest} {NONE}"),
            }
            .expect("a String takes all");
        }
        text.push('\n');
        text
    }
}

/// Lines up to the first that cannot be read; the rest is looked at anew.
fn lines(path: &Path) -> Option<impl Iterator<Item = String>> {
    let file = open(path).ok()?;
    Some(BufReader::new(file).lines().map_while(Result::ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(content: &str) -> Digest {
        Digest::of(Algorithm::Sha256, content.as_bytes())
    }

    #[test]
    fn a_coverage_reads_as_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("indexed");
        let known = |subject, has_entry| Known {
            subject,
            has_entry,
            seen: false,
        };
        let of_boot = |is_ours| Coverage {
            empty: vec![digest("empty")],
            manifests: HashMap::from([
                (digest("image"), known(None, is_ours)),
                (digest("signature"), known(Some(digest("image")), is_ours)),
            ]),
        };
        let coverage = of_boot(true);
        let changed = Changed([Some(Time(5, 7)), None]);
        let text = coverage.to_text(&changed, Some(Time(5, 8)));
        fs::write(&path, &text).expect("written");
        assert_eq!(Coverage::read(&path), coverage);

        let complete = |changed: &Changed, manifest: Option<Digest>| {
            is_complete(&path, changed, |digest| Ok(manifest == Some(*digest)))
                .expect("no error here")
        };
        assert!(complete(&changed, None));
        assert!(!complete(&changed, Some(digest("empty"))));
        assert!(!complete(&Changed([Some(Time(5, 6)), None]), None));
        assert!(!complete(
            &Changed([Some(Time(5, 7)), Some(Time(1, 1))]),
            None
        ));

        // A broken line, and another boot.
        fs::write(&path, format!("{text}sha256:12")).expect("written");
        assert_eq!(Coverage::read(&path), Coverage::default());
        fs::write(&path, text.replace(BOOT.as_str(), "another")).expect("written");
        assert!(!complete(&changed, None));
        assert_eq!(Coverage::read(&path), of_boot(false));
    }

    #[test]
    fn only_entries_that_nobody_has_made_sure_of_are_looked_at() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("indexed");
        let changed = Changed([Some(Time(5, 7)), None]);
        let scan = |digests: &[&str], has_entry: bool| {
            let mut coverage = Coverage::read(&path);
            for digest in digests.iter().map(|text| self::digest(text)) {
                if !coverage.has_seen(&digest) {
                    coverage.add(digest, Some(self::digest("image")));
                }
            }
            coverage.forget_unseen();
            let mut looked_at = Vec::new();
            let settled = coverage.settle(|digest, _| {
                looked_at.push(*digest);
                Ok(has_entry)
            });
            settled.expect("no error here");
            fs::write(&path, coverage.to_text(&changed, None)).expect("written");
            looked_at
        };
        assert_eq!(scan(&["a"], true), [digest("a")]);
        assert_eq!(scan(&["a", "b"], false), [digest("b")]);
        // It was not to be had, so it is tried again.
        assert_eq!(scan(&["a", "b"], true), [digest("b")]);
        assert_eq!(scan(&["b"], true), []);
        assert_eq!(scan(&["a", "b"], true), [digest("a")]);
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, text.replace(BOOT.as_str(), "another")).expect("written");
        assert_eq!(scan(&["a", "b"], true).len(), 2);
    }

    #[test]
    fn a_time_that_has_not_passed_is_not_relied_upon() {
        let changed = Changed([Some(Time(5, 7)), None]);
        for now in [None, Some(Time(5, 7)), Some(Time(4, 9))] {
            assert!(!changed.is_covered_by(&changed.header(now)), "{now:?}");
        }
        assert!(changed.is_covered_by(&changed.header(Some(Time(5, 8)))));
    }
}
