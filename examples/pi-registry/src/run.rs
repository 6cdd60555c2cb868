//! The program from its start to its end.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use registry_spec::Storage;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::access_log::AccessLog;
use crate::auth::Auth;
use crate::backend::{self, Backend};
use crate::certificates::Certificates;
use crate::cli::{self, Action, Place};
use crate::config::{self, Config, Document, Origin};
use crate::debug::DebugServer;
use crate::front::front;
use crate::health::Health;
use crate::https_only::HttpsOnly;
use crate::metrics::Metrics;
use crate::pulls::PullNotes;
use crate::serve::{self, Bound, Options};
use crate::signals::Signals;
use crate::tag_rules::CurrentTagRules;
use crate::{app, banner, commands, logging, open_files, service_manager};

/// How long the end waits for a reader of the access log.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs the program with the arguments and environment of the process.
///
/// Returns 0 after a signal to stop, 1 when it could not start (with one line
/// on standard error), 2 for a wrong command line, and 128 and the number of
/// the signal when a second one came before the transfers were done.
#[must_use]
pub fn run() -> ExitCode {
    let action = match cli::parse(std::env::args_os().collect()) {
        Ok(action) => action,
        Err(error) => {
            // Not `exit`, which panics when nobody listens.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match action {
        Action::Serve(place) => start(&place).unwrap_or_else(|line| {
            // Not `eprintln!`, which panics when nobody listens.
            let _ = writeln!(io::stderr(), "pi-registry: {line}");
            ExitCode::FAILURE
        }),
        Action::Config(place) => commands::config::run(&place),
        Action::Check(place) => commands::check::run(&place),
        Action::GarbageCollect(place, arguments) => {
            commands::garbage_collect::run(&place, &arguments)
        }
        Action::Verify(place, arguments) => commands::verify::run(&place, &arguments),
        Action::Htpasswd(arguments) => commands::htpasswd::run(&arguments),
        Action::User(arguments) => commands::user::run(&arguments),
        Action::Policy(arguments) => commands::policy::run(&arguments),
        Action::Retention(arguments) => commands::retention::run(&arguments),
        Action::Init(arguments) => commands::init::run(&arguments),
        Action::Cert(arguments) => commands::cert::run(&arguments),
        Action::Trust(arguments) => commands::trust::run(&arguments),
        Action::Doctor(arguments) => commands::doctor::run(&arguments),
    }
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

fn start(place: &Place) -> Result<ExitCode, OneLine> {
    let environment = std::env::vars_os();
    let config = Document::load(place.file.as_deref(), place.search, environment)?.config()?;
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
    let (users, http) = (config.auth.clone(), config.http.clone());
    let start = async {
        // Not on this thread, which listens for signals.
        let read = tokio::task::spawn_blocking(move || read_files(&users, &http));
        let (auth, certificates) = read.await??;
        let listener = serve::bind(&config.http.addr, "http.addr").await?;
        let debug = match &config.http.debug {
            Some(debug) => Some(serve::bind(&debug.addr, "http.debug.addr").await?),
            None => None,
        };
        let backend = Backend::open(&config.storage).await?;
        Ok::<_, OneLine>((auth, certificates, listener, debug, backend))
    };
    // Each may hang, in a name lookup or in a network's file system.
    let (auth, certificates, listener, debug, backend) = tokio::select! {
        started = start => started?,
        signal = signals.next() => return Ok(ExitCode::from(signal.exit_code())),
    };
    let access_log = if config.log.access {
        AccessLog::start(io::stdout())?
    } else {
        AccessLog::off()
    };
    let metrics_path = config
        .http
        .debug
        .as_ref()
        .and_then(|d| d.metrics_path.clone());
    let metrics = metrics_path.map(|path| (path, Metrics::new()));
    let gc_metrics = metrics.as_ref().map(|(_, metrics)| metrics.gc().clone());
    let scrub_metrics = metrics.as_ref().map(|(_, metrics)| metrics.scrub().clone());
    let tags = CurrentTagRules::new(config);
    let auth = auth.with_tags(&tags);
    let (pulls, pull_writer) = backend
        .directory()
        .map(|files| PullNotes::new(files, tags.clone()))
        .unzip();
    let storage: Arc<dyn Storage> = match &metrics {
        Some((_, metrics)) => Arc::new(metrics.storage(backend.storage(), backend.driver())),
        None => backend.storage(),
    };
    // Its looks are not measured: they would be most of the calls.
    let (health, _checks) = Health::watch(&config.health, &backend);
    let service = front(
        &config.http,
        &access_log,
        HttpsOnly::new(certificates.as_ref().and_then(Certificates::ca)),
        metrics.as_ref().map(|(_, metrics)| metrics.http().clone()),
        health.clone(),
        app(
            config,
            tags.guard(storage),
            &auth,
            pulls.unwrap_or_default(),
        ),
    );
    let _debug = debug.map(|listener| DebugServer::new(health, metrics).spawn(listener));
    announce(config, listener.bound());

    let tls = certificates.as_ref().map(Certificates::served);
    let mut upkeep = JoinSet::new();
    // Guarded by the rules of that moment, which may be newer than the run's.
    let guarded = tags.guard(backend.storage());
    upkeep.spawn(tags.retain(guarded, backend.directory()));
    if let Some(writer) = pull_writer {
        upkeep.spawn(writer.write());
    }
    upkeep.spawn(backend.clone().purge_uploads());
    upkeep.spawn(backend.clone().scrub(!config.validation, scrub_metrics));
    upkeep.spawn(backend.collect_garbage(gc_metrics));
    upkeep.spawn(auth.follow_changes());
    if let Some(certificates) = certificates {
        upkeep.spawn(certificates.watch());
    }
    let drain = config.http.drain_timeout;
    let signals = Mutex::new(signals);
    let stop = async {
        let signal = signals.lock().await.next().await.name();
        service_manager::stopping();
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
    let options = Options {
        h2c: config.http.h2c,
        ..Options::default()
    };
    let cut = serve::serve(listener, tls, service, options, stop, give_up).await;
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
    upkeep.abort_all();
    access_log.flush(FLUSH);
    Ok(code)
}

/// Reads the users and the certificates.
fn read_files(
    auth: &config::Auth,
    http: &config::Http,
) -> Result<(Auth, Option<Certificates>), OneLine> {
    let auth = Auth::open(auth).map_err(|error| OneLine(logging::chain(&error)))?;
    let certificates = http.tls.as_ref().map(|tls| Certificates::load(tls, http));
    Ok((auth, certificates.transpose()?))
}

/// Says that the registry is there.
fn announce(config: &Config, bound: &Bound) {
    let data = backend::shown(&config.storage.driver);
    let scheme = match config.http.tls {
        Some(_) => "https",
        None => "http",
    };
    match (&config.origin, bound) {
        (Origin::BuiltIn, Bound::Tcp(addr)) => {
            banner::write(io::stderr(), *addr, &data);
        }
        (Origin::File(path), _) => tracing::info!(
            "listens on {scheme}://{bound}, data in {data}, configuration of {}",
            path.display()
        ),
        _ => tracing::info!("listens on {scheme}://{bound}, data in {data}"),
    }
    service_manager::ready(&format!("listens on {scheme}://{bound}"));
}
