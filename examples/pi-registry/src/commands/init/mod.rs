//! `init`: everything that a registry needs, from nothing.
//!
//! ```text
//! hosts of the machine, passwords       asked and shown, nothing is written
//! ca.key ca.crt tls.key tls.crt         each key before its certificate
//! htpasswd token.key config.yml         never a configuration that is open by mistake
//! loaded as a start would               then: what follows
//! ```
//!
//! Run again, it touches nothing that exists, completes what is missing, and
//! renews the certificate for a host that is given and not in it.

mod config;
mod machine;
mod next;
#[cfg(test)]
mod tests;
mod users;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use registry_tls::HostName;
use registry_tls::issue::DEFAULT_VALIDITY;
use registry_tls::trust::RegistryAddress;

use self::config::Settings;
use self::machine::Machine;
use self::next::Next;
use self::users::User;
use super::cert::files::{MADE, THERE, line};
use super::cert::leaf::{current, listed};
use super::cert::{DEFAULT_DIR, Files, Hosts, Key, Wanted, complete, is_there, tell};
use super::word;
use crate::certificates::Certificates;
use crate::config::{Config, ListenAddr};

#[derive(Args, Debug, PartialEq, Eq)]
#[command(after_help = "\
The machine's own names and addresses are always in the certificate. Run again,
it touches nothing that exists, makes what is missing, and adds hosts that are
given to the certificate.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: Hosts,
    /// Directory for everything: certificates, keys, configuration and images.
    #[arg(long, default_value = DEFAULT_DIR)]
    dir: PathBuf,
    /// Port to listen on.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// A user who may pull and push; may be repeated. The password is asked
    /// for, or a line of standard input for each.
    #[arg(long = "user", value_name = "NAME")]
    users: Vec<String>,
    /// Everybody may pull; only users may push. Docker then signs in with
    /// tokens, which the registry gives itself.
    #[arg(long)]
    anonymous_pull: bool,
    /// Kind of the new keys.
    #[arg(long, value_enum, default_value_t)]
    key: Key,
}

/// Does it; 0 when a registry can start with what is there.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    tell(|out| {
        let dir = std::path::absolute(&arguments.dir)
            .map_err(|error| format!("cannot use {}: {error}", arguments.dir.display()))?;
        // Before anything is written: whoever interrupts this has changed nothing.
        let users = users::ask(&arguments.users, &dir.join("htpasswd"))?;
        init(arguments, &dir, &Machine::this(), &users, out)
    })
}

fn init(
    arguments: &Arguments,
    dir: &Path,
    machine: &Machine,
    users: &[User],
    out: &mut String,
) -> Result<(), String> {
    let given = arguments.hosts.all();
    announce(&given, machine, out);
    fs::create_dir_all(dir)
        .map_err(|error| format!("cannot make the directory {}: {error}", dir.display()))?;

    let files = Files::in_dir(dir);
    let name = given.iter().find(|host| !host.is_wildcard()).cloned();
    let name = name.or_else(|| machine.best()).unwrap_or_else(localhost);
    let wanted = Wanted {
        guessed: machine.hosts(),
        kind: arguments.key.into(),
        valid: DEFAULT_VALIDITY,
        name: name.to_string(),
        given,
    };
    complete(&files, &wanted, out)?;

    let htpasswd = dir.join("htpasswd");
    users::write(users, &htpasswd, out)?;
    let has_users = is_there(&htpasswd)?;
    let has_ca = is_there(&files.ca_certificate)?;
    if arguments.anonymous_pull && !has_users {
        return Err(
            "--anonymous-pull without users: nobody could push: add --user NAME".to_owned(),
        );
    }

    let config = dir.join("config.yml");
    if is_there(&config)? {
        line(out, THERE, &config, "left as it is");
    } else {
        let token_key = dir.join("token.key");
        if arguments.anonymous_pull {
            users::write_token_key(&token_key, out)?;
        }
        let settings = Settings {
            port: arguments.port,
            data: &dir.join("data"),
            files: &files,
            publish_ca: has_ca,
            users: has_users.then_some(&htpasswd),
            token_key: arguments.anonymous_pull.then_some(&token_key),
        };
        config::write(&config, &settings)?;
        line(out, MADE, &config, "");
    }

    let loaded = load(&config)?;
    differences(
        arguments,
        &loaded,
        &files,
        has_users.then_some(&htpasswd),
        out,
    );
    let hosts = current(&files.certificate)?.hosts;
    leftovers(&wanted.guessed, &hosts, out);
    let port = match loaded.http.addr {
        ListenAddr::Any { port } | ListenAddr::Host { port, .. } => port,
        ListenAddr::Unix { .. } => arguments.port,
    };
    let host = used(&wanted.given, machine, &hosts);
    let registry = RegistryAddress::new(host, port).map_err(|error| error.to_string())?;
    let ca = match has_ca {
        true => Some((
            files.ca_certificate.as_path(),
            current(&files.ca_certificate)?.fingerprint,
        )),
        false => None,
    };
    let next = Next {
        config: &config,
        registry: &registry,
        ca,
        users: !loaded.auth.is_open(),
    };
    next.tell(out);
    Ok(())
}

/// Shows what a new certificate is for.
fn announce(given: &[HostName], machine: &Machine, out: &mut String) {
    *out += "Names and addresses for the certificate; clients can use no others:\n";
    if !given.is_empty() {
        *out += &format!("  given    {}\n", listed(given));
    }
    let mut guessed = machine.hosts();
    guessed.retain(|host| !given.contains(host));
    *out += &format!("  guessed  {}\n", listed(&guessed));
    if machine.contained && given.is_empty() {
        *out += "This is a container, which cannot know what clients call it: run this again with\n\
                 --host NAME and --ip ADDRESS for each name and address that they use.\n";
    } else {
        *out += "More: run this again with --host NAME or --ip ADDRESS.\n";
    }
    *out += "\n";
}

/// Reads everything as a start would.
fn load(path: &Path) -> Result<Config, String> {
    // What is in the environment now need not be there at the start.
    let config = Config::load(Some(path), []).map_err(|error| error.to_string())?;
    if let Some(tls) = &config.http.tls {
        Certificates::load(tls, &config.http).map_err(|error| {
            format!(
                "{error}; look closer with: pi-registry check {}",
                word(&path.display().to_string())
            )
        })?;
    }
    crate::auth::Auth::open(&config.auth).map_err(|error| crate::logging::chain(&error))?;
    Ok(config)
}

/// Where a configuration that was there is not what was asked for.
fn differences(
    arguments: &Arguments,
    config: &Config,
    files: &Files,
    users: Option<&Path>,
    out: &mut String,
) {
    let mut note = |text: String| *out += &format!("note: config.yml {text}\n");
    match &config.http.tls {
        None => note(format!(
            "has no http.tls, so that the registry is served without TLS: add certificate {} and \
             key {}",
            files.certificate.display(),
            files.key.display()
        )),
        Some(tls) if tls.certificate != files.certificate => note(format!(
            "serves another certificate, {}",
            tls.certificate.display()
        )),
        Some(_) => {}
    }
    match config.http.addr {
        ListenAddr::Any { port } | ListenAddr::Host { port, .. } if port == arguments.port => {}
        // Only the default was not asked for.
        _ if arguments.port == 5000 => {}
        _ => note(format!(
            "listens on {}, change http.addr there",
            config.http.addr
        )),
    }
    if arguments.anonymous_pull && config.auth.token_server.is_none() {
        note(
            "is as it was, without anonymous pull: add auth.anonymous: pull and \
             auth.tokenserver: {enabled: true}"
                .to_owned(),
        );
    }
    match (&config.auth.htpasswd, users) {
        (None, Some(users)) if config.auth.is_open() => note(format!(
            "lets everybody in: add auth.htpasswd with a realm and path {}",
            users.display()
        )),
        (Some(htpasswd), Some(users)) if htpasswd.path != users => note(format!(
            "has other users, those of {}",
            htpasswd.path.display()
        )),
        (None, None) if config.auth.is_open() => {
            *out += "note: everybody who reaches the registry may pull, push \
                                       and delete: see auth in config.yml, or --user\n"
        }
        _ => {}
    }
}

/// Guessed hosts that an older certificate is not for.
fn leftovers(guessed: &[HostName], entries: &[HostName], out: &mut String) {
    let missing: Vec<_> = guessed
        .iter()
        .filter(|host| !covered(host, entries))
        .cloned()
        .collect();
    if !missing.is_empty() {
        *out += &format!(
            "note: the certificate is not for {}: add what clients use with --host or --ip\n",
            listed(&missing)
        );
    }
}

/// The host for the commands that follow, one that the certificate is for:
/// given now, or else in an earlier run, or else what is best of this machine.
fn used(given: &[HostName], machine: &Machine, entries: &[HostName]) -> HostName {
    let guessed = machine.hosts();
    let earlier = entries.iter().filter(|host| !guessed.contains(host));
    let candidates = given.iter().chain(earlier).cloned();
    candidates
        .chain(machine.best())
        .chain(entries.iter().cloned())
        .find(|host| !host.is_wildcard() && covered(host, entries))
        .unwrap_or_else(localhost)
}

fn covered(host: &HostName, entries: &[HostName]) -> bool {
    entries.iter().any(|entry| entry.covers(host))
}

fn localhost() -> HostName {
    HostName::Dns("localhost".to_owned())
}
