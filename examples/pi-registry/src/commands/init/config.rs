//! The configuration file that `init` makes.

use std::path::Path;

use registry_tls::files::{Overwrite, write_public};

use crate::commands::cert::files::{Files, unwritten};

/// What it is to say.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) port: u16,
    pub(super) data: &'a Path,
    pub(super) files: &'a Files,
    /// Whether there is a CA of our own to hand out.
    pub(super) publish_ca: bool,
    /// The file of users; without it everybody may do everything.
    pub(super) users: Option<&'a Path>,
    /// The key of tokens, where everybody may pull.
    pub(super) token_key: Option<&'a Path>,
}

pub(super) fn write(path: &Path, settings: &Settings<'_>) -> Result<(), String> {
    let text = settings.to_yaml()?;
    write_public(path, text.as_bytes(), Overwrite::Never).map_err(|error| unwritten(&error))
}

impl Settings<'_> {
    fn to_yaml(&self) -> Result<String, String> {
        let Self { port, .. } = self;
        let data = quoted(self.data)?;
        let certificate = quoted(&self.files.certificate)?;
        let key = quoted(&self.files.key)?;
        let mut text = format!(
            r#"# The registry's configuration, made by `pi-registry init`, which leaves it as it
# is from now on: change what you like. The keys are those of registry:2.
version: 0.1

storage:
  # Where the images are kept; made at the first start.
  filesystem:
    rootdirectory: {data}
  # Clients may delete manifests and tags.
  delete:
    enabled: true
  maintenance:
    # Once a day the space is freed of what no image uses any more. Images
    # without a tag stay, since somebody may pull them by digest; with
    # deleteuntagged: true they go as well.
    gc:
      enabled: true

http:
  # This port of every address of the machine.
  addr: ":{port}"
  tls:
    # What clients are shown: the registry's certificate, then the CA's. A
    # renewed one is taken over within 10 seconds, without a restart.
    certificate: {certificate}
    # Its private key. It stays here: no client needs it.
    key: {key}
"#
        );
        if self.publish_ca {
            let ca = quoted(&self.files.ca_certificate)?;
            text += &format!(
                r#"    # The CA's certificate, which clients are to trust. The registry hands it out
    # at /ca.crt; compare the fingerprint before you trust it.
    publishca: {ca}
"#
            );
        }
        match self.users {
            Some(users) => {
                text += &format!(
                    r#"
# Who may pull and push: the users of this file. Add more with
# pi-registry user add --file FILE NAME
auth:
  htpasswd:
    realm: "registry"
    path: {}
"#,
                    quoted(users)?
                );
                if let Some(key) = self.token_key {
                    text += &format!(
                        r#"  # Who does not sign in may pull everything.
  anonymous: pull
  # Docker can do both on one host only with tokens. The key keeps its sign-ins
  # through a restart.
  tokenserver:
    enabled: true
    refresh: true
    key: {}
"#,
                        quoted(key)?
                    );
                }
            }
            None => {
                text += r#"
# Everybody who reaches the registry may pull, push and delete. To ask for a
# password, make a file of users with pi-registry user add --file FILE NAME
# and write:
# auth:
#   htpasswd:
#     realm: "registry"
#     path: FILE
"#;
            }
        }
        Ok(text)
    }
}

/// A path as a string of YAML, of which those of JSON are a part.
fn quoted(path: &Path) -> Result<String, String> {
    let text = path.to_str().ok_or_else(|| {
        format!(
            "{} is not UTF-8 and cannot be in a configuration: choose another directory",
            path.display()
        )
    })?;
    serde_json::to_string(text).map_err(|error| error.to_string())
}
