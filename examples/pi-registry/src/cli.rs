//! The command line, in our own name and in distribution's.
//!
//! | called as | is |
//! |---|---|
//! | `pi-registry …` | this program |
//! | `registry …` | distribution's: `serve`, `garbage-collect`, a file, `--version` |
//! | `htpasswd …` | Apache's, as far as a registry needs it |

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{
    cert, doctor, garbage_collect, init, policy, retention, trust, user, verify,
};
use crate::config::Search;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Serve(Place),
    Config(Place),
    Check(Place),
    /// Remove what nothing needs.
    GarbageCollect(Place, garbage_collect::Arguments),
    /// Tell whether all that is kept is whole, and mend it if asked to.
    Verify(Place, verify::Arguments),
    /// With its own arguments.
    Htpasswd(Vec<OsString>),
    User(user::Arguments),
    Policy(policy::Arguments),
    Retention(retention::Arguments),
    /// Make a CA, a certificate and a configuration, and tell what follows.
    Init(init::Arguments),
    /// Make, renew, show and check certificates.
    Cert(cert::Arguments),
    /// Make docker, containerd, k3s, podman and others trust the registry's CA.
    Trust(trust::Arguments),
    /// Tell what clients on this machine will say to a registry, and why.
    Doctor(doctor::Arguments),
}

/// Where the configuration is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Option<PathBuf>,
    pub(crate) search: Search,
}

/// A container registry for small private clusters, in place of registry:2.
///
/// Without a configuration it listens on 127.0.0.1:5000 and keeps its data in
/// ./registry-data. Keys of the configuration are also read from environment
/// variables: REGISTRY_HTTP_ADDR is http.addr.
#[derive(Debug, Parser)]
#[command(name = "pi-registry", version, disable_version_flag = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// Configuration file, as registry:2 reads it
    /// [default: $REGISTRY_CONFIGURATION_PATH, else none].
    config: Option<PathBuf>,

    /// Print the version.
    // `-v` is what registry:2 has, `-V` what other programs have.
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the registry, as without a subcommand.
    Serve(File),
    /// Print the configuration that results, each value with its source.
    Config(File),
    /// Look for what is wrong with the configuration and the storage.
    Check(File),
    /// Remove what no image needs any more, beside a running registry.
    GarbageCollect(garbage_collect::Arguments),
    /// Tell whether all that is kept is whole, and mend what can be mended.
    Verify(verify::Arguments),
    /// Print a line for a file of users and passwords, as Apache's does.
    #[command(disable_help_flag = true)]
    Htpasswd(Htpasswd),
    /// Add, remove and list the users of an htpasswd file.
    User(user::Arguments),
    /// Tell who may do what, and by which rule.
    Policy(policy::Arguments),
    /// Remove the tags that no rule keeps, and tell of each why it stays.
    Retention(retention::Arguments),
    /// Make a CA, a certificate and a configuration, and tell what follows.
    Init(init::Arguments),
    /// Make, renew, show and check certificates.
    Cert(cert::Arguments),
    /// Make docker, containerd, k3s, podman and others trust the registry's CA.
    Trust(trust::Arguments),
    /// Tell what clients on this machine will say to a registry, and why.
    Doctor(doctor::Arguments),
}

#[derive(Args, Debug)]
struct File {
    /// Configuration file, as registry:2 reads it
    /// [default: $REGISTRY_CONFIGURATION_PATH; for `serve`, and when this is
    /// called `registry`, else /etc/distribution/config.yml, else
    /// /etc/docker/registry/config.yml; else none].
    config: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Htpasswd {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Reads the arguments of a process, its own name among them.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Action, clap::Error> {
    let mut arguments = arguments;
    let called = |argument: Option<&OsString>, name: &str| {
        argument.and_then(|path| Path::new(path).file_name()) == Some(OsStr::new(name))
    };
    if called(arguments.first(), "htpasswd") {
        return Ok(Action::Htpasswd(arguments.split_off(1)));
    }
    let as_registry = called(arguments.first(), "registry");
    let mut command = command();
    if as_registry {
        // `docker run IMAGE registry serve …`, which distribution's image runs
        // as it stands.
        if called(arguments.get(1), "registry") {
            arguments.remove(1);
        }
        // Three words, as distribution prints.
        command = command
            .name("registry")
            .bin_name("registry")
            .version(concat!("pi-registry ", env!("CARGO_PKG_VERSION")));
    }
    let cli = Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)?;
    let bare = if as_registry {
        Search::WellKnown
    } else {
        Search::Named
    };
    let place = |file: File, search| Place {
        file: file.config,
        search,
    };
    Ok(match cli.command {
        None => Action::Serve(Place {
            file: cli.config,
            search: bare,
        }),
        Some(Command::Serve(file)) => Action::Serve(place(file, Search::WellKnown)),
        Some(Command::Config(file)) => Action::Config(place(file, bare)),
        Some(Command::Check(file)) => Action::Check(place(file, bare)),
        Some(Command::GarbageCollect(mut arguments)) => {
            let config = arguments.config.take();
            Action::GarbageCollect(place(File { config }, bare), arguments)
        }
        Some(Command::Verify(mut arguments)) => {
            let config = arguments.config.take();
            Action::Verify(place(File { config }, bare), arguments)
        }
        Some(Command::Htpasswd(htpasswd)) => Action::Htpasswd(htpasswd.arguments),
        Some(Command::User(arguments)) => Action::User(arguments),
        Some(Command::Policy(arguments)) => Action::Policy(arguments),
        Some(Command::Retention(arguments)) => Action::Retention(arguments),
        Some(Command::Init(arguments)) => Action::Init(arguments),
        Some(Command::Cert(arguments)) => Action::Cert(arguments),
        Some(Command::Trust(arguments)) => Action::Trust(arguments),
        Some(Command::Doctor(arguments)) => Action::Doctor(arguments),
    })
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Action, clap::Error> {
        parse(arguments.iter().map(OsString::from).collect())
    }

    fn serve(file: Option<&str>, search: Search) -> Action {
        let file = file.map(PathBuf::from);
        Action::Serve(Place { file, search })
    }

    #[test]
    fn the_subcommand_may_be_left_out() {
        Cli::command().debug_assert();
        use Search::{Named, WellKnown};
        for (arguments, expected) in [
            (&["pi-registry"] as &[_], serve(None, Named)),
            (&["pi-registry", "serve"], serve(None, WellKnown)),
            (&["pi-registry", "c.yml"], serve(Some("c.yml"), Named)),
            (
                &["pi-registry", "serve", "c.yml"],
                serve(Some("c.yml"), WellKnown),
            ),
            (&["/bin/registry"], serve(None, WellKnown)),
            (&["registry", "c.yaml"], serve(Some("c.yaml"), WellKnown)),
            (
                &["registry", "serve", "c.yml"],
                serve(Some("c.yml"), WellKnown),
            ),
            (
                &["registry", "/bin/registry", "serve"],
                serve(None, WellKnown),
            ),
        ] {
            assert_eq!(parsed(arguments).expect("valid"), expected, "{arguments:?}");
        }
    }

    #[test]
    fn only_a_start_in_the_place_of_distribution_looks_into_etc() {
        for (arguments, search) in [
            (&["pi-registry", "config"] as &[_], Search::Named),
            (&["pi-registry", "check"], Search::Named),
            (&["pi-registry", "verify"], Search::Named),
            (&["registry", "verify", "--quick"], Search::WellKnown),
            (&["registry", "config"], Search::WellKnown),
            (&["registry", "check"], Search::WellKnown),
        ] {
            match parsed(arguments).expect("valid") {
                Action::Config(place) | Action::Check(place) | Action::Verify(place, _) => {
                    assert_eq!(place.search, search, "{arguments:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn garbage_collect_takes_the_flags_of_distribution() {
        for flags in [
            &["c.yml"] as &[_],
            &["-d", "c.yml"],
            &["--dry-run", "-m", "-q", "c.yml"],
            &["--delete-untagged=true", "c.yml"],
            &["-m=false", "--quiet", "--dry-run=1", "c.yml"],
            &["c.yml", "--delete-untagged"],
            &["-dm", "c.yml"],
            &[],
        ] {
            let arguments: Vec<_> = ["registry", "garbage-collect"]
                .iter()
                .chain(flags)
                .copied()
                .collect();
            let action = parsed(&arguments).expect("valid");
            assert!(matches!(action, Action::GarbageCollect(..)), "{flags:?}");
        }
        assert!(parsed(&["registry", "garbage-collect", "--all"]).is_err());
    }

    #[test]
    fn htpasswd_keeps_its_arguments() {
        let expected = ["-Bbn", "--", "u", "-p"].map(OsString::from).to_vec();
        for start in [
            &["/usr/bin/htpasswd"] as &[_],
            &["registry", "htpasswd"],
            &["pi-registry", "htpasswd"],
        ] {
            let arguments: Vec<_> = start
                .iter()
                .copied()
                .chain(["-Bbn", "--", "u", "-p"])
                .collect();
            let action = parsed(&arguments).expect("valid");
            assert_eq!(action, Action::Htpasswd(expected.clone()), "{start:?}");
        }
    }

    #[test]
    fn a_password_of_a_user_is_never_an_argument() {
        for arguments in [
            &["add", "alice"] as &[_],
            &["passwd", "alice", "--file", "f", "-C", "12"],
            &["remove", "alice", "--config", "c.yml"],
            &["list", "--file", "f"],
        ] {
            let start = ["pi-registry", "user"].iter().chain(arguments).copied();
            let action = parsed(&start.clone().collect::<Vec<_>>()).expect("valid");
            assert!(matches!(action, Action::User(_)), "{action:?}");
            let more: Vec<_> = start.chain(["secret"]).collect();
            assert!(parsed(&more).is_err(), "{more:?}");
        }
    }

    #[test]
    fn help_says_what_no_single_option_can() {
        for (command, expected) in [
            (&["trust"] as &[_], "Nothing is written without --install"),
            (&["init"], "touches nothing that exists"),
            (&["cert", "renew"], "for all hosts of the old one"),
            (&["user", "add"], "first line of standard input"),
            (&["verify"], "Nothing is changed without --repair"),
            (&["verify"], "Exit code 0: all is whole"),
            (&["garbage-collect"], "The registry may go on serving"),
        ] {
            let start = ["pi-registry"].iter().chain(command).copied();
            let error = parsed(&start.chain(["--help"]).collect::<Vec<_>>());
            let help = error.expect_err("help").to_string();
            assert!(help.contains(expected), "{help}");
        }
        let error = parsed(&["pi-registry", "init", "--ip", "r.lan"]).expect_err("a name");
        assert!(error.to_string().contains("names go to --host"), "{error}");
    }

    #[test]
    fn the_version_has_the_flags_of_both_worlds() {
        let version = env!("CARGO_PKG_VERSION");
        for flag in ["-v", "-V", "--version"] {
            for (name, expected) in [
                ("pi-registry", format!("pi-registry {version}\n")),
                ("registry", format!("registry pi-registry {version}\n")),
            ] {
                let error = parsed(&[name, flag]).expect_err("not a run");
                assert_eq!(error.kind(), ErrorKind::DisplayVersion, "{flag}");
                assert_eq!(error.to_string(), expected);
            }
        }
    }
}
