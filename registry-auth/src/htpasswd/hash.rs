//! bcrypt hashes: `$2y$10$`, then 22 characters of salt and 31 of hash.

use std::fmt;

use super::error::LineProblem;

/// The lowest cost there is.
pub const MIN_COST: u32 = 4;

/// As Apache's `-C`: a higher one would keep a core busy for many seconds
/// whenever somebody signs in.
pub const MAX_COST: u32 = 17;

/// The cost of new hashes, about 60 ms on a desktop and 250 ms on a Raspberry
/// Pi 4. Apache's 5 takes 2 ms, with which a leaked file is guessed through in
/// no time; at 12 a small machine serves only one sign-in a second.
pub const DEFAULT_COST: u32 = 10;

/// A hash with a valid form. Never printed.
pub(super) struct Hash {
    text: String,
    cost: u32,
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Hash {
    pub(super) fn parse(text: &str) -> Result<Self, LineProblem> {
        if !["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            return Err(LineProblem::OtherHash(kind(text)));
        }
        let parts: bcrypt::HashParts = text.parse().map_err(|_| LineProblem::Malformed)?;
        let cost = parts.get_cost();
        if !(MIN_COST..=MAX_COST).contains(&cost) {
            return Err(LineProblem::Cost(cost));
        }
        let text = text.to_owned();
        Ok(Self { text, cost })
    }

    /// What is asked of users that do not exist: no password is known for it,
    /// and whoever finds one is still nobody.
    pub(super) fn nobody(cost: u32) -> Self {
        // Zeroes in bcrypt's alphabet.
        let text = format!("$2b${cost:02}${}", ".".repeat(53));
        Self { text, cost }
    }

    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Takes as long as the cost says, on the calling thread.
    ///
    /// Of a password only the first 72 bytes count, as in distribution.
    pub(super) fn verify(&self, password: &str) -> bool {
        let matches = bcrypt::verify(password, &self.text).unwrap_or(false);
        // No password that was set has one, and bcrypt takes `a\0a` for `a`.
        matches && !password.contains('\0')
    }
}

/// What else an htpasswd file may hold.
fn kind(text: &str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("$apr1$", "hashed with Apache's MD5 ($apr1$)"),
        ("{SHA}", "hashed with SHA-1 ({SHA})"),
        ("{SSHA}", "hashed with SHA-1 ({SSHA})"),
        ("$1$", "hashed with MD5 ($1$)"),
        ("$2x$", "hashed with a broken bcrypt ($2x$)"),
        ("$2$", "hashed with an old bcrypt ($2$)"),
        ("$5$", "hashed with SHA-256 ($5$)"),
        ("$6$", "hashed with SHA-512 ($6$)"),
        ("$7$", "hashed with scrypt ($7$)"),
        ("$y$", "hashed with yescrypt ($y$)"),
        ("$argon2", "hashed with Argon2"),
    ];
    let known = KINDS.iter().find(|(start, _)| text.starts_with(start));
    match known {
        Some((_, kind)) => kind,
        None if text.is_empty() => "missing",
        None => "plain text or hashed with crypt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] = *b"0123456789abcdef";

    fn hash(password: &[u8], version: bcrypt::Version) -> String {
        let parts = bcrypt::hash_with_salt(password, MIN_COST, SALT).expect("a hash");
        parts.format_for_version(version)
    }

    #[test]
    fn the_three_versions_of_bcrypt_are_verified() {
        use bcrypt::Version::{TwoA, TwoB, TwoY};
        for version in [TwoA, TwoB, TwoY] {
            let hash = Hash::parse(&hash(b"right", version)).expect("a hash");
            assert_eq!(hash.cost(), MIN_COST);
            assert!(hash.verify("right"));
            assert!(!hash.verify("wrong"));
            assert!(!hash.verify(""));
        }
    }

    #[test]
    fn a_hash_that_apache_wrote_is_verified() {
        // htpasswd -nbBC 5 user pass:word
        let hash = "$2y$05$YKG5PBIHjoQiX.QHvKn49u.dgyA430CbMr7WfwJ7GFqrzwTShVisW";
        let hash = Hash::parse(hash).expect("a hash");
        assert!(hash.verify("pass:word"));
        assert!(!hash.verify("pass"));
    }

    #[test]
    fn only_the_first_72_bytes_count() {
        let long = "x".repeat(72);
        let hash = Hash::parse(&hash(long.as_bytes(), bcrypt::Version::TwoY)).expect("a hash");
        assert!(hash.verify(&long));
        assert!(hash.verify(&format!("{long}more")));
        assert!(!hash.verify(&long[1..]));
    }

    #[test]
    fn a_password_with_a_zero_is_never_right() {
        for set in [&b"a"[..], b"a\0a"] {
            let hash = Hash::parse(&hash(set, bcrypt::Version::TwoY)).expect("a hash");
            assert!(!hash.verify("a\0a"));
        }
    }

    #[test]
    fn other_hashes_are_named() {
        for (text, kind) in [
            ("$apr1$x$y", "($apr1$)"),
            ("{SHA}x", "({SHA})"),
            ("$5$x", "($5$)"),
            ("$6$x", "($6$)"),
            ("$2x$05$x", "($2x$)"),
            ("", "missing"),
            ("rl6CUWAtcHXWA", "plain text or hashed with crypt"),
        ] {
            match Hash::parse(text) {
                Err(LineProblem::OtherHash(found)) => assert!(found.contains(kind), "{found}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn damaged_hashes_and_other_costs_are_refused() {
        let good = hash(b"x", bcrypt::Version::TwoY);
        for (text, problem) in [
            (good[..59].to_owned(), LineProblem::Malformed),
            (format!("{good}x"), LineProblem::Malformed),
            (good.replace("$04$", "$4$."), LineProblem::Malformed),
            (good.replace("$04$", "$04$!"), LineProblem::Malformed),
            (good.replace("$04$", "$03$"), LineProblem::Cost(3)),
            (good.replace("$04$", "$18$"), LineProblem::Cost(18)),
            (good.replace("$04$", "$31$"), LineProblem::Cost(31)),
        ] {
            assert_eq!(Hash::parse(&text).expect_err(&text), problem, "{text}");
        }
    }

    #[test]
    fn nobodys_hash_costs_what_it_says() {
        for cost in [MIN_COST, DEFAULT_COST] {
            let nobody = Hash::nobody(cost);
            let parsed = Hash::parse(&nobody.text).expect("a valid form");
            assert_eq!(parsed.cost(), cost);
            assert!(!nobody.verify(""));
        }
    }

    #[test]
    fn a_hash_is_never_printed() {
        let text = hash(b"x", bcrypt::Version::TwoY);
        let printed = format!("{:?}", Hash::parse(&text).expect("a hash"));
        assert_eq!(printed, "[hidden]");
    }
}
