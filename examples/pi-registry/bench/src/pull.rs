//! Pulls of one blob.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use crate::cpu::Watch;
use crate::http::{Connection, Server};
use crate::{Load, Result};

/// How much of each answer is compared. Each time it is the next part, so that the whole is seen again and again, at a price that
/// does not count.
const COMPARED: u64 = 1 << 20;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Of the blob.
    url: String,
    /// What it contains.
    #[arg(long)]
    content: PathBuf,
    /// Bytes to pull in all; every connection pulls at least once.
    #[arg(long)]
    bytes: u64,
    #[command(flatten)]
    load: Load,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { load, .. } = arguments;
    let content: Arc<[u8]> = std::fs::read(&arguments.content)?.into();
    let size = content.len() as u64;
    let pulls = arguments
        .bytes
        .div_ceil(size.max(1))
        .max(load.connections as u64);
    let (server, path) = Server::parse(&arguments.url, load.ca.as_deref())?;
    let connections = server.connect_all(load.connections).await?;
    let next = Arc::new(AtomicU64::new(0));

    let watch = Watch::start(load.cpu)?;
    let mut pulling = JoinSet::new();
    for connection in connections {
        let (content, next) = (Arc::clone(&content), Arc::clone(&next));
        pulling.spawn(pull(connection, path.clone(), content, next, pulls));
    }
    while let Some(done) = pulling.join_next().await {
        done??;
    }
    println!("{}", watch.stop(pulls * size)?);
    Ok(())
}

async fn pull(
    mut connection: Connection,
    path: String,
    content: Arc<[u8]>,
    next: Arc<AtomicU64>,
    pulls: u64,
) -> Result<()> {
    let size = content.len() as u64;
    let request = connection.request("GET", &path, "");
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= pulls {
            return Ok(());
        }
        connection.send(&request[..]).await?;
        let head = connection.head().await?.expect(200)?;
        if head.length != size {
            return Err(format!("expected {size} bytes, got {}", head.length).into());
        }
        let begin = number % size.div_ceil(COMPARED) * COMPARED;
        let end = size.min(begin + COMPARED);
        connection.skip(begin).await?;
        connection
            .expect_body(&content[usize::try_from(begin)?..usize::try_from(end)?])
            .await?;
        connection.skip(size - end).await?;
    }
}
