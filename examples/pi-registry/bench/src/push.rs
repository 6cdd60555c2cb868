//! Pushes of unique blobs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Buf as _;
use registry_spec::types::{Algorithm, Digest, Hasher};
use tokio::task::JoinSet;

use crate::cpu::Watch;
use crate::http::{Connection, Server};
use crate::{Load, Result};

/// Bytes in a chunk of the transfer encoding: what docker sends at a time, by the copy function of Go's library.
const CHUNK: usize = 32 << 10;
const CHUNK_LINE: &[u8] = b"8000\r\n";

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Of the registry, without a path.
    url: String,
    /// What all blobs begin with, and how long they are: only their ends differ, so that digests need not be computed while time
    /// is measured.
    #[arg(long)]
    content: PathBuf,
    /// How many to push in all; every connection pushes at least once.
    #[arg(long)]
    blobs: u64,
    #[arg(long, default_value = "bench/push")]
    repository: String,
    /// Blobs are read back and compared, unless this is set.
    #[arg(long)]
    unchecked: bool,
    #[command(flatten)]
    load: Load,
}

/// What is pushed.
#[derive(Debug)]
struct Blobs {
    repository: String,
    common: Vec<u8>,
    hashed: Hasher,
    /// Of this run, so that no other has the same blobs.
    seed: u128,
    next: AtomicU64,
    count: u64,
}

impl Blobs {
    /// The end of a blob, and the digest of the whole.
    fn blob(&self, number: u64) -> (Vec<u8>, Digest) {
        let end = format!("{:032x}{number:016x}", self.seed).into_bytes();
        let mut hasher = self.hashed.clone();
        hasher.update(&end);
        (end, hasher.finish())
    }

    fn next(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.count).then_some(number)
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { load, .. } = arguments;
    let mut common = std::fs::read(&arguments.content)?;
    let size = common.len() as u64;
    common.truncate(common.len().saturating_sub(48));
    let mut hashed = Hasher::new(Algorithm::Sha256);
    hashed.update(&common);
    let blobs = Arc::new(Blobs {
        repository: arguments.repository,
        common,
        hashed,
        seed: SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos(),
        next: AtomicU64::new(0),
        count: arguments.blobs.max(load.connections as u64),
    });
    let (server, _) = Server::parse(&arguments.url, load.ca.as_deref())?;
    let connections = server.connect_all(load.connections).await?;

    let watch = Watch::start(load.cpu)?;
    let mut pushing = JoinSet::new();
    for mut connection in connections {
        let blobs = Arc::clone(&blobs);
        pushing.spawn(async move {
            while let Some(number) = blobs.next() {
                push(&mut connection, &blobs, number).await?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(done) = pushing.join_next().await {
        done??;
    }
    let line = watch.stop(blobs.count * size)?;

    if !arguments.unchecked {
        let mut connection = server.connect().await?;
        for number in 0..blobs.count {
            check(&mut connection, &blobs, number).await?;
        }
    }
    println!("{line}");
    Ok(())
}

async fn push(connection: &mut Connection, blobs: &Blobs, number: u64) -> Result<()> {
    let (end, digest) = blobs.blob(number);
    let path = format!("/v2/{}/blobs/uploads/", blobs.repository);
    let location = answer(connection, "POST", &path, "Content-Length: 0\r\n", 202).await?;
    let location = location.ok_or("an upload without a location")?;

    let headers = "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n";
    let request = connection.request("PATCH", path_of(&location), headers);
    connection.send(&request[..]).await?;
    for chunk in blobs.common.chunks(CHUNK) {
        send_chunk(connection, chunk).await?;
    }
    send_chunk(connection, &end).await?;
    connection.send(&b"0\r\n\r\n"[..]).await?;
    let head = connection.head().await?.expect(202)?;
    connection.skip(head.length).await?;

    // A Location may have a query of its own.
    let location = head.location.unwrap_or(location);
    let location = path_of(&location);
    let separator = if location.contains('?') { '&' } else { '?' };
    let path = format!("{location}{separator}digest={digest}");
    answer(connection, "PUT", &path, "Content-Length: 0\r\n", 201).await?;
    Ok(())
}

async fn send_chunk(connection: &mut Connection, chunk: &[u8]) -> Result<()> {
    let other;
    let line = match chunk.len() {
        CHUNK => CHUNK_LINE,
        length => {
            other = format!("{length:x}\r\n").into_bytes();
            &other
        }
    };
    connection
        .send(line.chain(chunk).chain(&b"\r\n"[..]))
        .await?;
    Ok(())
}

/// Makes a request without a body, and returns the location that was answered.
async fn answer(
    connection: &mut Connection,
    method: &str,
    path: &str,
    headers: &str,
    status: u16,
) -> Result<Option<String>> {
    let request = connection.request(method, path, headers);
    connection.send(&request[..]).await?;
    let head = connection.head().await?.expect(status)?;
    connection.skip(head.length).await?;
    Ok(head.location)
}

async fn check(connection: &mut Connection, blobs: &Blobs, number: u64) -> Result<()> {
    let (end, digest) = blobs.blob(number);
    let path = format!("/v2/{}/blobs/{digest}", blobs.repository);
    let request = connection.request("GET", &path, "");
    connection.send(&request[..]).await?;
    let head = connection.head().await?.expect(200)?;
    let size = blobs.common.len() + end.len();
    if head.length != size as u64 {
        return Err(format!("pushed {size} bytes, got {} back", head.length).into());
    }
    connection.expect_body(&blobs.common).await?;
    connection.expect_body(&end).await
}

/// A location without scheme and host.
fn path_of(location: &str) -> &str {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => location,
    }
}
