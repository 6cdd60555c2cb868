//! The command line.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};

/// A container registry for small private clusters, in place of registry:2.
///
/// Without a configuration it listens on 127.0.0.1:5000 and keeps its data in
/// ./registry-data. Keys of the configuration are also read from environment
/// variables: REGISTRY_HTTP_ADDR is http.addr.
#[derive(Debug, Parser)]
#[command(name = "pi-registry", version, disable_version_flag = true)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: Serve,

    /// Print the version.
    // `-v` is what registry:2 has, `-V` what other programs have.
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the registry, as without a subcommand.
    Serve(Serve),
}

#[derive(Args, Debug)]
struct Serve {
    /// Configuration file, as registry:2 reads it
    /// [default: $REGISTRY_CONFIGURATION_PATH, else none].
    config: Option<PathBuf>,
}

impl Cli {
    /// The configuration file of the command line.
    pub(crate) fn config(&self) -> Option<&Path> {
        let serve = match &self.command {
            Some(Command::Serve(serve)) => serve,
            None => &self.serve,
        };
        serve.config.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn config(arguments: &[&str]) -> Option<PathBuf> {
        let arguments = ["pi-registry"].iter().chain(arguments);
        let cli = Cli::try_parse_from(arguments).expect("valid");
        cli.config().map(Path::to_owned)
    }

    #[test]
    fn the_subcommand_may_be_left_out() {
        Cli::command().debug_assert();
        assert_eq!(config(&[]), None);
        assert_eq!(config(&["serve"]), None);
        assert_eq!(config(&["c.yml"]), Some("c.yml".into()));
        assert_eq!(config(&["serve", "c.yml"]), Some("c.yml".into()));
    }

    #[test]
    fn the_version_has_the_flags_of_both_worlds() {
        for flag in ["-v", "-V", "--version"] {
            let error = Cli::try_parse_from(["pi-registry", flag]).expect_err("not a run");
            assert_eq!(
                error.kind(),
                clap::error::ErrorKind::DisplayVersion,
                "{flag}"
            );
        }
    }
}
