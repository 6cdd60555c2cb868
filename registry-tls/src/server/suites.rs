//! `ciphersuites`: which ones are on offer, by the names of IANA and Go.

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, SupportedCipherSuite};

/// A choice of cipher suites; by default all that the provider has.
///
/// As in Go, a list is about TLS 1.2: when it names no suite of TLS 1.3, all
/// of those stay on offer. When it names some, only those do. When it names no
/// suite of TLS 1.2, that version is not spoken.
#[derive(Clone, Debug, Default)]
pub struct CipherSuites {
    /// None is all.
    chosen: Option<Vec<CipherSuite>>,
    dropped: Vec<String>,
}

/// A list of names gives no cipher suites.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CipherSuitesError {
    /// A name is not one of a cipher suite.
    #[error("unknown cipher suite {name:?}: use names out of {}", usable.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The names that may be used.
        usable: Vec<&'static str>,
    },
    /// All names are of suites too old or too weak to be offered.
    #[error("none of the cipher suites {} is offered: name some out of {}", dropped.join(", "), usable.join(", "))]
    NoneLeft {
        /// The names that were given.
        dropped: Vec<String>,
        /// The names that may be used.
        usable: Vec<&'static str>,
    },
}

impl CipherSuites {
    /// Chooses by name, out of what `provider` has. No names are all suites.
    ///
    /// # Errors
    ///
    /// [`CipherSuitesError`] for a name that Go does not know either, or when
    /// no suite is left.
    pub fn parse<I>(names: I, provider: &CryptoProvider) -> Result<Self, CipherSuitesError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let usable = || usable(provider);
        let mut chosen = Vec::new();
        let mut dropped = Vec::new();
        for name in names {
            let name = name.as_ref();
            let Some(suite) = by_name(name) else {
                let name = name.to_owned();
                let usable = usable();
                return Err(CipherSuitesError::Unknown { name, usable });
            };
            if provider.cipher_suites.iter().any(|s| s.suite() == suite) {
                chosen.push(suite);
            } else {
                dropped.push(name.to_owned());
            }
        }
        match (chosen.is_empty(), dropped.is_empty()) {
            (true, true) => Ok(Self::default()),
            (true, false) => {
                let usable = usable();
                Err(CipherSuitesError::NoneLeft { dropped, usable })
            }
            (false, _) => Ok(Self {
                chosen: Some(chosen),
                dropped,
            }),
        }
    }

    /// The names of suites that Go has and that are not offered here: without
    /// forward secrecy, with CBC, RC4 or 3DES. Worth a warning.
    #[must_use]
    pub fn dropped(&self) -> &[String] {
        &self.dropped
    }

    /// Those of `all` that are on offer, in the order of `all`.
    pub(super) fn of(&self, all: &[SupportedCipherSuite]) -> Vec<SupportedCipherSuite> {
        let Some(chosen) = &self.chosen else {
            return all.to_vec();
        };
        let is_chosen = |suite: &SupportedCipherSuite| chosen.contains(&suite.suite());
        let names_tls13 = all.iter().any(|s| s.tls13().is_some() && is_chosen(s));
        all.iter()
            .filter(|suite| is_chosen(suite) || !names_tls13 && suite.tls13().is_some())
            .copied()
            .collect()
    }
}

fn by_name(name: &str) -> Option<CipherSuite> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| CipherSuite::from(*number))
}

fn usable(provider: &CryptoProvider) -> Vec<&'static str> {
    provider
        .cipher_suites
        .iter()
        .filter_map(|suite| {
            let number = u16::from(suite.suite());
            let (name, _) = NAMES.iter().find(|(_, known)| *known == number)?;
            Some(*name)
        })
        .collect()
}

/// What Go's `crypto/tls` knows, with the numbers of
/// [IANA](https://www.iana.org/assignments/tls-parameters): the name of IANA
/// first, then other names of Go.
const NAMES: [(&str, u16); 27] = [
    ("TLS_AES_128_GCM_SHA256", 0x1301),
    ("TLS_AES_256_GCM_SHA384", 0x1302),
    ("TLS_CHACHA20_POLY1305_SHA256", 0x1303),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", 0xcca9),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", 0xcca8),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc009),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xc00a),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc023),
    ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", 0xc007),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xc013),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xc014),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc027),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", 0xc012),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", 0xc011),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009c),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", 0x009d),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", 0x002f),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", 0x0035),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", 0x003c),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0x000a),
    ("TLS_RSA_WITH_RC4_128_SHA", 0x0005),
];

#[cfg(all(test, feature = "ring"))]
mod tests {
    use super::*;
    use crate::provider::ring;

    #[test]
    fn every_suite_of_the_provider_has_a_name() {
        let provider = ring();
        let names = usable(&provider);
        assert_eq!(names.len(), provider.cipher_suites.len());
        let all = CipherSuites::parse(&names, &provider).expect("all are known");
        assert_eq!(all.of(&provider.cipher_suites), provider.cipher_suites);
        assert!(all.dropped().is_empty());
    }

    #[test]
    fn no_names_are_all_suites() {
        let provider = ring();
        let all = CipherSuites::parse([""; 0], &provider).expect("nothing to refuse");
        assert_eq!(all.of(&provider.cipher_suites), provider.cipher_suites);
    }

    #[test]
    fn names_of_tls12_leave_all_suites_of_tls13() {
        assert_eq!(
            offered(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"]),
            [0x1301, 0x1302, 0x1303, 0xcca8]
        );
    }

    #[test]
    fn names_of_tls13_leave_only_those() {
        assert_eq!(offered(&["TLS_AES_128_GCM_SHA256"]), [0x1301]);
    }

    #[test]
    fn weak_suites_are_dropped_and_told() {
        let names = [
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ];
        let suites = CipherSuites::parse(names, &ring()).expect("one is left");
        assert_eq!(suites.dropped(), &names[..1]);
    }

    #[test]
    fn unknown_names_and_an_empty_rest_are_errors_that_name_the_usable_ones() {
        for names in [
            &["TLS_RSA_WITH_RC4_128_SHA"][..],
            &["ECDHE-RSA-AES128-GCM-SHA256"],
            &["TLS_AES_128_GCM_SHA256", ""],
        ] {
            let error = CipherSuites::parse(names, &ring()).expect_err("refused");
            let text = error.to_string();
            assert!(text.contains("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
            assert!(!text.contains('\n'));
        }
    }

    fn offered(names: &[&str]) -> Vec<u16> {
        let provider = ring();
        let suites = CipherSuites::parse(names, &provider).expect("known names");
        let mut numbers: Vec<u16> = suites
            .of(&provider.cipher_suites)
            .iter()
            .map(|suite| suite.suite().into())
            .collect();
        numbers.sort_unstable();
        numbers
    }
}
