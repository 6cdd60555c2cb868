//! `minimumtls`: the lowest version of TLS that a client may speak.

use rustls::SupportedProtocolVersion;
use rustls::version::TLS13;

/// The lowest version of TLS that a client may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MinimumTls {
    /// TLS 1.2, the default: every client of the last decade speaks it.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a text asked for, and what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestedMinimum {
    /// The version to use.
    pub minimum: MinimumTls,
    /// Whether the text names an older version, which is not spoken any more
    /// ([RFC 8996](https://www.rfc-editor.org/rfc/rfc8996)); worth a warning.
    pub raised: bool,
}

/// A text names no version of TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown TLS version {0:?}: use tls1.2 or tls1.3")]
#[non_exhaustive]
pub struct MinimumTlsError(String);

impl MinimumTls {
    /// Reads the texts of distribution: `tls1.0` to `tls1.3`. The two old ones
    /// ask for no more than TLS 1.2 does, so they get it.
    ///
    /// # Errors
    ///
    /// [`MinimumTlsError`] for any other text.
    pub fn parse(text: &str) -> Result<RequestedMinimum, MinimumTlsError> {
        let (minimum, raised) = match text {
            "tls1.0" | "tls1.1" => (Self::Tls12, true),
            "tls1.2" => (Self::Tls12, false),
            "tls1.3" => (Self::Tls13, false),
            _ => return Err(MinimumTlsError(text.to_owned())),
        };
        Ok(RequestedMinimum { minimum, raised })
    }

    pub(super) fn allows(self, version: &SupportedProtocolVersion) -> bool {
        self == Self::Tls12 || *version == TLS13
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_and_old_ones_are_raised() {
        for (text, minimum, raised) in [
            ("tls1.0", MinimumTls::Tls12, true),
            ("tls1.1", MinimumTls::Tls12, true),
            ("tls1.2", MinimumTls::Tls12, false),
            ("tls1.3", MinimumTls::Tls13, false),
        ] {
            let expected = RequestedMinimum { minimum, raised };
            assert_eq!(MinimumTls::parse(text), Ok(expected), "{text}");
        }
        for text in ["", "1.2", "TLS1.2", "tls1.4", "ssl3"] {
            let error = MinimumTls::parse(text).expect_err(text);
            assert!(error.to_string().contains("tls1.3"), "{error}");
        }
    }
}
