//! The sockets that clients connect to, and who may: on Unix this uid or root, on TCP whoever has the password.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::client::Origin;
use crate::stream::Stream;

/// Connections that may wait to be accepted; a start after a kill brings all workers at once.
const BACKLOG: i32 = 511;

/// Redis' `tcp-keepalive`: finds peers that vanished without a word.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// Sockets that are bound already: the broker may be without the right, or the time, to bind.
#[derive(Debug, Default)]
pub struct Listeners {
    /// See [`bind_unix`].
    pub unix: Vec<unix::UnixListener>,
    /// Beyond loopback only with a password.
    pub tcp: Vec<std::net::TcpListener>,
}

/// Binds a Unix socket that only its owner can open (0600), and takes the place of one that nobody listens on.
///
/// # Errors
/// [`ListenError`]; a socket that still answers is never taken over.
pub fn bind_unix(path: &Path) -> Result<unix::UnixListener, ListenError> {
    let fail = |act| move |source| ListenError::Unix { act, path: path.to_owned(), source };
    match unix::UnixStream::connect(path) {
        Ok(_) => return Err(ListenError::Taken(path.to_owned())),
        // connect(2) refuses a file that is no socket too: bind complains about it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => {
            std::fs::remove_file(path).map_err(fail("remove the old socket at"))?;
        }
        // Nothing there, or something that bind itself will complain about.
        Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(fail("create a socket for"))?;
    // The kernel gives the file the socket's own mode (`unix_bind`), so there is no moment at which others can connect.
    let socket = std::fs::File::from(OwnedFd::from(socket));
    socket.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(fail("restrict"))?;
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path).map_err(fail("bind"))?).map_err(fail("bind"))?;
    socket.listen(BACKLOG).map_err(fail("listen on"))?;
    Ok(unix::UnixListener::from(OwnedFd::from(socket)))
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// Why a Unix socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody answers there.
    #[error("{0} is in use by another process")]
    Taken(PathBuf),
    /// The kernel refused.
    #[error("cannot {act} {path}")]
    Unix {
        /// What was tried.
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

/// A listener that the runtime knows.
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Who a connection turned out to be.
pub(crate) enum Accepted {
    Client(Stream, Origin),
    /// A Unix peer of another user.
    Foreign {
        uid: u32,
    },
}

impl Listener {
    pub(crate) fn unix(listener: unix::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?))
    }

    pub(crate) fn tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(listener)?))
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                if !may_connect(uid, geteuid().as_raw()) {
                    return Ok(Accepted::Foreign { uid });
                }
                Ok(Accepted::Client(Stream::new(stream.into_std()?.into())?, Origin::Unix))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
                Ok(Accepted::Client(Stream::new(stream.into_std()?.into())?, Origin::Tcp(address)))
            }
        }
    }
}

/// Whether a Unix peer of this user is let in by a broker of that one.
fn may_connect(peer_uid: u32, own_uid: u32) -> bool {
    peer_uid == own_uid || peer_uid == 0
}

/// Whether only this machine can connect there.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_can_open_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus.sock");
        let _listener = bind_unix(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus.sock");
        let first = bind_unix(&path).unwrap();
        assert!(matches!(bind_unix(&path), Err(ListenError::Taken(_))));
        drop(first);
        assert!(bind_unix(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind_unix(&path), Err(ListenError::Unix { act: "bind", .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn only_its_own_user_and_root_may_connect() {
        assert!(may_connect(1000, 1000) && may_connect(0, 1000) && may_connect(0, 0));
        assert!(!may_connect(1001, 1000) && !may_connect(1000, 0));
    }

    #[test]
    fn a_mapped_address_is_as_local_as_what_it_maps() {
        assert!(is_local("[::ffff:127.0.0.1]:1".parse().unwrap()));
        assert!(is_local("[::1]:1".parse().unwrap()));
        assert!(!is_local("0.0.0.0:1".parse().unwrap()));
        assert!(!is_local("[::]:1".parse().unwrap()));
    }
}
