//! `auth.token`: tokens of somebody else's server. `auth.tokenserver`: our
//! own.

use std::path::PathBuf;

use http::Uri;
use registry_auth::token::{Algorithm, AlgorithmError, Realm, Verifier, VerifierOptions};

use super::super::error::ConfigError;
use super::super::http::Http;
use super::super::node::Node;
use super::super::read;
use crate::public_url;

pub(in super::super) const DEFAULT_REDIRECT_PATH: &str = "/auth/token";

/// The path of the built-in token server, behind the registry's prefix.
pub(crate) const SERVER_PATH: &str = "/token";

/// The `auth.token` section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// `realm`: where clients get tokens; or, with `autoredirect`,
    /// `autoredirectpath` on the host of each request.
    pub realm: Realm,
    /// `service`: the registry's name at the token server. Required.
    pub service: String,
    /// `issuer`: the token server's own name. Required.
    pub issuer: String,
    /// `rootcertbundle`: a PEM file of certificates that are trusted.
    pub root_cert_bundle: Option<PathBuf>,
    /// `jwks`: keys that are trusted. It or the bundle is required.
    pub jwks: Option<Jwks>,
    /// `signingalgorithms`. Default: all that are safe.
    pub algorithms: Vec<Algorithm>,
}

/// Where a JWK set is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jwks {
    /// In a file.
    File(PathBuf),
    /// At an `https` URL, which distribution does not know.
    Url(Uri),
}

/// The `auth.tokenserver` section, of our own: tokens for the users of
/// `auth.htpasswd`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenServer {
    /// `key`: the PEM file of the key that signs. Default: one that is made at
    /// each start.
    pub key: Option<PathBuf>,
    /// `refresh`: whether docker may keep a refresh token in the place of the
    /// password. Default: no.
    pub refresh_tokens: bool,
    /// `realm`: its URL as clients see it. Default: `/token` below `http.host`,
    /// else on the host of each request, behind `http.prefix`.
    pub realm: Realm,
}

impl Token {
    pub(super) fn read(root: &Node, section: &Node) -> Result<Self, ConfigError> {
        const SERVICE: &str = "the registry's name at the token server, without quotes";
        const ISSUER: &str = "the token server's own name, the iss of its tokens";
        const BUNDLE: &str = "the path of a PEM file of certificates";
        let bundle = read::text(root, "auth.token.rootcertbundle", BUNDLE)?;
        let jwks = read::parsed(
            root,
            "auth.token.jwks",
            "the path of a JWK set, or its https URL without a user",
            Jwks::parse,
        )?;
        if bundle.is_none() && jwks.is_none() {
            return Err(ConfigError::at(
                &section.source,
                "auth.token has neither rootcertbundle nor jwks: give the certificates or the keys \
                 of the token server",
            ));
        }
        let text = |text: &str| Some(text.to_owned());
        let service = read::parsed(root, "auth.token.service", SERVICE, |name| {
            text(name).filter(|name| is_usable(&Realm::of_request("/"), name))
        })?;
        let issuer = read::parsed(root, "auth.token.issuer", ISSUER, text)?;
        Ok(Self {
            realm: Self::realm(root, section)?,
            service: required(service, section, "auth.token.service", SERVICE)?,
            issuer: required(issuer, section, "auth.token.issuer", ISSUER)?,
            root_cert_bundle: bundle.map(|(path, _)| path.into()),
            jwks,
            algorithms: algorithms(root)?,
        })
    }

    /// Where `autoredirect` is on, `realm` counts for nothing, as in
    /// distribution.
    fn realm(root: &Node, section: &Node) -> Result<Realm, ConfigError> {
        const PATH: &str = "auth.token.autoredirectpath";
        const EXPECTED: &str = "the URL of the token server, or auth.token.autoredirect: true";
        let fixed = realm(root, "auth.token.realm")?;
        let path = read::parsed(root, PATH, "a path such as /auth/token", |path| {
            let realm = Realm::of_request(path);
            is_usable(&realm, "x").then_some(realm)
        })?;
        if read::boolean(root, "auth.token.autoredirect")? == Some(true) {
            return Ok(path.unwrap_or_else(|| Realm::of_request(DEFAULT_REDIRECT_PATH)));
        }
        required(fixed, section, "auth.token.realm", EXPECTED)
    }
}

impl Jwks {
    fn parse(text: &str) -> Option<Self> {
        if !text.contains("://") {
            return Some(Self::File(text.into()));
        }
        let url: Uri = text.parse().ok()?;
        let authority = url.authority()?.as_str();
        // A password would be sent nowhere.
        let usable = url.scheme_str() == Some("https") && !authority.contains('@');
        usable.then_some(Self::Url(url))
    }
}

impl TokenServer {
    /// `None` where it is switched off.
    pub(super) fn read(
        root: &Node,
        section: &Node,
        http: &Http,
    ) -> Result<Option<Self>, ConfigError> {
        const KEY: &str = "auth.tokenserver.key";
        if read::boolean(root, "auth.tokenserver.enabled")? == Some(false) {
            return Ok(None);
        }
        let key = read::text(root, KEY, "the path of a PEM file of a private key")?;
        let refresh_tokens = read::boolean(root, "auth.tokenserver.refresh")?.unwrap_or(false);
        if refresh_tokens && key.is_none() {
            return Err(ConfigError::at(
                &section.source,
                format_args!(
                    "auth.tokenserver.refresh without {KEY}: every restart would end the refresh \
                     tokens that docker keeps in the place of passwords: give a key, which is \
                     made with: openssl genpkey -algorithm ed25519 -out FILE"
                ),
            ));
        }
        let of_request = match public_url::base(http) {
            Some(base) => Realm::fixed(&format!("{base}{SERVER_PATH}")),
            None => Realm::of_request(&format!("{}{SERVER_PATH}", http.prefix)),
        };
        Ok(Some(Self {
            key: key.map(|(path, _)| path.into()),
            refresh_tokens,
            realm: realm(root, "auth.tokenserver.realm")?.unwrap_or(of_request),
        }))
    }
}

fn realm(root: &Node, key: &str) -> Result<Option<Realm>, ConfigError> {
    let expected = "a URL such as https://tokens.example/token";
    read::parsed(root, key, expected, |url| {
        let realm = Realm::fixed(url);
        is_usable(&realm, "x").then_some(realm)
    })
}

/// Whether a challenge can name both, and clients follow it.
fn is_usable(realm: &Realm, service: &str) -> bool {
    let options = VerifierOptions::new(realm.clone(), service, "x");
    Verifier::without_keys(options).is_ok()
}

fn algorithms(root: &Node) -> Result<Vec<Algorithm>, ConfigError> {
    const KEY: &str = "auth.token.signingalgorithms";
    let texts = read::texts(root, KEY, "a list of names such as RS256")?;
    let parsed = texts.into_iter().map(|(text, node)| {
        text.parse().map_err(|error: AlgorithmError| {
            ConfigError::at(&node.source, format_args!("{KEY} has {text:?}: {error}"))
        })
    });
    let algorithms: Vec<Algorithm> = parsed.collect::<Result<_, _>>()?;
    Ok(match algorithms.as_slice() {
        [] => Algorithm::ALL.to_vec(),
        _ => algorithms,
    })
}

fn required<T>(
    value: Option<T>,
    section: &Node,
    key: &str,
    expected: &str,
) -> Result<T, ConfigError> {
    value.ok_or_else(|| {
        ConfigError::at(
            &section.source,
            format_args!("{key} is missing: expected {expected}"),
        )
    })
}
