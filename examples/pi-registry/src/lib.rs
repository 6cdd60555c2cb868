//! The parts of the `pi-registry` program, so that tests can use them without
//! a process or a port.
//!
//! ```text
//! cli -> config -> backend -> app -> access_log -> serve
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | distribution's `config.yml` and `REGISTRY_*` into a checked `Config` |
//! | [`backend`] | the storage of a configuration, and its upkeep |
//! | [`mod@app`] | the service of a configuration: the registry, and `/` for probes |
//! | [`access_log`] | a line per request |
//! | [`serve`] | the HTTP server: time limits, draining |
//!
//! There is no protocol logic here: that is `registry-spec`'s.

pub mod access_log;
pub mod app;
pub mod backend;
mod banner;
mod cli;
pub mod config;
mod logging;
mod open_files;
mod run;
pub mod serve;
mod signals;

pub use app::app;
pub use config::Config;
pub use run::run;

/// Compiles the code of the workspace's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
