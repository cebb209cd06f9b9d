//! The directory in which workers have the sockets that their siblings find them by. The workers bind them; this
//! makes the directory, and takes away what a dead worker left.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};

use oxherd_contract::ids::WorkerId;
use oxherd_contract::siblings::{handoff_socket, http_socket};
use thiserror::Error;

use crate::listen::not_a_socket;

/// The longest path of a Unix socket: `sun_path` holds 108 bytes with the final NUL (`unix(7)`).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Why workers cannot have sockets.
#[derive(Debug, Error)]
pub enum SiblingSocketsError {
    /// The kernel limits the path of a Unix socket.
    #[error("the path {} is too long for sockets in it: choose a shorter --control", path.display())]
    PathTooLong {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot make the directory {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// The directory, gone when dropped.
#[derive(Debug)]
pub(crate) struct SiblingSockets {
    directory: PathBuf,
}

impl SiblingSockets {
    /// Makes it, mode 0700 and empty, in a directory that the control socket has proved private. The sockets that are
    /// there are an earlier supervisor's, whose addresses and control socket are ours by now; anything else is
    /// somebody's, and an error.
    pub(crate) fn open(directory: PathBuf) -> Result<SiblingSockets, SiblingSocketsError> {
        if handoff_socket(&directory, WorkerId(u64::MAX)).as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(SiblingSocketsError::PathTooLong { path: directory });
        }
        match remove_sockets(&directory).and_then(|()| DirBuilder::new().mode(0o700).create(&directory)) {
            Ok(()) => Ok(SiblingSockets { directory }),
            Err(cause) => Err(SiblingSocketsError::Io { path: directory, cause }),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes what a worker that is gone has left, if anything.
    pub(crate) fn remove(&self, worker: WorkerId) {
        for socket in [handoff_socket(&self.directory, worker), http_socket(&self.directory, worker)] {
            let _ = fs::remove_file(socket); // it may have died before it had any
        }
    }
}

impl Drop for SiblingSockets {
    fn drop(&mut self) {
        let _ = remove_sockets(&self.directory); // a leftover is no harm: the next supervisor removes it
    }
}

/// Removes a directory of sockets, if it is there.
fn remove_sockets(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?.collect::<io::Result<Vec<_>>>()?,
    };
    for entry in entries {
        if !entry.file_type()?.is_socket() {
            return Err(not_a_socket());
        }
        fs::remove_file(entry.path())?;
    }
    fs::remove_dir(directory)
}
