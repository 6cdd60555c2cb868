//! The OCI distribution protocol as a [`tower` service](tower_service::Service),
//! with storage and authorization left to the embedder.
//!
//! ```text
//! Request -> Route::parse -> Route::access -> Authorizer -> handler -> Storage -> Response<Body>
//! ```
//!
//! [`Registry`] is that line. It implements the whole of the
//! [OCI Distribution Spec 1.1](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md),
//! what its main branch has added since, and the parts of Docker's v2 protocol
//! that clients still need:
//!
//! | endpoint | method and path | handler |
//! |---|---|---|
//! | end-1 | `GET /v2/` | `handler/base.rs` |
//! | end-2 | `GET`, `HEAD /v2/<name>/blobs/<digest>` | `handler/blob.rs` |
//! | end-3 | `GET`, `HEAD /v2/<name>/manifests/<reference>` | `handler/manifest.rs` |
//! | end-4, end-11 | `POST /v2/<name>/blobs/uploads/` | `handler/upload.rs` |
//! | end-5, end-6, end-13, end-14 | `PATCH`, `PUT`, `GET`, `DELETE` of an upload's `Location` | `handler/upload.rs` |
//! | end-7 | `PUT /v2/<name>/manifests/<reference>` | `handler/manifest.rs` |
//! | end-8 | `GET /v2/<name>/tags/list` | `handler/tag.rs` |
//! | end-9 | `DELETE /v2/<name>/manifests/<reference>` | `handler/manifest.rs` |
//! | end-10 | `DELETE /v2/<name>/blobs/<digest>` | `handler/blob.rs` |
//! | end-12 | `GET /v2/<name>/referrers/<digest>` | `handler/referrers.rs` |
//! | Docker | `GET /v2/_catalog` | `handler/base.rs` |
//!
//! # A registry in memory
//!
//! ```
//! use std::sync::Arc;
//! use registry_spec::{AllowAll, Registry, storage::MemoryStorage};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(AllowAll)).build();
//! let request = http::Request::get("/v2/").body(http_body_util::Empty::new())?;
//! let response = registry.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(()) }
//! ```
//!
//! # Served by hyper
//!
//! The crate brings no runtime, TLS or HTTP server; any of them will do.
//!
//! ```
//! use std::sync::Arc;
//! use hyper_util::{rt::TokioIo, service::TowerToHyperService};
//! use registry_spec::{AllowAll, Registry, storage::MemoryStorage};
//!
//! async fn serve(listener: tokio::net::TcpListener) -> std::io::Result<()> {
//!     let registry = Registry::builder(Arc::new(MemoryStorage::new()), Arc::new(AllowAll)).build();
//!     loop {
//!         let (connection, _) = listener.accept().await?;
//!         let service = TowerToHyperService::new(registry.clone());
//!         tokio::spawn(
//!             hyper::server::conn::http1::Builder::new()
//!                 .serve_connection(TokioIo::new(connection), service),
//!         );
//!     }
//! }
//! ```

mod base_url;
mod body;
mod builder;
mod error;
mod handler;
mod header;
mod observer;
mod range;
mod service;

pub mod auth;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod route;
pub mod storage;
pub mod types;

pub use auth::{AllowAll, Authorizer};
pub use base_url::{BaseUrl, BaseUrlError};
pub use body::Body;
pub use builder::{Deletes, Limits, RegistryBuilder, Validation};
pub use error::{Error, ErrorCode};
pub use observer::{Event, EventKind, Failure, Observer};
pub use service::{Registry, ResponseFuture};
pub use storage::Storage;

/// Any error, as bodies and backends hand it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
