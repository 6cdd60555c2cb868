//! What is noted by the times of files: when tags were pulled, and when all was
//! verified last, by a server that does so.
//!
//! A tag's file `pulled` says it by its time. A tag without one was not pulled
//! since pulls are noted, which `pulls-noted` tells: in it, in seconds since
//! 1970, is since when all of them are, and its time is when somebody said so
//! last. Nothing of all this is synced: what a power cut takes away is a few seconds.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use registry_spec::storage::StorageError;
use registry_spec::types::{RepositoryName, Tag};

use super::error::At;
use super::open::open;
use super::tree::Tree;
use super::{FileSystem, atomic, disk};
use crate::retention::{PULLS_NOTED_EVERY, Pulls};

impl FileSystem {
    /// Notes that a tag was pulled just now, if there is such a tag: changes the
    /// time of a file, and waits for no disk to have it.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    pub async fn note_pull(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.blocking(move |tree| tree.note_pull(&name, &tag)).await
    }

    /// Says that every pull by a tag is noted from now on
    /// ([`note_pull`](Self::note_pull), at least once in [`PULLS_NOTED_EVERY`]
    /// for a tag), or that it is not. To be said again more often than that.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    pub async fn say_pulls_noted(&self, are_noted: bool) -> Result<(), StorageError> {
        self.blocking(move |tree| tree.say_pulls_noted(are_noted))
            .await
    }

    /// When [`note_verified`](Self::note_verified) was called last, by any process.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    pub async fn verified_at(&self) -> Result<Option<SystemTime>, StorageError> {
        self.blocking(|tree| modified(&tree.layout.verified()))
            .await
    }

    /// Notes that all was [verified](super::verify) just now.
    ///
    /// # Errors
    /// Only [`StorageError::Backend`].
    pub async fn note_verified(&self) -> Result<(), StorageError> {
        self.blocking(|tree| note(&tree.layout.verified())).await
    }
}

#[async_trait]
impl Pulls for FileSystem {
    async fn noted_since(&self) -> Result<Option<SystemTime>, StorageError> {
        self.blocking(Tree::pulls_noted_since).await
    }

    async fn pulled_at(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SystemTime>, StorageError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.blocking(move |tree| modified(&tree.layout.tag_pulled(&name, &tag)))
            .await
    }
}

impl Tree {
    fn note_pull(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StorageError> {
        // Without a directory there is no tag.
        note(&self.layout.tag_pulled(name, tag))
    }

    fn say_pulls_noted(&self, are_noted: bool) -> Result<(), StorageError> {
        let path = self.layout.pulls_noted();
        if !are_noted {
            let removed = disk::remove_file(&path);
            return removed.if_present("remove", &path).map(drop);
        }
        if self.pulls_noted_since()?.is_some() {
            return note(&path);
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let text = format!("{}\n", since.unwrap_or_default().as_secs());
        atomic::create_dirs(self.layout.tree()).at("create", self.layout.tree())?;
        atomic::write_derived(&path, text.as_bytes()).at("write", &path)
    }

    /// `None` also when nobody has said so for a while: pulls may be missing.
    fn pulls_noted_since(&self) -> Result<Option<SystemTime>, StorageError> {
        let path = self.layout.pulls_noted();
        let Some(said) = modified(&path)? else {
            return Ok(None);
        };
        let ago = SystemTime::now().duration_since(said);
        if ago.is_ok_and(|ago| ago > PULLS_NOTED_EVERY) {
            return Ok(None);
        }
        let Some(file) = open(&path).if_present("open", &path)? else {
            return Ok(None);
        };
        let mut text = String::new();
        // What is no text says nothing.
        let read = file.take(32).read_to_string(&mut text);
        let seconds = read.ok().and_then(|_| text.trim().parse().ok());
        Ok(seconds
            .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))))
    }
}

/// Gives a file the time of now, unless its own is later: a clock may have been
/// set back. Nothing is done where there is no directory for it.
fn note(path: &Path) -> Result<(), StorageError> {
    match modified(path)? {
        Some(at) if at > SystemTime::now() => Ok(()),
        Some(_) => disk::touch(path).at("set the time of", path),
        None => match disk::create_file(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.if_present("create", path).map(drop),
        },
    }
}

fn modified(path: &Path) -> Result<Option<SystemTime>, StorageError> {
    let metadata = fs::symlink_metadata(path).if_present("read", path)?;
    Ok(metadata.and_then(|metadata| metadata.modified().ok()))
}
