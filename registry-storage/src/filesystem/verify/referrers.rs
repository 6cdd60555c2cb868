//! `_referrers/`: what the index lists must be so, and what it says that it
//! lists must be there. What it does not know of yet is none of its faults.

use std::io::{BufRead as _, BufReader};

use registry_spec::types::{Algorithm, Digest, Manifest};

use super::beneath::{Dir, Opened};
use super::links::{Fix, Found, Link, Seed};
use super::report::{Mend, ProblemKind};
use super::repository::Look;
use super::run::Run;
use crate::filesystem::layout;

impl Run<'_> {
    /// Each entry of an index: `<alg>/<hex>/<alg>/<hex>/` in `referrers`.
    fn referrers(&self, referrers: &Dir, mut visit: impl FnMut(Digest, Digest, Dir)) {
        for entry in self.entries(referrers) {
            if !entry.is_dir() {
                if !["indexed", "lock"].contains(&entry.text()) {
                    self.strange(referrers, &entry);
                }
                continue;
            }
            let algorithm: Option<Algorithm> = entry.text().parse().ok();
            let (Some(algorithm), Some(folder)) = (algorithm, self.dir(referrers, &entry.name))
            else {
                self.strange(referrers, &entry);
                continue;
            };
            for entry in self.entries(&folder) {
                let subject = format!("{algorithm}:{}", entry.text()).parse().ok();
                match (subject, self.dir(&folder, &entry.name)) {
                    (Some(subject), Some(dir)) => {
                        self.digests(&dir, |digest, dir| visit(subject, digest, dir));
                    }
                    _ => self.strange(&folder, &entry),
                }
            }
        }
    }
}

impl Look<'_, '_> {
    /// A manifest with a subject: remembered if it has no entry.
    pub(super) fn refers(&mut self, digest: &Digest, subject: &Digest) {
        if !self.is_indexed {
            return;
        }
        let dir = self.run.tree.layout.referrer(&self.name, subject, digest);
        if let Some(Link::Absent) = self.run.link_at(&dir) {
            self.without_entry.insert((*digest, *subject));
        }
    }

    /// Tells of those without an entry that the index takes for its own. The
    /// server adds the others when it is next asked.
    pub(super) fn unlisted(&mut self) {
        if self.without_entry.is_empty() {
            return;
        }
        let path = self.run.tree.layout.referrers_indexed(&self.name);
        let file = match self.run.open_file(&path) {
            Ok(Opened::File(file, _)) => file,
            Ok(_) => return,
            Err(error) => return self.run.unreadable(&path, &error),
        };
        let mut lost = Vec::new();
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            let pair = line.split_once(' ');
            let pair = pair
                .and_then(|(digest, subject)| Some((digest.parse().ok()?, subject.parse().ok()?)));
            if let Some(pair) = pair
                && self.without_entry.contains(&pair)
            {
                lost.push(pair);
            }
        }
        for (digest, subject) in lost {
            let dir = self.run.tree.layout.referrer(&self.name, &subject, &digest);
            self.found.push(Found {
                kind: ProblemKind::ReferrerMissing,
                path: layout::link(&dir),
                detail: format!("{digest} is about {subject}, and is not listed there"),
                mend: Mend::Repair,
                fix: Some(Fix::Referrer { subject, digest }),
                hurt: Seed::Content(subject),
            });
        }
    }

    pub(super) fn referrers(&mut self, referrers: &Dir) {
        let run = self.run;
        run.referrers(referrers, |subject, digest, dir| {
            self.entry(&subject, &digest, &dir);
        });
    }

    /// Each entry of the index: a subject, and what is listed under it.
    pub(super) fn each_entry(&self, mut visit: impl FnMut(Digest, Digest)) {
        if let Some(referrers) = self.folder(&[layout::REFERRERS]) {
            self.run
                .referrers(&referrers, |subject, digest, _| visit(subject, digest));
        }
    }

    fn entry(&mut self, subject: &Digest, digest: &Digest, dir: &Dir) {
        self.run.only(dir, &[layout::LINK]);
        let link = self.run.link_in(dir);
        if matches!(link, None | Some(Link::Absent)) {
            return;
        }
        let (kind, detail, fix) = if self.is_about_another(digest, subject) {
            (
                ProblemKind::ReferrerStale,
                format!("{digest} is listed under {subject}, and is not about it"),
                Fix::Aside {
                    dir: dir.path.clone(),
                },
            )
        } else {
            let detail = match link {
                // Listed only as long as its manifest is there.
                Some(Link::To(content)) if content == *digest => return,
                Some(Link::NotAFile(kind)) => {
                    return self.not_a_link(dir, kind, Seed::Content(*subject));
                }
                Some(Link::Broken(detail)) => detail,
                _ => "the link names another digest than its folder".to_owned(),
            };
            let fix = Fix::Referrer {
                subject: *subject,
                digest: *digest,
            };
            (ProblemKind::LinkBroken, detail, fix)
        };
        self.found.push(Found {
            kind,
            path: dir.path.join(layout::LINK),
            detail,
            mend: Mend::Repair,
            fix: Some(fix),
            hurt: Seed::Content(*subject),
        });
    }

    /// Whether a manifest is there, and says that it is about something else.
    fn is_about_another(&self, digest: &Digest, subject: &Digest) -> bool {
        let revision = self.run.tree.layout.revision(&self.name, digest);
        let Some(Link::To(content)) = self.run.link_at(&revision) else {
            return false;
        };
        if self.run.bad(&content).is_some() {
            return false;
        }
        match self.run.manifest_bytes(&content) {
            Ok(Some(bytes)) if Digest::of(content.algorithm(), &bytes) == content => {
                Manifest::subject_of(&bytes) != Some(*subject)
            }
            _ => false,
        }
    }
}
