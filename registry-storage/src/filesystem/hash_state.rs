//! The hash of an upload so far, so that the next request need not begin anew.
//!
//! A state is a claim about the bytes before its offset. Nothing is synced
//! while an upload goes on, so after a power cut `data` may lack bytes that
//! the state covers, or have zeros in their place. A state is therefore
//! believed only during the boot in which it was written, by the version that
//! wrote it, and up to the length that `data` has. Otherwise the stored bytes
//! are hashed again: a bad state costs time and is never an error.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::LazyLock;

use registry_spec::types::{Algorithm, Hasher, UploadId};
use serde::{Deserialize, Serialize};

use super::open::open;

/// Longer than any state.
const MAX_LEN: u64 = 16 * 1024;
const BUFFER: usize = 128 * 1024;

/// What changes whenever the page cache may have been lost: the id that the
/// kernel takes at each boot. Where there is none, one per process.
pub(super) static BOOT: LazyLock<String> = LazyLock::new(|| {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(
        |_| UploadId::random().to_string(),
        |id| id.trim().to_owned(),
    )
});

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HashState {
    boot: String,
    version: String,
    algorithm: Algorithm,
    offset: u64,
    state: Vec<u8>,
}

impl HashState {
    pub(super) fn new(hasher: &Hasher, offset: u64) -> Self {
        Self {
            boot: BOOT.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            algorithm: hasher.algorithm(),
            offset,
            state: hasher.save(),
        }
    }

    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = open(path).ok()?;
        file.take(MAX_LEN).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts always serialize")
    }
}

/// A hasher for `algorithm`, or for the one that the session began with, and
/// the offset from which it is still to be fed.
pub(super) fn resume(
    state: Option<HashState>,
    len: u64,
    algorithm: Option<Algorithm>,
) -> (Hasher, u64) {
    let began_with = state.as_ref().map(|state| state.algorithm);
    let algorithm = algorithm.or(began_with).unwrap_or_default();
    state
        .filter(|state| {
            state.boot == *BOOT
                && state.version == env!("CARGO_PKG_VERSION")
                && state.algorithm == algorithm
                && state.offset <= len
        })
        .and_then(|state| Some((Hasher::resume(algorithm, &state.state)?, state.offset)))
        .unwrap_or_else(|| (Hasher::new(algorithm), 0))
}

/// Feeds the bytes from `offset` to the end of the file.
pub(super) fn hash_rest(hasher: &mut Hasher, file: &File, mut offset: u64) -> io::Result<()> {
    if file.metadata()?.len() <= offset {
        return Ok(());
    }
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
