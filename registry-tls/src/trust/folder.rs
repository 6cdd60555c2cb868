//! Looking into a `certs.d` folder that somebody made by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

use super::CaError;
use super::ca::{certificates, holds_key};

/// A mistake in a registry's folder below `certs.d`, by the name of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FolderProblem {
    /// No file can make a client trust the registry.
    #[error("there is no CA certificate: the registry's CA belongs into ca.crt")]
    NoCa,
    /// Clients do not look at such a file.
    #[error(
        "{0} is never read: a CA's file must end in .crt, a client's certificate in .cert and its key in .key"
    )]
    NeverRead(String),
    /// A client's certificate is missing its key. Every request fails.
    #[error(
        "{0} has no .key file beside it, so docker fails with \"missing key\": rename it to end \
         in .crt if it is the CA's certificate"
    )]
    NoKey(String),
    /// A key is missing its certificate. Every request fails.
    #[error(
        "{0} has no .cert file beside it, so docker fails for want of the client certificate: remove it, or add the .cert"
    )]
    NoCertificate(String),
    /// A private key is where only certificates belong.
    #[error("{0} holds a private key: remove the key, a client needs the CA's certificate only")]
    PrivateKey(String),
    /// The server's own pair, taken for a client's.
    #[error(
        "{0} is the server's certificate and its private key lies beside it: remove both, the \
         key must never leave the server"
    )]
    ServerKey(String),
    /// Clients trust nothing that such a certificate signed.
    #[error(
        "{0} is not a CA's certificate (no CA flag): put the certificate there that signed the registry's"
    )]
    NotCa(String),
    /// No PEM, or damaged.
    #[error("{0} holds no readable certificate: expected PEM with BEGIN CERTIFICATE")]
    Unreadable(String),
}

/// Looks for mistakes in a folder such as
/// `/etc/docker/certs.d/registry.local:5000`. An empty list means that clients
/// will trust what the folder's CA signed.
///
/// ```
/// use registry_tls::trust::{FolderProblem, check_folder};
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("ca.pem"), "")?;
/// assert_eq!(
///     check_folder(folder.path())?,
///     [FolderProblem::NeverRead("ca.pem".to_owned()), FolderProblem::NoCa]
/// );
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn check_folder(folder: &Path) -> io::Result<Vec<FolderProblem>> {
    let files = read(folder)?;
    let trusted: Vec<_> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".crt"))
        .flat_map(|(_, text)| certificates(text).unwrap_or_default())
        .collect();
    let mut problems = Vec::new();
    for (name, text) in &files {
        let has = |stem: &str, suffix: &str| files.contains_key(&format!("{stem}{suffix}"));
        if name.ends_with(".crt") {
            problems.extend(check_ca(name, text));
        } else if let Some(stem) = name.strip_suffix(".cert") {
            problems.extend(check_client(name, text, has(stem, ".key"), &trusted));
        } else if let Some(stem) = name.strip_suffix(".key") {
            if !has(stem, ".cert") {
                problems.push(FolderProblem::NoCertificate(name.clone()));
            }
        } else if holds_key(text) {
            problems.push(FolderProblem::PrivateKey(name.clone()));
        } else if name != "hosts.toml" {
            problems.push(FolderProblem::NeverRead(name.clone()));
        }
    }
    if trusted.is_empty() {
        problems.push(FolderProblem::NoCa);
    }
    Ok(problems)
}

/// The files of a folder by name; folders in it are nothing to clients.
fn read(folder: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Follows symbolic links, as clients do.
        if path.is_file() {
            let name = path.file_name().unwrap_or_default();
            files.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}

fn check_ca(name: &str, text: &[u8]) -> Vec<FolderProblem> {
    let name = || name.to_owned();
    let mut problems = Vec::new();
    if holds_key(text) {
        problems.push(FolderProblem::PrivateKey(name()));
    }
    let flags = certificates(text).and_then(|all| all.iter().map(|der| is_root(der)).collect());
    match flags {
        Ok(flags) if Vec::is_empty(&flags) => problems.push(FolderProblem::Unreadable(name())),
        Ok(flags) if flags.contains(&true) => {}
        Ok(_) => problems.push(FolderProblem::NotCa(name())),
        Err(_) => problems.push(FolderProblem::Unreadable(name())),
    }
    problems
}

/// Clients also trust a certificate without the CA flag that signed itself: as
/// a server's, or in X.509 version 1 as a CA's.
fn is_root(der: &[u8]) -> Result<bool, CaError> {
    let (_, certificate) = parse_x509_certificate(der).map_err(|_| CaError::Damaged)?;
    Ok(certificate.is_ca() || certificate.issuer() == certificate.subject())
}

fn check_client(
    name: &str,
    text: &[u8],
    has_key: bool,
    trusted: &[CertificateDer<'_>],
) -> Option<FolderProblem> {
    if !has_key {
        return Some(FolderProblem::NoKey(name.to_owned()));
    }
    match certificates(text).unwrap_or_default().first() {
        None => Some(FolderProblem::Unreadable(name.to_owned())),
        Some(first) if trusted.contains(first) || is_for_servers(first) => {
            Some(FolderProblem::ServerKey(name.to_owned()))
        }
        Some(_) => None,
    }
}

/// Whether a certificate says that it is for servers and not for clients.
fn is_for_servers(der: &[u8]) -> bool {
    let Ok((_, certificate)) = parse_x509_certificate(der) else {
        return false;
    };
    let usage = certificate.extended_key_usage().ok().flatten();
    usage.is_some_and(|usage| {
        usage.value.server_auth && !usage.value.client_auth && !usage.value.any
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{CA, LEAF, LEAF_KEY, SECOND_CA};
    use super::*;

    fn check(files: &[(&str, &str)]) -> Vec<FolderProblem> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("writes");
        }
        check_folder(folder.path()).expect("a folder to read")
    }

    #[test]
    fn good_folders_have_no_problem() {
        assert_eq!(check(&[("ca.crt", CA)]), []);
        assert_eq!(
            check(&[("domain.crt", &[LEAF, CA].concat()), ("hosts.toml", "")]),
            []
        );
        let alone = include_str!("../../testdata/v1.crt");
        assert_eq!(check(&[("ca.crt", alone)]), []);
        let client = [("ca.crt", CA), ("a.cert", SECOND_CA), ("a.key", LEAF_KEY)];
        assert_eq!(check(&client), []);
    }

    #[test]
    fn each_mistake_is_found() {
        use FolderProblem::*;
        let key_and_ca = [LEAF_KEY, CA].concat();
        let name = str::to_owned;
        for (files, expected) in [
            (vec![], vec![NoCa]),
            (
                vec![("ca.crt.txt", CA)],
                vec![NeverRead(name("ca.crt.txt")), NoCa],
            ),
            (vec![("ca.cert", CA)], vec![NoKey(name("ca.cert")), NoCa]),
            (
                vec![("ca.crt", CA), ("domain.key", LEAF_KEY)],
                vec![NoCertificate(name("domain.key"))],
            ),
            (
                vec![("ca.crt", &key_and_ca)],
                vec![PrivateKey(name("ca.crt"))],
            ),
            (
                vec![("ca.crt", CA), ("server.pem", LEAF_KEY)],
                vec![PrivateKey(name("server.pem"))],
            ),
            (
                vec![
                    ("ca.crt", CA),
                    ("client.cert", CA),
                    ("client.key", LEAF_KEY),
                ],
                vec![ServerKey(name("client.cert"))],
            ),
            (
                vec![
                    ("ca.crt", CA),
                    ("client.cert", LEAF),
                    ("client.key", LEAF_KEY),
                ],
                vec![ServerKey(name("client.cert"))],
            ),
            (vec![("ca.crt", LEAF)], vec![NotCa(name("ca.crt"))]),
            (
                vec![("ca.crt", "DER?")],
                vec![Unreadable(name("ca.crt")), NoCa],
            ),
        ] {
            assert_eq!(check(&files), expected, "{files:?}");
        }
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let error = check_folder(Path::new("/nonexistent")).expect_err("no folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
