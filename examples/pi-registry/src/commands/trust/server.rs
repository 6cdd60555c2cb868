//! The CA of a running registry: what it shows in the handshake, else what it
//! publishes at [`CA_PATH`].

use bytes::Bytes;
use http::StatusCode;
use registry_tls::inspect::{CertificateSummary, Fingerprint};
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::trust::{CaCertificates, RegistryAddress};

use super::super::{complain, remote, word};
use super::check;
use super::fingerprint::{FullFingerprint, confirm};
use crate::https_only::CA_PATH;
use crate::logging::chain as one_line;

/// The CA of the registry at `address`, once somebody has said that it is the
/// right one: by giving it, by its fingerprint, or on the terminal.
pub(super) fn ca(
    address: &RegistryAddress,
    names: &[RegistryAddress],
    given: Option<CaCertificates>,
    expected: Option<&FullFingerprint>,
) -> Result<CaCertificates, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let chain = runtime.block_on(remote::chain(address)).map_err(|error| {
        let (why, url) = (one_line(&error), word(&address.url()));
        format!("{why}: look closer with `pi-registry doctor {url}`")
    })?;
    if let Some(ca) = given {
        check(&chain, names, &ca)?;
        return Ok(ca);
    }
    let candidates = match candidates(&chain) {
        shown if !shown.is_empty() => shown,
        _ => runtime.block_on(published(address))?,
    };
    let ca = choose(&candidates, &chain, names, expected)?;
    check(&chain, names, &ca)?;
    if expected.is_none() {
        complain(format_args!(
            "{address} gives this CA:\n{}",
            shown(&ca, &chain)
        ));
        confirm()?;
    }
    Ok(ca)
}

/// Each CA for itself, the last of a chain first.
fn candidates(certificates: &[CertificateDer<'static>]) -> Vec<CaCertificates> {
    let each = certificates.iter().rev();
    each.filter_map(|certificate| {
        CaCertificates::from_certificates(std::slice::from_ref(certificate)).ok()
    })
    .collect()
}

/// One CA: that with the fingerprint; without one, the first that clients
/// could use, or any, so that it is said why they could not.
fn choose(
    candidates: &[CaCertificates],
    chain: &[CertificateDer<'_>],
    names: &[RegistryAddress],
    expected: Option<&FullFingerprint>,
) -> Result<CaCertificates, String> {
    let chosen = match expected {
        Some(expected) => candidates.iter().find(|ca| expected.is(&fingerprint(ca))),
        None => candidates
            .iter()
            .find(|ca| check(chain, names, ca).is_ok())
            .or(candidates.first()),
    };
    chosen.cloned().ok_or_else(|| {
        let found: Vec<_> = candidates
            .iter()
            .map(|ca| fingerprint(ca).to_string())
            .collect();
        format!(
            "nothing was written: the fingerprint is not that of the server's CA, which has {}: \
             compare it with what `pi-registry cert show` prints on the server, somebody may be \
             in between",
            found.join(" or ")
        )
    })
}

fn fingerprint(ca: &CaCertificates) -> Fingerprint {
    Fingerprint::of(&ca.certificates()[0])
}

/// What a person needs to tell whether it is the right CA.
fn shown(ca: &CaCertificates, chain: &[CertificateDer<'_>]) -> String {
    let authority = CertificateSummary::of(&ca.certificates()[0]);
    let hosts = chain
        .first()
        .and_then(|own| CertificateSummary::of(own).ok());
    let hosts = hosts.map(|own| own.hosts).unwrap_or_default();
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    match authority {
        // What is to be compared comes last: a long list cannot hide it.
        Ok(ca) => format!(
            "It signed the server's certificate, which is good for {}.\n  subject:  {}\n  \
             valid:    {} to {}\n  sha256:   {}",
            hosts.join(", "),
            ca.subject,
            ca.not_before.date(),
            ca.not_after.date(),
            ca.fingerprint,
        ),
        Err(problem) => problem.to_string(),
    }
}

/// Fetches `http://<address>/ca.crt`, which a registry answers on its TLS
/// port where `http.tls.publishca` is set.
async fn published(address: &RegistryAddress) -> Result<Vec<CaCertificates>, String> {
    let pem = fetch(address).await;
    let pem = pem.map_err(|why| unpublished(address, &why))?;
    let ca = CaCertificates::from_pem(&pem);
    let ca = ca.map_err(|error| unpublished(address, &error.to_string()))?;
    Ok(candidates(ca.certificates()))
}

fn unpublished(address: &RegistryAddress, why: &str) -> String {
    format!(
        "{address} shows no CA's certificate, and none can be had from http://{address}{CA_PATH} \
         ({why}): set http.tls.publishca there, or copy the CA's certificate here and give it \
         with --ca FILE"
    )
}

async fn fetch(address: &RegistryAddress) -> Result<Bytes, String> {
    let (_, tcp) = remote::connect_any(address)
        .await
        .map_err(|error| one_line(&error))?;
    let reply = remote::get(tcp, &address.to_string(), CA_PATH, None).await?;
    match reply.status {
        StatusCode::OK => Ok(reply.body),
        status => Err(format!("the answer is {status}")),
    }
}
