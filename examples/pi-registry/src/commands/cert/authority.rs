//! The CA: loaded, completed or made.

use registry_tls::files::{Overwrite, write_public, write_secret};
use registry_tls::issue::{Authority, AuthorityOptions, KeyKind};
use registry_tls::pem;

use super::files::{Files, MADE, THERE, is_there, line, unwritten};
use crate::logging::chain;

/// The CA of these files.
pub(super) fn load(files: &Files) -> Result<Authority, String> {
    let certificates = pem::certificates(&files.ca_certificate).map_err(|e| e.to_string())?;
    let key = pem::private_key(&files.ca_key).map_err(|e| e.to_string())?;
    Authority::load(&certificates, &key)
        .map_err(|error| format!("{}: {}", files.ca_certificate.display(), chain(&error)))
}

/// Says what is there, and makes what is not.
pub(super) fn load_or_make(
    files: &Files,
    name: &str,
    kind: KeyKind,
    out: &mut String,
) -> Result<Authority, String> {
    let mut options = AuthorityOptions::new(name);
    options.key = kind;
    let authority = match (is_there(&files.ca_certificate)?, is_there(&files.ca_key)?) {
        (true, true) => {
            let authority = load(files)?;
            line(out, THERE, &files.ca_key, "");
            line(out, THERE, &files.ca_certificate, "");
            return Ok(authority);
        }
        (true, false) => return Err(without_key(files)),
        (false, true) => {
            let authority = complete(files, &options)?;
            line(out, THERE, &files.ca_key, "");
            authority
        }
        (false, false) => {
            let authority = Authority::new(&options).map_err(|e| chain(&e))?;
            let key = authority.key_pem();
            write_secret(&files.ca_key, key.as_ref(), Overwrite::Never)
                .map_err(|e| unwritten(&e))?;
            line(out, MADE, &files.ca_key, "the CA's key: it stays here");
            authority
        }
    };
    let pem = authority.certificate_pem();
    write_public(&files.ca_certificate, pem.as_ref(), Overwrite::Never)
        .map_err(|e| unwritten(&e))?;
    line(
        out,
        MADE,
        &files.ca_certificate,
        "the CA, which clients are to trust",
    );
    Ok(authority)
}

/// The CA of a key without a certificate: the one that is served already, for
/// clients may trust it, else a new one.
fn complete(files: &Files, options: &AuthorityOptions) -> Result<Authority, String> {
    let key = pem::private_key(&files.ca_key).map_err(|error| error.to_string())?;
    let served = pem::certificates(&files.certificate).unwrap_or_default();
    let mut served = served.chunks(1);
    if let Some(authority) = served.find_map(|one| Authority::load(one, &key).ok()) {
        return Ok(authority);
    }
    Authority::with_key(options, &key)
        .map_err(|error| format!("{}: {}", files.ca_key.display(), chain(&error)))
}

fn without_key(files: &Files) -> String {
    let (certificate, key) = (files.ca_certificate.display(), files.ca_key.display());
    format!(
        "{key} is missing, the key of the CA {certificate}: bring it back, or move {certificate} \
         away to have a new CA, which every client must be told to trust"
    )
}
