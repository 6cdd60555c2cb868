//! The machine that is looked at: its files, programs and variables.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use registry_tls::rustls::pki_types::CertificateDer;

/// Configuration files are shorter.
const MOST: u64 = 1 << 20;

/// A client's machine. Paths are as its programs see them; tests have them
/// below a folder.
#[derive(Debug)]
pub(super) struct Machine {
    root: PathBuf,
    pub(super) variables: BTreeMap<String, String>,
    /// What the system trusts.
    pub(super) system: Vec<CertificateDer<'static>>,
}

impl Machine {
    /// The one that this runs on.
    pub(super) fn here() -> Self {
        let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            root: "/".into(),
            variables: std::env::vars_os().filter_map(pair).collect(),
            // What cannot be read of it is not trusted by anybody.
            system: rustls_native_certs::load_native_certs().certs,
        }
    }

    #[cfg(test)]
    pub(super) fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            variables: BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]),
            system: Vec::new(),
        }
    }

    /// A variable that is not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Where a path is to be opened.
    pub(super) fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A path in the user's home.
    pub(super) fn home(&self, path: &str) -> Option<PathBuf> {
        Some(Path::new(self.variable("HOME")?).join(path))
    }

    /// The text of a file, if it is there, readable and not too long.
    pub(super) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let mut text = String::new();
        let file = File::open(self.place(path)).ok()?;
        file.take(MOST).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The paths of a folder's files, sorted.
    pub(super) fn list(&self, folder: impl AsRef<Path>) -> Vec<PathBuf> {
        let folder = folder.as_ref();
        let entries = fs::read_dir(self.place(folder)).into_iter().flatten();
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let mut paths: Vec<_> = names.map(|name| folder.join(name)).collect();
        paths.sort();
        paths
    }

    pub(super) fn has_folder(&self, path: impl AsRef<Path>) -> bool {
        self.place(path).is_dir()
    }

    /// Whether a program is in `PATH`, or where services are.
    pub(super) fn has_program(&self, name: &str) -> bool {
        let path = self.variable("PATH").unwrap_or_default();
        let services = ["/usr/local/bin", "/usr/bin", "/usr/sbin"].map(PathBuf::from);
        std::env::split_paths(path)
            .chain(services)
            .any(|folder| self.place(folder.join(name)).is_file())
    }
}
