//! `http.net: unix`: a listening socket in the file system.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep};

use super::Listener;

/// How long to wait for another start that looks at the same directory. Anyone
/// who can read the directory can lock it, so not for ever.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two attempts at the lock.
const LOCK_REST: Duration = Duration::from_millis(10);

/// A path where a socket can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vacant {
    /// Nothing is there.
    Free,
    /// The file of a dead process is there.
    Stale,
}

/// Whether a path is free or stale; an error says what is in the way.
async fn vacant(path: &Path) -> io::Result<Vacant> {
    // Before anything is removed: it may be too long.
    SocketAddr::from_pathname(path)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vacant::Free),
        Err(error) => Err(error),
        Ok(found) if found.file_type().is_socket() => judge(UnixStream::connect(path).await),
        Ok(_) => {
            let message = "a file that is no socket is there";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
        }
    }
}

/// What an attempt to connect to a socket's file says of it.
fn judge<T>(connected: io::Result<T>) -> io::Result<Vacant> {
    match connected.map_err(|error| (error.kind(), error)) {
        Err((io::ErrorKind::ConnectionRefused, _)) => Ok(Vacant::Stale),
        // Its owner was faster.
        Err((io::ErrorKind::NotFound, _)) => Ok(Vacant::Free),
        // Whether anyone listens is not for this user to know.
        Err((kind @ io::ErrorKind::PermissionDenied, error)) => {
            let message = format!(
                "{error}: a socket that this user cannot connect to is there, remove the file or \
                 chown it"
            );
            Err(io::Error::new(kind, message))
        }
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Keeps other starts from the sockets of a directory until it is dropped.
/// `None` where that cannot be had: the directory cannot be read, or its file
/// system has no locks.
async fn lock(path: &Path) -> io::Result<Option<File>> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let Ok(dir) = File::open(dir) else {
        return Ok(None);
    };
    let begun = Instant::now();
    loop {
        match dir.try_lock() {
            Ok(()) => return Ok(Some(dir)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_TIMEOUT => {
                sleep(LOCK_REST).await;
            }
            Err(TryLockError::WouldBlock) => {
                let message = "another program keeps the directory locked";
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        }
    }
}

impl Listener {
    /// Whether a socket's path could be taken, as [`UnixSocket::bind`] finds
    /// it, without taking it.
    pub(crate) async fn can_take(path: &Path) -> io::Result<()> {
        vacant(path).await.map(|_| ())
    }
}

/// A listening socket that takes its file away with it.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: a program that replaced the file keeps it.
    file: (u64, u64),
}

impl UnixSocket {
    /// Listens at a path. The file that a dead process left there is replaced,
    /// one that still answers is not. Of two starts over one dead file, the
    /// second finds the first: the directory is locked from the look to the end.
    pub(super) async fn bind(path: &Path) -> io::Result<Self> {
        let locked = lock(path).await?;
        if vacant(path).await? == Vacant::Stale {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        drop(locked);
        let file = fs::symlink_metadata(path)?;
        let socket = Self {
            listener,
            path: path.to_owned(),
            file: (file.dev(), file.ino()),
        };
        // The system took the umask off 0777; nobody executes a socket.
        fs::set_permissions(path, Permissions::from_mode(file.mode() & 0o666))?;
        Ok(socket)
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        Ok(stream)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_live_socket_is_refused_and_a_stale_one_replaced() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("registry.sock");
        let first = UnixSocket::bind(&path).await.expect("free");
        let mode = fs::metadata(&path).expect("there").mode() & 0o777;
        assert_eq!(mode & 0o111, 0, "{mode:o}");
        assert_eq!(mode & 0o600, 0o600, "{mode:o}");
        let error = UnixSocket::bind(&path).await.expect_err("alive");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists(), "removed at the end");

        // A process that was killed leaves its file.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
        assert!(path.exists());
        let second = UnixSocket::bind(&path).await.expect("replaced");
        UnixStream::connect(&path).await.expect("listens");
        drop(second);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("data");
        fs::write(&path, "precious").expect("written");
        let error = UnixSocket::bind(&path).await.expect_err("a file");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("there"), b"precious");
    }

    #[tokio::test]
    async fn a_file_of_another_program_stays_at_the_end() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("registry.sock");
        let first = UnixSocket::bind(&path).await.expect("free");
        fs::rename(&path, dir.path().join("old")).expect("renamed");
        let _other = std::os::unix::net::UnixListener::bind(&path).expect("free");
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn of_two_starts_over_a_stale_file_one_wins() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("registry.sock");
        for _ in 0..50 {
            drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
            let (one, other) = tokio::join!(UnixSocket::bind(&path), UnixSocket::bind(&path));
            let (winner, loser) = match (one, other) {
                (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
                both => panic!("{both:?}"),
            };
            assert_eq!(loser.kind(), io::ErrorKind::AddrInUse);
            UnixStream::connect(&path).await.expect("listens");
            drop(winner);
        }
    }

    #[tokio::test]
    async fn a_start_waits_for_one_that_is_under_way() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("registry.sock");
        let other = lock(&path).await.expect("no fault").expect("locked");
        let mut start = Box::pin(UnixSocket::bind(&path));
        let early = tokio::time::timeout(Duration::from_millis(50), &mut start).await;
        assert!(early.is_err(), "{early:?}");
        assert!(!path.exists());
        drop(other);
        start.await.expect("free");
    }

    #[test]
    fn a_socket_of_another_user_is_told_as_such() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let error = judge::<()>(Err(denied())).expect_err("in the way");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let line = error.to_string();
        assert!(line.ends_with("remove the file or chown it"), "{line}");
        let stale = judge::<()>(Err(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!(stale.expect("stale"), Vacant::Stale);
        let full = judge::<()>(Err(io::ErrorKind::WouldBlock.into()));
        assert_eq!(full.expect_err("alive").kind(), io::ErrorKind::AddrInUse);
    }
}
