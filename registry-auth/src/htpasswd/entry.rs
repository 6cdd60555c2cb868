//! New lines: what a name and a password must be, and the hash.

use super::file::{LONGEST_NAME, is_name};
use super::hash::{MAX_COST, MIN_COST};

/// What bcrypt hashes at most, in bytes; it leaves the rest out of sight.
const LONGEST_PASSWORD: usize = 72;

/// The line of a user, `name:hash`, without a line break.
///
/// The hash is `$2y$`, as Apache writes it. This takes as long as the cost
/// says.
///
/// ```
/// use registry_auth::htpasswd;
///
/// let line = htpasswd::entry("alice", "correct horse", htpasswd::DEFAULT_COST)?;
/// assert!(line.starts_with("alice:$2y$10$"));
/// # Ok::<(), htpasswd::EntryError>(())
/// ```
///
/// # Errors
/// * [`EntryError::Name`], [`EntryError::Password`], [`EntryError::Cost`]:
///   not as it must be.
/// * [`EntryError::Hash`]: the system gave no random salt.
pub fn entry(name: &str, password: &str, cost: u32) -> Result<String, EntryError> {
    check_name(name)?;
    // A line break could not be typed in again.
    if password.is_empty()
        || password.len() > LONGEST_PASSWORD
        || password.contains(['\0', '\n', '\r'])
    {
        return Err(EntryError::Password {
            length: password.len(),
        });
    }
    if !(MIN_COST..=MAX_COST).contains(&cost) {
        return Err(EntryError::Cost { cost });
    }
    let hash = bcrypt::hash_with_result(password, cost).map_err(|source| EntryError::Hash {
        source: source.into(),
    })?;
    let hash = hash.format_for_version(bcrypt::Version::TwoY);
    Ok(format!("{name}:{hash}"))
}

/// Whether a user may be called so.
///
/// # Errors
/// [`EntryError::Name`] if not.
pub fn check_name(name: &str) -> Result<(), EntryError> {
    // What would be taken for a comment, or not found again.
    if is_name(name) && !name.starts_with('#') && name.trim() == name {
        return Ok(());
    }
    Err(EntryError::Name {
        name: name.chars().take(60).collect(),
    })
}

/// Why there is no line for a user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// No user may be called so.
    #[error(
        "user {name:?}: expected 1 to {LONGEST_NAME} bytes without a colon or control characters, \
         with no # at the start and no space around it"
    )]
    Name {
        /// The beginning of the name.
        name: String,
    },
    /// Not a password that bcrypt tells from all others, or that can be typed.
    #[error(
        "the password has {length} bytes: expected 1 to {LONGEST_PASSWORD}, none of them zero or a \
         line break"
    )]
    Password {
        /// In bytes.
        length: usize,
    },
    /// Too cheap to be safe, or too dear to sign in.
    #[error("the cost is {cost}: expected {MIN_COST} to {MAX_COST}")]
    Cost {
        /// The cost.
        cost: u32,
    },
    /// The password could not be hashed.
    #[error("cannot hash the password")]
    Hash {
        /// Why.
        #[source]
        source: registry_spec::BoxError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_that_verifies() {
        let password = "x".repeat(72);
        let line = entry("zoë smith", &password, MIN_COST).expect("an entry");
        let hash = line
            .strip_prefix("zoë smith:")
            .expect("the name comes first");
        assert!(bcrypt::verify(&password, hash).expect("a hash"));
    }

    #[test]
    fn what_could_not_sign_in_is_refused() {
        let long = "x".repeat(256);
        for name in ["", "a:b", "#a", " a", "a ", "a\tb", "a\nb", &long] {
            let error = entry(name, "x", MIN_COST).expect_err("a name");
            assert!(matches!(error, EntryError::Name { .. }), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        for password in ["", "a\0b", "a\nb", "a\r", &long[..73]] {
            let error = entry("a", password, MIN_COST).expect_err("a password");
            assert!(matches!(error, EntryError::Password { .. }), "{error}");
        }
        for cost in [0, 3, 18, 31] {
            let error = entry("a", "x", cost).expect_err("a cost");
            assert!(matches!(error, EntryError::Cost { .. }), "{error}");
        }
    }
}
