//! `storage.filesystem.reserve`: how much of the disk pushes leave free.

use registry_storage::filesystem::Reserve;

use super::super::error::ConfigError;
use super::super::node::Node;
use super::super::read;

const KEY: &str = "storage.filesystem.reserve";
const EXPECTED: &str = "a size such as 256MiB, a part of the disk such as 2%, or both with a comma \
     between, of which the lesser counts; 0 is nothing";

const UNITS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("", 1),
];

pub(super) fn read(root: &Node) -> Result<Reserve, ConfigError> {
    let texts = read::texts(root, KEY, EXPECTED)?;
    if texts.is_empty() {
        return Ok(Reserve::default());
    }
    let (mut bytes, mut percent) = (None, None);
    for (text, node) in texts {
        let once = match text.strip_suffix('%') {
            Some(part) => set(&mut percent, number(part).filter(|part| *part <= 100)),
            None => set(&mut bytes, size(text)),
        };
        if once.is_none() {
            let node = root.at(KEY).unwrap_or(node);
            return Err(ConfigError::value(KEY, node, EXPECTED));
        }
    }
    let percent = percent.and_then(|percent| u8::try_from(percent).ok());
    Ok(Reserve::new(
        bytes.unwrap_or(u64::MAX),
        percent.unwrap_or(100),
    ))
}

/// `None` for a value that is none, or the second of its kind.
fn set(place: &mut Option<u64>, value: Option<u64>) -> Option<()> {
    match place.replace(value?) {
        None => Some(()),
        Some(_) => None,
    }
}

pub(super) fn size(text: &str) -> Option<u64> {
    let (text, unit) = UNITS
        .iter()
        .find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)))?;
    number(text.trim_end())?.checked_mul(unit)
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone would take `+1`.
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
