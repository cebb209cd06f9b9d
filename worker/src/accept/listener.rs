//! A listening socket that came over the link, TCP or Unix.
//!
//! Accepting is separate from registering the new socket with the runtime, so that a connection can be looked at,
//! and given away, before it costs a registration.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use oxherd_contract::listen::Address;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::failure::Failure;
use crate::connection;
use crate::register::register;

/// One slot's socket, registered with the runtime.
#[derive(Debug)]
pub(super) struct Listener(AsyncFd<Socket>);

/// A connection, and who is at its other end unless it is a Unix socket.
pub(super) type Accepted = (connection::Socket, Option<SocketAddr>);

#[derive(Debug)]
enum Socket {
    Tcp(net::TcpListener),
    Unix(unix::net::UnixListener),
}

impl Listener {
    /// Makes the socket ready for this runtime. Its flags are shared with the supervisor's copy, which accepts
    /// nothing and so does not mind.
    pub fn new(address: &Address, socket: OwnedFd) -> io::Result<Self> {
        let socket = match address {
            Address::Tcp(_) => {
                setsockopt(&socket, sockopt::TcpNoDelay, &true)?; // accepted sockets inherit it on Linux
                Socket::Tcp(socket.into())
            }
            Address::Unix(_) => Socket::Unix(socket.into()),
        };
        match &socket {
            Socket::Tcp(tcp) => tcp.set_nonblocking(true)?,
            Socket::Unix(unix) => unix.set_nonblocking(true)?,
        }
        register(socket, Interest::READABLE).map(Listener)
    }

    /// Waits until there may be a connection.
    pub async fn ready(&self) -> io::Result<()> {
        self.0.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// The next connection that is queued, close-on-exec; `None` if there is none, after which
    /// [`Listener::ready`] waits.
    pub fn accept(&self) -> io::Result<Option<Accepted>> {
        match self.0.try_io(Interest::READABLE, Socket::accept_queued) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            accepted => accepted.map(Some),
        }
    }
}

impl Socket {
    /// Linux looks for a free descriptor before it looks into the queue, so without one accept(2) fails even when
    /// nobody waits; then nothing needs to be done about it.
    fn accept_queued(&self) -> io::Result<Accepted> {
        self.accept().map_err(|error| match Failure::of(&error) {
            Failure::Shortage if !self.has_queued() => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })
    }

    fn has_queued(&self) -> bool {
        poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)
            .is_ok_and(|ready| ready > 0)
    }

    fn accept(&self) -> io::Result<Accepted> {
        match self {
            Socket::Tcp(listener) => {
                let (tcp, peer) = listener.accept()?;
                Ok((connection::Socket::Tcp(tcp), Some(peer)))
            }
            Socket::Unix(listener) => {
                let (unix, _unnamed) = listener.accept()?;
                Ok((connection::Socket::Unix(unix), None))
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(tcp) => tcp.as_fd(),
            Socket::Unix(unix) => unix.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_does_not_delay_small_writes() {
        let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listener = Listener::new(&Address::Tcp(address), socket.into()).unwrap();
        assert!(listener.accept().unwrap().is_none());
        let client = net::TcpStream::connect(address).unwrap();
        listener.ready().await.unwrap();
        let (socket, peer) = listener.accept().unwrap().unwrap();
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        let connection::Socket::Tcp(tcp) = socket else { panic!("not TCP") };
        assert!(tcp.nodelay().unwrap());
    }
}
