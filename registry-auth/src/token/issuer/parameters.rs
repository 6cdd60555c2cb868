//! What a request to the token endpoint says.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use http::header;
use http::request::Parts;
use registry_spec::auth::{Credentials, Secret};

use super::reply::Refusal;

/// Longest form that is read.
const LONGEST_FORM: usize = 8 * 1024;

/// What is asked, and by whom. What clients send besides (`account`,
/// `client_id`) gives no rights and is not looked at.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) sign_in: SignIn,
    /// If it was named; there is only one.
    pub(super) service: Option<String>,
    /// The values of all `scope` parameters.
    pub(super) scopes: Vec<String>,
    /// Whether a refresh token is asked for.
    pub(super) offline: bool,
    pub(super) is_post: bool,
}

/// How somebody signs in; nothing of it is checked yet.
#[derive(Debug)]
pub(super) enum SignIn {
    Anonymous,
    Password { username: String, password: Secret },
    Refresh(Secret),
}

impl Parameters {
    /// `?service=…&scope=…&scope=…&offline_token=true`, with Basic credentials
    /// or none.
    pub(super) fn of_get(query: &str, credentials: Credentials) -> Result<Self, Refusal> {
        let fields = Fields::read(query.as_bytes())?;
        let sign_in = match credentials {
            Credentials::Anonymous => SignIn::Anonymous,
            Credentials::Basic { username, password } => SignIn::Password { username, password },
            _ => return Err(Refusal::Credentials),
        };
        Ok(Self {
            sign_in,
            service: fields.service,
            scopes: fields.scopes,
            offline: fields.offline_token.as_deref() == Some("true"),
            is_post: false,
        })
    }

    /// `grant_type=…&service=…&scope=…&access_type=offline`, with the
    /// credentials in the form
    /// ([Distribution, "OAuth2"](https://distribution.github.io/distribution/spec/auth/oauth/)).
    pub(super) fn of_post(form: &[u8]) -> Result<Self, Refusal> {
        let fields = Fields::read(form)?;
        let sign_in = match fields.grant_type.as_deref() {
            Some("password") => match (fields.username, fields.password) {
                (Some(username), Some(password)) => {
                    let password = Secret::new(password);
                    SignIn::Password { username, password }
                }
                _ => return Err(Refusal::Request("expected username and password")),
            },
            Some("refresh_token") => {
                let token = fields.refresh_token;
                let token = token.ok_or(Refusal::Request("expected refresh_token"))?;
                SignIn::Refresh(Secret::new(token))
            }
            Some(_) => return Err(Refusal::GrantType),
            None => return Err(Refusal::Request("expected grant_type")),
        };
        Ok(Self {
            sign_in,
            service: fields.service,
            scopes: fields.scopes,
            offline: fields.access_type.as_deref() == Some("offline"),
            is_post: true,
        })
    }
}

/// The known fields of a query or form. No `Debug`: a password is among them.
#[derive(Default)]
struct Fields {
    service: Option<String>,
    scopes: Vec<String>,
    offline_token: Option<String>,
    access_type: Option<String>,
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
}

impl Fields {
    fn read(text: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for (name, value) in form_urlencoded::parse(text) {
            let field = match &*name {
                "scope" => {
                    fields.scopes.push(value.into_owned());
                    continue;
                }
                "service" => &mut fields.service,
                "offline_token" => &mut fields.offline_token,
                "access_type" => &mut fields.access_type,
                "grant_type" => &mut fields.grant_type,
                "username" => &mut fields.username,
                "password" => &mut fields.password,
                "refresh_token" => &mut fields.refresh_token,
                _ => continue,
            };
            if field.replace(value.into_owned()).is_some() {
                return Err(Refusal::Request("a parameter comes twice"));
            }
        }
        Ok(fields)
    }
}

/// The form that a request has as its body.
pub(super) async fn form<B>(request: &Parts, body: B) -> Result<Vec<u8>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
{
    check_is_form(request)?;
    read(body).await
}

fn check_is_form(request: &Parts) -> Result<(), Refusal> {
    let kind = request.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(Refusal::Request(
        "expected application/x-www-form-urlencoded",
    ))
}

async fn read<B>(body: B) -> Result<Vec<u8>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_| Refusal::Request("the form ended early"))?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        if content.len() + bytes.len() > LONGEST_FORM {
            return Err(Refusal::TooLong);
        }
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}
