//! Nobody believes a CA that came over the network before a person, or a
//! script that was told, has compared its fingerprint.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::str::FromStr;

use registry_tls::inspect::Fingerprint;

/// A whole SHA-256, as somebody has copied it from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FullFingerprint(String);

impl FullFingerprint {
    pub(super) fn is(&self, fingerprint: &Fingerprint) -> bool {
        self.0 == fingerprint.hex()
    }
}

impl FromStr for FullFingerprint {
    type Err = String;

    /// Reads both forms: `AB:CD:…` and 64 digits, in any case. Never a part:
    /// that can be forged.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = match text.contains(':') {
            true if text.split(':').all(|byte| byte.len() == 2) => text.replace(':', ""),
            _ => text.to_owned(),
        };
        let full = digits.len() == 64 && digits.bytes().all(|c| c.is_ascii_hexdigit());
        full.then(|| Self(digits.to_ascii_lowercase())).ok_or_else(|| {
            "expected the whole SHA-256 fingerprint: 64 hexadecimal digits, or 32 pairs of them \
             with colons between"
                .to_owned()
        })
    }
}

/// Asks on the terminal; an error unless the answer is yes.
pub(super) fn confirm() -> Result<(), String> {
    let stdin = io::stdin();
    let mut stderr = io::stderr();
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Err(
            "nothing was written: there is no terminal to ask on, so give the fingerprint that \
             `pi-registry cert show` prints on the server with --fingerprint"
                .to_owned(),
        );
    }
    let mut answer = String::new();
    write!(
        stderr,
        "Is this the fingerprint that 'pi-registry cert show' prints on the server? [y/N] "
    )
    .and_then(|()| stdin.lock().read_line(&mut answer))
    .map_err(|error| format!("cannot ask on the terminal: {error}"))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err("nothing was written: the fingerprint was not confirmed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_in_any_case_and_nothing_less() {
        let certificate = b"any".as_slice().into();
        let fingerprint = Fingerprint::of(&certificate);
        let (colons, hex) = (fingerprint.to_string(), fingerprint.hex());
        for text in [&colons, &colons.to_lowercase(), &hex, &hex.to_uppercase()] {
            let read: FullFingerprint = text.parse().expect(text);
            assert!(read.is(&fingerprint), "{text}");
            assert!(!read.is(&Fingerprint::of(&b"other".as_slice().into())));
        }
        for text in [
            "",
            &hex[..62],
            &colons[..92],
            &format!("{hex}0"),
            &hex.replace(char::is_numeric, "g"),
            &format!(":{hex}"),
            &format!("{}:{}", &hex[..32], &hex[32..]),
        ] {
            assert!(text.parse::<FullFingerprint>().is_err(), "{text}");
        }
    }
}
