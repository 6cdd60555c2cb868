//! `cert check`: what is wrong with certificates, and what clients will say.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use registry_tls::inspect::Role;

use super::files::{Found, Place, is_there};
use super::leaf::current;
use super::options::Hosts;
use crate::commands::check::certificates;
use crate::commands::report::Report;

#[derive(Args, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// PEM files [default: those of the registry].
    #[arg(conflicts_with_all = ["dir", "config"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// The private key of the one file.
    #[arg(long, value_name = "FILE", requires = "files")]
    key: Option<PathBuf>,
    #[command(flatten)]
    hosts: Hosts,
    /// What the files are for.
    #[arg(long = "as", value_enum, default_value_t, requires = "files")]
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Purpose {
    /// What a registry serves.
    #[default]
    Server,
    /// What a client shows.
    Client,
    /// What clients trust.
    Ca,
}

/// Prints what was found; 0 unless there is an error.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut report = Report::default();
    if let Err(line) = look(arguments, &mut report) {
        crate::commands::complain(line);
        return ExitCode::FAILURE;
    }
    report.print()
}

pub(super) fn look(arguments: &Arguments, report: &mut Report) -> Result<(), String> {
    let hosts = arguments.hosts.all();
    if arguments.files.is_empty() {
        match arguments.place.find()? {
            Found::Config(_, config) => certificates::configured(&config.http, &hosts, report),
            Found::Dir(files) => {
                let mut server = certificates::File::server(&files.certificate);
                server.key = Some(&files.key);
                server.hosts = &hosts;
                let chain = server.look("certificate", report);
                if is_there(&files.ca_certificate)? {
                    let ca = certificates::File::authority(&files.ca_certificate);
                    let ca = ca.look("CA", report);
                    certificates::trusted(chain, ca, "CA", report);
                }
            }
        }
        return Ok(());
    }
    if arguments.key.is_some() && arguments.files.len() > 1 {
        return Err("--key goes with one file: give the certificate that it belongs to".to_owned());
    }
    for path in &arguments.files {
        let mut file = match arguments.purpose {
            Purpose::Ca => certificates::File::authority(path),
            Purpose::Server | Purpose::Client => certificates::File::server(path),
        };
        if arguments.purpose == Purpose::Client {
            file.role = Role::Client;
        }
        file.key = arguments.key.as_deref();
        file.hosts = &hosts;
        let good = file.look("certificate", report).is_some();
        if !good && arguments.purpose == Purpose::Server && is_authority(path) {
            report.detail("it is a CA's: if it is what clients are to trust, add --as ca");
        }
    }
    Ok(())
}

fn is_authority(path: &Path) -> bool {
    current(path).is_ok_and(|first| first.is_ca)
}
