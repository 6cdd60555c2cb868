//! Finds the blocks of a PEM file, and says what a file is that has none.

use super::PemProblem;

/// One block: its lines from `-----BEGIN` to `-----END`.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    pub(super) text: &'a [u8],
}

impl Block<'_> {
    pub(super) fn is_certificate(&self) -> bool {
        self.label == "CERTIFICATE"
    }

    pub(super) fn is_private_key(&self) -> bool {
        matches!(
            self.label,
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY"
        )
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.label == "ENCRYPTED PRIVATE KEY"
            || contains(self.text, b"Proc-Type:") && contains(self.text, b"ENCRYPTED")
    }
}

/// Splits a file into its blocks; there is at least one.
///
/// The blocks are found here and not by the decoder, which would join one that
/// lacks its end with the next, and could not say what the others are.
pub(super) fn blocks(bytes: &[u8]) -> Result<Vec<Block<'_>>, PemProblem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    let mut at = 0;
    for line in bytes.split_inclusive(|c| matches!(c, b'\n' | b'\r')) {
        let start = at;
        at += line.len();
        let line = line.trim_ascii_end();
        if let Some(label) = marker(line, b"-----BEGIN ") {
            if let Some((label, _)) = open {
                return Err(truncated(label));
            }
            open = Some((label, start));
        } else if let Some(end) = marker(line, b"-----END ") {
            match open.take() {
                Some((label, begin)) if label == end => blocks.push(Block {
                    label,
                    text: &bytes[begin..at],
                }),
                Some((label, _)) => return Err(truncated(label)),
                None => return Err(PemProblem::EndWithoutBegin),
            }
        }
    }
    match open {
        Some((label, _)) => Err(truncated(label)),
        None if blocks.is_empty() => Err(without_blocks(bytes)),
        None => Ok(blocks),
    }
}

/// Labels of the standard are a few words; what is longer would only blow up
/// an error text.
fn marker<'a>(line: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    let label = line.strip_prefix(prefix)?.strip_suffix(b"-----")?;
    let printable = |c: &u8| c.is_ascii_graphic() || *c == b' ';
    (label.len() <= 64 && label.iter().all(printable))
        .then(|| str::from_utf8(label).ok())
        .flatten()
}

fn truncated(label: &str) -> PemProblem {
    PemProblem::Truncated {
        label: label.to_owned(),
    }
}

fn without_blocks(bytes: &[u8]) -> PemProblem {
    let text = bytes.trim_ascii();
    if text.is_empty() {
        PemProblem::Empty
    } else if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        PemProblem::Utf16
    } else if let Some(content) = der_content(bytes) {
        match content {
            [0x02, 0x01, 0x03, ..] => PemProblem::Pkcs12,
            [0x02, 0x01, 0x00 | 0x01, ..] => PemProblem::DerKey,
            [0x06, ..] => PemProblem::Pkcs7,
            _ => PemProblem::Der,
        }
    } else if text.starts_with(b"LS0tLS1CRUdJTi") {
        // What "-----BEGIN" is in base64.
        PemProblem::EncodedTwice
    } else if contains(text, b"-----BEGIN ") {
        PemProblem::BrokenLines
    } else if text.starts_with(b"MI") && text.iter().all(is_base64) {
        // What the start of a long DER sequence is in base64.
        PemProblem::Bare
    } else {
        PemProblem::NoPem
    }
}

/// What a DER sequence of a size that keys and certificates have holds.
fn der_content(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0x30, 0x81, _, rest @ ..]
        | [0x30, 0x82, _, _, rest @ ..]
        | [0x30, 0x83, _, _, _, rest @ ..] => Some(rest),
        // An Ed25519 key takes 48 bytes.
        [0x30, 0x2e..=0x7f, rest @ ..] if rest.starts_with(&[0x02, 0x01]) => Some(rest),
        // Of indefinite length, as old tools write PKCS#12.
        [0x30, 0x80, rest @ ..] => Some(rest),
        _ => None,
    }
}

fn is_base64(c: &u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=') || c.is_ascii_whitespace()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
