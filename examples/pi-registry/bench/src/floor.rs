//! What a push costs at least: receiving, hashing and writing, and nothing else.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use registry_spec::types::{Algorithm, Hasher};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// Bytes received before they are written and hashed together.
const PIECE: usize = 1 << 20;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// What is sent, again and again; each time it is written to a new file.
    #[arg(long)]
    content: PathBuf,
    /// Where the files are written, of which only the last one exists.
    #[arg(long)]
    directory: PathBuf,
    /// How often it is sent.
    #[arg(long)]
    times: u64,
    /// The core that receives, and the one that sends.
    #[arg(long, num_args = 2)]
    cores: Vec<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let content = std::fs::read(&arguments.content)?;
    let size = content.len() as u64;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (times, cores) = (arguments.times, arguments.cores.clone());
    let sender = thread::spawn(move || {
        pin(cores.get(1))?;
        let mut stream = TcpStream::connect(address)?;
        for _ in 0..times {
            stream.write_all(&content)?;
        }
        Result::Ok(())
    });
    pin(arguments.cores.first())?;
    let (mut stream, _) = listener.accept()?;
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let path = arguments.directory.join("floor");
    let mut received = 0;
    for _ in 0..times {
        received += receive(&mut stream, size, &path)?;
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    std::fs::remove_file(&path)?;
    sender.join().map_err(|_| "the sender panicked")??;
    println!("{received} {seconds:.4} {cpu:.3}");
    Ok(())
}

fn receive(stream: &mut TcpStream, size: u64, path: &Path) -> Result<u64> {
    let (file, mut hasher) = (File::create(path)?, Hasher::new(Algorithm::Sha256));
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    while offset < size {
        let rest = usize::try_from(size - offset).unwrap_or(PIECE);
        let piece = &mut piece[..rest.min(PIECE)];
        stream.read_exact(piece)?;
        file.write_all_at(piece, offset)?;
        hasher.update(piece);
        offset += piece.len() as u64;
    }
    // Not optimized away.
    std::hint::black_box(hasher.finish());
    Ok(offset)
}

fn pin(core: Option<&usize>) -> Result<()> {
    let Some(core) = core else { return Ok(()) };
    let mut cores = CpuSet::new();
    cores.set(*core);
    Ok(sched_setaffinity(None, &cores)?)
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
