//! A server's TLS that follows its files.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, ServerConnection};

use crate::ClientIdentity;
use crate::server::{Files, Loaded, ServerOptions, TlsError};

/// A server's TLS, which follows its files while it serves.
///
/// Content is compared, not time stamps or inodes: Kubernetes swaps symbolic
/// links, and copies keep old times. Call [`reload`](Self::reload) every few
/// seconds; it reads a few small files.
///
/// | the files now hold | answer | served |
/// |---|---|---|
/// | what is served | [`Reloaded::Unchanged`] | as before |
/// | another good pair, other client CAs | [`Reloaded::Changed`] | the new, to new connections |
/// | something bad | the error | as before |
/// | the bad content that the last call told of | [`Reloaded::StillBroken`] | as before |
///
/// A pair that is replaced file by file may be seen half done: that is an error
/// once, and heals with the next call.
///
/// ```
/// use registry_tls::server::ServerOptions;
/// use registry_tls::{Reloaded, Reloading};
///
/// # #[cfg(feature = "ring")] {
/// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
/// let options = ServerOptions::new(format!("{dir}/self-signed.crt"), format!("{dir}/sec1.key"));
/// let tls = Reloading::load(options, registry_tls::provider::ring())?;
/// assert_eq!(tls.certificates().len(), 1);
/// let connection = rustls::ServerConnection::new(tls.config());
///
/// // every few seconds, on a thread that may wait for the disk:
/// match tls.reload() {
///     Ok(Reloaded::Changed) => println!("serving the new certificate"),
///     Ok(_) => {}
///     Err(error) => eprintln!("keeping the old certificate: {error}"),
/// }
/// # }
/// # Ok::<_, registry_tls::TlsError>(())
/// ```
pub struct Reloading {
    options: ServerOptions,
    provider: Arc<CryptoProvider>,
    check: Check,
    current: RwLock<Loaded>,
    /// Held for a whole reload, so that two never cross.
    seen: Mutex<Seen>,
}

type Check = Box<dyn Fn(&[CertificateDer<'static>]) -> Result<(), BoxError> + Send + Sync>;

type BoxError = Box<dyn Error + Send + Sync>;

/// Fingerprints of what the files held.
struct Seen {
    good: [u8; 32],
    /// What was refused last, until something good replaces it.
    bad: Option<[u8; 32]>,
}

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reloaded {
    /// The files hold what is served.
    Unchanged,
    /// The files held something new, which new connections now get.
    Changed,
    /// The files hold what the last reload refused; the old is served.
    StillBroken,
}

impl Reloading {
    /// Reads all files and makes the first configuration.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when a file or a setting is bad.
    pub fn load(options: ServerOptions, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        Self::load_checked(options, provider, |_| Ok(()))
    }

    /// As [`load`](Self::load), with a check that every certificate has to
    /// pass, now and later, before it is served: what
    /// [`inspect`](crate::inspect::inspect) finds, for instance.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when a file or a setting is bad; [`TlsError::Refused`] by
    /// the check.
    pub fn load_checked(
        options: ServerOptions,
        provider: Arc<CryptoProvider>,
        check: impl Fn(&[CertificateDer<'static>]) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let files = Files::read(&options);
        let seen = Seen {
            good: files.fingerprint(),
            bad: None,
        };
        let check: Check = Box::new(check);
        Ok(Self {
            current: RwLock::new(load(files, &options, &provider, &check)?),
            options,
            provider,
            check,
            seen: Mutex::new(seen),
        })
    }

    /// The configuration for a new connection. Cheap.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.of_current(|loaded| Arc::clone(&loaded.config))
    }

    /// The certificates that are served, the server's own first.
    #[must_use]
    pub fn certificates(&self) -> Arc<[CertificateDer<'static>]> {
        self.of_current(|loaded| Arc::clone(&loaded.chain))
    }

    /// What this was loaded with.
    #[must_use]
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Who the client of an established connection is: `None` without a
    /// certificate, in the modes that do not verify it, and once it has
    /// expired, which a resumed session may have outlived.
    #[must_use]
    pub fn client_identity(&self, connection: &ServerConnection) -> Option<ClientIdentity> {
        let mode = self.options.effective_client_auth()?;
        let certificate = connection.peer_certificates()?.first()?;
        mode.verifies()
            .then(|| ClientIdentity::of_verified(certificate))?
    }

    /// Reads all files again. It blocks for as long as the disk does.
    ///
    /// # Errors
    ///
    /// [`TlsError`], once for each bad content; the old configuration stays.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let files = Files::read(&self.options);
        let found = files.fingerprint();
        if found == seen.good {
            seen.bad = None;
            return Ok(Reloaded::Unchanged);
        }
        // Also what was refused before: the check may go by the clock.
        let loaded = match load(files, &self.options, &self.provider, &self.check) {
            Ok(loaded) => loaded,
            Err(_) if seen.bad == Some(found) => return Ok(Reloaded::StillBroken),
            Err(error) => {
                seen.bad = Some(found);
                return Err(error);
            }
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        *seen = Seen {
            good: found,
            bad: None,
        };
        Ok(Reloaded::Changed)
    }

    fn of_current<T>(&self, get: impl FnOnce(&Loaded) -> T) -> T {
        get(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn load(
    files: Files,
    options: &ServerOptions,
    provider: &CryptoProvider,
    check: &Check,
) -> Result<Loaded, TlsError> {
    let loaded = files.load(options, provider)?;
    check(&loaded.chain).map_err(|source| TlsError::Refused {
        certificate: options.certificate.clone(),
        source,
    })?;
    Ok(loaded)
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, unix, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests;
