//! The users of a file as it was read: what is asked of a password, and what
//! is remembered of it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use registry_spec::auth::Identity;
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::error::HtpasswdError;
use super::file;
use super::hash::{DEFAULT_COST, Hash};

/// How long a right password is remembered. A pull is many requests within
/// seconds; whoever reads the memory later shall find little.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// How many requests may wait for one user's turn. At cost 12 the last of
/// them waits some 8 seconds; docker gives up after 15.
const SEATS: usize = 32;

/// All users, with what is remembered of them: a new file begins anew.
#[derive(Debug)]
pub(super) struct Users {
    by_name: HashMap<String, Arc<User>>,
    /// Whom everybody else is taken for, so that it takes as long.
    nobody: Arc<User>,
    pub(super) warnings: Vec<Warning>,
}

impl Users {
    pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Self, HtpasswdError> {
        let lines = file::parse(path, content)?;
        let mut warnings = Vec::new();
        if lines.is_empty() {
            warnings.push(Warning::NoUsers {
                path: path.to_owned(),
            });
        }
        let nobody = Arc::new(User::new(None, Hash::nobody(usual_cost(&lines))));
        let mut seen: HashMap<String, (usize, Arc<User>)> = HashMap::new();
        for line in lines {
            let user = User::new(Some(Identity::user(&line.name)), line.hash);
            let earlier = seen.insert(line.name, (line.number, Arc::new(user)));
            if let Some((earlier, _)) = earlier {
                warnings.push(Warning::Repeated {
                    path: path.to_owned(),
                    earlier,
                    line: line.number,
                });
            }
        }
        let by_name = seen.into_iter().map(|(name, (_, user))| (name, user));
        Ok(Self {
            by_name: by_name.collect(),
            nobody,
            warnings,
        })
    }

    pub(super) fn get(&self, name: &str) -> &Arc<User> {
        self.by_name.get(name).unwrap_or(&self.nobody)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// The cost that most users have; of several the highest.
fn usual_cost(lines: &[file::Line]) -> u32 {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for line in lines {
        *counts.entry(line.hash.cost()).or_default() += 1;
    }
    let usual = counts
        .into_iter()
        .max_by_key(|&(cost, count)| (count, cost));
    usual.map_or(DEFAULT_COST, |(cost, _)| cost)
}

/// What should be looked at in a file that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// It has no users: nobody gets in.
    NoUsers {
        /// The file.
        path: PathBuf,
    },
    /// A user has two lines. The last one holds, as in distribution; Apache
    /// takes the first.
    Repeated {
        /// The file.
        path: PathBuf,
        /// The number of the line that does not hold.
        earlier: usize,
        /// The number of the line that does.
        line: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUsers { path } => write!(
                f,
                "{path}: no users, so nobody gets in: add one with: \
                 pi-registry user add --file {path} NAME",
                path = path.display()
            ),
            Self::Repeated {
                path,
                earlier,
                line,
            } => write!(
                f,
                "{}:{line}: the same user as in line {earlier}: this line holds, remove the other",
                path.display()
            ),
        }
    }
}

/// A fingerprint of a password, worth nothing outside this process.
pub(super) type Tag = Hmac<Sha256>;

/// One user, or nobody.
pub(super) struct User {
    /// `None`: no password is right.
    identity: Option<Identity>,
    hash: Hash,
    /// The password that was right lately. One is enough: a user has one.
    verified: Mutex<Option<(sha2::digest::Output<Sha256>, Instant)>>,
    pub(super) seats: Semaphore,
    /// Of one user one password is looked at, at a time.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl User {
    fn new(identity: Option<Identity>, hash: Hash) -> Self {
        Self {
            identity,
            hash,
            verified: Mutex::default(),
            seats: Semaphore::new(SEATS),
            turn: Arc::default(),
        }
    }

    /// `key` is the process's own. The hash has always the same length, so
    /// that it and the password cannot be mixed up.
    pub(super) fn tag(&self, key: &Tag, password: &str) -> Tag {
        key.clone()
            .chain_update(self.hash.as_bytes())
            .chain_update(password)
    }

    /// Whom this password was found right for lately.
    pub(super) fn remembered(&self, tag: &Tag, now: Instant) -> Option<Identity> {
        let verified = *self.lock();
        let (known, at) = verified?;
        // Compares in constant time.
        let same = tag.clone().verify(&known).is_ok();
        let identity = self.identity.as_ref();
        identity
            .filter(|_| same && now.saturating_duration_since(at) < REMEMBERED)
            .cloned()
    }

    /// Whether the password is right. Takes as long as the cost says, on the
    /// calling thread. Only a right one is remembered.
    pub(super) fn check(&self, password: &str, tag: Tag) -> Option<Identity> {
        let right = self.hash.verify(password);
        let identity = self.identity.clone().filter(|_| right)?;
        *self.lock() = Some((tag.finalize().into_bytes(), Instant::now()));
        Some(identity)
    }

    /// Whether this is somebody, and not who stands for unknown names.
    pub(super) const fn exists(&self) -> bool {
        self.identity.is_some()
    }

    /// What changes with the password; `None` for nobody.
    #[cfg(all(feature = "token", any(feature = "ring", feature = "aws-lc-rs")))]
    pub(super) fn revision(&self) -> Option<String> {
        self.identity.as_ref()?;
        Some(String::from_utf8_lossy(self.hash.as_bytes()).into_owned())
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(sha2::digest::Output<Sha256>, Instant)>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit as _;

    use super::super::entry;
    use super::*;

    fn users(content: &str) -> Users {
        Users::parse(Path::new("users"), content.as_bytes()).expect("valid")
    }

    fn line(name: &str, password: &str, cost: u32) -> String {
        entry(name, password, cost).expect("an entry") + "\n"
    }

    #[test]
    fn of_two_lines_of_a_user_the_last_holds_with_a_warning() {
        let content = line("a", "first", 4) + "#\n" + &line("a", "last", 4);
        let users = users(&content);
        let key = Tag::new_from_slice(&[1; 32]).expect("any length");
        let user = users.get("a");
        assert!(user.check("last", user.tag(&key, "last")).is_some());
        assert!(user.check("first", user.tag(&key, "first")).is_none());
        let warnings: Vec<_> = users.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            ["users:3: the same user as in line 1: this line holds, remove the other"]
        );
    }

    #[test]
    fn a_file_without_users_is_valid_and_warned_of() {
        let users = users("# nobody yet\n");
        assert_eq!(users.len(), 0);
        let warning = users.warnings[0].to_string();
        assert!(warning.starts_with("users: no users"), "{warning}");
        assert_eq!(users.nobody.hash.cost(), DEFAULT_COST);
    }

    #[test]
    fn nobody_costs_what_most_users_cost() {
        let five = line("a", "x", 5);
        let six = line("b", "x", 6);
        let content = format!("{five}{six}");
        assert_eq!(users(&content).nobody.hash.cost(), 6);
        let content = content + &line("c", "x", 5);
        assert_eq!(users(&content).nobody.hash.cost(), 5);
    }

    #[test]
    fn only_a_right_password_is_remembered_and_only_for_its_user() {
        let users = users(&(line("a", "x", 4) + &line("b", "x", 4)));
        let key = Tag::new_from_slice(&[1; 32]).expect("any length");
        let (a, b) = (users.get("a"), users.get("b"));
        let now = Instant::now();
        assert!(a.check("y", a.tag(&key, "y")).is_none());
        assert!(a.remembered(&a.tag(&key, "y"), now).is_none());
        assert!(a.check("x", a.tag(&key, "x")).is_some());
        assert!(a.remembered(&a.tag(&key, "x"), now).is_some());
        assert!(a.remembered(&a.tag(&key, "y"), now).is_none());
        assert!(b.remembered(&b.tag(&key, "x"), now).is_none());
    }

    #[test]
    fn a_remembered_password_is_forgotten_in_time() {
        let users = users(&line("a", "x", 4));
        let key = Tag::new_from_slice(&[1; 32]).expect("any length");
        let user = users.get("a");
        let tag = user.tag(&key, "x");
        user.check("x", tag.clone()).expect("right");
        let now = Instant::now();
        assert!(user.remembered(&tag, now).is_some());
        assert!(user.remembered(&tag, now + REMEMBERED).is_none());
    }
}
