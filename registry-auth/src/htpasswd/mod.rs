//! Users and passwords in a file, as Apache's `htpasswd -B` writes it.
//!
//! ```text
//! Authorization: Basic -> remembered? ------------------------------------> Identity -> Grant
//!                             | no                                             ^
//!                             '-> the user's turn -> a place for bcrypt -> right? -> remembered
//! ```
//!
//! | the client sends | it gets |
//! |---|---|
//! | a user and its password | a grant of everything |
//! | a wrong password, an unknown user | a challenge, after the same time |
//! | nothing, a token, something unreadable | a challenge, at once |
//! | a password to be checked while 32 wait for the same user | 429 |
//!
//! # What is guaranteed
//! * Hashing is slow on purpose and happens on at most half of the cores, and
//!   never on the runtime's worker threads.
//! * A right password is remembered for five minutes, as a fingerprint with a
//!   key of this process. It waits for nothing then, however many wrong ones
//!   are waiting. Wrong ones are never remembered, and a changed file forgets
//!   all.
//! * Users take turns: one password is checked per user at a time, and all
//!   unknown users share one turn. Whoever tries passwords delays another
//!   user's sign-in by one check for each name that is tried, and no more.
//! * The same right password, sent many times at once, is checked once.
//!
//! # What is not
//! * While somebody floods a user's own name, a sign-in that is not remembered
//!   may be told to come back (429), and is let in when it finds a place.
//! * Unknown users take as long as wrong passwords where all hashes have the
//!   same cost, and nobody floods either.
//!
//! ```
//! use std::sync::Arc;
//! use registry_auth::htpasswd::{self, Htpasswd};
//! use registry_spec::{Registry, storage::MemoryStorage};
//!
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("htpasswd");
//! htpasswd::edit::add(&path, "alice", "correct horse", htpasswd::DEFAULT_COST)?;
//!
//! let users = Arc::new(Htpasswd::load(&path, "my registry")?);
//! let storage = Arc::new(MemoryStorage::new());
//! let registry = Registry::builder(storage, Arc::clone(&users) as _).build();
//! # drop(registry);
//! // Every few seconds, away from the runtime's workers:
//! users.reload()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Another rule than "everything for everybody who signed in" is an
//! [`Authorizer`] of one's own over [`Htpasswd::verify`].

pub mod edit;
mod entry;
mod error;
mod file;
mod hash;
#[cfg(test)]
mod tests;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hmac::KeyInit as _;
use registry_spec::Authorizer;
use registry_spec::auth::{
    AuthError, AuthRequest, Challenge, Credentials, Grant, Identity, Secret,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

pub use entry::{EntryError, check_name, entry};
pub use error::{HtpasswdError, LineProblem};
pub use hash::{DEFAULT_COST, MAX_COST, MIN_COST};
pub use users::Warning;
use users::{Tag, Users};

/// When to come back, for whom no place was free.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The users of a file. See the [module](self) for what it guarantees.
pub struct Htpasswd {
    path: PathBuf,
    challenge: Challenge,
    /// Random, for the fingerprints of remembered passwords.
    key: Tag,
    users: RwLock<Arc<Users>>,
    /// What the file was when it was looked at last.
    seen: Mutex<Seen>,
    /// Places for bcrypt.
    places: Arc<Semaphore>,
}

struct Seen {
    /// Of the content of `users`.
    digest: [u8; 32],
    /// What was wrong with it since, as it was told.
    failure: Option<String>,
}

impl Htpasswd {
    /// Reads a file. `realm` is shown to people who are asked to sign in.
    ///
    /// A file without users is valid: nobody gets in. See [`Self::warnings`].
    ///
    /// # Errors
    /// Any [`HtpasswdError`]: the file cannot be read, or a line in it is not
    /// as it must be, or the realm has quotes.
    pub fn load(path: impl Into<PathBuf>, realm: &str) -> Result<Self, HtpasswdError> {
        let path = path.into();
        let challenge = Challenge::basic(realm);
        challenge
            .to_header()
            .map_err(|source| HtpasswdError::Realm { source })?;
        let (users, digest) = read(&path)?;
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            path,
            challenge,
            key: random_key()?,
            users: RwLock::new(Arc::new(users)),
            seen: Mutex::new(Seen {
                digest,
                failure: None,
            }),
            places: Arc::new(Semaphore::new((cores / 2).max(1))),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users().len()
    }

    /// What should be looked at in the file, although it can be used.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.users().warnings.clone()
    }

    /// Looks whether the file has changed, and takes over its new content. To
    /// be called every few seconds; it reads the file, so not on a runtime's
    /// worker.
    ///
    /// Goes by the content, so that the swap of links by which Kubernetes
    /// changes a mounted secret is seen as well. With a new content all
    /// remembered passwords are forgotten.
    ///
    /// # Errors
    /// Any [`HtpasswdError`], when the file cannot be used. What was read
    /// before stays in force. The same failure is an error only the first
    /// time, later [`Reloaded::StillFailing`].
    pub fn reload(&self) -> Result<Reloaded, HtpasswdError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match read_changed(&self.path, &seen.digest) {
            Ok(None) if seen.failure.take().is_some() => Ok(Reloaded::Recovered),
            Ok(None) => Ok(Reloaded::Unchanged),
            Ok(Some((users, digest))) => {
                *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
                *seen = Seen {
                    digest,
                    failure: None,
                };
                Ok(Reloaded::Changed)
            }
            Err(error) => {
                let told = Some(format!("{error:?}"));
                if seen.failure == told {
                    return Ok(Reloaded::StillFailing);
                }
                seen.failure = told;
                Err(error)
            }
        }
    }

    /// Who it is that knows this password; `None` if it is wrong or there is
    /// no such user.
    ///
    /// Runs within tokio. When it is dropped, a check that has begun goes on,
    /// and its outcome is remembered.
    ///
    /// # Errors
    /// [`AuthError::TooManyRequests`] when too many wait for this user's turn,
    /// [`AuthError::Backend`] when the runtime is shutting down.
    pub async fn verify(
        &self,
        username: &str,
        password: &Secret,
    ) -> Result<Option<Identity>, AuthError> {
        let user = Arc::clone(self.users().get(username));
        let tag = user.tag(&self.key, password.reveal());
        if let Some(identity) = user.remembered(&tag, Instant::now()) {
            return Ok(Some(identity));
        }
        let _seat = user
            .seats
            .try_acquire()
            .map_err(|_| AuthError::TooManyRequests {
                retry_after: RETRY_AFTER,
            })?;
        let turn = Arc::clone(&user.turn).lock_owned().await;
        // Whoever had the turn before may have sent the same.
        if let Some(identity) = user.remembered(&tag, Instant::now()) {
            return Ok(Some(identity));
        }
        let place = Arc::clone(&self.places).acquire_owned().await;
        let checked = Arc::clone(&user);
        let password = password.clone();
        let check = tokio::task::spawn_blocking(move || {
            // Held to the end, also when nobody waits for it any more.
            let _held = (turn, place);
            checked.check(password.reveal(), tag)
        });
        check.await.map_err(|error| AuthError::Backend {
            source: error.into(),
        })
    }

    /// Whether there is such a user now.
    #[must_use]
    pub fn has_user(&self, username: &str) -> bool {
        self.users().get(username).exists()
    }

    /// What changes with the user's password; `None` if there is no such user.
    #[cfg(all(feature = "token", any(feature = "ring", feature = "aws-lc-rs")))]
    pub(crate) fn revision(&self, username: &str) -> Option<Secret> {
        self.users().get(username).revision().map(Secret::new)
    }

    fn users(&self) -> Arc<Users> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&users)
    }
}

#[async_trait]
impl Authorizer for Htpasswd {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        let identity = match request.credentials {
            Credentials::Basic { username, password } => self.verify(username, password).await?,
            _ => None,
        };
        identity
            .map(Grant::all)
            .ok_or_else(|| AuthError::Challenge(self.challenge.clone()))
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd")
            .field("path", &self.path)
            .field("users", &self.user_count())
            .finish_non_exhaustive()
    }
}

/// What [`Htpasswd::reload`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reloaded {
    /// The file is as it was.
    Unchanged,
    /// New content is in force.
    Changed,
    /// The file was not usable for a while, and is again as it was before.
    Recovered,
    /// The file is still not usable, as was told before.
    StillFailing,
}

fn read(path: &Path) -> Result<(Users, [u8; 32]), HtpasswdError> {
    let content = file::read(path)?;
    let digest = Sha256::digest(&content).into();
    Ok((Users::parse(path, &content)?, digest))
}

/// `None` when the content has this digest.
fn read_changed(
    path: &Path,
    digest: &[u8; 32],
) -> Result<Option<(Users, [u8; 32])>, HtpasswdError> {
    let content = file::read(path)?;
    let new = Sha256::digest(&content).into();
    if new == *digest {
        return Ok(None);
    }
    Ok(Some((Users::parse(path, &content)?, new)))
}

fn random_key() -> Result<Tag, HtpasswdError> {
    // As long as the block of the hash.
    let mut key = [0; 64];
    getrandom::fill(&mut key).map_err(|source| HtpasswdError::Random {
        source: source.into(),
    })?;
    Ok(Tag::new(&key.into()))
}
