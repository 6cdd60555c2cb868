//! `user`: who may sign in, in the file of `auth.htpasswd.path`.
//!
//! Passwords are never arguments: those are seen by every user of a machine,
//! and kept by shells.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use registry_auth::htpasswd::{DEFAULT_COST, MAX_COST, MIN_COST, edit};

use super::{exit_code, password, print};
use crate::config::{Document, Search};
use crate::logging::chain;

#[derive(Args, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
enum Action {
    /// Add a user; makes the file if it is missing, readable for its maker alone.
    Add(New),
    /// Give a user another password.
    Passwd(New),
    /// Remove a user.
    Remove(Name),
    /// Print the users' names.
    List(File),
}

#[derive(Args, Debug, PartialEq, Eq)]
#[command(after_help = "The password is asked for, or the first line of standard input.")]
struct New {
    #[command(flatten)]
    name: Name,
    /// How dear a guess is: one more doubles the time of a sign-in.
    #[arg(short = 'C', long, default_value_t = DEFAULT_COST)]
    #[arg(value_parser = clap::value_parser!(u32).range(i64::from(MIN_COST)..=i64::from(MAX_COST)))]
    cost: u32,
}

#[derive(Args, Debug, PartialEq, Eq)]
struct Name {
    /// The user.
    name: String,
    #[command(flatten)]
    file: File,
}

#[derive(Args, Debug, PartialEq, Eq)]
struct File {
    /// The file of users [default: auth.htpasswd.path of the configuration].
    #[arg(long, conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Configuration file [default: the one that `serve` takes].
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Changes or prints the file.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let done = arguments.action.run();
    exit_code(done.and_then(|text| print(&text).map_err(|error| format!("cannot print: {error}"))))
}

impl Action {
    /// What to print, or to complain of.
    fn run(&self) -> Result<String, String> {
        match self {
            Self::Add(new) => {
                let (name, path) = (&new.name.name, new.name.file.path()?);
                let made = !path.exists();
                // Before anybody thinks of a password.
                edit::check_new(&path, name).map_err(|e| chain(&e))?;
                let password = password::ask(name)?;
                edit::add(&path, name, &password, new.cost).map_err(|e| chain(&e))?;
                let mut text = done("added to", name, &path);
                if made {
                    text += "The file is new and readable for you alone: the registry must run as \
                             you, or be given it.\n";
                }
                Ok(text)
            }
            Self::Passwd(new) => {
                let (name, path) = (&new.name.name, new.name.file.path()?);
                edit::check_there(&path, name).map_err(|e| chain(&e))?;
                let password = password::ask(name)?;
                edit::set_password(&path, name, &password, new.cost).map_err(|e| chain(&e))?;
                Ok(done("has a new password in", name, &path))
            }
            Self::Remove(Name { name, file }) => {
                let path = file.path()?;
                edit::remove(&path, name).map_err(|e| chain(&e))?;
                Ok(done("removed from", name, &path))
            }
            Self::List(file) => {
                let names = edit::list(&file.path()?).map_err(|e| chain(&e))?;
                Ok(names.into_iter().map(|name| name + "\n").collect())
            }
        }
    }
}

fn done(what: &str, name: &str, path: &Path) -> String {
    let path = path.display();
    format!("{name} {what} {path}; a running registry knows within 10 seconds\n")
}

impl File {
    fn path(&self) -> Result<PathBuf, String> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let document = Document::load(
            self.config.as_deref(),
            Search::WellKnown,
            std::env::vars_os(),
        );
        let config = document.and_then(|document| document.config());
        match config.map_err(|error| error.to_string())?.auth.htpasswd {
            Some(htpasswd) => Ok(htpasswd.path),
            None => Err(
                "which file? Give it with --file FILE, or set auth.htpasswd.path in the \
                 configuration"
                    .to_owned(),
            ),
        }
    }
}
