//! The repositories: `_catalog`, and whatever else goes through all of them.
//!
//! A repository may lie below another (`a`, `a/b`), beside the directories of
//! ours that begin with `_`. A walk in the order of [`RepositoryName`] is a
//! walk of the directories, each before those in it, siblings in byte order.

use std::fs::{self, DirEntry};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use registry_spec::storage::{Page, StorageError};
use registry_spec::types::RepositoryName;

use super::entries::{Smallest, entries};
use super::error::At;
use super::tree::Tree;

/// How many siblings are held in memory, per level of nesting. A directory
/// with more of them is read more than once.
const SIBLINGS: usize = 256;

impl Tree {
    pub(super) fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        let mut names = Vec::new();
        self.walk_repositories(after, |name| {
            // One more than fits shows whether there is more.
            if names.len() > limit {
                return Ok(ControlFlow::Break(()));
            }
            if self.is_repository(name)? {
                names.push(name.clone());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Page::take(names, limit))
    }

    fn is_repository(&self, name: &RepositoryName) -> Result<bool, StorageError> {
        let manifests = self.layout.manifests(name);
        match fs::metadata(&manifests) {
            // As in `siblings`.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.warn_once(&manifests, "cannot be looked at, passed over");
                Ok(false)
            }
            result => {
                let metadata = result.if_present("read", &manifests)?;
                Ok(metadata.is_some_and(|metadata| metadata.is_dir()))
            }
        }
    }

    /// Visits, in order, everything after `after` that may be a repository or
    /// hold some.
    pub(super) fn walk_repositories(
        &self,
        after: Option<&RepositoryName>,
        visit: impl FnMut(&RepositoryName) -> Result<ControlFlow<()>, StorageError>,
    ) -> Result<(), StorageError> {
        let after = after.map_or_else(Vec::new, |name| name.components().collect());
        let mut walk = Walk { tree: self, visit };
        walk.children(&self.layout.repositories(), "", &after)
            .map(|_| ())
    }
}

struct Walk<'a, F> {
    tree: &'a Tree,
    visit: F,
}

impl<F> Walk<'_, F>
where
    F: FnMut(&RepositoryName) -> Result<ControlFlow<()>, StorageError>,
{
    /// Visits what is below `dir`, whose names begin with `prefix`, from
    /// `after` on, which is relative to it.
    fn children(
        &mut self,
        dir: &Path,
        prefix: &str,
        after: &[&str],
    ) -> Result<ControlFlow<()>, StorageError> {
        // The way to `after` has been visited; what branches off has not.
        if let [component, rest @ ..] = after {
            let path = dir.join(component);
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir())
                && self
                    .children(&path, &format!("{prefix}{component}/"), rest)?
                    .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        let mut last = after.first().map(ToString::to_string);
        loop {
            let siblings = self.siblings(dir, prefix, last.as_ref())?;
            let exhausted = siblings.len() < SIBLINGS;
            last = siblings.last().cloned().or(last);
            for component in siblings {
                let Some(name) = name(prefix, &component) else {
                    continue;
                };
                if (self.visit)(&name)?.is_break()
                    || self
                        .children(&dir.join(&component), &format!("{name}/"), &[])?
                        .is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if exhausted {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    fn siblings(
        &self,
        dir: &Path,
        prefix: &str,
        after: Option<&String>,
    ) -> Result<Vec<String>, StorageError> {
        let mut smallest = Smallest::new(after, SIBLINGS);
        // Somebody's private directory must not hide all the others.
        if !prefix.is_empty()
            && fs::read_dir(dir).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
        {
            self.tree.warn_once(dir, "cannot be listed, passed over");
            return Ok(Vec::new());
        }
        for entry in entries(dir)? {
            let (component, entry) = entry?;
            // In this order, since not every file system tells the kind
            // without another look.
            if name(prefix, &component).is_some() && is_real_dir(&entry) {
                smallest.offer(component);
            }
        }
        Ok(smallest.into_sorted())
    }
}

/// `None` for our own directories, and for whatever else no client can name.
fn name(prefix: &str, component: &str) -> Option<RepositoryName> {
    format!("{prefix}{component}").parse().ok()
}

/// Links are not followed: they may lead round in a circle.
fn is_real_dir(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}
