//! How the engine gets at a socket that the code which accepts connections has put something around.

use std::{any::Any, fmt};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use tokio::net::{TcpStream, UnixStream};

/// Takes an upgraded connection apart, or gives it back as it was (a stream of another type, TLS).
///
/// The engine reads and writes TCP and Unix sockets faster than a stream that it knows nothing of: past the wrapper's
/// layers, without a lock between the two directions, without a turn of the connection's task for each write. It finds
/// plain sockets below hyper by itself. A server that wraps its sockets (to count, to limit, to end them) says here how
/// its wrapper comes off; what must live as long as the connection goes into the [guard](Dismantled::guard).
///
/// ```
/// use engineioxide::control::{BareSocket, Dismantled, Options};
/// use hyper::upgrade::Upgraded;
/// use hyper_util::rt::TokioIo;
/// # use std::{io, pin::Pin, task::{Context, Poll}};
/// # use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
/// # use tokio::net::TcpStream;
/// # struct Counted { stream: TcpStream, place: String }
/// # impl AsyncRead for Counted {
/// #     fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> { todo!() }
/// # }
/// # impl AsyncWrite for Counted {
/// #     fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> { todo!() }
/// #     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> { todo!() }
/// #     fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> { todo!() }
/// # }
///
/// fn dismantle(upgraded: Upgraded) -> Result<Dismantled, Upgraded> {
///     let parts = upgraded.downcast::<TokioIo<Counted>>()?;
///     let Counted { stream, place } = parts.io.into_inner();
///     Ok(Dismantled { socket: BareSocket::Tcp(stream), early: parts.read_buf, guard: Box::new(place) })
/// }
///
/// let options = Options { dismantle: Some(dismantle), ..Options::default() };
/// ```
pub type Dismantle = fn(Upgraded) -> Result<Dismantled, Upgraded>;

/// An upgraded connection that was taken apart.
pub struct Dismantled {
    /// What was inside.
    pub socket: BareSocket,
    /// What hyper has read of it beyond the request.
    pub early: Bytes,
    /// Dropped when the connection ends, before the socket is closed.
    pub guard: Box<dyn Any + Send>,
}

/// In the extensions of a response 101: the session's open packet is written at once after it. A server may hold the
/// response back so that both leave in one segment, say by `MSG_MORE`.
#[derive(Debug, Clone, Copy)]
pub struct OpenFollows;

/// A connected socket without anything around it.
#[derive(Debug)]
pub enum BareSocket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection over a Unix socket.
    Unix(UnixStream),
}

impl fmt::Debug for Dismantled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dismantled").field("socket", &self.socket).finish_non_exhaustive()
    }
}
