//! From DER to text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The DER bytes of a line, which holds 64 characters ([RFC 7468]).
///
/// [RFC 7468]: https://www.rfc-editor.org/rfc/rfc7468#section-2
const LINE: usize = 48;

/// One block of PEM. The text never moves while it grows, so that the caller
/// can wipe a key's.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let ends = 2 * ("-----BEGIN -----\n".len() + label.len());
    let text = der.len().div_ceil(LINE) * (LINE / 3 * 4 + 1);
    let mut pem = String::with_capacity(ends + text);
    for part in ["-----BEGIN ", label, "-----\n"] {
        pem.push_str(part);
    }
    for line in der.chunks(LINE) {
        STANDARD.encode_string(line, &mut pem);
        pem.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        pem.push_str(part);
    }
    pem
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for length in [0, 1, 47, 48, 49, 96, 1000] {
            let der: Vec<u8> = (0..=250).cycle().take(length).collect();
            let pem = encode("CERTIFICATE", &der);
            let read = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            assert_eq!(read.as_ref(), der, "{length}");
            assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
        }
    }

    #[test]
    fn the_text_does_not_outgrow_its_first_place() {
        for length in [0, 47, 48, 49, 1200] {
            let pem = encode("PRIVATE KEY", &vec![7; length]);
            let blocks = length.div_ceil(LINE);
            let room = 2 * "-----BEGIN PRIVATE KEY-----\n".len() + blocks * 65;
            assert!(pem.len() <= room, "{length}");
            assert_eq!(pem.capacity(), room, "{length}");
        }
    }
}
