//! The repositories: `_catalog`, and whatever else goes through all of them.
//!
//! A repository may lie below another (`a`, `a/b`), beside what of ours begins
//! with `_`. The order of [`RepositoryName`] is that of a walk, each before
//! what is below it. A level costs a list of its names, and one for each of
//! these, of which several are under way at once.

use std::collections::VecDeque;

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_spec::storage::{Page, StorageError};
use registry_spec::types::RepositoryName;

use super::layout::{MANIFESTS, UPLOADS};
use super::names::Names;
use super::objects::{CONCURRENCY, Objects};

/// A walk through everything that may be a repository or hold some.
pub(super) struct Walk<'a> {
    objects: &'a Objects,
    /// From the root to where the walk stands.
    levels: Vec<Level<'a>>,
    /// How many names are looked at together.
    batch: usize,
}

struct Level<'a> {
    /// What is before its names: empty, or it ends with `/`.
    path: String,
    names: Names<'a>,
    ahead: VecDeque<Visit>,
}

/// What there is below a name.
#[derive(Debug)]
pub(super) struct Visit {
    /// The whole of it.
    pub(super) name: String,
    pub(super) has_manifests: bool,
    pub(super) has_uploads: bool,
    /// Whether it is a repository, of whatever kind.
    pub(super) has_any: bool,
    has_more: bool,
}

impl Objects {
    pub(super) async fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        let mut walk = self.walk(after, limit.saturating_add(1));
        let mut names = Vec::new();
        // One more than fits shows whether there is more.
        while names.len() <= limit
            && let Some(visit) = walk.next().await?
        {
            if visit.has_manifests {
                names.extend(visit.name.parse());
            }
        }
        Ok(Page::take(names, limit))
    }

    /// Goes through what comes after `after`. `wanted` is how many the caller
    /// will probably take.
    pub(super) fn walk(&self, after: Option<&RepositoryName>, wanted: usize) -> Walk<'_> {
        let mut walk = Walk {
            objects: self,
            levels: Vec::new(),
            batch: wanted.clamp(1, CONCURRENCY),
        };
        let mut path = String::new();
        for component in after.iter().flat_map(|name| name.components()) {
            walk.enter(path.clone(), Some(component));
            path = format!("{path}{component}/");
        }
        walk.enter(path, None);
        walk
    }

    async fn visit(&self, name: String) -> Result<Visit, StorageError> {
        let prefix = format!("{}{name}/", self.layout.repositories());
        let page = self.list_page(&prefix, None, Some("/"), usize::MAX).await?;
        let mut visit = Visit {
            name,
            has_manifests: false,
            has_uploads: false,
            has_any: false,
            // More than one page holds is for the next level to find.
            has_more: page.page_token.is_some(),
        };
        for folder in &page.result.common_prefixes {
            let folder = format!("{folder}/");
            let component = folder.strip_prefix(&prefix);
            visit.has_any |= component.is_some_and(|component| component.starts_with('_'));
            match component {
                Some(MANIFESTS) => visit.has_manifests = true,
                Some(UPLOADS) => visit.has_uploads = true,
                Some(other) => visit.has_more |= !other.starts_with('_'),
                None => {}
            }
        }
        if page.page_token.is_some() {
            visit.has_manifests = self.has_any(&format!("{prefix}{MANIFESTS}")).await?;
            visit.has_uploads = self.has_any(&format!("{prefix}{UPLOADS}")).await?;
            visit.has_any = self.has_any(&format!("{prefix}_")).await?;
        }
        Ok(visit)
    }
}

impl Walk<'_> {
    fn enter(&mut self, path: String, after: Option<&str>) {
        let prefix = format!("{}{path}", self.objects.layout.repositories());
        self.levels.push(Level {
            names: self.objects.names(prefix, "", after),
            path,
            ahead: VecDeque::new(),
        });
    }

    pub(super) async fn next(&mut self) -> Result<Option<Visit>, StorageError> {
        loop {
            let Some(level) = self.levels.last_mut() else {
                return Ok(None);
            };
            if let Some(visit) = level.ahead.pop_front() {
                if visit.has_more {
                    self.enter(format!("{}/", visit.name), None);
                }
                return Ok(Some(visit));
            }
            let mut names = Vec::new();
            while names.len() < self.batch
                && let Some(name) = level.names.next().await?
            {
                if !name.starts_with('_') {
                    names.push(format!("{}{name}", level.path));
                }
            }
            if names.is_empty() {
                self.levels.pop();
                continue;
            }
            let visits = names.into_iter().map(|name| self.objects.visit(name));
            level.ahead = stream::iter(visits)
                .buffered(CONCURRENCY)
                .try_collect()
                .await?;
        }
    }
}
