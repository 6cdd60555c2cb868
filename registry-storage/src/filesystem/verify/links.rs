//! Links: what they say, and what they should say.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use registry_spec::types::{Algorithm, Digest, Tag};
use rustix::fs::FileType;

use super::beneath::{Dir, Opened, called, is_set_aside, len};
use super::blobs::Content;
use super::report::{Mend, ProblemKind};
use super::repository::Look;
use super::run::Run;
use crate::filesystem::layout;
use crate::limits::MAX_LINK_LEN;

/// What the link of a directory says.
#[derive(Debug)]
pub(super) enum Link {
    Absent,
    To(Digest),
    /// In words, what it is instead.
    Broken(String),
    NotAFile(FileType),
}

/// A problem of a repository, before it is told.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: ProblemKind,
    pub(super) path: PathBuf,
    pub(super) detail: String,
    pub(super) mend: Mend,
    pub(super) fix: Option<Fix>,
    pub(super) hurt: Seed,
}

/// Where the hurt of a problem begins.
#[derive(Clone, Debug)]
pub(super) enum Seed {
    Nobody,
    /// Whoever needs this.
    Content(Digest),
    Tag(Tag),
}

/// How a problem is repaired.
#[derive(Clone, Debug)]
pub(super) enum Fix {
    /// The link in a directory is written, once the content is known to be whole.
    Link { dir: PathBuf, digest: Digest },
    /// The same of a tag, unless that stands somewhere by now.
    Tag { dir: PathBuf, digest: Digest },
    /// The same in a tag's history, whose content may be gone.
    Entry { dir: PathBuf, digest: Digest },
    /// An entry among the referrers is written.
    Referrer { subject: Digest, digest: Digest },
    /// The link in a directory is put aside.
    Aside { dir: PathBuf },
    /// The same for a layer's, dead or wrong; unless this content has come.
    Layer { dir: PathBuf, content: Digest },
}

/// What the digests of a folder stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Layer,
    Manifest,
}

impl Run<'_> {
    /// Reads the link in a directory; `None` when it cannot be read, which is
    /// told.
    pub(super) fn link_in(&self, dir: &Dir) -> Option<Link> {
        let link = dir.file_kept(layout::LINK).and_then(|opened| match opened {
            Opened::Absent => Ok(Link::Absent),
            Opened::Other(kind) => Ok(Link::NotAFile(kind)),
            Opened::File(file, stat) => {
                let mut text = Vec::new();
                file.take(MAX_LINK_LEN as u64).read_to_end(&mut text)?;
                Ok(parse(&text, len(&stat)))
            }
        });
        link.map_err(|error| self.unreadable(&dir.path.join(layout::LINK), &error))
            .ok()
    }

    /// As `link_in`, of a path of the layout.
    pub(super) fn link_at(&self, path: &Path) -> Option<Link> {
        match self.base.below(self.relative(path)) {
            Ok(Some(dir)) => self.link_in(&dir),
            Ok(None) => Some(Link::Absent),
            Err(error) => {
                self.unreadable(path, &error);
                None
            }
        }
    }

    /// Each directory of a digest: `<alg>/<hex>/` in `dir`.
    pub(super) fn digests(&self, dir: &Dir, mut visit: impl FnMut(Digest, Dir)) {
        for entry in self.entries(dir) {
            let algorithm: Option<Algorithm> = entry.text().parse().ok();
            let (Some(algorithm), Some(folder)) = (algorithm, self.dir(dir, &entry.name)) else {
                self.strange(dir, &entry);
                continue;
            };
            for entry in self.entries(&folder) {
                if self.is_stopped() {
                    return;
                }
                let digest = format!("{algorithm}:{}", entry.text()).parse().ok();
                match (digest, self.dir(&folder, &entry.name)) {
                    (Some(digest), Some(dir)) => visit(digest, dir),
                    _ => self.strange(&folder, &entry),
                }
            }
        }
    }

    /// Tells of all in a directory that is not among `known`.
    pub(super) fn only(&self, dir: &Dir, known: &[&str]) {
        for entry in self.entries(dir) {
            if !known.contains(&entry.text()) && !is_set_aside(&entry, known) {
                self.strange(dir, &entry);
            }
        }
    }
}

fn parse(text: &[u8], len: u64) -> Link {
    let digest = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match digest {
        Some(digest) => Link::To(digest),
        None if text.is_empty() => Link::Broken("the link is empty".to_owned()),
        None => Link::Broken(format!("the link's {len} bytes are no digest")),
    }
}

impl Look<'_, '_> {
    /// Where the link in the directory of a digest leads. One that is wrong is
    /// found.
    pub(super) fn link(&mut self, dir: &Dir, digest: &Digest, of: Of) -> Option<Digest> {
        let (kind, detail) = match self.run.link_in(dir)? {
            Link::Absent => return None,
            Link::To(content) if content == *digest => return Some(content),
            // Distribution keeps what was pushed by sha512 under its sha256.
            Link::To(content) if content.algorithm() != digest.algorithm() => {
                match self.is_alias(digest, &content, of) {
                    Ok(true) => return Some(content),
                    Ok(false) => {}
                    Err(error) => {
                        let path = self.run.tree.layout.blob_data(&content);
                        self.run.unreadable(&path, &error);
                        return None;
                    }
                }
                foreign(&content)
            }
            Link::To(content) => foreign(&content),
            Link::Broken(detail) => (ProblemKind::LinkBroken, detail),
            Link::NotAFile(kind) => {
                self.not_a_link(dir, kind, Seed::Content(*digest));
                return None;
            }
        };
        let is_there = matches!(self.run.content(digest), Ok(Content::Whole(_)));
        let dir_path = dir.path.clone();
        let (mend, fix) = match (is_there, of) {
            (true, _) => (
                Mend::Repair,
                Some(Fix::Link {
                    dir: dir_path,
                    digest: *digest,
                }),
            ),
            // A manifest that needs it tells that it is missing.
            (false, Of::Layer) => (
                Mend::Repair,
                Some(Fix::Layer {
                    dir: dir_path,
                    content: *digest,
                }),
            ),
            (false, Of::Manifest) => (Mend::Push, None),
        };
        self.found.push(Found {
            kind,
            path: dir.path.join(layout::LINK),
            detail,
            mend,
            fix,
            hurt: Seed::Content(*digest),
        });
        None
    }

    /// Something else than a file in the place of a link.
    pub(super) fn not_a_link(&mut self, dir: &Dir, kind: FileType, hurt: Seed) {
        let (mend, fix) = match kind {
            FileType::Symlink => (Mend::ByHand, None),
            _ => (
                Mend::Repair,
                Some(Fix::Aside {
                    dir: dir.path.clone(),
                }),
            ),
        };
        self.found.push(Found {
            kind: ProblemKind::LinkNotAFile,
            path: dir.path.join(layout::LINK),
            detail: format!("{} stands in the place of a link", called(kind)),
            mend,
            fix,
            hurt,
        });
    }

    /// Whether content under another algorithm's digest has this one as well. A
    /// manifest is hashed when it is read.
    fn is_alias(&mut self, digest: &Digest, content: &Digest, of: Of) -> io::Result<bool> {
        if !self.is_first {
            return Ok(!self.wrong_aliases.contains(digest));
        }
        if self.run.options.quick || of == Of::Manifest {
            return Ok(true);
        }
        let path = self.run.tree.layout.blob_data(content);
        let Opened::File(file, _) = self.run.open_file(&path)? else {
            return Ok(true);
        };
        let mut buffer = vec![0; 64 * 1024];
        let hashed = self.run.hash(digest.algorithm(), &file, &mut buffer)?;
        let is_alias = hashed.is_none_or(|(actual, _)| actual == *digest);
        if !is_alias {
            self.wrong_aliases.insert(*digest);
        }
        Ok(is_alias)
    }
}

fn foreign(content: &Digest) -> (ProblemKind, String) {
    let detail = format!("the link names {content}, and its folder does not");
    (ProblemKind::LinkForeign, detail)
}
