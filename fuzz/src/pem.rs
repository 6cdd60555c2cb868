//! Files of certificates and keys, as people have them.

use registry_tls::inspect::{CertificateSummary, Expectations, Subject, inspect};
use registry_tls::pem::PemFile;
use registry_tls::provider::ring;
use registry_tls::trust::CaCertificates;

/// A file is read or told to be wrong in one line; whatever is in a
/// certificate can be inspected and printed; what clients are given is
/// certificates and nothing else, and reads as it was written.
pub fn pem(data: &[u8]) {
    let file = PemFile::new("f.pem", data);
    if let Err(error) = file.private_key() {
        is_one_line(&error.to_string());
    }
    match file.certificates() {
        Err(error) => is_one_line(&error.to_string()),
        Ok(chain) => {
            assert!(!chain.is_empty());
            let host = "registry.local".parse().expect("a name");
            let expectations = Expectations::default().hosts([host]);
            for subject in [
                Subject::server(&chain, None),
                Subject::client(&chain, None),
                Subject::authority(&chain),
            ] {
                for finding in inspect(&subject, &expectations, &ring()) {
                    is_one_line(&finding.to_string());
                    for complaint in finding.complaints() {
                        is_one_line(&complaint.to_string());
                    }
                }
            }
            for certificate in &chain {
                let _ = CertificateSummary::of(certificate).map(|summary| summary.to_string());
            }
        }
    }
    match CaCertificates::from_pem(data) {
        Err(error) => is_one_line(&error.to_string()),
        Ok(ca) => {
            let text = ca.to_pem();
            assert!(!text.contains("PRIVATE KEY"));
            let again = CaCertificates::from_pem(text.as_bytes()).expect("what was written");
            assert_eq!(again, ca);
        }
    }
}

fn is_one_line(text: &str) {
    assert!(
        !text.is_empty() && !text.contains(char::is_control),
        "{text:?}"
    );
}
