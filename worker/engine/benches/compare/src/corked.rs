//! A TCP stream that keeps the answer to an upgrade for the open packet, so that both leave in one segment.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use engineioxide::control::{BareSocket, Dismantled};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// `MSG_MORE` of `send(2)`.
const MORE: i32 = 0x8000;

pub struct Corked(pub TcpStream);

pub fn dismantle(upgraded: Upgraded) -> Result<Dismantled, Upgraded> {
    let parts = upgraded.downcast::<TokioIo<Corked>>()?;
    let socket = BareSocket::Tcp(parts.io.into_inner().0);
    Ok(Dismantled { socket, early: parts.read_buf, guard: Box::new(()) })
}

impl AsyncRead for Corked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Each of these clients opens a session by it.
        if let [head] = bufs
            && head.starts_with(b"HTTP/1.1 101 ")
            && let Ok(bytes) = SockRef::from(&self.0).send_with_flags(head, MORE)
        {
            return Poll::Ready(Ok(bytes));
        }
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
