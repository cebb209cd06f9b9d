//! The transport under a connection: TCP or a Unix socket, first as the kernel gives it, then registered with the
//! runtime.

use std::io::{self, IoSlice};
use std::net;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix;
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::libc::{MSG_MORE, MSG_NOSIGNAL};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket that the runtime does not know yet. To give it away costs no more than to close it.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(net::TcpStream),
    Unix(unix::net::UnixStream),
}

impl Socket {
    /// Makes it non-blocking and watches it.
    pub fn register(self) -> io::Result<Stream> {
        match self {
            Socket::Tcp(tcp) => {
                tcp.set_nonblocking(true)?;
                TcpStream::from_std(tcp).map(Stream::Tcp)
            }
            Socket::Unix(unix) => {
                unix.set_nonblocking(true)?;
                UnixStream::from_std(unix).map(Stream::Unix)
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

/// A connected, non-blocking stream socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Lets close(2) throw away what the peer does not take: else the kernel keeps it for minutes (`tcp(7)`,
    /// `tcp_orphan_retries`). A Unix socket has no such queue.
    pub fn abandon_unsent(&self) {
        if let Stream::Tcp(tcp) = self {
            let _ = tcp.set_zero_linger(); // fails only for a connection that is already gone
        }
    }

    /// Writes what the kernel may keep for the next write, 200 ms at most (`send(2)`, `MSG_MORE`; `tcp(7)`, `TCP_CORK`),
    /// so that both leave in one segment. None if it did nothing: the ordinary write may still succeed or tell why not.
    pub fn try_write_more(&self, bufs: &[IoSlice<'_>]) -> Option<usize> {
        let (Stream::Tcp(tcp), [head]) = (self, bufs) else { return None };
        SockRef::from(tcp).send_with_flags(head, MSG_MORE | MSG_NOSIGNAL).ok()
    }

    /// Waits until the kernel says that this may be done.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Stream::Tcp(tcp) => tcp.ready(interest).await,
            Stream::Unix(unix) => unix.ready(interest).await,
        }
    }

    /// Does it if it may be done; `WouldBlock` from it makes [`Stream::ready`] wait for the kernel's next word.
    pub fn try_io<R>(&self, interest: Interest, act: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Stream::Tcp(tcp) => tcp.try_io(interest, act),
            Stream::Unix(unix) => unix.try_io(interest, act),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(tcp) => tcp.as_fd(),
            Stream::Unix(unix) => unix.as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! either {
    ($stream:expr, $method:ident $(, $argument:expr)*) => {
        match $stream.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).$method($($argument),*),
            Stream::Unix(unix) => Pin::new(unix).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown, cx)
    }
}
