//! The cryptography that this crate was built with, for those who do not bring
//! their own.
//!
//! | feature | function |
//! |---|---|
//! | `ring` (default) | `ring()` |
//! | `aws-lc-rs` | `aws_lc_rs()` |
//!
//! Whoever serves or asks passes one of these on; nothing here reads or sets a
//! default of the process.
//!
//! ```
//! # #[cfg(feature = "ring")] {
//! let provider = registry_tls::provider::ring();
//! assert!(!provider.cipher_suites.is_empty());
//! # }
//! ```

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use std::sync::Arc;

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use rustls::crypto::CryptoProvider;

/// The cryptography of `ring`: small, and it compiles everywhere without C
/// tools beyond a compiler.
#[cfg(feature = "ring")]
#[must_use]
pub fn ring() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The cryptography of `aws-lc-rs`: faster on servers, and more key types.
#[cfg(feature = "aws-lc-rs")]
#[must_use]
pub fn aws_lc_rs() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
