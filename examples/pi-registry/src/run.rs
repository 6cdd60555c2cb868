//! The program from its start to its end.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tokio::sync::Mutex;

use crate::access_log::AccessLog;
use crate::backend::Backend;
use crate::cli::Cli;
use crate::config::{Config, Origin};
use crate::serve::{self, Timeouts};
use crate::signals::Signals;
use crate::{app, banner, logging, open_files};

/// How long the end waits for a reader of the access log.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs the program with the arguments and environment of the process.
///
/// Returns 0 after a signal to stop, 1 when it could not start (with one line
/// on standard error), 2 for a wrong command line, and 128 and the number of
/// the signal when a second one came before the transfers were done.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    start(&cli).unwrap_or_else(|line| {
        // Not `eprintln!`, which panics when nobody listens.
        let _ = writeln!(io::stderr(), "pi-registry: {line}");
        ExitCode::FAILURE
    })
}

/// Why the program did not start, in one line.
struct OneLine(String);

impl<E: std::error::Error> From<E> for OneLine {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for OneLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn start(cli: &Cli) -> Result<ExitCode, OneLine> {
    let config = Config::load(cli.config(), std::env::vars_os())?;
    let _flush = logging::init(&config.log)?;
    for warning in &config.warnings {
        if tracing::enabled!(tracing::Level::WARN) {
            tracing::warn!("{warning}");
        } else {
            // What was asked for and is not done is told at any level.
            let _ = writeln!(io::stderr(), "pi-registry: {warning}");
        }
    }
    open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(serve_until_stopped(&config))?;
    // Not `drop`: that waits for file work of connections which were cut.
    runtime.shutdown_background();
    Ok(code)
}

async fn serve_until_stopped(config: &Config) -> Result<ExitCode, OneLine> {
    let mut signals = Signals::listen()?;
    let start = async {
        let listener = serve::bind(&config.http.addr).await?;
        let backend = Backend::open(&config.storage).await?;
        Ok::<_, OneLine>((listener, backend))
    };
    // Either may hang, in a name lookup or in a network's file system.
    let (listener, backend) = tokio::select! {
        started = start => started?,
        signal = signals.next() => return Ok(ExitCode::from(signal.exit_code())),
    };
    let access_log = AccessLog::start(io::stdout())?;
    let service = access_log.wrap(app(config, backend.storage()));
    announce(config, listener.local_addr()?);

    let purge = tokio::spawn(backend.purge_uploads());
    let drain = config.http.drain_timeout;
    let signals = Mutex::new(signals);
    let stop = async {
        let signal = signals.lock().await.next().await.name();
        tracing::info!("{signal}: stopping, transfers may go on for {drain:?}");
    };
    let mut second = None;
    let give_up = async {
        let mut signals = signals.lock().await;
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            signal = signals.next() => second = Some(signal),
        }
    };
    let cut = serve::serve(listener, service, Timeouts::default(), stop, give_up).await;
    let code = if let Some(signal) = second {
        tracing::warn!(
            "{}: stopped at once, {cut} connections were cut",
            signal.name()
        );
        ExitCode::from(signal.exit_code())
    } else {
        if cut > 0 {
            tracing::warn!("stopped, {cut} connections were cut");
        } else {
            tracing::info!("stopped");
        }
        ExitCode::SUCCESS
    };
    purge.abort();
    access_log.flush(FLUSH);
    Ok(code)
}

/// Says that the registry is there.
fn announce(config: &Config, listening: std::net::SocketAddr) {
    let data = &config.storage.root;
    let url = banner::url(listening);
    match &config.origin {
        Origin::BuiltIn => banner::write(io::stderr(), listening, data),
        Origin::Environment => tracing::info!("listens on {url}, data in {}", data.display()),
        Origin::File(path) => tracing::info!(
            "listens on {url}, data in {}, configuration of {}",
            data.display(),
            path.display()
        ),
    }
}
