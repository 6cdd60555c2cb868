//! `cert show`: what is in certificates.

use std::path::{Path, PathBuf};

use clap::Args;
use registry_tls::inspect::CertificateSummary;
use registry_tls::pem;

use super::files::Place;

#[derive(Args, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// PEM files [default: the registry's certificate].
    #[arg(conflicts_with_all = ["dir", "config"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Arguments, out: &mut String) -> Result<(), String> {
    if arguments.files.is_empty() {
        return show(&arguments.place.find()?.files().certificate, out);
    }
    arguments.files.iter().try_for_each(|file| show(file, out))
}

fn show(path: &Path, out: &mut String) -> Result<(), String> {
    let chain = pem::certificates(path).map_err(|error| error.to_string())?;
    let (shown, count) = (path.display(), chain.len());
    for (index, der) in chain.iter().enumerate() {
        let summary = CertificateSummary::of(der);
        let summary = summary.map_err(|problem| format!("{shown}: {problem}"))?;
        *out += &format!("{shown}: certificate {} of {count}\n", index + 1);
        for line in summary.to_string().lines() {
            // Names in a certificate are anybody's.
            *out += &format!("  {}\n", line.replace(char::is_control, " "));
        }
    }
    Ok(())
}
