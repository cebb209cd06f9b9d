//! The only unsafe code of this crate: the runtime has no safe way to watch a socket for one direction only.
#![allow(unsafe_code)]

use std::io;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a socket inside the current runtime.
pub(crate) fn watch(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the descriptor must stay open and the same while it is watched. A Socket owns its descriptor, answers with
    // the same one always, and is owned by the AsyncFd; nothing here takes it out or closes it.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(io::Error::from)
}
