//! `http.net: unix`: a listening socket in the file system.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

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
    /// one that still answers is not.
    pub(super) async fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(found) if found.file_type().is_socket() => match UnixStream::connect(path).await {
                // Nobody listens.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path)?;
                }
                _ => return Err(io::ErrorKind::AddrInUse.into()),
            },
            Ok(_) => {
                let message = "a file that is no socket is there";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
        }
        let listener = UnixListener::bind(path)?;
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
}
