//! `_manifests/tags/`: where tags stand, and where they stood.

use registry_spec::types::{Digest, Tag};

use super::beneath::Dir;
use super::blobs::Content;
use super::links::{Fix, Found, Link, Of, Seed};
use super::report::{Mend, ProblemKind};
use super::repository::Look;
use super::run::add;
use crate::filesystem::layout;

impl Look<'_, '_> {
    pub(super) fn tags(&mut self, tags: &Dir) {
        let run = self.run;
        for entry in run.entries(tags) {
            if run.is_stopped() {
                return;
            }
            let tag: Option<Tag> = entry.text().parse().ok();
            match (tag, run.dir(tags, &entry.name)) {
                (Some(tag), Some(dir)) => self.tag(&tag, &dir),
                _ => run.strange(tags, &entry),
            }
        }
    }

    fn tag(&mut self, tag: &Tag, dir: &Dir) {
        let run = self.run;
        if self.is_first {
            add(&run.counts.tags, 1);
        }
        run.only(dir, &["current", "index", layout::PULLED]);
        let mut history = Vec::new();
        if let Some(index) = run.dir(dir, "index") {
            run.digests(&index, |digest, dir| {
                run.only(&dir, &[layout::LINK]);
                if self.past(&digest, &dir) {
                    history.push(digest);
                }
            });
        }
        let current = run.dir(dir, "current");
        let link = current.as_ref().map_or(Some(Link::Absent), |current| {
            run.only(current, &[layout::LINK]);
            run.link_in(current)
        });
        let path = layout::link(&run.tree.layout.tag_current(&self.name, tag));
        match (link, current) {
            (Some(Link::To(digest)), _) => self.stands_at(tag, &digest, &history),
            (Some(Link::Broken(detail)), _) => self.lost(tag, detail, &history),
            (Some(Link::NotAFile(kind)), Some(current)) => {
                self.not_a_link(&current, kind, Seed::Tag(tag.clone()));
            }
            (Some(_), _) if !history.is_empty() => {
                let detail = "a tag that stands nowhere, since a push or a delete was cut off";
                run.note(ProblemKind::TagWithoutCurrent, path, detail);
            }
            _ => {}
        }
    }

    /// Whether there is an entry in a folder of a tag's history. What it says is
    /// in the folder's name too.
    fn past(&mut self, digest: &Digest, dir: &Dir) -> bool {
        let detail = match self.run.link_in(dir) {
            Some(Link::To(content)) if content != *digest => {
                format!("the link names {content}, and its folder does not")
            }
            Some(Link::Broken(detail)) => detail,
            Some(Link::NotAFile(kind)) => {
                self.not_a_link(dir, kind, Seed::Nobody);
                return true;
            }
            Some(Link::Absent) => return false,
            Some(Link::To(_)) | None => return true,
        };
        self.found.push(Found {
            kind: ProblemKind::LinkBroken,
            path: dir.path.join(layout::LINK),
            detail,
            mend: Mend::Repair,
            fix: Some(Fix::Entry {
                dir: dir.path.clone(),
                digest: *digest,
            }),
            hurt: Seed::Nobody,
        });
        true
    }

    fn stands_at(&mut self, tag: &Tag, digest: &Digest, history: &[Digest]) {
        let run = self.run;
        if !history.contains(digest) {
            let dir = run.tree.layout.tag_index(&self.name, tag, digest);
            self.found.push(Found {
                kind: ProblemKind::TagIndexMissing,
                path: layout::link(&dir),
                detail: "the tag's history lacks the manifest at which it stands".to_owned(),
                mend: Mend::Repair,
                fix: Some(Fix::Entry {
                    dir,
                    digest: *digest,
                }),
                hurt: Seed::Tag(tag.clone()),
            });
        }
        let revision = run.tree.layout.revision(&self.name, digest);
        // One that is there, in whatever state, is found among the revisions.
        let Some(Link::Absent) = run.link_at(&revision) else {
            return;
        };
        match run.content(digest) {
            Ok(Content::Whole(_)) => self.unlinked_manifest(digest, revision),
            Ok(Content::Bad) => self.is_touched = true,
            Ok(Content::Absent) => self.missing(digest, digest, Of::Manifest),
            Err(error) => run.unreadable(&run.tree.layout.blob_data(digest), &error),
        }
    }

    fn unlinked_manifest(&mut self, digest: &Digest, revision: std::path::PathBuf) {
        if self.run.manifest(digest).is_some() {
            return self.unlinked(digest, Of::Manifest);
        }
        self.found.push(Found {
            kind: ProblemKind::ManifestInvalid,
            path: layout::link(&revision),
            detail: format!("{digest}, at which a tag stands, is no manifest"),
            mend: Mend::Push,
            fix: None,
            hurt: Seed::Content(*digest),
        });
    }

    /// A tag whose link is broken. Where it stood can be told if it can have
    /// stood at one manifest only.
    fn lost(&mut self, tag: &Tag, detail: String, history: &[Digest]) {
        let dir = self.run.tree.layout.tag_current(&self.name, tag);
        let there: Vec<_> = history
            .iter()
            .filter(|digest| {
                let revision = self.run.tree.layout.revision(&self.name, digest);
                let is_linked = matches!(
                    self.run.link_at(&revision),
                    Some(Link::To(content)) if content == **digest
                );
                is_linked && self.run.manifest(digest).is_some()
            })
            .collect();
        let (mend, fix) = match (history, &there[..]) {
            ([digest], [_]) => (
                Mend::Repair,
                Some(Fix::Tag {
                    dir: dir.clone(),
                    digest: *digest,
                }),
            ),
            _ => (Mend::Push, None),
        };
        let stood = match &there[..] {
            _ if fix.is_some() => String::new(),
            [] => "; nothing of its history is there".to_owned(),
            there => {
                let there: Vec<_> = there.iter().map(ToString::to_string).collect();
                format!("; it may have stood at {}", there.join(" or "))
            }
        };
        self.found.push(Found {
            kind: ProblemKind::LinkBroken,
            path: layout::link(&dir),
            detail: format!("{detail}{stood}"),
            mend,
            fix,
            hurt: Seed::Tag(tag.clone()),
        });
    }
}
