//! `check`: what is wrong before a registry is started.
//!
//! | looked at | `error` | `warning` |
//! |---|---|---|
//! | configuration | does not start | a key without effect |
//! | `auth.htpasswd.path` | missing, or with a bad line | no users, one user twice |
//! | keys of `auth.token`, `auth.tokenserver` | missing, or cannot be used | some cannot be used, a URL does not answer |
//! | storage: a directory | cannot be read, written, renamed or synced | in memory, in the container's own layer, nearly full |
//! | storage: a bucket | cannot be listed, written, read or deleted in | |
//! | `http.addr`, `http.debug.addr` | cannot be listened on | |
//! | certificates of `http.tls` | cannot be used, or clients refuse them | some clients refuse them, or all will soon |
//!
//! A missing root directory is made, as by a start.

#[cfg(feature = "object-store")]
mod bucket;
pub(super) mod certificates;
mod disk;
mod mount;
mod probe;
mod tokens;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use registry_auth::htpasswd::Htpasswd;

use super::report::Report;
use crate::cli::Place;
use crate::config::{self, Config, Document, ListenAddr, Origin};
use crate::logging::chain;
use crate::serve;

/// Looks at everything and prints it; 0 unless there is an error.
pub(crate) fn run(place: &Place) -> ExitCode {
    let mut report = Report::default();
    let document = Document::load(place.file.as_deref(), place.search, std::env::vars_os());
    match document.and_then(|document| document.config()) {
        Ok(config) => look(&config, &mut report),
        Err(error) => report.error("configuration", &error.to_string()),
    }
    report.print()
}

fn look(config: &Config, report: &mut Report) {
    match &config.origin {
        Origin::BuiltIn => report.ok("configuration", "built-in defaults"),
        Origin::Environment => report.ok("configuration", "environment variables, no file"),
        Origin::File(path) => report.ok("configuration", &path.display().to_string()),
    }
    for warning in &config.warnings {
        report.warning("configuration", warning);
    }
    if let Some(htpasswd) = &config.auth.htpasswd {
        users(htpasswd, report);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report.error("process", &error.to_string()),
    };
    runtime.block_on(async {
        tokens::look(&config.auth, report).await;
        probe::storage(&config.storage, report).await;
        address("http.addr", &config.http.addr, report).await;
        if let Some(debug) = &config.http.debug {
            address("http.debug.addr", &debug.addr, report).await;
        }
    });
    certificates::configured(&config.http, &[], report);
}

fn users(htpasswd: &config::Htpasswd, report: &mut Report) {
    const KEY: &str = "auth.htpasswd.path";
    match Htpasswd::load(&htpasswd.path, &htpasswd.realm) {
        Ok(users) => {
            for warning in users.warnings() {
                report.warning(KEY, &warning.to_string());
            }
            let (path, count) = (users.path().display(), users.user_count());
            report.ok(KEY, &format!("{path} has {count} users"));
        }
        Err(error) => report.error(KEY, &chain(&error)),
    }
}

async fn address(key: &'static str, addr: &ListenAddr, report: &mut Report) {
    let fault = match addr {
        ListenAddr::Unix { path } => socket(path).await.err(),
        // Its text has the cause already.
        addr => serve::bind(addr, key)
            .await
            .err()
            .map(|error| error.to_string()),
    };
    match fault {
        None => report.ok(key, &format!("{addr} can be listened on")),
        Some(fault) => report.error(key, &fault),
    }
}

/// Not by listening, which would make the file.
async fn socket(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if let Err(error) = serve::Listener::can_take(path).await {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                ": another program listens there, stop it or choose another path"
            }
            io::ErrorKind::AlreadyExists => ": remove it or choose another path",
            _ => "",
        };
        return Err(format!(
            "unix:{shown} cannot be listened on: {error}{advice}"
        ));
    }
    let dir = match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => path,
    };
    rustix::fs::access(
        dir,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .map_err(|error| {
        format!(
            "no socket can be made in {}: {error}: {}",
            dir.display(),
            disk::explain(dir)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(addr: ListenAddr) -> String {
        let mut report = Report::default();
        address("http.addr", &addr, &mut report).await;
        assert_eq!(report.lines.len(), 1, "{report:?}");
        report.lines.remove(0)
    }

    #[tokio::test]
    async fn a_socket_path_is_judged_as_a_start_would() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("r.sock");
        let unix = || ListenAddr::Unix { path: path.clone() };
        assert!(found(unix()).await.starts_with("ok: "), "free");
        assert!(!path.exists(), "nothing is made");

        let listener = std::os::unix::net::UnixListener::bind(&path).expect("free");
        let line = found(unix()).await;
        assert!(line.ends_with("stop it or choose another path"), "{line}");
        drop(listener);
        assert!(found(unix()).await.starts_with("ok: "), "stale");
        assert!(path.exists(), "nothing is removed");

        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "precious").expect("written");
        let line = found(unix()).await;
        assert!(line.starts_with("error: "), "{line}");
        assert!(line.ends_with("remove it or choose another path"), "{line}");

        let path = dir.path().join("x".repeat(120));
        let line = found(ListenAddr::Unix { path }).await;
        assert!(line.starts_with("error: "), "{line}");
    }

    #[tokio::test]
    async fn the_cause_is_told_once() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let addr = taken.local_addr().expect("bound").to_string();
        let line = found(addr.parse().expect("valid")).await;
        assert_eq!(line.matches("os error").count(), 1, "{line}");
    }

    #[test]
    fn a_file_of_users_is_read_as_a_start_would() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("htpasswd");
        let (config, file) = (dir.path().join("c.yml"), path.display());
        std::fs::write(
            &config,
            format!("version: 0.1\nauth: {{htpasswd: {{path: {file}}}}}\n"),
        )
        .expect("written");
        let config = Config::load(Some(&config), []).expect("valid");
        let auth = config.auth.htpasswd.expect("asked for");
        let found = || {
            let mut report = Report::default();
            users(&auth, &mut report);
            report.text()
        };
        assert!(found().starts_with("error: auth.htpasswd.path: "));
        let line = registry_auth::htpasswd::entry("ann", "secret", 4).expect("a line");
        std::fs::write(&path, line).expect("written");
        let text = found();
        assert!(
            text.ends_with(&format!("ok: auth.htpasswd.path: {file} has 1 users\n")),
            "{text}"
        );
    }
}
