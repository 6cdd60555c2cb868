//! Who may do what, as the configuration's `auth` has it.
//!
//! ```text
//! any of: own token, htpasswd file, client certificate -> who -> policy -> what
//! or:     token of another server, within the limits of a policy  -> who, what
//! ```
//!
//! With tokens of our own, the challenge is theirs, because two at once break
//! clients; but a password that comes unasked, as from curl or a Kubernetes
//! secret, is as good as without them.

mod certificate;
mod error;
mod jwks_url;
mod policy_file;
mod service;
mod token;
mod token_server;

use std::sync::Arc;

use registry_auth::any_of::AnyOf;
use registry_auth::htpasswd::{Htpasswd, Reloaded};
use registry_auth::policy::{CurrentPolicy, Policed};
use registry_auth::token::Issuer;
use registry_spec::auth::{Access, Identity};
use registry_spec::{AllowAll, Authorizer};

use crate::config;
use crate::follow::follow;
use crate::logging::chain;
use crate::tag_rules::CurrentTagRules;
use certificate::ByCertificate;
use policy_file::WatchedPolicy;
use token::{FetchedKeys, WatchedKeys};

pub use error::OpenError;
pub use service::WithIssuer;
pub(crate) use token::{KeyFiles, fetch as fetch_keys};
pub(crate) use token_server::signing_key;

/// The authorizer of a configuration, and its upkeep.
#[derive(Debug)]
pub struct Auth {
    authorizer: Arc<dyn Authorizer>,
    issuer: Option<Issuer>,
    files: Files,
    fetched: Option<FetchedKeys>,
}

/// What may change while the registry runs.
#[derive(Debug, Default)]
struct Files {
    users: Option<Arc<Htpasswd>>,
    policy: Option<WatchedPolicy>,
    keys: Option<WatchedKeys>,
}

impl Auth {
    /// The same, whose file of rules `tags` follow, too.
    #[must_use]
    pub fn with_tags(mut self, tags: &CurrentTagRules) -> Self {
        if let Some(policy) = &mut self.files.policy {
            policy.also(tags.clone());
        }
        self
    }

    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When the file of users or one of keys is missing or cannot be used. No
    /// file of users is made, as distribution does: nobody would look for the
    /// password in the log.
    pub fn open(auth: &config::Auth) -> Result<Self, OpenError> {
        let current = CurrentPolicy::new(auth.policy.clone());
        let policy = auth.policy_file.clone();
        let policy = policy.map(|file| WatchedPolicy::new(file, current.clone()));
        if let Some(token) = &auth.token {
            return Self::with_tokens(token, &current, policy);
        }
        if auth.is_open() {
            // Only a configuration without `auth`, or with `none`, gets here.
            return Ok(Self {
                authorizer: Arc::new(AllowAll),
                issuer: None,
                files: Files::default(),
                fetched: None,
            });
        }
        let mut ways: Vec<Arc<dyn Authorizer>> = Vec::new();
        let (mut users, mut issuer) = (None, None);
        if let Some(htpasswd) = &auth.htpasswd {
            let file = Arc::new(Htpasswd::load(&htpasswd.path, &htpasswd.realm)?);
            warn(&file);
            if let Some(server) = &auth.token_server {
                let realm = &htpasswd.realm;
                let (gives, checks) = token_server::open(server, realm, &file, &current)?;
                // First: its challenge is the one that is told.
                ways.push(Arc::new(checks));
                issuer = Some(gives);
            }
            ways.push(Arc::clone(&file) as _);
            users = Some(file);
        }
        if let Some(user) = auth.client_certificate {
            ways.push(Arc::new(ByCertificate::new(user)));
        }
        Ok(Self {
            authorizer: Arc::new(Policed::new(AnyOf::new(ways), current)),
            issuer,
            files: Files {
                users,
                policy,
                keys: None,
            },
            fetched: None,
        })
    }

    /// A token of another server says what its owner may; a policy can only
    /// take away from that.
    fn with_tokens(
        token: &config::Token,
        policy: &CurrentPolicy,
        file: Option<WatchedPolicy>,
    ) -> Result<Self, OpenError> {
        let policy = policy.clone();
        let limits = move |who: &Identity, access: &Access| policy.get().allows(who, access);
        let verifier = token::verifier(token)?.limited_by(Arc::new(limits));
        let verifier = Arc::new(verifier);
        let (keys, fetched) = token::trust(token, Arc::clone(&verifier))?;
        Ok(Self {
            authorizer: verifier,
            issuer: None,
            files: Files {
                users: None,
                policy: file,
                keys: Some(keys),
            },
            fetched,
        })
    }

    /// What decides on requests.
    #[must_use]
    pub fn authorizer(&self) -> Arc<dyn Authorizer> {
        Arc::clone(&self.authorizer)
    }

    /// Puts the token server, if there is one, before a service.
    pub fn wrap<S>(&self, inner: S) -> WithIssuer<S> {
        WithIssuer::new(self.issuer.clone(), inner)
    }

    /// Takes over changes of the files, and of keys at a URL, until it is
    /// dropped.
    pub async fn follow_changes(self) {
        let fetched = async {
            if let Some(fetched) = self.fetched {
                fetched.follow().await;
            }
        };
        tokio::join!(fetched, self.files.follow());
    }
}

impl Files {
    async fn follow(mut self) {
        if self.users.is_some() || self.policy.is_some() || self.keys.is_some() {
            follow("users, rules and keys", move || self.look()).await;
        }
    }

    fn look(&mut self) {
        if let Some(users) = &self.users {
            reload(users);
        }
        if let Some(policy) = &mut self.policy {
            policy.look();
        }
        if let Some(keys) = &mut self.keys {
            keys.look();
        }
    }
}

fn reload(users: &Htpasswd) {
    match users.reload() {
        Ok(Reloaded::Changed) => {
            let count = users.user_count();
            tracing::info!("{}: read anew, {count} users", users.path().display());
            warn(users);
        }
        Ok(Reloaded::Recovered) => {
            tracing::info!("{}: usable again, unchanged", users.path().display());
        }
        Ok(_) => {}
        Err(error) => tracing::error!(
            "the users read before stay in force, because of {}",
            chain(&error)
        ),
    }
}

fn warn(users: &Htpasswd) {
    for warning in users.warnings() {
        tracing::warn!("{warning}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use http::Extensions;
    use registry_auth::htpasswd::edit;
    use registry_spec::auth::{Access, AuthRequest, Credentials, Secret};

    use super::*;
    use crate::follow::INTERVAL;

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_in_force_soon_and_a_bad_one_never() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = format!(
            "auth: {{htpasswd: {{path: '{}/users'}}}}",
            dir.path().display()
        );
        fs::write(dir.path().join("c.yml"), text).expect("written");
        let config = config::Config::load(Some(&dir.path().join("c.yml")), []).expect("valid");
        let users = dir.path().join("users");
        edit::add(&users, "alice", "secret", 4).expect("added");
        let auth = Auth::open(&config.auth).expect("usable");
        let authorizer = auth.authorizer();
        let may = |username: &str| {
            let (authorizer, username) = (Arc::clone(&authorizer), username.to_owned());
            async move {
                let credentials = Credentials::Basic {
                    username,
                    password: Secret::new("secret".to_owned()),
                };
                let extensions = Extensions::new();
                let request = AuthRequest::new(&credentials, &Access::Base, &extensions);
                authorizer.authorize(&request).await.is_ok()
            }
        };
        let follow = tokio::spawn(auth.follow_changes());
        for (content, alice, bob) in [("bob", false, true), ("nonsense", false, true)] {
            fs::remove_file(&users).expect("there");
            if content == "bob" {
                edit::add(&users, "bob", "secret", 4).expect("added");
            } else {
                fs::write(&users, content).expect("written");
            }
            tokio::time::sleep(INTERVAL * 2).await;
            assert_eq!((may("alice").await, may("bob").await), (alice, bob));
        }
        follow.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn changed_rules_are_in_force_soon_and_bad_ones_never() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).expect("written");
        let text = format!(
            "auth: {{htpasswd: {{path: '{root}/users'}}, policy: {{path: '{root}/rules'}}}}",
            root = dir.path().display()
        );
        write("c.yml", &text);
        write("rules", "rules: []");
        edit::add(&path("users"), "alice", "secret", 4).expect("added");
        let config = config::Config::load(Some(&path("c.yml")), []).expect("valid");
        let auth = Auth::open(&config.auth).expect("usable");
        let authorizer = auth.authorizer();
        let follow = tokio::spawn(auth.follow_changes());
        let pull = "{who: anonymous, repositories: '**', actions: pull}";
        for (rules, expected) in [
            (format!("rules: [{pull}]"), true),
            ("rules: [nonsense]".to_owned(), true),
            (String::new(), true),
            ("rules: []".to_owned(), false),
            (format!("rules: [{pull}]"), true),
        ] {
            // As an editor saves it, and a mounted secret is changed.
            write("new", &rules);
            fs::rename(path("new"), path("rules")).expect("renamed");
            tokio::time::sleep(INTERVAL * 3).await;
            let access = Access::pull("a".parse().expect("a name"));
            let extensions = Extensions::new();
            let request = AuthRequest::new(&Credentials::Anonymous, &access, &extensions);
            let allowed = authorizer.authorize(&request).await.is_ok();
            assert_eq!(allowed, expected, "{rules}");
        }
        // Cut off in the middle of being written, and found so by one look.
        let whole = format!("rules: [{pull}]\ntags: {{immutable: [{{repositories: a, tags: v}}]}}");
        for text in ["rules: []", &whole, "rules: []", &whole] {
            write("rules", text);
            tokio::time::sleep(INTERVAL).await;
            let access = Access::pull("a".parse().expect("a name"));
            let extensions = Extensions::new();
            let request = AuthRequest::new(&Credentials::Anonymous, &access, &extensions);
            assert!(authorizer.authorize(&request).await.is_ok());
        }
        fs::remove_file(path("rules")).expect("there");
        tokio::time::sleep(INTERVAL * 3).await;
        assert!(!follow.is_finished());
        follow.abort();
    }

    #[test]
    fn without_a_file_of_users_everything_is_open() {
        let auth = Auth::open(&config::Auth::open()).expect("nothing to read");
        assert!(format!("{:?}", auth.authorizer()).contains("AllowAll"));
    }
}
