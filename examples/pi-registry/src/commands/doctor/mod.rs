//! `doctor`: what the clients on this machine will say to a registry, and why.
//!
//! | step | file | `error` |
//! |---|---|---|
//! | 1. the name's addresses | `address.rs` | none |
//! | 2. proxies of this shell, docker, containerd and k3s | `proxy.rs` | |
//! | 3. a connection to each address | `address.rs` | none can be connected to |
//! | 4. TLS and the certificates | `tls.rs` | no TLS; a certificate that no client takes |
//! | 5. what each client trusts | `trust.rs`, `files.rs` | one of them refuses the registry |
//! | 6. `GET /v2/`, signing in | `http.rs`, `sign_in.rs`, `login.rs` | no registry; a password is refused |
//! | 7. the clock | `http.rs` | |
//!
//! A password leaves this machine only for a server that proves to be the one
//! that a client here trusts.

mod address;
mod files;
mod http;
mod login;
mod machine;
mod proxy;
mod sign_in;
mod tls;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use registry_tls::rustls::pki_types::CertificateDer;

use super::complain;
use super::report::Report;
use login::Login;
use machine::Machine;

#[derive(Args, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Where the registry is: https://HOST:PORT, HOST:PORT, or an image's name
    /// such as HOST:PORT/APP:TAG.
    url: String,
    /// Also look at clients that trust the CA in this file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Also try to sign in as this user; the password is asked for, or the
    /// first line of standard input. Without, what ~/.docker/config.json has
    /// is tried.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Looks at everything and prints it; 0 unless there is an error.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match prepare(arguments) {
        Ok(report) => report.print(),
        Err(line) => {
            complain(line);
            ExitCode::FAILURE
        }
    }
}

fn prepare(arguments: &Arguments) -> Result<Report, String> {
    let mut patient = Patient::new(&arguments.url)?;
    if let Some(path) = &arguments.ca {
        let ca = registry_tls::pem::certificates(path).map_err(|error| error.to_string())?;
        patient.ca = Some((path.clone(), ca));
    }
    // Before everything else, not in its middle.
    patient.login = arguments.user.as_deref().map(Login::ask).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let mut report = Report::default();
    runtime.block_on(examine(&Machine::here(), &patient, &mut report));
    Ok(report)
}

/// The registry, and what the user said about it.
#[derive(Debug)]
struct Patient {
    address: registry_tls::trust::RegistryAddress,
    ca: Option<(PathBuf, Vec<CertificateDer<'static>>)>,
    login: Option<Login>,
}

impl Patient {
    fn new(url: &str) -> Result<Self, String> {
        Ok(Self {
            address: address::parse(url)?,
            ca: None,
            login: None,
        })
    }
}

async fn examine(machine: &Machine, patient: &Patient, report: &mut Report) {
    let address = &patient.address;
    let Some(addresses) = address::resolve(address, report).await else {
        proxy::check(machine, address, report);
        return;
    };
    proxy::check(machine, address, report);
    let Some((socket, tcp)) = address::connect(&addresses, report).await else {
        return;
    };
    let Some(shown) = tls::check(machine, address, socket, tcp, report).await else {
        return;
    };
    let roots = trust::check(machine, patient, &addresses, &shown.chain, report);
    http::check(machine, patient, socket, shown, &roots, report).await;
}

#[cfg(test)]
mod tests;
