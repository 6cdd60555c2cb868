//! The registry's certificate: made, completed, renewed.

use std::path::Path;
use std::time::Duration;

use registry_tls::files::{Overwrite, write_public, write_secret};
use registry_tls::inspect::CertificateSummary;
use registry_tls::issue::{Authority, Issued, KeyChoice, KeyKind, LeafOptions};
use registry_tls::{HostName, pem};

use super::authority;
use super::files::{Files, MADE, RENEWED, THERE, is_there, line, unwritten};
use super::options::joined;
use crate::commands::word;
use crate::logging::chain;

/// What a certificate is to be like.
#[derive(Debug)]
pub(in crate::commands) struct Wanted {
    /// The hosts that it must be good for.
    pub(in crate::commands) given: Vec<HostName>,
    /// Those that a new one is made for besides.
    pub(in crate::commands) guessed: Vec<HostName>,
    /// The kind of new keys.
    pub(in crate::commands) kind: KeyKind,
    /// How long a new one is valid.
    pub(in crate::commands) valid: Duration,
    /// The name of a new CA.
    pub(in crate::commands) name: String,
}

/// Makes what is missing, and renews a certificate that is not good for the
/// given hosts. Nothing else that exists is touched.
pub(in crate::commands) fn complete(
    files: &Files,
    wanted: &Wanted,
    out: &mut String,
) -> Result<(), String> {
    match (is_there(&files.certificate)?, is_there(&files.key)?) {
        (true, true) => extend(files, wanted, out),
        (true, false) => Err(without_key(files)),
        (false, there) => {
            let authority = authority::load_or_make(files, &wanted.name, wanted.kind, out)?;
            let key = match there {
                true => kept(&files.key)?,
                false => KeyChoice::New(wanted.kind),
            };
            let hosts = joined(&[&wanted.given, &wanted.guessed]);
            let issued = issue(&authority, hosts, wanted.valid, key)?;
            if there {
                line(out, THERE, &files.key, "");
            } else {
                write_secret(&files.key, issued.key_pem.as_ref(), Overwrite::Never)
                    .map_err(|e| unwritten(&e))?;
                line(out, MADE, &files.key, "its key: no client needs it");
            }
            let pem = issued.certificate_pem.as_ref();
            write_public(&files.certificate, pem, Overwrite::Never).map_err(|e| unwritten(&e))?;
            line(out, MADE, &files.certificate, &good_for(&issued)?);
            Ok(())
        }
    }
}

/// A pair that exists, perhaps of somebody else's making and without a CA.
fn extend(files: &Files, wanted: &Wanted, out: &mut String) -> Result<(), String> {
    let has_ca = is_there(&files.ca_certificate)?;
    let has_ca_key = is_there(&files.ca_key)?;
    if has_ca_key {
        authority::load_or_make(files, &wanted.name, wanted.kind, out)?;
    } else if has_ca {
        line(out, THERE, &files.ca_certificate, "");
    }
    line(out, THERE, &files.key, "");
    let current = current(&files.certificate)?;
    let covered = |host: &&HostName| !current.hosts.iter().any(|entry| entry.covers(host));
    let missing: Vec<_> = wanted.given.iter().filter(covered).cloned().collect();
    if missing.is_empty() {
        let hosts = listed(&current.hosts);
        line(out, THERE, &files.certificate, &format!("for {hosts}"));
        return Ok(());
    }
    let renewal = Renewal {
        hosts: joined(&[&missing, &wanted.guessed]),
        valid: wanted.valid,
        new_key: None,
    };
    let renewed = renew(files, &renewal)?;
    let why = format!(
        "it was not for {}; {}",
        listed(&missing),
        good_for(&renewed)?
    );
    line(out, RENEWED, &files.certificate, &why);
    Ok(())
}

/// How to renew a certificate.
#[derive(Debug)]
pub(super) struct Renewal {
    /// Hosts to add.
    pub(super) hosts: Vec<HostName>,
    pub(super) valid: Duration,
    /// The kind of a new key; none to keep the one there is.
    pub(super) new_key: Option<KeyKind>,
}

/// Replaces a certificate by one of the same CA and hosts, and its key only if
/// asked to.
///
/// Of two files that change, a running registry may see one before the other.
/// It keeps the old pair until both fit. Were this interrupted between them,
/// the next renewal makes the certificate for whatever key is there.
pub(super) fn renew(files: &Files, renewal: &Renewal) -> Result<Issued, String> {
    let current = current(&files.certificate)?;
    if !is_there(&files.ca_certificate)? && !is_there(&files.ca_key)? {
        return Err(not_ours(files));
    }
    let authority = authority::load(files)?;
    let signer = authority.chain().first().map(CertificateSummary::of);
    let signer = signer.transpose().map_err(|problem| problem.to_string())?;
    if signer.is_none_or(|signer| signer.subject != current.issuer) {
        return Err(format!(
            "{} was not signed by {}, but by {}: renew it there, or move it and its key away and \
             make new ones with `pi-registry cert new`",
            files.certificate.display(),
            files.ca_certificate.display(),
            current.issuer
        ));
    }
    let hosts = joined(&[&current.hosts, &renewal.hosts]);
    let key = match renewal.new_key {
        Some(kind) => KeyChoice::New(kind),
        None => kept(&files.key)?,
    };
    let issued = issue(&authority, hosts, renewal.valid, key)?;
    if renewal.new_key.is_some() {
        write_secret(&files.key, issued.key_pem.as_ref(), Overwrite::Replace)
            .map_err(|e| unwritten(&e))?;
    }
    let pem = issued.certificate_pem.as_ref();
    write_public(&files.certificate, pem, Overwrite::Replace).map_err(|e| unwritten(&e))?;
    Ok(issued)
}

/// What the first certificate of a file says.
pub(in crate::commands) fn current(path: &Path) -> Result<CertificateSummary, String> {
    let chain = pem::certificates(path).map_err(|error| error.to_string())?;
    let first = chain.first().map(CertificateSummary::of);
    let first = first.ok_or_else(|| format!("{} holds no certificate", path.display()))?;
    first.map_err(|problem| format!("{}: {problem}", path.display()))
}

fn kept(path: &Path) -> Result<KeyChoice, String> {
    let key = pem::private_key(path).map_err(|error| error.to_string())?;
    Ok(KeyChoice::Keep(key))
}

fn issue(
    authority: &Authority,
    hosts: Vec<HostName>,
    valid: Duration,
    key: KeyChoice,
) -> Result<Issued, String> {
    let mut options = LeafOptions::new(hosts);
    options.valid = valid;
    options.key = key;
    authority.issue(&options).map_err(|error| chain(&error))
}

/// What a new certificate is, in a few words.
pub(super) fn good_for(issued: &Issued) -> Result<String, String> {
    let file = pem::PemFile::new("the new certificate", issued.certificate_pem.as_bytes());
    let chain = file.certificates().map_err(|error| error.to_string())?;
    let summary = CertificateSummary::of(&chain[0]).map_err(|problem| problem.to_string())?;
    let until = summary.not_after.date();
    Ok(match summary.hosts.is_empty() {
        true => format!("until {until}"),
        false => format!("for {}, until {until}", listed(&summary.hosts)),
    })
}

pub(in crate::commands) fn listed(hosts: &[HostName]) -> String {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    hosts.join(", ")
}

fn without_key(files: &Files) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let dir = files.certificate.parent().unwrap_or(Path::new("."));
    let dir = word(&dir.display().to_string());
    format!(
        "{key} is missing, the key of {certificate}: bring it back, or make a new pair with \
         `pi-registry cert renew --new-key --dir {dir}`"
    )
}

fn not_ours(files: &Files) -> String {
    format!(
        "there is no CA to renew {} with (no {}): it was made elsewhere; renew it there, or move \
         it and its key away and make new ones with `pi-registry cert new`",
        files.certificate.display(),
        files.ca_key.display()
    )
}
