//! The wrapper around every transport: it counts bytes, notes a write that finds no room, and tells the table when
//! it is dropped. hyper owns it; of a WebSocket's the engine takes the socket out, counts by itself, and keeps the
//! [`Place`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use engineioxide::control::{BareSocket, Dismantled};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handle::Connection;
use super::open::Connections;
use super::stream::Stream;

/// One client's bytes. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Io {
    /// Before the stream, because it must go first.
    place: Place,
    stream: Stream,
}

/// A connection's place in the table. Dropped before the socket is closed: its number may then be another file's.
#[derive(Debug)]
struct Place {
    connection: Arc<Connection>,
    connections: Arc<Connections>,
}

/// Takes an upgraded connection apart for the engine.
pub(crate) fn dismantle(upgraded: Upgraded) -> Result<Dismantled, Upgraded> {
    let parts = upgraded.downcast::<TokioIo<Io>>()?;
    let Io { place, stream } = parts.io.into_inner();
    let socket = match stream {
        Stream::Tcp(tcp) => BareSocket::Tcp(tcp),
        Stream::Unix(unix) => BareSocket::Unix(unix),
    };
    Ok(Dismantled { socket, early: parts.read_buf, guard: Box::new(place) })
}

impl Io {
    pub fn new(stream: Stream, connection: Arc<Connection>, connections: Arc<Connections>) -> Self {
        Io { place: Place { connection, connections }, stream }
    }

    /// The transport, to look at it before anything is read.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Accounts for the outcome of a write.
    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Place { connection, connections } = &self.place;
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                connections.row.bytes_out.fetch_add(bytes as u64, Relaxed);
                connection.moved();
            }
            Poll::Ready(Err(_)) => self.forget_if_abandoned(),
            Poll::Pending => connection.stuck(connections.tick()),
        }
        outcome
    }

    /// Called when an operation is over: the first one after the transport was ended finds that it was.
    fn forget_if_abandoned(&self) {
        if self.place.connection.is_abandoned() {
            self.stream.abandon_unsent();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        if bytes > 0 {
            self.place.connections.row.bytes_in.fetch_add(bytes as u64, Relaxed);
        } else if outcome.is_ready() {
            self.forget_if_abandoned();
        }
        outcome
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let more =
            self.place.connection.takes_write_follows().then(|| self.stream.try_write_more(bufs)).flatten();
        let outcome = match more {
            Some(bytes) => Poll::Ready(Ok(bytes)),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        };
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.closing();
        self.connections.closed(&self.connection);
    }
}
