//! How long a program takes until it answers.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::sleep;

use crate::Result;
use crate::http::Server;

/// Who takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Answered with 200 once the program has started; http only.
    url: String,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let (server, path) = Server::parse(&arguments.url, None)?;
    let began = Instant::now();
    let mut program = Command::new(&arguments.command[0])
        .args(&arguments.command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    while !answers(&server, &path).await {
        if let Some(status) = program.try_wait()? {
            return Err(format!("the program ended: {status}").into());
        }
        if began.elapsed() > PATIENCE {
            return Err("the program does not answer".into());
        }
        sleep(Duration::from_micros(200)).await;
    }
    println!("{:.4}", began.elapsed().as_secs_f64());
    program.kill().await?;
    Ok(())
}

async fn answers(server: &Server, path: &str) -> bool {
    let answer = async {
        let mut connection = server.connect().await?;
        let request = connection.request("GET", path, "");
        connection.send(&request[..]).await?;
        connection.head().await?.expect(200)
    };
    answer.await.is_ok()
}
