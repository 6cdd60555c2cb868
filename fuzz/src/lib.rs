//! What must hold for any bytes that a client sends, or a person puts into a
//! file.
//!
//! One function per fuzz target, on the public API of the crates. Each
//! takes the fuzzer's bytes and panics when a property is broken.
//!
//! | target | input | property |
//! |---|---|---|
//! | [`digest_and_reference`] | two texts, one a line | parse, print, parse; the spec's grammar; order of the texts |
//! | [`repository_name`] | two texts, one a line | the same |
//! | [`manifest`] | a document | every reading of the same bytes agrees |
//! | [`pull_range`] | `Range`, `If-Range`, one a line | the answer's headers describe its body |
//! | [`chunk_range`] | `Content-Range`, a line end, the chunk | the session stands where the answer says |
//! | [`route`] | `METHOD URI` | parse, print, parse; the statuses of a refusal |
//! | [`pem`] | a file of certificates or keys | read, written, read; every fault is one line without a word of the file |
//! | [`token`] | a token, scopes, or a file of keys | nobody gets in; parse, print, parse of scopes |
//! | [`policy`] | a pattern, a repository, one a line | parse, print, parse; a plain pattern is its own name |
//! | [`credentials`] | `Authorization`, one a line | parse, print, parse; no secret is printed |
//!
//! `cargo test` replays the seeds in `corpus/`, on any toolchain. To look for
//! new inputs, which go to the first folder and not among the seeds:
//!
//! ```text
//! cargo +nightly fuzz run route "$(mktemp -d)" fuzz/corpus/route -- -max_total_time=60
//! ```
//!
//! Without nightly, `RUSTC_BOOTSTRAP=1 cargo fuzz run` does the same.
//!
//! What a run finds is minimised (`cargo fuzz tmin`) and joins the seeds,
//! under a name that says what it is.

mod credentials;
mod manifest;
mod pem;
mod policy;
mod range;
mod route;
mod service;
mod text;
mod token;

pub use credentials::credentials;
pub use manifest::manifest;
pub use pem::pem;
pub use policy::policy;
pub use range::{chunk_range, pull_range};
pub use route::route;
pub use text::{digest_and_reference, repository_name};
pub use token::token;
