//! The id of an upload session.

use std::fmt;
use std::str::FromStr;

use super::serde_as_text;

/// Names one upload session, in the last segment of its `Location`.
///
/// Whoever knows the id and may push can write to the session, so ids are
/// unguessable: [`UploadId::random`] has 122 random bits. A backend may bring
/// ids of its own, as long as they are letters, digits, `-` and `_`: safe in a
/// path, a URL and a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(Box<str>);

impl UploadId {
    /// Longest id in bytes.
    pub const MAX_LEN: usize = 128;

    /// A new id: a random (version 4) UUID, as CNCF Distribution's tools expect.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(UploadIdError)
        }
    }
}

serde_as_text!(UploadId);

/// A text cannot be the id of an upload session (404 with code-3
/// `BLOB_UPLOAD_UNKNOWN`: no session can have that id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an upload session")]
#[non_exhaustive]
pub struct UploadIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_differ_and_parse() {
        let (a, b) = (UploadId::random(), UploadId::random());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse(), Ok(a.clone()));
    }

    #[test]
    fn ids_that_could_leave_a_directory_are_refused() {
        let long = "a".repeat(UploadId::MAX_LEN + 1);
        for text in ["", ".", "..", "a/b", "a.b", "a\0", "é", long.as_str()] {
            assert_eq!(text.parse::<UploadId>(), Err(UploadIdError), "{text:?}");
        }
    }
}
