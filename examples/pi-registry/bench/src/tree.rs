//! The tree of a registry that has been in use for years, in distribution's layout.

use std::fs;
use std::path::PathBuf;

use registry_spec::types::{Algorithm, Digest};

use crate::Result;

/// Blobs in one repository.
const EACH: u64 = 200;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The root directory; nothing may be there.
    directory: PathBuf,
    /// How many blobs, of some bytes each.
    blobs: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = arguments.directory.join("docker/registry/v2");
    for number in 0..arguments.blobs {
        let content = format!("blob {number}\n");
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let hex = digest.hex();
        let blob = root.join("blobs/sha256").join(&hex[..2]).join(&hex);
        fs::create_dir_all(&blob)?;
        fs::write(blob.join("data"), content)?;
        let repository = format!("repositories/team/service-{}", number / EACH);
        let layer = root.join(repository).join("_layers/sha256").join(&hex);
        fs::create_dir_all(&layer)?;
        fs::write(layer.join("link"), digest.to_string())?;
    }
    Ok(())
}
