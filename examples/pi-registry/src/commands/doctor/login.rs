//! The user and the password to try.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use registry_tls::trust::RegistryAddress;

use super::machine::Machine;
use super::sign_in::WHAT;
use crate::commands::password;
use crate::commands::report::Report;

/// A user and a password.
pub(super) struct Login {
    pub(super) user: String,
    password: String,
    /// Where it was found.
    pub(super) from: String,
}

impl Login {
    /// Asks for the password.
    pub(super) fn ask(user: &str) -> Result<Self, String> {
        let password = password::ask_known(user)?;
        let (user, from) = (user.to_owned(), "--user".to_owned());
        Ok(Self {
            user,
            password,
            from,
        })
    }

    /// What `docker login` has kept.
    pub(super) fn kept(
        machine: &Machine,
        address: &RegistryAddress,
        report: &mut Report,
    ) -> Option<Self> {
        let path = match machine.variable("DOCKER_CONFIG") {
            Some(folder) => std::path::Path::new(folder).join("config.json"),
            None => machine.home(".docker/config.json")?,
        };
        let text = machine.read(&path)?;
        let path = path.display();
        let Ok(config) = serde_json::from_str::<serde_json::Value>(&text) else {
            report.warning(
                WHAT,
                &format!("{path} is not valid JSON: docker does not start"),
            );
            return None;
        };
        let name = address.to_string();
        let helper = config.get("credHelpers").and_then(|all| all.get(&name));
        if let Some(helper) = helper
            .or(config.get("credsStore"))
            .and_then(|all| all.as_str())
        {
            let text = format!(
                "{path} keeps passwords in {helper}, which is not read: try one with --user NAME"
            );
            report.ok(WHAT, &text);
        }
        let auths = config.get("auths")?.as_object()?;
        let is_ours = |key: &str| {
            let key = key.split_once("://").map_or(key, |(_, rest)| rest);
            key.split('/').next() == Some(&name)
        };
        let (_, entry) = auths.iter().find(|(key, _)| is_ours(key))?;
        let pair = STANDARD.decode(entry.get("auth")?.as_str()?).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (user, password) = pair.split_once(':')?;
        Some(Self {
            user: user.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
            from: path.to_string(),
        })
    }

    /// The header of Basic.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let pair = STANDARD.encode(format!("{}:{}", self.user, self.password));
        secret(format!("Basic {pair}"))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A header that no log shows.
pub(super) fn secret(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
