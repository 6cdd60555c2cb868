//! Who may do what, as the configuration's `auth` has it.
//!
//! ```text
//! any of: htpasswd file, client certificate -> who -> policy -> what
//! ```

mod certificate;
mod policy_file;

use std::sync::Arc;
use std::time::Duration;

use registry_auth::any_of::AnyOf;
use registry_auth::htpasswd::{Htpasswd, HtpasswdError, Reloaded};
use registry_auth::policy::{CurrentPolicy, Policed};
use registry_spec::{AllowAll, Authorizer};

use crate::config;
use crate::logging::chain;
use certificate::ByCertificate;
use policy_file::WatchedPolicy;

/// How often the files of users and rules are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// The authorizer of a configuration, and its upkeep.
#[derive(Debug)]
pub struct Auth {
    authorizer: Arc<dyn Authorizer>,
    users: Option<Arc<Htpasswd>>,
    policy: Option<WatchedPolicy>,
}

impl Auth {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When the file of users is missing or cannot be used. None is made in
    /// its place, as distribution does: nobody would look for the password in
    /// the log.
    pub fn open(auth: &config::Auth) -> Result<Self, HtpasswdError> {
        if auth.is_open() {
            // Only a configuration without `auth`, or with `none`, gets here.
            return Ok(Self {
                authorizer: Arc::new(AllowAll),
                users: None,
                policy: None,
            });
        }
        let mut ways: Vec<Arc<dyn Authorizer>> = Vec::new();
        let mut users = None;
        if let Some(htpasswd) = &auth.htpasswd {
            let file = Arc::new(Htpasswd::load(&htpasswd.path, &htpasswd.realm)?);
            warn(&file);
            ways.push(Arc::clone(&file) as _);
            users = Some(file);
        }
        if let Some(user) = auth.client_certificate {
            ways.push(Arc::new(ByCertificate::new(user)));
        }
        let current = CurrentPolicy::new(auth.policy.clone());
        let file = auth.policy_file.clone();
        Ok(Self {
            authorizer: Arc::new(Policed::new(AnyOf::new(ways), current.clone())),
            users,
            policy: file.map(|file| WatchedPolicy::new(file, current)),
        })
    }

    /// What decides on requests.
    #[must_use]
    pub fn authorizer(&self) -> Arc<dyn Authorizer> {
        Arc::clone(&self.authorizer)
    }

    /// Takes over changes of the files until it is dropped.
    pub async fn follow_changes(self) {
        let Self {
            users, mut policy, ..
        } = self;
        while users.is_some() || policy.is_some() {
            tokio::time::sleep(INTERVAL).await;
            let users = users.clone();
            let looked = tokio::task::spawn_blocking(move || {
                if let Some(users) = &users {
                    reload(users);
                }
                if let Some(policy) = &mut policy {
                    policy.look();
                }
                policy
            });
            match looked.await {
                Ok(looked) => policy = looked,
                // The runtime ends, or there is a bug in what was just done.
                Err(error) => {
                    tracing::error!(%error, "users and rules are not followed any more");
                    return;
                }
            }
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
            tokio::time::sleep(INTERVAL * 2).await;
            let access = Access::pull("a".parse().expect("a name"));
            let extensions = Extensions::new();
            let request = AuthRequest::new(&Credentials::Anonymous, &access, &extensions);
            let allowed = authorizer.authorize(&request).await.is_ok();
            assert_eq!(allowed, expected, "{rules}");
        }
        fs::remove_file(path("rules")).expect("there");
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(!follow.is_finished());
        follow.abort();
    }

    #[test]
    fn without_a_file_of_users_everything_is_open() {
        let auth = Auth::open(&config::Auth::open()).expect("nothing to read");
        assert!(format!("{:?}", auth.authorizer()).contains("AllowAll"));
    }
}
