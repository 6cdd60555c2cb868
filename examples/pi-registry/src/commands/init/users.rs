//! Users that `--user` names: their passwords, before anything is written; and
//! the key of their tokens.

use std::io::{self, BufRead as _, IsTerminal as _, Read};
use std::path::Path;

use registry_auth::htpasswd::{self, DEFAULT_COST, MIN_COST, edit};
use registry_auth::token::{Algorithm, SigningKey};
use registry_tls::files::{Overwrite, write_secret};

use crate::commands::cert::files::{MADE, THERE, line, unwritten};
use crate::commands::cert::is_there;
use crate::commands::password;
use crate::logging::chain;

/// A user, and the password of one who is new.
#[derive(Debug)]
pub(super) struct User {
    name: String,
    password: Option<String>,
}

#[cfg(test)]
impl User {
    pub(super) fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: Some(password.to_owned()),
        }
    }
}

/// Asks for the passwords of those who are not in the file: on a terminal, else
/// one line of standard input for each name, so that the same input does for
/// a second run.
pub(super) fn ask(names: &[String], path: &Path) -> Result<Vec<User>, String> {
    let there = match !names.is_empty() && is_there(path)? {
        true => edit::list(path).map_err(|error| chain(&error))?,
        false => Vec::new(),
    };
    let stdin = io::stdin();
    let names = &once(names);
    let users = if stdin.is_terminal() {
        with_passwords(names, &there, |name| password::ask(name).map(Some))?
    } else if names.iter().all(|name| there.contains(name)) {
        with_passwords(names, &there, |_| Ok(None))?
    } else {
        from_lines(names, &there, stdin.lock())?
    };
    for user in &users {
        // The cheapest hash: only whether name and password will do.
        if let Some(password) = &user.password {
            htpasswd::entry(&user.name, password, MIN_COST).map_err(|error| chain(&error))?;
        }
    }
    Ok(users)
}

/// A name that is given twice is one user.
fn once(names: &[String]) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.contains(name) {
            once.push(name.clone());
        }
    }
    once
}

fn from_lines(names: &[String], there: &[String], stdin: impl Read) -> Result<Vec<User>, String> {
    /// Whoever pipes a file in by mistake need not wait for its end.
    const MOST: u64 = 64 * 1024;
    let mut lines = io::BufReader::new(stdin.take(MOST)).lines();
    let mut users = Vec::new();
    for name in names {
        let line = lines
            .next()
            .transpose()
            .map_err(|error| format!("cannot read the passwords from standard input: {error}"))?;
        users.extend(with_passwords(std::slice::from_ref(name), there, |name| {
            let missing = || {
                format!(
                    "there is no password for {name}: expected one line of standard input for \
                     each --user, in their order"
                )
            };
            line.clone().ok_or_else(missing).map(Some)
        })?);
    }
    Ok(users)
}

fn with_passwords(
    names: &[String],
    there: &[String],
    mut ask: impl FnMut(&str) -> Result<Option<String>, String>,
) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    for name in names {
        htpasswd::check_name(name).map_err(|error| chain(&error))?;
        let password = match there.contains(name) {
            true => None,
            false => ask(name)?,
        };
        users.push(User {
            name: name.clone(),
            password,
        });
    }
    Ok(users)
}

/// Adds those who are new.
pub(super) fn write(users: &[User], path: &Path, out: &mut String) -> Result<(), String> {
    for User { name, password } in users {
        let what = match password {
            None => THERE,
            Some(password) => {
                edit::add(path, name, password, DEFAULT_COST).map_err(|error| chain(&error))?;
                MADE
            }
        };
        line(out, what, path, &format!("user {name}"));
    }
    Ok(())
}

/// Makes the key that signs tokens, unless it is there.
pub(super) fn write_token_key(path: &Path, out: &mut String) -> Result<(), String> {
    if is_there(path)? {
        line(out, THERE, path, "key of tokens");
        return Ok(());
    }
    let key = SigningKey::generate(Algorithm::EdDsa).map_err(|error| error.to_string())?;
    let pem = key.to_pem();
    write_secret(path, pem.reveal().as_bytes(), Overwrite::Never)
        .map_err(|error| unwritten(&error))?;
    line(out, MADE, path, "key of tokens");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(names: &[&str], there: &[&str], stdin: &str) -> Result<Vec<String>, String> {
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let users = from_lines(&owned(names), &owned(there), stdin.as_bytes())?;
        let passwords = users.into_iter().map(|user| user.password);
        Ok(passwords.map(Option::unwrap_or_default).collect())
    }

    #[test]
    fn each_user_has_a_line_also_those_who_are_there() {
        let passwords = asked(&["ann", "bob"], &[], "one\r\ntwo\n").expect("both");
        assert_eq!(passwords, ["one", "two"]);
        let passwords = asked(&["ann", "bob"], &["ann"], "one\ntwo").expect("both");
        assert_eq!(passwords, ["", "two"]);
    }

    #[test]
    fn a_missing_line_names_the_user() {
        let error = asked(&["ann", "bob"], &[], "one\n").expect_err("one line");
        assert!(error.contains("bob"), "{error}");
        let error = asked(&["a:b"], &[], "one\n").expect_err("no name");
        assert!(!error.is_empty());
    }
}
