//! The bus' listening sockets: opened once and kept, so that who connects while the bus is being replaced waits in
//! the queue instead of being refused.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::listen::{remove_unused, unix_socket};

/// Connections that may wait; every worker connects twice.
const BACKLOG: i32 = 4096;

/// Why the bus has nothing to listen on.
#[derive(Debug, Error)]
pub enum BusSocketError {
    /// Another bus answers there.
    #[error("another bus answers at {}: stop its oxherd, or choose another --control", path.display())]
    InUse {
        /// The Unix socket's path.
        path: PathBuf,
    },
    /// The kernel refused the Unix socket.
    #[error("cannot make the bus' socket {}", path.display())]
    Unix {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The kernel refused an address.
    #[error("the bus cannot listen on {address}: see bus.listen")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// The Unix socket, and those for Redis clients over TCP.
#[derive(Debug)]
pub(crate) struct BusSockets {
    path: PathBuf,
    unix: Socket,
    tcp: Vec<Socket>,
}

impl BusSockets {
    /// Opens them all; the Unix socket with mode 0600, in a directory that the control socket has proved private.
    pub(crate) fn open(path: PathBuf, addresses: &[SocketAddr]) -> Result<BusSockets, BusSocketError> {
        let failed = |cause| BusSocketError::Unix { path: path.clone(), cause };
        if !remove_unused(&path).map_err(failed)? {
            return Err(BusSocketError::InUse { path });
        }
        let unix = unix_socket(&path, 0o600).map_err(failed)?;
        let tcp = addresses.iter().map(|address| {
            tcp_socket(*address).map_err(|cause| BusSocketError::Tcp { address: *address, cause })
        });
        Ok(BusSockets { tcp: tcp.collect::<Result<_, _>>()?, unix, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where TCP clients can really connect.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.tcp.iter().filter_map(|socket| socket.local_addr().ok()?.as_socket())
    }

    /// In the order in which the bus expects them: the Unix socket first.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.unix.as_fd()).chain(self.tcp.iter().map(AsFd::as_fd))
    }
}

impl Drop for BusSockets {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // a leftover is no harm: the next supervisor removes it
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}
