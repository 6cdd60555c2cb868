//! What every blocking task works on: the tree, and small things that they share.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName};

use super::cache::{FileCache, Held};
use super::durability::Durability;
use super::error::At;
use super::layout::{self, Layout};
use super::open::open;
use super::renew::Renewals;
use super::space::{Reserve, Space};
use super::version::Version;
use super::{aside, atomic};
use crate::limits::MAX_LINK_LEN;
use crate::warned::Warned;

/// The methods that answer requests are in the file of their resource.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) layout: Layout,
    pub(super) cache: FileCache,
    pub(super) renewals: Renewals,
    pub(super) space: Space,
    pub(super) durability: Durability,
    warned: Warned<PathBuf>,
}

impl Tree {
    pub(super) fn with_defaults(root: PathBuf) -> Self {
        Self::new(root, Reserve::default(), Durability::default())
    }

    pub(super) fn new(root: PathBuf, reserve: Reserve, durability: Durability) -> Self {
        Self {
            space: Space::new(root.clone(), reserve),
            durability,
            layout: Layout::new(root),
            cache: FileCache::new(),
            renewals: Renewals::default(),
            warned: Warned::default(),
        }
    }

    /// Reads the link in `dir`. One that is empty or cut short, as a crash of
    /// another program leaves it, is as good as absent.
    pub(super) fn read_link(&self, dir: &Path) -> Result<Option<Digest>, StorageError> {
        let path = layout::link(dir);
        match open(&path).if_present("open", &path)? {
            Some(file) => self.link_in(file, &path),
            None => Ok(None),
        }
    }

    /// As `read_link`, for what will soon be asked for again. A walk over many
    /// links would only drive out what is.
    pub(super) fn read_link_to_serve(&self, dir: &Path) -> Result<Option<Digest>, StorageError> {
        let path = layout::link(dir);
        let Some(file) = open(&path).if_present("open", &path)? else {
            return Ok(None);
        };
        let version = Version::to_rely_on(&file);
        let digest = self.link_in(file, &path)?;
        if let (Some(version), Some(digest)) = (version, digest) {
            self.cache.insert(path, version, Held::Link(digest));
        }
        Ok(digest)
    }

    fn link_in(&self, mut file: File, path: &Path) -> Result<Option<Digest>, StorageError> {
        let mut text = [0; MAX_LINK_LEN];
        let mut len = 0;
        loop {
            let read = match file.read(&mut text[len..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A FIFO with nothing in it. Without a writer it is as an empty
                // file, and a device as one with strange bytes.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
                // A directory can be opened, but not read.
                result => result.if_present("read", path)?,
            };
            let Some(read) = read else { return Ok(None) };
            len += read;
            let digest = std::str::from_utf8(&text[..len])
                .ok()
                .and_then(|text| text.trim().parse().ok());
            if digest.is_some() {
                return Ok(digest);
            }
            if read == 0 {
                self.warn_once(path, "not a link, taken as absent");
                return Ok(None);
            }
        }
    }

    /// As `read_link`, of a layer or revision, which may be set aside.
    pub(super) fn read_kept_link(&self, dir: &Path) -> Result<Option<Digest>, StorageError> {
        aside::look(&layout::link(dir), |path| {
            match open(path).if_present("open", path)? {
                Some(file) => self.link_in(file, path),
                None => Ok(None),
            }
        })
    }

    /// As `read_kept_link`, for what will soon be asked for again.
    pub(super) fn read_kept_link_to_serve(
        &self,
        dir: &Path,
    ) -> Result<Option<Digest>, StorageError> {
        match self.read_link_to_serve(dir)? {
            Some(digest) => Ok(Some(digest)),
            None => self.read_kept_link(dir),
        }
    }

    /// Writes the link in `dir`, durably; what there was, if it was that
    /// already. Distribution accepts no newline.
    pub(super) fn write_link(
        &self,
        dir: &Path,
        digest: &Digest,
    ) -> Result<Option<fs::Metadata>, StorageError> {
        atomic::write_unless_same(
            &layout::link(dir),
            digest.to_string().as_bytes(),
            self.durability,
        )
    }

    /// The length of some content, if its bytes are there.
    pub(super) fn content_len(&self, digest: &Digest) -> Result<Option<u64>, StorageError> {
        aside::look(&self.layout.blob_data(digest), |path| {
            self.len_at(digest, path)
        })
    }

    /// The same, of content that nobody has set aside.
    pub(super) fn len_at(&self, digest: &Digest, path: &Path) -> Result<Option<u64>, StorageError> {
        let metadata = fs::metadata(path).if_present("read", path)?;
        Ok(metadata.and_then(|metadata| self.present_len(digest, path, &metadata)))
    }

    /// Opens some content, if its bytes are there; with its length.
    pub(super) fn open_content(
        &self,
        digest: &Digest,
    ) -> Result<Option<(File, u64)>, StorageError> {
        aside::look(&self.layout.blob_data(digest), |path| {
            let Some(file) = open(path).if_present("open", path)? else {
                return Ok(None);
            };
            let metadata = file.metadata().at("read", path)?;
            Ok(self
                .present_len(digest, path, &metadata)
                .map(|len| (file, len)))
        })
    }

    fn present_len(&self, digest: &Digest, path: &Path, metadata: &fs::Metadata) -> Option<u64> {
        if !metadata.is_file() {
            if !metadata.is_dir() {
                self.warn_once(path, "a FIFO, a socket or a device, taken as absent");
            }
            return None;
        }
        // A power cut leaves files without their bytes; as they are absent,
        // the next push brings them back.
        if metadata.len() == 0 && *digest != Digest::of(digest.algorithm(), b"") {
            self.warn_once(path, "empty, taken as absent");
            return None;
        }
        Some(metadata.len())
    }

    /// Waits until no other task, and no other process, changes manifests or
    /// tags of the repository; lasts until the file is dropped.
    ///
    /// A file of its own, opened for writing, so that it works on NFS too; and
    /// one per repository, since deleting a manifest takes any number of tags
    /// with it. Readers never wait for it.
    pub(super) fn lock(&self, name: &RepositoryName) -> Result<File, StorageError> {
        let path = self.layout.lock(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        loop {
            atomic::create_dirs(layout::parent(&path)).at("create", layout::parent(&path))?;
            let file = match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.at("open", &path)?,
            };
            match file.lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.at("lock", &path)?,
            }
            // Somebody may have removed the repository while we waited.
            if atomic::is_at(&file, &path).at("read", &path)? {
                return Ok(file);
            }
        }
    }

    /// Logs a fault of the tree at its first sight.
    pub(super) fn warn_once(&self, path: &Path, fault: impl Display) {
        if self.warned.is_first(path) {
            tracing::warn!(path = %path.display(), "{fault}");
        }
    }
}
