//! The control socket's place in the file system, and that only one balancer has it.
//!
//! Invariants:
//! - The lock file beside the socket is locked as long as a [`ControlSocket`] lives; what dies leaves the lock free. A
//!   socket that is found while the lock is free belongs to nobody and is replaced; anything else is left alone.
//! - There is no moment at which the socket can be connected to by another user: it is made in a directory of ours,
//!   given mode 0600, and only then put in its place.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The right to serve a control socket. The socket and its lock file vanish with it.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    lock: PathBuf,
    bound: bool,
    _locked: File,
}

/// Why the control socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another balancer serves it.
    #[error("another balancer is running: it serves {path}")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket has its name.
    #[error("{path} exists and is not a socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io { doing, path, source }
}

impl ControlSocket {
    /// Claims the socket at `path`, and makes the directory that it is in. Nobody is served yet.
    ///
    /// # Errors
    /// [`SocketError::InUse`] if another balancer has it.
    pub fn claim(path: &Path) -> Result<Self, SocketError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o755);
            builder.create(directory).map_err(failed("make the directory", directory))?;
        }
        let lock = with_suffix(path, ".lock");
        let locked = lock_file(&lock, path)?;
        let socket = Self { path: path.to_owned(), lock, bound: false, _locked: locked };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at", path)(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket { path: path.to_owned() });
            }
            // The lock is ours: only a program that knows nothing of locks could be behind it.
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(SocketError::InUse { path: path.to_owned() });
            }
            Ok(_) => fs::remove_file(path).map_err(failed("remove the old socket", path))?,
        }
        Ok(socket)
    }

    /// Makes the socket, with mode 0600.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(&mut self) -> Result<UnixListener, SocketError> {
        let directory = with_suffix(&self.path, &format!(".{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed("make the directory", &directory))?;
        let listener = self.listen_in(&directory);
        // Best effort: an empty directory is no harm, and the outcome that counts is the listener's.
        let _ = fs::remove_dir_all(&directory);
        listener
    }

    fn listen_in(&mut self, directory: &Path) -> Result<UnixListener, SocketError> {
        let made = directory.join("s");
        let listener = UnixListener::bind(&made).map_err(failed("make the control socket", &made))?;
        listener.set_nonblocking(true).map_err(failed("set up", &made))?;
        fs::set_permissions(&made, Permissions::from_mode(0o600))
            .map_err(failed("set the mode of", &made))?;
        fs::rename(&made, &self.path).map_err(failed("put in place", &self.path))?;
        self.bound = true;
        Ok(listener)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Best effort on the way out; the lock is still held, so both names are ours.
        if self.bound {
            let _ = fs::remove_file(&self.path);
        }
        let _ = fs::remove_file(&self.lock);
    }
}

/// Opens and locks the file at `lock`. It may have been removed by its last holder between the two: then again.
fn lock_file(lock: &Path, socket: &Path) -> Result<File, SocketError> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(lock)
            .map_err(failed("open the lock", lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SocketError::InUse { path: socket.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed("lock", lock)(error)),
        }
        let ours = file.metadata().map_err(failed("look at", lock))?;
        if fs::metadata(lock).is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
