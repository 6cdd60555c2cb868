//! Load for container registries. `run.sh` and `slow.sh` beside it start the servers and make tables of what this prints.
//!
//! Everything runs on one thread, so that one core is enough for it, and what it does for each byte is as little as can be: the
//! servers are to be the slow part. Every subcommand that measures prints one line:
//!
//! ```text
//! <bytes or requests> <seconds> <seconds of CPU time of the processes named by --cpu>
//! ```
//!
//! and `requests` after it the milliseconds that half of the requests, 99 of 100 and the slowest took.
//!
//! A wrong status, length or byte ends it with exit code 1.

mod cpu;
mod floor;
mod http;
mod idle;
mod latency;
mod pull;
mod push;
mod requests;
mod start;
#[cfg(test)]
mod tests;
mod tree;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Any error: all of them end the program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Load for container registries that checks what it gets.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get one blob again and again.
    Pull(pull::Arguments),
    /// Push blobs that no registry has seen, as docker does: POST, PATCH without a length, PUT.
    Push(push::Arguments),
    /// Make small requests, each as soon as the one before is answered, and tell how long they took.
    Requests(requests::Arguments),
    /// Open connections, use each once, print "open", and hold them until standard input ends.
    Idle(idle::Arguments),
    /// Start a program, and print the seconds until it answers.
    Start(start::Arguments),
    /// Write a registry's tree of many small blobs.
    Tree(tree::Arguments),
    /// Receive, hash and write in a bare loop, and tell the CPU time of that.
    Floor(floor::Arguments),
}

/// What the subcommands share that measure.
#[derive(Args, Debug)]
struct Load {
    /// Open connections.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// The CA of an https server.
    #[arg(long)]
    ca: Option<std::path::PathBuf>,
    /// Processes whose CPU time is measured.
    #[arg(long, value_delimiter = ',')]
    cpu: Vec<u32>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Pull(arguments) => pull::run(arguments).await,
        Command::Push(arguments) => push::run(arguments).await,
        Command::Requests(arguments) => requests::run(arguments).await,
        Command::Idle(arguments) => idle::run(arguments).await,
        Command::Start(arguments) => start::run(arguments).await,
        Command::Tree(arguments) => tree::run(&arguments),
        Command::Floor(arguments) => floor::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry-load: {error}");
            ExitCode::FAILURE
        }
    }
}
