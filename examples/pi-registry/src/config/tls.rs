//! The `http.tls` section: certificates, and who must show one.

use std::path::PathBuf;

use registry_tls::server::{CipherSuites, ClientAuth, MinimumTls};

use super::error::ConfigError;
use super::node::{Node, Source};
use super::read;
use crate::certificates::tls_provider;

/// The `http.tls` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tls {
    /// `http.tls.certificate`: a PEM file, the registry's certificate first
    /// and perhaps those of its issuers after it.
    pub certificate: PathBuf,
    /// `http.tls.key`: its private key, a PEM file.
    pub key: PathBuf,
    /// `http.tls.clientcas`: PEM files of those who may issue client
    /// certificates. Default: none.
    pub client_cas: Vec<PathBuf>,
    /// `http.tls.clientauth`: what is asked of clients. Default: a verified
    /// certificate where there are [`client_cas`](Self::client_cas), else
    /// nothing.
    pub client_auth: Option<ClientAuth>,
    /// `http.tls.minimumtls`. Default: TLS 1.2.
    pub minimum: MinimumTls,
    /// `http.tls.ciphersuites`, by the names of Go or IANA. As in Go they bind
    /// TLS 1.2, and TLS 1.3 only where they name a suite of it. Default: all
    /// that are good.
    pub cipher_suites: CipherSuites,
    /// `http.tls.publishca`, a key of our own: the PEM file of the CA that
    /// clients are to trust, which `/ca.crt` then hands out, without TLS too.
    /// Default: nothing is handed out.
    pub publish_ca: Option<PathBuf>,
}

impl Tls {
    /// Whether a client without a verified certificate is refused.
    #[must_use]
    pub fn requires_client(&self) -> bool {
        self.client_auth == Some(ClientAuth::RequireAndVerify)
    }

    pub(super) fn read(
        root: &Node,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, ConfigError> {
        const FILE: &str = "the path of a PEM file";
        let Some(section) = root.at("http.tls") else {
            return Ok(None);
        };
        // An empty variable is as good as none, and templates set such.
        if section.is_off() && matches!(section.source, Source::Env(_)) {
            return Ok(None);
        }
        let file = |key| read::parsed(root, key, FILE, |text| Some(PathBuf::from(text)));
        let certificate = file("http.tls.certificate")?;
        let key = file("http.tls.key")?;
        // Never plain HTTP where somebody has written this section.
        let missing = |missing, there| {
            ConfigError::at(
                &section.source,
                format_args!(
                    "http.tls has no {missing}{there}: expected the paths of two PEM files in \
                     http.tls.certificate and http.tls.key, as `pi-registry init` makes them"
                ),
            )
        };
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, Some(_)) => return Err(missing("certificate", ", only a key")),
            (Some(_), None) => return Err(missing("key", ", only a certificate")),
            (None, None) => return Err(missing("certificate", " and no key")),
        };
        let client_cas = read::texts(root, "http.tls.clientcas", "a list of paths of PEM files")?;
        let client_cas: Vec<_> = client_cas.iter().map(|(path, _)| path.into()).collect();
        Ok(Some(Self {
            certificate,
            key,
            client_auth: client_auth(root, &client_cas)?,
            client_cas,
            minimum: minimum(root, warnings)?,
            cipher_suites: cipher_suites(root, warnings)?,
            publish_ca: file("http.tls.publishca")?,
        }))
    }
}

fn client_auth(root: &Node, cas: &[PathBuf]) -> Result<Option<ClientAuth>, ConfigError> {
    const CLIENT_AUTH: &str = "http.tls.clientauth";
    let expected = "request-client-cert, require-any-client-cert, verify-client-cert-if-given or \
                    require-and-verify-client-cert";
    let asked: Option<ClientAuth> =
        read::parsed(root, CLIENT_AUTH, expected, |text| text.parse().ok())?;
    if let (Some(asked), [], Some(node)) = (asked, cas, root.at(CLIENT_AUTH))
        && asked.verifies()
    {
        return Err(ConfigError::value(
            CLIENT_AUTH,
            node,
            "http.tls.clientcas beside it, to verify client certificates by",
        ));
    }
    let default = (!cas.is_empty()).then_some(ClientAuth::RequireAndVerify);
    Ok(asked.or(default))
}

fn minimum(root: &Node, warnings: &mut Vec<String>) -> Result<MinimumTls, ConfigError> {
    const MINIMUM: &str = "http.tls.minimumtls";
    const EXPECTED: &str = "tls1.2 or tls1.3";
    let Some((text, node)) = read::text(root, MINIMUM, EXPECTED)? else {
        return Ok(MinimumTls::default());
    };
    let asked = MinimumTls::parse(text).map_err(|_| ConfigError::value(MINIMUM, node, EXPECTED))?;
    if asked.raised {
        warnings.push(format!(
            "{}: {MINIMUM} is {text}, which is broken: TLS 1.2 is the oldest that is spoken",
            node.source
        ));
    }
    Ok(asked.minimum)
}

fn cipher_suites(root: &Node, warnings: &mut Vec<String>) -> Result<CipherSuites, ConfigError> {
    const SUITES: &str = "http.tls.ciphersuites";
    let names = read::texts(root, SUITES, "a list of names of cipher suites")?;
    let Some(node) = root.at(SUITES) else {
        return Ok(CipherSuites::default());
    };
    let suites = CipherSuites::parse(names.iter().map(|(name, _)| name), &tls_provider())
        .map_err(|error| ConfigError::at(&node.source, format_args!("{SUITES}: {error}")))?;
    for name in suites.dropped() {
        warnings.push(format!(
            "{}: {SUITES} names {name}, which is weak and never offered",
            node.source
        ));
    }
    Ok(suites)
}
