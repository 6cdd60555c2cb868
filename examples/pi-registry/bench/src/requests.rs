//! Small requests, as many as go, or one for each of many things.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cpu::Watch;
use crate::http::{Connection, Server};
use crate::latency::Latencies;
use crate::{Load, Result};

/// What stands for the number of a thing.
const NUMBER: &str = "{}";

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
    content: String,
    /// How long no new request is begun later.
    #[arg(long)]
    seconds: f64,
    /// Ask once each for so many things that nobody has asked for before: `{}` in the URL's path and in `--content` is the number
    /// of each, from 0.
    #[arg(long)]
    each: Option<u64>,
    #[command(flatten)]
    load: Load,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { load, method, .. } = arguments;
    let headers: String = arguments
        .headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    let (server, path) = Server::parse(&arguments.url, load.ca.as_deref())?;
    let mut connections = server.connect_all(load.connections).await?;
    let has_body = method != "HEAD";
    let first = connections.first().ok_or("no connections")?;
    let mut things = Vec::new();
    for number in 0..arguments.each.unwrap_or(1) {
        let named = |text: &str| match arguments.each {
            Some(_) => text.replace(NUMBER, &number.to_string()),
            None => text.to_owned(),
        };
        things.push(Thing {
            request: first.request(&method, &named(&path), &headers),
            content: std::fs::read(named(&arguments.content))?,
            has_body,
        });
    }
    if arguments.each.is_none() {
        for connection in &mut connections {
            // Who signs in has done so before time is measured: a password takes as long as some thousand requests.
            things[0].ask(connection).await?;
        }
    }

    let watch = Watch::start(load.cpu)?;
    let end = Instant::now() + Duration::from_secs_f64(arguments.seconds);
    let (things, next) = (Arc::<[Thing]>::from(things), Arc::new(AtomicU64::new(0)));
    let numbers = arguments.each.unwrap_or(u64::MAX);
    let mut asking = JoinSet::new();
    for mut connection in connections {
        let (things, next) = (Arc::clone(&things), Arc::clone(&next));
        asking.spawn(async move {
            let mut latencies = Latencies::default();
            let mut now = Instant::now();
            while now < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers {
                    break;
                }
                let thing = &things[usize::try_from(number % things.len() as u64)?];
                thing.ask(&mut connection).await?;
                let began = std::mem::replace(&mut now, Instant::now());
                latencies.add(now - began);
            }
            Ok::<Latencies, Box<dyn std::error::Error + Send + Sync>>(latencies)
        });
    }
    let mut all = Latencies::default();
    while let Some(done) = asking.join_next().await {
        all.append(done??);
    }
    println!("{} {}", watch.stop(all.count() as u64)?, all.summary());
    Ok(())
}

/// What is asked for, and what must come.
#[derive(Debug)]
struct Thing {
    request: Vec<u8>,
    content: Vec<u8>,
    has_body: bool,
}

impl Thing {
    async fn ask(&self, connection: &mut Connection) -> Result<()> {
        connection.send(&self.request[..]).await?;
        let head = connection.head().await?.expect(200)?;
        let size = self.content.len();
        if head.length != size as u64 {
            return Err(format!("expected {size} bytes, got {}", head.length).into());
        }
        if self.has_body {
            connection.expect_body(&self.content).await?;
        }
        Ok(())
    }
}
