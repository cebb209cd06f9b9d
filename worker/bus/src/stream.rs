//! One connected socket of either family.
//!
//! It is registered for reading only. A socket that is watched for room as well reports, edge-triggered, each time that
//! its peer has read: one wake-up of the whole broker for every message. So writing is simply tried, and only while the
//! kernel takes no more is a second descriptor of the socket watched for room.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::input::Input;
use crate::sys::watch;

pub(crate) struct Stream {
    socket: AsyncFd<Socket>,
    /// There while the last write did not take everything.
    full: Option<AsyncFd<Socket>>,
}

impl Stream {
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: watch(socket, Interest::READABLE)?, full: None })
    }

    /// Waits for bytes and appends one read of them to `input`; 0 is the end. `buffer` is lent for the read only.
    pub(crate) async fn read(&self, buffer: &RefCell<Box<[u8]>>, input: &mut Input) -> io::Result<usize> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut buffer = buffer.borrow_mut();
            match self.socket.get_ref().read(&mut buffer) {
                Ok(len) => {
                    // A read that does not fill its buffer has emptied the socket (epoll(7)).
                    if len < buffer.len() {
                        ready.clear_ready();
                    }
                    input.extend(&buffer[..len]);
                    return Ok(len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what the kernel takes now: maybe nothing, and then [`Stream::room`] waits.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut socket = self.socket.get_ref();
        let written = match slices {
            // `send(2)` is cheaper than `sendmsg(2)`.
            [one] => socket.write(one),
            _ => socket.write_vectored(slices),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if self.full.is_none() {
                    let socket = self.socket.get_ref().try_clone()?;
                    self.full = Some(watch(socket, Interest::WRITABLE)?);
                }
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            written => written,
        }
    }

    /// Everything is written: room is of no interest.
    pub(crate) fn is_done(&mut self) {
        self.full = None;
    }

    /// Waits until a socket that was full has room; for ever if it is not full.
    pub(crate) async fn room(&self) -> io::Result<()> {
        match &self.full {
            Some(full) => {
                full.writable().await?.clear_ready();
                Ok(())
            }
            None => std::future::pending().await,
        }
    }
}
