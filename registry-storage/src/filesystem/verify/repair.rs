//! How the links of a repository are repaired, each after a last look.

use std::fs::File;
use std::path::Path;

use registry_spec::types::{Digest, RepositoryName};

use super::beneath::{Dir, Opened, Place};
use super::blobs::Content;
use super::links::{Fix, Link};
use super::run::Run;
use crate::filesystem::layout;
use crate::filesystem::owner::{as_owner, chain};

impl Run<'_> {
    /// Waits until nobody else changes the repository's manifests and tags.
    pub(super) fn lock(&self, name: &RepositoryName) -> Result<File, String> {
        let path = self.tree.layout.lock(name);
        self.refuse_links(layout::parent(&path))?;
        self.refuse_strange(&path)?;
        as_owner(&path, || self.tree.lock(name).map_err(chain))
    }

    /// Does it, and tells in words what was done.
    pub(super) fn fix(&self, name: &RepositoryName, fix: &Fix) -> Result<String, String> {
        match fix {
            Fix::Link { dir, digest } => {
                let is_whole = match self.options.quick {
                    // Nobody has hashed it yet.
                    true => self.is_whole(digest),
                    false => matches!(self.content(digest), Ok(Content::Whole(_))),
                };
                if !is_whole {
                    return Err(format!("{digest} is not there, or not whole"));
                }
                self.write(dir, digest)
            }
            Fix::Entry { dir, digest } => self.write(dir, digest),
            Fix::Referrer { subject, digest } => {
                let link = layout::link(&self.tree.layout.referrer(name, subject, digest));
                self.refuse_links(layout::parent(&link))?;
                self.refuse_strange(&link)?;
                as_owner(&link, || {
                    let written = self.tree.write_referrer(name, subject, digest);
                    written.map_err(chain)
                })?;
                Ok("entered in the index".to_owned())
            }
            Fix::Tag { dir, digest } => match self.link_at(dir) {
                // registry:2 takes no lock.
                Some(Link::To(_)) => Err("was pushed meanwhile".to_owned()),
                _ => self.fix(
                    name,
                    &Fix::Link {
                        dir: dir.clone(),
                        digest: *digest,
                    },
                ),
            },
            Fix::Aside { dir } => self.link_aside(&self.open_dir(dir)?),
            Fix::Layer { dir, content } => {
                let done = self.link_aside(&self.open_dir(dir)?)?;
                // A push whose blob came before this look may have taken the
                // link for its own; one whose blob comes later finds none, and
                // writes it.
                let path = self.tree.layout.blob_data(content);
                if !matches!(self.look_kept(&path), Ok(Place::Absent)) {
                    self.write(dir, content)?;
                    return Err("its blob was pushed meanwhile".to_owned());
                }
                Ok(done)
            }
        }
    }

    fn open_dir(&self, path: &Path) -> Result<Dir, String> {
        match self.base.below(self.relative(path)) {
            Ok(Some(dir)) => Ok(dir),
            Ok(None) => Err(format!("{} is gone", path.display())),
            Err(error) => Err(format!("{} cannot be opened: {error}", path.display())),
        }
    }

    fn link_aside(&self, dir: &Dir) -> Result<String, String> {
        // Open until it is aside, so that no other file gets its number.
        let opened = dir.file(layout::LINK);
        let seen = match &opened {
            Ok(Opened::File(_, stat)) => Some(stat),
            Ok(Opened::Other(_)) => None,
            Ok(Opened::Absent) => {
                return Err(match dir.look_kept(layout::LINK) {
                    Ok(Place::Absent) => "is gone",
                    _ => "a garbage collection has set it aside, and the next one removes it",
                }
                .to_owned());
            }
            Err(error) => return Err(format!("cannot be looked at: {error}")),
        };
        let place = self.put_aside(dir, Path::new(layout::LINK), seen)?;
        Ok(format!("put aside as {}", place.display()))
    }

    fn write(&self, dir: &Path, digest: &Digest) -> Result<String, String> {
        let link = layout::link(dir);
        self.refuse_links(dir)?;
        self.refuse_strange(&link)?;
        as_owner(&link, || self.tree.write_link(dir, digest).map_err(chain))?;
        Ok("written again".to_owned())
    }

    /// A file is written to nothing else than a file's place, and nothing else
    /// is opened there.
    fn refuse_strange(&self, path: &Path) -> Result<(), String> {
        match self.look(path) {
            Ok(Place::Absent | Place::File(_)) => Ok(()),
            Ok(Place::Other(_)) => Err(format!("{} is no file", path.display())),
            Err(error) => Err(format!("{} cannot be looked at: {error}", path.display())),
        }
    }
}
