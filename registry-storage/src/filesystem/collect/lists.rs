//! What there is: repositories, tags, links.

use std::fs;
use std::path::Path;

use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, RepositoryName, Tag};

use super::super::entries::entries;
use super::super::error::{At, FileError};
use super::super::layout;
use super::Collection;
use super::links::{digests_in, is_real_dir, leads_elsewhere, real_entries};
use crate::collect::{Listed, Repositories};

impl Collection<'_> {
    /// The digests that have a directory in one of the repository's.
    pub(super) fn digests(
        &self,
        name: &RepositoryName,
        dir: &[&str],
    ) -> Result<Vec<Listed>, StorageError> {
        let base = self.tree.layout.repository(name);
        let mut digests = Vec::new();
        for algorithm in Algorithm::ALL {
            let dir = [dir, &[algorithm.as_str()]].concat();
            digests_in(&base, &dir, algorithm, &mut digests)?;
        }
        Ok(digests.into_iter().map(Listed::from).collect())
    }

    pub(super) fn tag_names(&self, name: &RepositoryName) -> Result<Vec<Tag>, StorageError> {
        let mut tags = Vec::new();
        let base = self.tree.layout.repository(name);
        for (text, entry) in real_entries(&base, &[layout::MANIFESTS, "tags"])? {
            if let Ok(tag) = text.parse()
                && is_real_dir(&entry)?
            {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    /// Adds the repositories in `dir`, whose names begin with `prefix`; whether
    /// it is one itself.
    pub(super) fn walk(
        &self,
        dir: &Path,
        prefix: &str,
        found: &mut Repositories,
    ) -> Result<bool, StorageError> {
        let mut is_repository = false;
        for entry in entries(dir)? {
            let (component, entry) = entry?;
            if component.starts_with('_') {
                is_repository = true;
                continue;
            }
            let Ok(name) = format!("{prefix}{component}").parse::<RepositoryName>() else {
                continue;
            };
            let (path, kind) = (entry.path(), entry.file_type());
            let kind = kind.at("read", &path)?;
            if kind.is_symlink() {
                if leads_elsewhere(&path, &self.tree.layout.repositories()) {
                    let fault = "a symbolic link, behind which repositories may be";
                    found.hidden.push(FileError::fault(&path, fault));
                }
            } else if kind.is_dir() && self.walk(&path, &format!("{name}/"), found)? {
                self.can_be_listed(&path)?;
                found.names.push(name);
            }
        }
        Ok(is_repository)
    }

    /// That is known before anything is deleted.
    fn can_be_listed(&self, repository: &Path) -> Result<(), StorageError> {
        let manifests = repository.join(layout::MANIFESTS);
        let of_digests = [repository.join(layout::LAYERS), manifests.join("revisions")];
        let each = of_digests
            .iter()
            .flat_map(|dir| Algorithm::ALL.map(|algorithm| dir.join(algorithm.as_str())));
        for dir in each.chain([manifests.join("tags")]) {
            fs::read_dir(&dir).if_present("list", &dir)?;
        }
        Ok(())
    }
}
