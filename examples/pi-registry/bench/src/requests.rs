//! Small requests, as many as go.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cpu::Watch;
use crate::http::{Connection, Server};
use crate::{Load, Result};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    url: String,
    #[arg(long, default_value = "GET")]
    method: String,
    /// `Name: value`.
    #[arg(long = "header")]
    headers: Vec<String>,
    /// What every answer must contain; for HEAD, whose length it must have.
    #[arg(long)]
    content: PathBuf,
    /// How long no new request is begun later.
    #[arg(long)]
    seconds: f64,
    #[command(flatten)]
    load: Load,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { load, method, .. } = arguments;
    let content: Arc<[u8]> = std::fs::read(&arguments.content)?.into();
    let headers: String = arguments
        .headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    let (server, path) = Server::parse(&arguments.url, load.ca.as_deref())?;
    let mut connections = server.connect_all(load.connections).await?;
    let has_body = method != "HEAD";
    for connection in &mut connections {
        // Who signs in has done so before time is measured: a password takes as long as some thousand requests.
        let request = connection.request(&method, &path, &headers);
        once(connection, &request, &content, has_body).await?;
    }

    let watch = Watch::start(load.cpu)?;
    let end = Instant::now() + Duration::from_secs_f64(arguments.seconds);
    let mut asking = JoinSet::new();
    for mut connection in connections {
        let request = connection.request(&method, &path, &headers);
        let content = Arc::clone(&content);
        asking.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                once(&mut connection, &request, &content, has_body).await?;
                count += 1;
            }
            Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(count)
        });
    }
    let mut total = 0;
    while let Some(done) = asking.join_next().await {
        total += done??;
    }
    println!("{}", watch.stop(total)?);
    Ok(())
}

async fn once(
    connection: &mut Connection,
    request: &[u8],
    content: &[u8],
    has_body: bool,
) -> Result<()> {
    connection.send(request).await?;
    let head = connection.head().await?.expect(200)?;
    let size = content.len();
    if head.length != size as u64 {
        return Err(format!("expected {size} bytes, got {}", head.length).into());
    }
    if has_body {
        connection.expect_body(content).await?;
    }
    Ok(())
}
