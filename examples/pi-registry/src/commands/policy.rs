//! `policy`: who may do what, and by which rule.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use registry_auth::htpasswd::edit;
use registry_auth::policy::{Right, Who};
use registry_spec::auth::Identity;
use registry_spec::types::RepositoryName;

use super::{complain, exit_code, print};
use crate::config::{Auth, Document, Search};

#[derive(Args, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
enum Action {
    /// Print what a user may do with a repository, and which rules say so.
    Explain(Explain),
}

#[derive(Args, Debug, PartialEq, Eq)]
struct Explain {
    /// The user; `anonymous` is who does not sign in.
    user: String,
    /// The repository: a name such as team/app, without host and tag.
    repository: String,
    /// Configuration file [default: the one that `serve` takes].
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Prints the rights, whatever they are; 1 only if they cannot be told.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Action::Explain(explain) = &arguments.action;
    exit_code(explain.run())
}

impl Explain {
    fn run(&self) -> Result<(), String> {
        let (file, search) = (self.config.as_deref(), Search::WellKnown);
        let document = Document::load(file, search, std::env::vars_os());
        let config = document.and_then(|document| document.config());
        let auth = config.map_err(|error| error.to_string())?.auth;
        let text = explain(&auth, &self.user, &self.repository)?;
        if let Some(line) = unknown_user(&auth, &self.user) {
            complain(line);
        }
        print(&text).map_err(|error| format!("cannot print: {error}"))
    }
}

/// A line per right and rule.
fn explain(auth: &Auth, user: &str, repository: &str) -> Result<String, String> {
    let identity = identity(user)?;
    let name: RepositoryName = repository
        .parse()
        .map_err(|error| format!("repository {repository:?}: {error}"))?;
    let mut lines = Vec::new();
    for right in Right::ALL {
        let reasons: Vec<_> = auth.policy.explain(&identity, right, &name).collect();
        if reasons.is_empty() {
            lines.push(format!("{right:<8}denied   no rule allows it\n"));
        }
        for reason in reasons {
            let place = reason.rule.place().unwrap_or("a rule");
            lines.push(format!("{right:<8}allowed  {place} ({reason})\n"));
        }
    }
    Ok(lines.concat())
}

fn identity(user: &str) -> Result<Identity, String> {
    match user.parse() {
        Ok(Who::Anonymous) => Ok(Identity::anonymous()),
        Ok(Who::User(name)) => Ok(Identity::user(&name)),
        Ok(_) => Err(format!(
            "user {user:?}: expected one user's name, or anonymous"
        )),
        Err(error) => Err(format!("user {user:?}: {error}")),
    }
}

/// A slip in a name would else be told as a lack of rights.
fn unknown_user(auth: &Auth, user: &str) -> Option<String> {
    let (htpasswd, None) = (auth.htpasswd.as_ref()?, auth.client_certificate) else {
        return None;
    };
    let user = identity(user).ok()?;
    let name = user.name()?;
    // A file that cannot be read is told of by `check` and at the start.
    let names = edit::list(&htpasswd.path).ok()?;
    let unknown = !names.iter().any(|known| known == name);
    unknown.then(|| format!("{} has no user {name:?}", htpasswd.path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use registry_auth::htpasswd::edit;

    use super::*;

    /// The `auth` of a configuration with the user `alice`, and its path.
    fn auth(dir: &Path, rest: &str) -> Auth {
        let users = dir.join("users");
        if !users.exists() {
            edit::add(&users, "alice", "secret", 4).expect("added");
        }
        let path = dir.join("c.yml");
        let text = format!("auth:\n  htpasswd: {{path: '{}'}}\n{rest}", users.display());
        fs::write(&path, text).expect("written");
        let document = Document::load(Some(&path), Search::Named, []).expect("valid");
        document.config().expect("valid").auth
    }

    #[test]
    fn every_right_is_told_with_the_rules_that_give_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let auth = auth(
            dir.path(),
            "  anonymous: pull
  policy:
    groups: {dev: [alice, bob]}
    rules:
    - who: [carol, group:dev]
      repositories: [x, 'team/**']
      actions: [push]
    - {who: ['*'], actions: [catalog]}
",
        );
        let explained = |user, repository| {
            let text = explain(&auth, user, repository).expect("explained");
            text.replace(&dir.path().display().to_string(), "DIR")
        };
        assert_eq!(
            explained("alice", "team/app"),
            "\
pull    allowed  DIR/c.yml:7 (group:dev, team/**)
pull    allowed  DIR/c.yml:3: auth.anonymous (anonymous, **)
push    allowed  DIR/c.yml:7 (group:dev, team/**)
delete  denied   no rule allows it
catalog allowed  DIR/c.yml:10 (*)
"
        );
        assert_eq!(
            explained("anonymous", "team/app"),
            "\
pull    allowed  DIR/c.yml:3: auth.anonymous (anonymous, **)
push    denied   no rule allows it
delete  denied   no rule allows it
catalog denied   no rule allows it
"
        );
    }

    #[test]
    fn without_a_policy_it_is_told_what_holds() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = explain(&auth(dir.path(), ""), "alice", "a").expect("explained");
        let line =
            "delete  allowed  without auth.policy, whoever signs in may do everything (*, **)";
        assert!(text.lines().any(|told| told == line), "{text}");
        let text = explain(&Auth::open(), "anonymous", "a").expect("explained");
        let line = "push    allowed  no auth is configured (anonymous, **)";
        assert!(text.lines().any(|told| told == line), "{text}");
    }

    #[test]
    fn what_cannot_be_told_is_said_in_one_line() {
        for (user, repository, expected) in [
            ("alice", "Team", "repository \"Team\": a repository name is"),
            (
                "alice",
                "team/app:v1",
                "repository \"team/app:v1\": a repository",
            ),
            (
                "*",
                "a",
                "user \"*\": expected one user's name, or anonymous",
            ),
            (
                "group:dev",
                "a",
                "user \"group:dev\": expected one user's name",
            ),
            ("", "a", "user \"\": the name is empty"),
        ] {
            let line = explain(&Auth::open(), user, repository).expect_err(expected);
            assert!(line.starts_with(expected) && !line.contains('\n'), "{line}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        let auth = auth(dir.path(), "");
        let line = unknown_user(&auth, "alcie").expect("a slip");
        assert!(line.ends_with("users has no user \"alcie\""), "{line}");
        assert_eq!(unknown_user(&auth, "alice"), None);
        assert_eq!(unknown_user(&auth, "anonymous"), None);
    }
}
