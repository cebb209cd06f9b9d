//! Opens one listen address: a SO_REUSEPORT group of slots, or the one socket of a Unix address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::stat::{Mode, umask};
use oxherd_contract::edge::TrustedProxies;
use oxherd_contract::listen::Address;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

use super::holder;
use super::steering::{self, Steering};
use crate::plan::Listen;
use crate::sys;

/// Connections that may wait in one slot; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long the kernel keeps a silent connection to itself (TCP_DEFER_ACCEPT).
const DEFER_ACCEPT: Duration = Duration::from_secs(1);

/// How often an address that is in use is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The kernel reduces an index to a slot with 16 bits (`steering`); more slots serve nobody.
const SLOTS_MAX: u16 = 1024;

/// Why the box cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another process has the address, and kept it.
    #[error("{address} is in use by {holder}: stop it, or choose another --listen")]
    InUse {
        /// What was to be bound.
        address: Address,
        /// Pid and name, as far as they can be known.
        holder: String,
    },
    /// The path of a Unix socket is something else.
    #[error("{address} exists and is no socket: remove it, or choose another --listen")]
    NotASocket {
        /// What was to be bound.
        address: Address,
    },
    /// The kernel refused.
    #[error("cannot listen on {address}")]
    Io {
        /// What was to be bound.
        address: Address,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// One address with its sockets, in the order in which the kernel numbers them.
pub(super) struct Group {
    pub(super) address: Address,
    pub(super) steering: Steering,
    pub(super) sockets: Vec<OwnedFd>,
}

pub(super) fn open(
    listen: &Listen,
    slots: u16,
    patience: Duration,
    proxies: &TrustedProxies,
) -> Result<Group, ListenError> {
    match &listen.address {
        Address::Tcp(address) => open_tcp(*address, listen, slots.min(SLOTS_MAX), patience, proxies),
        Address::Unix(path) => open_unix(path, listen, patience),
    }
}

fn open_tcp(
    address: SocketAddr,
    listen: &Listen,
    slots: u16,
    patience: Duration,
    proxies: &TrustedProxies,
) -> Result<Group, ListenError> {
    let failed = |cause| ListenError::Io { address: listen.address.clone(), cause };
    let free = until_free(patience, || tcp_is_free(address)).map_err(failed)?;
    if !free {
        let holder = holder::of_tcp(address);
        return Err(ListenError::InUse { address: listen.address.clone(), holder });
    }
    let mut sockets = vec![tcp_slot(address).map_err(failed)?];
    let bound =
        sockets[0].local_addr().and_then(|local| local.as_socket().ok_or(io::ErrorKind::Other.into()));
    let bound = bound.map_err(failed)?;
    for _ in 1..slots {
        sockets.push(tcp_slot(bound).map_err(failed)?);
    }
    let steering = steering::attach(&sockets[0], listen.affinity, slots, proxies);
    let sockets = sockets.into_iter().map(OwnedFd::from).collect();
    Ok(Group { address: Address::Tcp(bound), steering, sockets })
}

/// A bind *without* SO_REUSEPORT fails as long as anybody listens there, members of an older group too, whose
/// sockets would come before ours in the kernel's count. SO_REUSEADDR lets it pass connections in TIME_WAIT.
fn tcp_is_free(address: SocketAddr) -> io::Result<bool> {
    if address.port() == 0 {
        return Ok(true);
    }
    match tcp_socket(address)?.bind(&address.into()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error),
    }
}

fn tcp_slot(address: SocketAddr) -> io::Result<Socket> {
    let socket = tcp_socket(address)?;
    socket.set_reuse_port(true)?;
    sys::defer_accept(&socket, DEFER_ACCEPT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?; // the wildcard takes IPv4 too, as in Node
    }
    Ok(socket)
}

fn open_unix(path: &Path, listen: &Listen, patience: Duration) -> Result<Group, ListenError> {
    let failed = |cause| ListenError::Io { address: listen.address.clone(), cause };
    if std::fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
        return Err(ListenError::NotASocket { address: listen.address.clone() });
    }
    if !until_free(patience, || remove_unused(path)).map_err(failed)? {
        let holder = holder::of_unix(path);
        return Err(ListenError::InUse { address: listen.address.clone(), holder });
    }
    let socket = unix_socket(path, listen.mode).map_err(failed)?;
    Ok(Group { address: listen.address.clone(), steering: Steering::Single, sockets: vec![socket.into()] })
}

/// Binds and listens with exactly these permission bits from the first moment on: a umask, since a chmod comes
/// too late. The supervisor has one thread, so nobody else makes files meanwhile.
pub(crate) fn unix_socket(path: &Path, mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let bound = socket.bind(&SockAddr::unix(path)?);
    umask(before);
    bound?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A file is where a socket should be: it is somebody's, and is left alone.
pub(crate) fn not_a_socket() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there")
}

/// Removes a socket file that nobody listens on any more; false when somebody does. Any other file is an error:
/// connect(2) refuses it too, and it is somebody's.
pub(crate) fn remove_unused(path: &Path) -> io::Result<bool> {
    if std::fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
        return Err(not_a_socket());
    }
    match UnixStream::connect(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map(|()| true)
        }
        Err(error) => Err(error),
    }
}

fn until_free(patience: Duration, mut is_free: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    let mut said = false;
    while !is_free()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        if !said {
            tracing::info!(
                patience_ms = patience.as_millis() as u64,
                "address in use, waiting for its holder to leave"
            );
            said = true;
        }
        sleep(RETRY_INTERVAL);
    }
    Ok(true)
}
