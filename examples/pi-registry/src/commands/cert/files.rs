//! Which files: of a directory, or of a configuration.

use std::path::{Path, PathBuf};

use clap::Args;
use registry_tls::files::WriteError;

use super::DEFAULT_DIR;
use crate::config::{Config, Document, Search};
use crate::logging::chain;

/// The files of a registry's certificate and of the CA that signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Files {
    pub(in crate::commands) ca_certificate: PathBuf,
    pub(in crate::commands) ca_key: PathBuf,
    pub(in crate::commands) certificate: PathBuf,
    pub(in crate::commands) key: PathBuf,
}

impl Files {
    /// `ca.crt`, `ca.key`, `tls.crt` and `tls.key`.
    pub(in crate::commands) fn in_dir(dir: &Path) -> Self {
        Self {
            ca_certificate: dir.join("ca.crt"),
            ca_key: dir.join("ca.key"),
            certificate: dir.join("tls.crt"),
            key: dir.join("tls.key"),
        }
    }

    /// Those of `http.tls`. The CA is the one that is published, else `ca.crt`
    /// beside the certificate; its key has the same name with `.key`.
    fn of_config(config: &Config) -> Option<Self> {
        let tls = config.http.tls.as_ref()?;
        let beside = || tls.certificate.with_file_name("ca.crt");
        let ca_certificate = tls.publish_ca.clone().unwrap_or_else(beside);
        Some(Self {
            ca_key: ca_certificate.with_extension("key"),
            ca_certificate,
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
        })
    }
}

/// Where an existing certificate is.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Directory of tls.crt, tls.key, ca.crt and ca.key, as `init` makes it.
    #[arg(long, conflicts_with = "config")]
    pub(super) dir: Option<PathBuf>,
    /// Configuration file, for the files of its http.tls [default: the one
    /// that `serve` takes; without http.tls in it, the directory ./registry].
    #[arg(long)]
    pub(super) config: Option<PathBuf>,
}

/// What was found there.
#[derive(Debug)]
pub(super) enum Found {
    Dir(Files),
    Config(Files, Box<Config>),
}

impl Place {
    pub(super) fn find(&self) -> Result<Found, String> {
        if let Some(dir) = &self.dir {
            return Ok(Found::Dir(Files::in_dir(dir)));
        }
        let environment = std::env::vars_os();
        let document = Document::load(self.config.as_deref(), Search::WellKnown, environment);
        let config = document
            .and_then(|document| document.config())
            .map_err(|error| error.to_string())?;
        if let Some(files) = Files::of_config(&config) {
            return Ok(Found::Config(files, Box::new(config)));
        }
        if let Some(file) = &self.config {
            let file = file.display();
            return Err(format!(
                "{file} has no http.tls, so no certificate: give the directory with --dir DIR"
            ));
        }
        let files = Files::in_dir(Path::new(DEFAULT_DIR));
        if is_there(&files.certificate)? {
            return Ok(Found::Dir(files));
        }
        Err(format!(
            "which certificate? There is no http.tls in the configuration and no {}: give \
             --dir DIR or --config FILE",
            files.certificate.display()
        ))
    }
}

impl Found {
    pub(super) fn files(&self) -> &Files {
        match self {
            Self::Dir(files) | Self::Config(files, _) => files,
        }
    }
}

/// Whether there is something of that name.
pub(in crate::commands) fn is_there(path: &Path) -> Result<bool, String> {
    path.try_exists()
        .map_err(|error| format!("cannot look for {}: {error}", path.display()))
}

/// A file that was not written, in one line.
pub(in crate::commands) fn unwritten(error: &WriteError) -> String {
    match error {
        // What the system said besides is about a name that is gone.
        WriteError::NoPermission { .. } | WriteError::NoSpace { .. } => error.to_string(),
        error => chain(error),
    }
}

/// A line about a file.
pub(in crate::commands) fn line(out: &mut String, what: &str, path: &Path, why: &str) {
    let path = path.display();
    *out += &match why {
        "" => format!("{what:<14} {path}\n"),
        why => format!("{what:<14} {path} ({why})\n"),
    };
}

pub(in crate::commands) const MADE: &str = "made";
pub(in crate::commands) const THERE: &str = "already there";
pub(in crate::commands) const RENEWED: &str = "renewed";
