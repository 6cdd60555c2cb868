//! A certificate by which a client proves who it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_tls::files::{Overwrite, write_public, write_secret};
use registry_tls::issue::{Authority, ClientOptions, KeyChoice, KeyKind};
use registry_tls::pem;

use super::files::{MADE, THERE, is_there, line, unwritten};
use super::leaf::good_for;
use crate::logging::chain;

/// Where a user's files go: each has a folder, for docker gives all of them
/// the same names.
pub(super) fn folder(dir: &Path, name: &str) -> Result<PathBuf, String> {
    let plain = |c: char| c.is_alphanumeric() || "-_.@ ".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(format!(
            "{name:?} cannot be the name of a client: expected letters, digits and any of -_.@"
        ));
    }
    Ok(dir.join("clients").join(name))
}

/// Makes `client.cert` and `client.key`, as docker and podman look for them.
pub(super) fn make(
    authority: &Authority,
    folder: &Path,
    name: &str,
    kind: KeyKind,
    valid: Duration,
    out: &mut String,
) -> Result<(), String> {
    let (certificate, key) = (folder.join("client.cert"), folder.join("client.key"));
    if is_there(&certificate)? {
        return Err(format!(
            "{} is there already: move it and its key away to make a new one",
            certificate.display()
        ));
    }
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make the directory {}: {error}", folder.display()))?;
    let there = is_there(&key)?;
    let mut options = ClientOptions::new(name);
    options.valid = valid;
    options.key = match there {
        true => KeyChoice::Keep(pem::private_key(&key).map_err(|error| error.to_string())?),
        false => KeyChoice::New(kind),
    };
    let issued = authority.issue_client(&options).map_err(|e| chain(&e))?;
    if there {
        line(out, THERE, &key, "");
    } else {
        write_secret(&key, issued.key_pem.as_ref(), Overwrite::Never).map_err(|e| unwritten(&e))?;
        line(out, MADE, &key, "for the client alone");
    }
    let pem = issued.certificate_pem.as_ref();
    write_public(&certificate, pem, Overwrite::Never).map_err(|e| unwritten(&e))?;
    line(out, MADE, &certificate, &good_for(&issued)?);
    *out += "\nCopy both to the client, into /etc/docker/certs.d/HOST:PORT/ beside ca.crt.\n\
             The registry asks for client certificates once http.tls.clientcas in its\n\
             configuration names ca.crt.\n";
    Ok(())
}
