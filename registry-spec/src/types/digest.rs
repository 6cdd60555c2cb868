//! Content digests ([descriptor.md, "Digests"](https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests)).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{Hasher, serde_as_text};

/// A hash algorithm that the image-spec registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `sha256`, the one that every client uses unless told otherwise.
    #[default]
    Sha256,
    /// `sha512`.
    Sha512,
}

impl Algorithm {
    /// Every supported algorithm, in the order in which digests sort.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name before the colon of a digest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the hash in bytes; its hexadecimal text is twice as long.
    #[must_use]
    pub const fn hash_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(DigestError::UnsupportedAlgorithm)
    }
}

serde_as_text!(Algorithm);

/// The digest of some content: `algorithm:hex`.
///
/// Small and `Copy`: holding one costs no allocation. Digests sort as their
/// texts do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash, zero-padded to the longest algorithm's length.
    hash: [u8; Self::MAX_LEN],
}

impl Digest {
    const MAX_LEN: usize = 64;
    const MAX_TEXT_LEN: usize = "sha512:".len() + Self::MAX_LEN * 2;

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// A digest from its raw hash.
    ///
    /// # Errors
    /// [`DigestError::Length`] when `hash` is not as long as the algorithm's.
    pub fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Result<Self, DigestError> {
        if hash.len() != algorithm.hash_len() {
            return Err(DigestError::Length { algorithm });
        }
        let mut padded = [0; Self::MAX_LEN];
        padded[..hash.len()].copy_from_slice(hash);
        Ok(Self {
            algorithm,
            hash: padded,
        })
    }

    /// The algorithm before the colon.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash: 32 or 64 bytes.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        &self.hash[..self.algorithm.hash_len()]
    }

    /// The lower-case hexadecimal text after the colon.
    #[must_use]
    pub fn hex(&self) -> String {
        format!("{self:x}")
    }

    /// Writes the hexadecimal text; how long it is.
    fn write_hex(&self, text: &mut [u8]) -> usize {
        // Without a table, so that many digits are made at once.
        let digit = |n: u8| n + if n < 10 { b'0' } else { b'a' - 10 };
        let (pairs, _) = text.as_chunks_mut();
        for (pair, byte) in pairs.iter_mut().zip(self.hash()) {
            *pair = [digit(byte >> 4), digit(byte & 0xf)];
        }
        self.hash().len() * 2
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece, so that a string grows once.
        let mut text = [0; Self::MAX_TEXT_LEN];
        let algorithm = self.algorithm.as_str().as_bytes();
        let (before, hex) = text.split_at_mut(algorithm.len() + 1);
        before[..algorithm.len()].copy_from_slice(algorithm);
        before[algorithm.len()] = b':';
        let hex_len = self.write_hex(hex);
        let text = &text[..algorithm.len() + 1 + hex_len];
        f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
    }
}

/// The text after the colon, as [`Digest::hex`] has it, without an allocation.
impl fmt::LowerHex for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::MAX_LEN * 2];
        let len = self.write_hex(&mut text);
        f.write_str(std::str::from_utf8(&text[..len]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::NoAlgorithm)?;
        let algorithm: Algorithm = algorithm.parse()?;
        if hex.len() != algorithm.hash_len() * 2 {
            return Err(DigestError::Length { algorithm });
        }
        // The registered algorithms write lower case only; accepting upper
        // case would give one content two names.
        if !hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::NotHex);
        }
        let mut hash = [0; Self::MAX_LEN];
        hex::decode_to_slice(hex, &mut hash[..algorithm.hash_len()])
            .map_err(|_| DigestError::NotHex)?;
        Ok(Self { algorithm, hash })
    }
}

impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.algorithm, self.hash()).cmp(&(other.algorithm, other.hash()))
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

serde_as_text!(Digest);

/// Why a text is not a digest that this registry can keep (code-4 `DIGEST_INVALID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no colon.
    #[error("a digest is written algorithm:hex")]
    NoAlgorithm,
    /// The algorithm is not one of [`Algorithm::ALL`].
    #[error("unsupported digest algorithm, expected sha256 or sha512")]
    UnsupportedAlgorithm,
    /// The hash is too long or too short for the algorithm.
    #[error("a {algorithm} digest has {} hexadecimal digits", algorithm.hash_len() * 2)]
    Length {
        /// The algorithm that the text names.
        algorithm: Algorithm,
    },
    /// A character is not a lower-case hexadecimal digit.
    #[error("a digest has lower-case hexadecimal digits only")]
    NotHex,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_prints_what_it_parsed() {
        let sha512 = Digest::of(Algorithm::Sha512, b"").to_string();
        for text in [EMPTY, &sha512] {
            let digest = text.parse::<Digest>().expect(text);
            assert_eq!(digest.to_string(), text);
            assert_eq!(format!("{}:{digest:x}", digest.algorithm()), text);
            assert_eq!(format!("{digest:x}"), digest.hex());
        }
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY);
    }

    #[test]
    fn what_is_not_a_digest_is_refused_with_its_reason() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for (text, reason) in [
            ("", DigestError::NoAlgorithm),
            ("latest", DigestError::NoAlgorithm),
            ("md5:abc", DigestError::UnsupportedAlgorithm),
            ("SHA256:abc", DigestError::UnsupportedAlgorithm),
            (
                "sha256:abc",
                DigestError::Length {
                    algorithm: Algorithm::Sha256,
                },
            ),
            (upper.as_str(), DigestError::NotHex),
            (&EMPTY.replace('e', "g"), DigestError::NotHex),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(reason), "{text}");
        }
    }

    #[test]
    fn digests_sort_as_their_texts() {
        let mut digests: Vec<Digest> = (0_u8..20)
            .flat_map(|n| Algorithm::ALL.map(|algorithm| Digest::of(algorithm, &[n])))
            .collect();
        digests.sort();
        assert!(digests.is_sorted_by_key(ToString::to_string));
    }
}
