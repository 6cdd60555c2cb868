//! `cert new`: a certificate of the registry, or of a client.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::client;
use super::files::{Files, is_there};
use super::leaf::{Wanted, complete};
use super::options::{Hosts, Key, Validity};
use super::{DEFAULT_DIR, authority};
use crate::commands::word;

#[derive(Args, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Directory of the files; the CA is its ca.crt and ca.key, and is made
    /// where there is none.
    #[arg(long, default_value = DEFAULT_DIR)]
    dir: PathBuf,
    #[command(flatten)]
    hosts: Hosts,
    /// Kind of the new keys.
    #[arg(long, value_enum, default_value_t)]
    key: Key,
    #[command(flatten)]
    validity: Validity,
    /// Make a certificate by which a client proves who it is, for this user.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["names", "addresses", "cert_file", "key_file"])]
    client: Option<String>,
    /// Where the certificate goes [default: tls.crt in the directory].
    #[arg(long, value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// Where its key goes [default: tls.key in the directory].
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, out: &mut String) -> Result<(), String> {
    let mut files = Files::in_dir(&arguments.dir);
    if let Some(path) = &arguments.cert_file {
        files.certificate.clone_from(path);
    }
    if let Some(path) = &arguments.key_file {
        files.key.clone_from(path);
    }
    let kind = arguments.key.into();
    if let Some(name) = &arguments.client {
        let folder = client::folder(&arguments.dir, name)?;
        make_dir(&arguments.dir)?;
        let authority = authority::load_or_make(&files, name, kind, out)?;
        return client::make(
            &authority,
            &folder,
            name,
            kind,
            arguments.validity.into(),
            out,
        );
    }
    let hosts = arguments.hosts.all();
    let Some(first) = hosts.first() else {
        return Err(
            "for which hosts? Give every name and address that clients use with --host NAME and \
             --ip ADDRESS: they accept no other"
                .to_owned(),
        );
    };
    // A key alone is what an interrupted run leaves, and is completed.
    if is_there(&files.certificate)? {
        return Err(format!(
            "{} is there already: renew it with `pi-registry cert renew --dir {}`, which also \
             adds hosts, or move it and its key away",
            files.certificate.display(),
            word(&arguments.dir.display().to_string())
        ));
    }
    make_dir(&arguments.dir)?;
    let wanted = Wanted {
        name: first.to_string().chars().take(40).collect(),
        given: hosts,
        guessed: Vec::new(),
        kind,
        valid: arguments.validity.into(),
    };
    complete(&files, &wanted, out)
}

fn make_dir(dir: &std::path::Path) -> Result<(), String> {
    fs::create_dir_all(dir)
        .map_err(|error| format!("cannot make the directory {}: {error}", dir.display()))
}
