//! A WebSocket's byte stream in two halves: its own task reads, the flush task writes.
//!
//! TCP and Unix sockets are used as such, taken out of hyper and of what the server has put around them: both halves go
//! to the kernel without a lock, and a write costs neither a waker nor tokio's budget. Anything else (TLS, a pipe of a
//! test) is shared through a mutex.

use std::{
    any::Any,
    fmt,
    io::{self, IoSlice},
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, send},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, tcp, unix},
};

use crate::control::{BareSocket, Counters, Dismantle, Dismantled};

/// The half that the connection's task reads from.
pub(crate) struct Reader {
    /// Of who had the socket before; first, because it goes before the socket does.
    _guard: Option<Box<dyn Any + Send>>,
    stream: Readable,
}

enum Readable {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Other(Arc<Mutex<Other>>),
}

/// The half that everybody writes to who holds the session's lock. Dropping it ends the stream in this direction. The
/// number of a plain socket is beside it, for [`send_now`]: it is the socket's for as long as the half is here, since the
/// descriptor closes when both halves are gone.
pub(crate) enum Writer {
    Tcp(RawFd, tcp::OwnedWriteHalf),
    Unix(RawFd, unix::OwnedWriteHalf),
    Other(Arc<Mutex<Other>>),
}

/// A stream that is not a plain socket.
pub(crate) struct Other {
    stream: Box<dyn Stream>,
    /// Bytes may be in a buffer of the stream.
    unflushed: bool,
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Takes the stream out of hyper, with a copy of what hyper has read of it already: the bytes as they come are a view
/// into hyper's read buffer and would keep all of it.
pub(crate) fn split_upgraded(upgraded: Upgraded, dismantle: Option<Dismantle>) -> (Reader, Writer, Vec<u8>) {
    let dismantled = match dismantle {
        Some(dismantle) => dismantle(upgraded),
        None => Err(upgraded),
    };
    let found = dismantled.map(|Dismantled { socket, early, guard }| (socket, early, Some(guard)));
    match found.or_else(bare) {
        Ok((socket, early, guard)) => {
            let (stream, writer) = halves(socket);
            (Reader { _guard: guard, stream }, writer, early.to_vec())
        }
        Err(upgraded) => {
            let (reader, writer) = split(TokioIo::new(upgraded));
            (reader, writer, Vec::new())
        }
    }
}

/// Shares any stream.
pub(crate) fn split(stream: impl Stream + 'static) -> (Reader, Writer) {
    let other = Arc::new(Mutex::new(Other { stream: Box::new(stream), unflushed: false }));
    (Reader { _guard: None, stream: Readable::Other(other.clone()) }, Writer::Other(other))
}

fn halves(socket: BareSocket) -> (Readable, Writer) {
    match socket {
        BareSocket::Tcp(stream) => {
            let (fd, (reader, writer)) = (stream.as_raw_fd(), stream.into_split());
            (Readable::Tcp(reader), Writer::Tcp(fd, writer))
        }
        BareSocket::Unix(stream) => {
            let (fd, (reader, writer)) = (stream.as_raw_fd(), stream.into_split());
            (Readable::Unix(reader), Writer::Unix(fd, writer))
        }
    }
}

type Found = (BareSocket, Bytes, Option<Box<dyn Any + Send>>);

/// A socket that nothing is around.
fn bare(upgraded: Upgraded) -> Result<Found, Upgraded> {
    let upgraded = match take::<TcpStream>(upgraded) {
        Ok((stream, early)) => return Ok((BareSocket::Tcp(stream), early, None)),
        Err(upgraded) => upgraded,
    };
    take::<UnixStream>(upgraded).map(|(stream, early)| (BareSocket::Unix(stream), early, None))
}

/// The stream under hyper's own connection, or under hyper-util's that knows two protocols.
fn take<S: Stream + 'static>(upgraded: Upgraded) -> Result<(S, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<S>>() {
        Ok(parts) => return Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    auto::upgrade::downcast::<TokioIo<S>>(upgraded).map(|parts| (parts.io.into_inner(), parts.read_buf))
}

impl Reader {
    /// The number of bytes read; 0 at the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = match &mut self.stream {
            Readable::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            Readable::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            Readable::Other(other) => Pin::new(&mut lock(other).stream).poll_read(cx, &mut buf),
        };
        read.map_ok(|()| buf.filled().len())
    }

    /// Ends the other direction, if dropping the [`Writer`] did not.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Readable::Tcp(_) | Readable::Unix(_) => Poll::Ready(Ok(())),
            Readable::Other(other) => Pin::new(&mut lock(other).stream).poll_shutdown(cx),
        }
    }

    /// Counts bytes that were read.
    pub(crate) fn count(&self, bytes: usize, counters: &Counters) {
        counters.bytes_in.add(bytes as u64);
        if !matches!(self.stream, Readable::Other(_)) {
            counters.direct_bytes_in.add(bytes as u64);
        }
    }
}

impl Writer {
    /// Writes what can be written now, or fails with `WouldBlock`; `waker` is the connection's task.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>], waker: Option<&Waker>) -> io::Result<usize> {
        match (self, slices) {
            // `send(2)` is cheaper than `writev(2)`.
            (Self::Tcp(fd, stream), [one]) => send_now(*fd, one).unwrap_or_else(|| stream.try_write(one)),
            (Self::Tcp(_, stream), _) => stream.try_write_vectored(slices),
            (Self::Unix(fd, stream), [one]) => send_now(*fd, one).unwrap_or_else(|| stream.try_write(one)),
            (Self::Unix(_, stream), _) => stream.try_write_vectored(slices),
            (Self::Other(other), _) => {
                let mut other = lock(other);
                other.unflushed = true;
                with_waker(waker, |cx| match slices {
                    [one] => Pin::new(&mut other.stream).poll_write(cx, one),
                    _ if other.stream.is_write_vectored() => {
                        Pin::new(&mut other.stream).poll_write_vectored(cx, slices)
                    }
                    _ => {
                        let one = slices.iter().find(|slice| !slice.is_empty());
                        Pin::new(&mut other.stream).poll_write(cx, one.map_or(&[], |one| one))
                    }
                })
            }
        }
    }

    /// Has the stream pass on what it buffers; `WouldBlock` if it needs more time.
    pub(crate) fn flush(&self, waker: Option<&Waker>) -> io::Result<()> {
        let Self::Other(other) = self else { return Ok(()) };
        let mut other = lock(other);
        if other.unflushed {
            with_waker(waker, |cx| Pin::new(&mut other.stream).poll_flush(cx))?;
            other.unflushed = false;
        }
        Ok(())
    }

    /// Ready when a write may succeed (for other streams the write itself will tell). So does an error.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(_, stream) => stream.as_ref().poll_write_ready(cx).map(drop),
            Self::Unix(_, stream) => stream.as_ref().poll_write_ready(cx).map(drop),
            Self::Other(_) => Poll::Ready(()),
        }
    }

    /// Counts bytes that were written.
    pub(crate) fn count(&self, bytes: usize, counters: &Counters) {
        counters.bytes_out.add(bytes as u64);
        if !matches!(self, Self::Other(_)) {
            counters.direct_bytes_out.add(bytes as u64);
        }
    }

    /// Makes the close a reset, so the kernel does not keep what the peer does not take.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(_, stream) = self {
            // It fails on a socket that is closed already, which is as good.
            let _ = stream.as_ref().set_zero_linger();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(..) => "Tcp",
            Self::Unix(..) => "Unix",
            Self::Other(_) => "Other",
        })
    }
}

/// Sends to a plain socket without tokio, which would look for its number and its readiness where nobody has looked
/// since the last time: two cache misses, 3 % of a small delivery. `None` if the kernel takes nothing now: tokio finds
/// that out again, and remembers it.
fn send_now(fd: RawFd, bytes: &[u8]) -> Option<io::Result<usize>> {
    match send(fd, bytes, MsgFlags::MSG_NOSIGNAL) {
        Err(Errno::EAGAIN) => None,
        sent => Some(sent.map_err(io::Error::from)),
    }
}

fn with_waker<T>(
    waker: Option<&Waker>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    match poll(&mut Context::from_waker(waker.unwrap_or(Waker::noop()))) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn lock(other: &Mutex<Other>) -> MutexGuard<'_, Other> {
    other.lock().unwrap_or_else(PoisonError::into_inner)
}
