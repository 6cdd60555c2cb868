//! Serves the backend without passwords, for trying it out:
//!
//! ```text
//! DATA=registry-data ADDR=127.0.0.1:5000 cargo run -p sqlite-backend
//! docker push localhost:5000/app
//! ```

use std::env;
use std::error::Error;
use std::sync::Arc;

use axum::Router;
use registry_spec::{AllowAll, Registry};
use sqlite_backend::SqliteStorage;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let storage = SqliteStorage::open(setting("DATA", "registry-data"))?;
    let registry = Registry::builder(Arc::new(storage), Arc::new(AllowAll)).build();
    let listener = tokio::net::TcpListener::bind(setting("ADDR", "127.0.0.1:5000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // Stopped by a signal in the middle of anything: the storage bears that.
    axum::serve(listener, Router::new().fallback_service(registry)).await?;
    Ok(())
}
