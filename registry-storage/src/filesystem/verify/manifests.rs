//! `_manifests/revisions/`: a repository's manifests, and all that they need.

use std::error::Error as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use registry_spec::types::{Descriptor, Digest, Manifest, ManifestError};

use super::beneath::{Dir, Opened};
use super::blobs::Content;
use super::links::{Fix, Found, Link, Of, Seed};
use super::report::{Mend, ProblemKind};
use super::repository::Look;
use super::run::{Run, add};
use crate::filesystem::layout;
use crate::limits::MAX_MANIFEST_LEN;

/// Something that a manifest needs.
pub(super) struct Part<'m> {
    pub(super) descriptor: &'m Descriptor,
    of: Of,
    /// It can be had from somewhere else, and need not be here.
    is_elsewhere: bool,
}

/// All that a manifest needs; not what it is about.
pub(super) fn parts(manifest: &Manifest) -> Vec<Part<'_>> {
    match manifest {
        Manifest::Image(image) => image
            .layers
            .iter()
            .chain([&image.config])
            .map(|descriptor| Part {
                descriptor,
                of: Of::Layer,
                is_elsewhere: descriptor.has_urls || descriptor.media_type.is_nondistributable(),
            })
            .collect(),
        Manifest::Index(index) => index
            .manifests
            .iter()
            .map(|descriptor| Part {
                descriptor,
                of: Of::Manifest,
                is_elsewhere: descriptor.has_urls,
            })
            .collect(),
        // A kind that this crate does not know yet needs nothing that we know.
        _ => Vec::new(),
    }
}

impl Run<'_> {
    /// The bytes of a manifest; `None` when there are none, or too many.
    pub(super) fn manifest_bytes(&self, content: &Digest) -> io::Result<Option<Vec<u8>>> {
        let path = self.tree.layout.blob_data(content);
        let Opened::File(file, _) = self.open_file(&path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(MAX_MANIFEST_LEN + 1).read_to_end(&mut bytes)?;
        self.pace.wait_for(bytes.len());
        Ok((bytes.len() as u64 <= MAX_MANIFEST_LEN).then_some(bytes))
    }

    /// The manifest of some content, if it is one and is not known to be bad.
    pub(super) fn manifest(&self, content: &Digest) -> Option<Manifest> {
        if self.bad(content).is_some() {
            return None;
        }
        let bytes = self.manifest_bytes(content).ok()??;
        Manifest::parse(None, &bytes).ok()
    }
}

impl Look<'_, '_> {
    pub(super) fn revisions(&mut self, revisions: &Dir) {
        let run = self.run;
        run.digests(revisions, |digest, dir| {
            // Old versions kept signatures there, and newer ones may keep referrers.
            run.only(&dir, &[layout::LINK, "signatures", layout::REFERRERS]);
            if let Some(content) = self.link(&dir, &digest, Of::Manifest) {
                self.revision(&digest, &content, &dir);
            }
        });
    }

    fn revision(&mut self, digest: &Digest, content: &Digest, dir: &Dir) {
        let run = self.run;
        let data = run.tree.layout.blob_data(content);
        if self.is_first {
            add(&run.counts.manifests, 1);
        }
        match run.content(content) {
            Ok(Content::Whole(_)) => {}
            Ok(Content::Bad) => return self.is_touched = true,
            Ok(Content::Absent) => return self.missing(digest, content, Of::Manifest),
            Err(error) => return run.unreadable(&data, &error),
        }
        let link = dir.path.join(layout::LINK);
        let bytes = match run.manifest_bytes(content) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return self.invalid(link, "is too large for a manifest", digest),
            // The disk may have lost it.
            Err(_) if !run.is_whole(content) => return self.is_touched = true,
            Err(error) => return run.unreadable(&data, &error),
        };
        if self.is_first && run.options.quick {
            add(&run.counts.bytes, bytes.len() as u64);
        }
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            // In a quick run nobody has looked at it before.
            if !run.is_whole(content) {
                return self.is_touched = true;
            }
            return self.found.push(Found {
                kind: ProblemKind::LinkForeign,
                path: link,
                detail: format!("the link names {content}, which is other content"),
                mend: Mend::Push,
                fix: None,
                hurt: Seed::Content(*digest),
            });
        }
        match Manifest::parse(None, &bytes) {
            Ok(manifest) => {
                self.needs(&manifest, digest, &link);
                if let Some(subject) = manifest.subject() {
                    self.refers(digest, &subject.digest);
                }
            }
            Err(ManifestError::DockerSchema1) => {
                let detail = "a manifest of Docker's first schema, which is not served";
                run.note(ProblemKind::ManifestSchema1, link, detail);
            }
            Err(error) => {
                let cause = error.source().map(|source| format!(": {source}"));
                let detail = format!("is no manifest: {error}{}", cause.unwrap_or_default());
                self.invalid(link, &detail, digest);
            }
        }
    }

    fn invalid(&mut self, link: PathBuf, detail: &str, digest: &Digest) {
        self.found.push(Found {
            kind: ProblemKind::ManifestInvalid,
            path: link,
            detail: format!("{digest} {detail}"),
            mend: Mend::Push,
            fix: None,
            hurt: Seed::Content(*digest),
        });
    }

    /// Content that is needed as `digest`, and is not there.
    pub(super) fn missing(&mut self, digest: &Digest, content: &Digest, of: Of) {
        let (kind, what) = match of {
            Of::Layer => (ProblemKind::BlobMissing, "a blob"),
            Of::Manifest => (ProblemKind::ManifestMissing, "a manifest"),
        };
        self.found.push(Found {
            kind,
            path: self.run.tree.layout.blob_data(content),
            detail: format!("{what} that is needed is not there"),
            mend: Mend::Push,
            fix: None,
            hurt: Seed::Content(*digest),
        });
    }

    /// Looks for all that a manifest needs.
    fn needs(&mut self, manifest: &Manifest, digest: &Digest, link: &Path) {
        for part in parts(manifest) {
            self.need(&part, digest, link);
        }
    }

    fn need(&mut self, part: &Part<'_>, manifest: &Digest, link: &Path) {
        let run = self.run;
        let digest = part.descriptor.digest;
        let Some((content, is_linked)) = self.linked(&digest, part.of) else {
            return;
        };
        // It was never pushed to this repository. Another may have it, and a
        // link to that would be a right which nobody gave.
        if run.options.sparse && !is_linked {
            if !part.is_elsewhere {
                let detail = format!("the manifest names {digest}, which was left out");
                run.note(ProblemKind::LeftOut, link.to_path_buf(), detail);
            }
            return;
        }
        match run.content(&content) {
            Ok(Content::Bad) => self.is_touched = true,
            Ok(Content::Absent) if part.is_elsewhere => {}
            Ok(Content::Absent) => self.missing(&digest, &content, part.of),
            Ok(Content::Whole(len)) => {
                if len != part.descriptor.size {
                    // One of them is wrong, and hashing tells which.
                    if run.options.quick && !run.is_whole(&content) {
                        return self.is_touched = true;
                    }
                    self.found.push(Found {
                        kind: ProblemKind::SizeMismatch,
                        path: link.to_path_buf(),
                        detail: format!(
                            "the manifest gives {digest} {} bytes, but it has {len}",
                            part.descriptor.size
                        ),
                        mend: Mend::Push,
                        fix: None,
                        hurt: Seed::Content(*manifest),
                    });
                }
                if !is_linked && !part.is_elsewhere {
                    self.unlinked(&digest, part.of);
                }
            }
            Err(error) => run.unreadable(&run.tree.layout.blob_data(&content), &error),
        }
    }

    /// Under which digest the repository has something, and whether it has it.
    /// A child of an index may be a blob: build caches are written so.
    pub(super) fn linked(&self, digest: &Digest, of: Of) -> Option<(Digest, bool)> {
        let layout = &self.run.tree.layout;
        let layer = layout.layer(&self.name, digest);
        let dirs = match of {
            Of::Layer => vec![layer],
            Of::Manifest => vec![layout.revision(&self.name, digest), layer],
        };
        for dir in dirs {
            match self.run.link_at(&dir)? {
                Link::Absent => {}
                Link::To(content) if content.algorithm() != digest.algorithm() => {
                    return Some((content, true));
                }
                // A wrong one is found where links are looked at.
                Link::To(_) | Link::Broken(_) | Link::NotAFile(_) => return Some((*digest, true)),
            }
        }
        Some((*digest, false))
    }

    /// Content that is there and needed, and to which the repository has no link.
    pub(super) fn unlinked(&mut self, digest: &Digest, of: Of) {
        let layout = &self.run.tree.layout;
        let manifest = match of {
            Of::Manifest => self.run.manifest(digest),
            Of::Layer => None,
        };
        let (dir, what) = match &manifest {
            Some(_) => (layout.revision(&self.name, digest), "manifest"),
            None => (layout.layer(&self.name, digest), "blob"),
        };
        let link = layout::link(&dir);
        self.found.push(Found {
            kind: ProblemKind::LinkMissing,
            path: link.clone(),
            detail: format!("the repository needs this {what} and has no link to it"),
            mend: Mend::Repair,
            fix: Some(Fix::Link {
                dir,
                digest: *digest,
            }),
            hurt: Seed::Content(*digest),
        });
        // What it needs is needed too. Without a link, nobody else looks.
        if let Some(manifest) = manifest
            && self.unlinked.insert(*digest)
        {
            self.needs(&manifest, digest, &link);
        }
    }
}
