//! The parts of the `pi-registry` program, so that tests can use them without
//! a process or a port.
//!
//! ```text
//! cli -> config -> backend -> app -> front -> serve
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | distribution's `config.yml` and `REGISTRY_*` into a checked `Config` |
//! | [`backend`] | the storage of a configuration, and its upkeep |
//! | [`auth`] | who may do what |
//! | [`mod@app`] | the service of a configuration: the registry, and `/` for probes |
//! | [`front`] | what stands before it: the modules below, put together |
//! | [`proxies`] | whose headers are believed, and who the client is |
//! | [`access_log`] | a line per request |
//! | [`response_headers`] | `http.headers` |
//! | [`https_only`] | plain HTTP on the TLS port, and the CA for those who do not have it yet |
//! | [`public_url`] | prefixes, and the base of `Location` |
//! | [`metrics`] | what Prometheus asks for |
//! | [`filter`], [`watched`] | what these are made of: a step before a service, a response followed to its end |
//! | [`client_certificate`] | nothing without one, where that is asked for |
//! | [`certificates`] | the registry's own, inspected and reloaded |
//! | [`tag_rules`] | `tags`: which stay where they are, and which go |
//! | [`health`] | `health`: when everything is answered with 503 |
//! | [`debug`] | the second listener, for metrics and health |
//! | [`serve`] | the HTTP server: time limits, draining |
//!
//! There is no protocol logic here: that is `registry-spec`'s.

pub mod access_log;
pub mod app;
pub mod auth;
pub mod backend;
mod banner;
pub mod certificates;
mod cli;
pub mod client_certificate;
mod commands;
pub mod config;
pub mod debug;
mod failures;
pub mod filter;
mod follow;
pub mod front;
pub mod health;
pub mod https_only;
mod logging;
pub mod metrics;
mod open_files;
pub mod proxies;
pub mod public_url;
pub mod pulls;
pub mod response_headers;
mod run;
pub mod serve;
mod service_manager;
mod signals;
pub mod tag_rules;
pub mod watched;

pub use app::app;
pub use config::Config;
pub use run::run;

/// The command line, for what is made of it: manual pages, completions of
/// shells.
#[must_use]
pub fn command() -> clap::Command {
    cli::command()
}

/// Compiles the code of the workspace's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
