//! Connections that stay open and do nothing.

use std::path::PathBuf;

use crate::Result;
use crate::http::Server;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Answered with 200.
    url: String,
    #[arg(long)]
    connections: usize,
    /// The CA of an https server.
    #[arg(long)]
    ca: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let (server, path) = Server::parse(&arguments.url, arguments.ca.as_deref())?;
    let mut open = Vec::with_capacity(arguments.connections);
    for _ in 0..arguments.connections {
        let mut connection = server.connect().await?;
        let request = connection.request("GET", &path, "");
        connection.send(&request[..]).await?;
        let head = connection.head().await?.expect(200)?;
        connection.skip(head.length).await?;
        connection.shrink();
        open.push(connection);
    }
    println!("open");
    // Blocks the only thread, which has nothing else to do.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    drop(open);
    Ok(())
}
