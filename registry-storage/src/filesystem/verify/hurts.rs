//! Whom a problem hurts: whoever needs what is bad, up to the tags.
//!
//! | from | to |
//! |---|---|
//! | a blob, a child | the manifests and indexes that need it |
//! | a manifest with a subject | that subject |
//! | what a tag `sha256-<hex>…` stands at | the manifest of that digest: clients without the referrers API keep signatures so |
//! | a manifest | the tags that stand at it |
//!
//! Manifests are read again until nothing is added, so that memory holds what
//! is hurt, and not what is whole.

use std::collections::{BTreeSet, HashMap};

use registry_spec::types::{Algorithm, Digest, Manifest, Tag};

use super::links::{Link, Of, Seed};
use super::manifests::parts;
use super::report::Hurt;
use super::repository::Look;
use crate::filesystem::layout;

/// The problems that hurt something, by their numbers.
type Numbers = BTreeSet<usize>;

#[derive(Default)]
struct Spread {
    contents: HashMap<Digest, Numbers>,
    has_grown: bool,
}

impl Spread {
    fn of(&self, digest: &Digest) -> Numbers {
        self.contents.get(digest).cloned().unwrap_or_default()
    }

    fn add(&mut self, digest: Digest, numbers: Numbers) {
        if numbers.is_empty() {
            return;
        }
        let held = self.contents.entry(digest).or_default();
        let before = held.len();
        held.extend(numbers);
        self.has_grown |= held.len() > before;
    }
}

impl Look<'_, '_> {
    /// Adds to problems what they hurt in this repository: to those given, and
    /// to those of bad content that it has.
    pub(super) fn spread(&self, seeds: &[(usize, Seed)]) {
        let run = self.run;
        let mut spread = Spread::default();
        let mut of_tags: HashMap<Tag, Numbers> = HashMap::new();
        for (number, seed) in seeds {
            match seed {
                Seed::Nobody => {}
                Seed::Content(digest) => spread.add(*digest, Numbers::from([*number])),
                Seed::Tag(tag) => {
                    of_tags.entry(tag.clone()).or_default().insert(*number);
                }
            }
        }
        loop {
            spread.has_grown = false;
            self.each_revision(|digest, content| self.spread_to(&mut spread, &digest, &content));
            self.each_entry(|subject, digest| {
                let numbers = spread.of(&digest);
                spread.add(subject, numbers);
            });
            self.each_tag(|tag, digest| {
                if let (Some(subject), Some(digest)) = (subject_of(&tag), digest) {
                    let numbers = spread.of(&digest);
                    spread.add(subject, numbers);
                }
            });
            if !spread.has_grown || run.is_stopped() {
                break;
            }
        }
        let mut with_tag = Numbers::new();
        self.each_tag(|tag, digest| {
            let mut numbers = digest.map(|digest| spread.of(&digest)).unwrap_or_default();
            numbers.extend(of_tags.get(&tag).into_iter().flatten());
            for number in &numbers {
                run.ledger()
                    .hurts(*number, Hurt::new(&self.name, tag.clone()));
            }
            with_tag.extend(numbers);
        });
        self.each_revision(|digest, _| {
            for number in spread.of(&digest).difference(&with_tag) {
                run.ledger().hurts(*number, Hurt::new(&self.name, digest));
            }
        });
    }

    fn spread_to(&self, spread: &mut Spread, digest: &Digest, content: &Digest) {
        let mut numbers: Numbers = self.run.bad(content).into_iter().collect();
        let manifest = self.run.manifest(content);
        for part in manifest.as_ref().map(parts).unwrap_or_default() {
            let needed = part.descriptor.digest;
            numbers.extend(spread.of(&needed));
            let content = match needed.algorithm() {
                Algorithm::Sha256 => Some(needed),
                _ => self.linked(&needed, Of::Layer).map(|(content, _)| content),
            };
            numbers.extend(content.and_then(|content| self.run.bad(&content)));
        }
        spread.add(*digest, numbers);
        if let Some(subject) = manifest.as_ref().and_then(Manifest::subject) {
            let numbers = spread.of(digest);
            spread.add(subject.digest, numbers);
        }
    }

    /// Each manifest of the repository that is there and can be read.
    pub(super) fn each_manifest(&self, mut visit: impl FnMut(&Digest, &Manifest)) {
        self.each_revision(|digest, content| {
            if let Some(manifest) = self.run.manifest(&content) {
                visit(&digest, &manifest);
            }
        });
    }

    /// Each manifest that the repository has or should have, and the digest of
    /// its content. One whose link is broken has that of its folder.
    fn each_revision(&self, mut visit: impl FnMut(Digest, Digest)) {
        let run = self.run;
        for digest in &self.unlinked {
            visit(*digest, *digest);
        }
        let Some(revisions) = self.folder(&[layout::MANIFESTS, "revisions"]) else {
            return;
        };
        run.digests(&revisions, |digest, dir| match run.link_in(&dir) {
            None | Some(Link::Absent) => {}
            Some(Link::To(content)) if content.algorithm() != digest.algorithm() => {
                visit(digest, content);
            }
            Some(_) => visit(digest, digest),
        });
    }

    /// Each tag, and where it stands if that can be told.
    fn each_tag(&self, mut visit: impl FnMut(Tag, Option<Digest>)) {
        let run = self.run;
        let Some(tags) = self.folder(&[layout::MANIFESTS, "tags"]) else {
            return;
        };
        for entry in run.entries(&tags) {
            let Ok(tag) = entry.text().parse::<Tag>() else {
                continue;
            };
            let current = run.tree.layout.tag_current(&self.name, &tag);
            match run.link_at(&current) {
                None | Some(Link::Absent) => {}
                Some(Link::To(digest)) => visit(tag, Some(digest)),
                Some(_) => visit(tag, None),
            }
        }
    }
}

/// What the content of a tag is about, by the tag's own name.
fn subject_of(tag: &Tag) -> Option<Digest> {
    let (algorithm, rest) = tag.as_str().split_once('-')?;
    let hex = rest.split('.').next()?;
    format!("{algorithm}:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_signatures_tell_what_they_are_about() {
        let digest = Digest::of(Algorithm::Sha256, b"image");
        for (tag, expected) in [
            (format!("sha256-{digest:x}"), Some(digest)),
            (format!("sha256-{digest:x}.sig"), Some(digest)),
            (format!("sha256-{digest:x}.att"), Some(digest)),
            (format!("sha256-{digest:x}a"), None),
            ("sha256-abc".to_owned(), None),
            ("v1-2.3".to_owned(), None),
            ("latest".to_owned(), None),
        ] {
            let tag: Tag = tag.parse().expect("a tag");
            assert_eq!(subject_of(&tag), expected, "{tag}");
        }
        assert_eq!(subject_of(&Tag::referrers_fallback(&digest)), Some(digest));
    }
}
