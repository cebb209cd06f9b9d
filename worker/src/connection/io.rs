//! The wrapper around every transport: it counts bytes, notes a write that finds no room, and tells the table when
//! it is dropped. hyper owns it first, then the engine.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handle::Connection;
use super::open::Connections;
use super::stream::Stream;

/// One client's bytes. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Io {
    stream: Stream,
    connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl Io {
    pub fn new(stream: Stream, connection: Arc<Connection>, connections: Arc<Connections>) -> Self {
        Io { stream, connection, connections }
    }

    /// The transport, to look at it before anything is read.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Accounts for the outcome of a write.
    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                self.connections.row.bytes_out.fetch_add(bytes as u64, Relaxed);
                self.connection.moved();
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.connection.stuck(self.connections.tick()),
        }
        outcome
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
            self.connections.row.bytes_in.fetch_add(bytes as u64, Relaxed);
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
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
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

impl Drop for Io {
    fn drop(&mut self) {
        self.connection.closing();
        if self.connection.is_abandoned() {
            self.stream.abandon_unsent();
        }
        self.connections.closed(&self.connection);
    }
}
