//! The `auth` section: who may in, and what they may do.
//!
//! | key | |
//! |---|---|
//! | `auth.none` | everybody may do everything, as without `auth` |
//! | `auth.htpasswd` | who has a password in a file may in |
//! | `auth.clientcertificate` | who has a certificate may in; also beside `htpasswd` |
//! | `auth.tokenserver` | the users of `htpasswd` get tokens, which docker needs for `anonymous` |
//! | `auth.token` | who has a token of somebody else's server may in, and do what it says |
//! | `auth.anonymous` | what those may do who have none of these |
//! | `auth.policy` | what those may do who are in |

mod policy;
mod token;

use std::path::PathBuf;

use registry_auth::policy::{Policy, RepositoryPattern, Right, Rule, Who};
use registry_spec::auth::Challenge;

use super::error::ConfigError;
use super::http::Http;
use super::node::{Node, Value};
use super::read;
use super::tags::TagRules;
use super::tls::Tls;

pub use policy::PolicyFile;
pub(super) use token::DEFAULT_REDIRECT_PATH;
pub(crate) use token::SERVER_PATH;
pub use token::{Jwks, Token, TokenServer};

/// The `auth` section. Default: open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Auth {
    /// `auth.htpasswd`: the users of a file may in. Default: none.
    pub htpasswd: Option<Htpasswd>,
    /// `auth.clientcertificate`, a key of our own: whoever shows a verified
    /// certificate may in, as the user that it names so. Default: none.
    pub client_certificate: Option<CertificateUser>,
    /// `auth.tokenserver`, a key of our own: the users get tokens, too.
    /// Default: none.
    pub token_server: Option<TokenServer>,
    /// `auth.token`: whoever has a token may in. Default: none.
    pub token: Option<Token>,
    /// `auth.policy` and `auth.anonymous`, keys of our own: who may do what.
    /// Default: whoever is in may do everything, as in distribution, and
    /// nobody else anything. With [`token`](Self::token) it is a limit of what
    /// tokens say, by default none.
    pub policy: Policy,
    /// `auth.policy.path`: where [`policy`](Self::policy) comes from. Default:
    /// none, the rules stand in the configuration.
    pub policy_file: Option<PolicyFile>,
}

/// The `auth.htpasswd` section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Htpasswd {
    /// `path`: the file. Required.
    pub path: PathBuf,
    /// `realm`: what people who sign in are shown. Default: `registry`;
    /// distribution has none, and fails without.
    pub realm: String,
}

/// `auth.clientcertificate.user`: what of a certificate is the user's name.
/// Of several of a kind, the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateUser {
    /// `commonname`: the subject's `CN`, as for Kubernetes.
    #[default]
    CommonName,
    /// `dns`: the alternative name that is a host name.
    Dns,
    /// `email`: the alternative name that is an e-mail address.
    Email,
    /// `uri`: the alternative name that is a URI, as of SPIFFE.
    Uri,
}

pub(super) const DEFAULT_REALM: &str = "registry";

/// The children of `auth` that let somebody in, or everybody.
const WAYS: &[&str] = &["clientcertificate", "htpasswd", "none", "token"];

impl Auth {
    /// Everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        let rule = Rule::everything(Who::Anonymous).at("no auth is configured");
        Self {
            htpasswd: None,
            client_certificate: None,
            token_server: None,
            token: None,
            policy: only(rule),
            policy_file: None,
        }
    }

    /// Whether nobody is asked who they are.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.htpasswd.is_none() && self.client_certificate.is_none() && self.token.is_none()
    }

    /// `tags` are the rules of the configuration, to which a file adds.
    pub(super) fn read(root: &Node, http: &Http, tags: &mut TagRules) -> Result<Self, ConfigError> {
        let Some(Value::Map(keys)) = root.at("auth").map(|node| &node.value) else {
            return Ok(Self::open());
        };
        let (ways, others): (Vec<_>, Vec<_>) = keys
            .iter()
            .partition(|(name, _)| WAYS.contains(&name.as_str()));
        if let [(first, _), (second, node), ..] = ways.as_slice()
            && ways
                .iter()
                .any(|(name, _)| matches!(name.as_str(), "none" | "token"))
        {
            return Err(ConfigError::at(
                &node.source,
                format_args!(
                    "auth has two ways to sign in, {first} and {second}: expected one: \
                     remove the other"
                ),
            ));
        }
        // What `none` has below it says nothing, but this says the contrary.
        if let Some(node) = root.at("auth.none")
            && node.value == Value::Scalar("false".to_owned())
        {
            let expected = "nothing, or another way to sign in";
            return Err(ConfigError::value("auth.none", node, expected));
        }
        let section = |name: &str| keys.iter().find(|(way, _)| way == name).map(|(_, n)| n);
        let htpasswd = section("htpasswd").map(|node| Htpasswd::read(root, node));
        let tls = http.tls.as_ref();
        let certificate = section("clientcertificate").map(|node| certificate(root, node, tls));
        let token = section("token").map(|node| Token::read(root, node));
        let mut auth = Self {
            htpasswd: htpasswd.transpose()?,
            client_certificate: certificate.transpose()?,
            token: token.transpose()?,
            ..Self::open()
        };
        if auth.is_open() {
            // Whoever wrote them does not want what follows: an open registry.
            return match others.first() {
                None => Ok(auth),
                Some((name, node)) => Err(ConfigError::at(
                    &node.source,
                    format_args!(
                        "auth.{name} without a way to sign in: add auth.htpasswd, auth.token or \
                         auth.clientcertificate, or remove it"
                    ),
                )),
            };
        }
        if let Some(node) = section("tokenserver")
            && let Some(server) = TokenServer::read(root, node, http)?
        {
            if auth.htpasswd.is_none() {
                return Err(ConfigError::at(
                    &node.source,
                    "auth.tokenserver without auth.htpasswd: it gives tokens to the users there: \
                     add auth.htpasswd, or remove it",
                ));
            }
            auth.token_server = Some(server);
        }
        let anonymous = anonymous(root)?;
        let everything = match (&auth.token, &anonymous, section("anonymous")) {
            (Some(_), Some(_), Some(node)) => {
                return Err(ConfigError::at(
                    &node.source,
                    "auth.anonymous beside auth.token: the token server decides what it gives to \
                     anybody: remove auth.anonymous",
                ));
            }
            (Some(_), ..) => Rule::everything(Who::Anonymous)
                .at("without auth.policy, a token's own rights are all that counts"),
            (None, ..) => Rule::everything(Who::SignedIn)
                .at("without auth.policy, whoever signs in may do everything"),
        };
        (auth.policy, auth.policy_file) = policy::read(root, anonymous, everything, tags)?;
        Ok(auth)
    }
}

impl Htpasswd {
    fn read(root: &Node, section: &Node) -> Result<Self, ConfigError> {
        const PATH: &str = "auth.htpasswd.path";
        let Some((path, _)) = read::text(root, PATH, "the path of an htpasswd file")? else {
            return Err(ConfigError::at(
                &section.source,
                format_args!(
                    "{PATH} is missing: give the path of a file of users, which is made with: \
                     pi-registry user add --file FILE NAME"
                ),
            ));
        };
        let realm = read::parsed(
            root,
            "auth.htpasswd.realm",
            "a text without quotes, backslashes and control characters",
            |text| {
                let realm = Challenge::basic(text).to_header();
                realm.is_ok().then(|| text.to_owned())
            },
        )?;
        Ok(Self {
            path: path.into(),
            realm: realm.unwrap_or_else(|| DEFAULT_REALM.to_owned()),
        })
    }
}

fn certificate(
    root: &Node,
    section: &Node,
    tls: Option<&Tls>,
) -> Result<CertificateUser, ConfigError> {
    let verified = tls
        .and_then(|tls| tls.client_auth)
        .is_some_and(|asked| asked.verifies());
    if !verified {
        return Err(ConfigError::at(
            &section.source,
            "auth.clientcertificate without verified certificates: give http.tls.clientcas, and no \
             http.tls.clientauth that does not verify",
        ));
    }
    let user = read::parsed(
        root,
        "auth.clientcertificate.user",
        "commonname, dns, email or uri",
        |text| {
            Some(match text {
                "commonname" => CertificateUser::CommonName,
                "dns" => CertificateUser::Dns,
                "email" => CertificateUser::Email,
                "uri" => CertificateUser::Uri,
                _ => return None,
            })
        },
    )?;
    Ok(user.unwrap_or_default())
}

/// `auth.anonymous`: what those may do who do not sign in.
fn anonymous(root: &Node) -> Result<Option<Rule>, ConfigError> {
    const ANONYMOUS: &str = "auth.anonymous";
    let pull = read::parsed(root, ANONYMOUS, "none or pull", |text| match text {
        "none" => Some(false),
        "pull" => Some(true),
        _ => None,
    })?;
    let node = root.at(ANONYMOUS).filter(|_| pull == Some(true));
    Ok(node.map(|node| {
        let every = [RepositoryPattern::every()];
        let rule = Rule::new([Who::Anonymous], every, [Right::Pull]);
        rule.at(format!("{}: {ANONYMOUS}", node.source))
    }))
}

fn only(rule: Rule) -> Policy {
    let policy = Policy::builder().rule(rule).build();
    policy.expect("the rule names no group")
}
