//! Where the CA comes from: the server's files, a file, or a running server.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use registry_tls::HostName;
use registry_tls::inspect::{CertificateSummary, Expectations, Severity, Subject, inspect};
use registry_tls::pem;
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::trust::{CaCertificates, RegistryAddress};

use super::super::complain;
use super::{Arguments, check, server};
use crate::certificates::tls_provider;
use crate::config::{Config, Document, ListenAddr, Search, Tls};

/// What `init` calls the CA's certificate.
const CA_FILE: &str = "ca.crt";

/// What `init` calls the configuration.
const CONFIG_FILE: &str = "config.yml";

/// What clients are to trust, and for which registry.
pub(super) struct Source {
    pub(super) ca: CaCertificates,
    /// All names of one registry.
    pub(super) names: Vec<RegistryAddress>,
    /// The server's certificate and private key, in PEM, if asked for.
    pub(super) pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl Source {
    /// Reads or fetches the CA. Where the server's certificate is known, the
    /// CA is one with which clients accept it under every name.
    pub(super) fn find(arguments: &Arguments) -> Result<Self, String> {
        let given = arguments.ca.as_deref().map(ca_file).transpose()?;
        if let Some(address) = &arguments.server {
            let names = match &arguments.registry[..] {
                [] => vec![address.clone()],
                names => names.to_vec(),
            };
            let ca = server::ca(address, &names, given, arguments.fingerprint.as_ref())?;
            return Ok(Self {
                ca,
                names,
                pair: None,
            });
        }
        match given {
            Some(ca) => {
                let names = arguments.registry.clone();
                Ok(Self {
                    ca,
                    names,
                    pair: None,
                })
            }
            None => Self::of_server_files(arguments),
        }
    }

    fn of_server_files(arguments: &Arguments) -> Result<Self, String> {
        let config = configuration(arguments)?;
        let tls = config.http.tls.as_ref().ok_or(
            "the configuration has no http.tls, so clients have nothing to trust: give another \
             with --config FILE or --dir DIR, a running registry with --server URL, or the CA's \
             certificate with --ca FILE",
        )?;
        let chain = pem::certificates(&tls.certificate).map_err(|error| error.to_string())?;
        let ca = ca_of(tls, &chain)?;
        let names = match &arguments.registry[..] {
            [] => names_of(&chain, &config.http.addr)?,
            names => names.to_vec(),
        };
        check(&chain, &names, &ca)?;
        let pair = match arguments.secret {
            true => Some((read(&tls.certificate)?, read(&tls.key)?)),
            false => None,
        };
        Ok(Self { ca, names, pair })
    }
}

fn configuration(arguments: &Arguments) -> Result<Config, String> {
    let of_folder = arguments.dir.as_ref().map(|dir| dir.join(CONFIG_FILE));
    let file = arguments.config.as_ref().or(of_folder.as_ref());
    let file = file.map(PathBuf::as_path);
    Document::load(file, Search::WellKnown, std::env::vars_os())
        .and_then(|document| document.config())
        .map_err(|error| error.to_string())
}

/// The CA of `http.tls.publishca`, else those that the server shows, else that
/// beside the server's certificate.
fn ca_of(tls: &Tls, chain: &[CertificateDer<'static>]) -> Result<CaCertificates, String> {
    if let Some(path) = &tls.publish_ca {
        return ca_file(path);
    }
    if let Ok(ca) = CaCertificates::from_certificates(chain) {
        return Ok(ca);
    }
    let beside = tls.certificate.with_file_name(CA_FILE);
    if beside.exists() {
        return ca_file(&beside);
    }
    Err(format!(
        "{} holds no CA's certificate and there is no {}: give the certificate of the CA that \
         signed it with --ca FILE",
        tls.certificate.display(),
        beside.display()
    ))
}

/// The CAs of a file, unless clients would not take them for any.
fn ca_file(path: &Path) -> Result<CaCertificates, String> {
    let all = pem::certificates(path).map_err(|error| error.to_string())?;
    let in_file = |what: &dyn ToString| format!("{}: {}", path.display(), what.to_string());
    let ca = CaCertificates::from_certificates(&all).map_err(|error| in_file(&error))?;
    let subject = Subject::authority(ca.certificates());
    inspect(&subject, &Expectations::default(), &tls_provider())
        .iter()
        .find(|finding| finding.severity == Severity::Error)
        .map_or(Ok(ca.clone()), |finding| Err(in_file(finding)))
}

/// The names and addresses of the certificate, with the server's port.
fn names_of(
    chain: &[CertificateDer<'_>],
    addr: &ListenAddr,
) -> Result<Vec<RegistryAddress>, String> {
    const GIVE: &str = "give what clients call the registry with --registry HOST:PORT";
    let port = match addr {
        ListenAddr::Any { port } | ListenAddr::Host { port, .. } if *port != 0 => *port,
        _ => {
            return Err(format!(
                "http.addr is {addr}, which has no port that clients know: {GIVE}"
            ));
        }
    };
    let own = chain
        .first()
        .and_then(|own| CertificateSummary::of(own).ok());
    let hosts = own.map(|own| own.hosts).unwrap_or_default();
    let names: Vec<_> = hosts
        .into_iter()
        .filter(|host| !is_local(host))
        // A wildcard is no name to call.
        .filter_map(|host| RegistryAddress::new(host, port).ok())
        .collect();
    if names.is_empty() {
        return Err(format!(
            "the certificate names no host that other machines call: {GIVE}"
        ));
    }
    let list: Vec<_> = names.iter().map(ToString::to_string).collect();
    complain(format_args!(
        "for {} (the certificate's names, the port of http.addr; if clients use others, {GIVE})",
        list.join(", ")
    ));
    Ok(names)
}

/// Whether every machine means itself by it.
fn is_local(host: &HostName) -> bool {
    match host {
        HostName::Dns(name) => name == "localhost" || name.ends_with(".localhost"),
        HostName::Ip(IpAddr::V4(address)) => address.is_loopback() || address.is_unspecified(),
        HostName::Ip(IpAddr::V6(address)) => address.is_loopback() || address.is_unspecified(),
        _ => false,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
