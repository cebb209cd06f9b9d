//! One non-blocking TCP connection: what was read and not understood yet, and what could not be written yet.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket as RawSocket, Type};

/// Bytes that may wait for a server that does not read.
const UNSENT_MAX: usize = 16 << 20;

/// A connection to the server.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// The front of something that is not complete yet.
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl Socket {
    /// Begins to connect from a local address of its own.
    pub fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = RawSocket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        Ok(Socket { stream: socket.into(), unread: Vec::new(), unsent: Vec::new() })
    }

    /// For registering it.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes, or keeps what the kernel does not take.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = if self.unsent.is_empty() { self.write(bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[written..]);
        if self.unsent.len() > UNSENT_MAX {
            return Err(ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    /// The kernel may take more now.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let written = self.write(&unsent)?;
            self.unsent.extend_from_slice(&unsent[written..]);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => Ok(0),
            other => other,
        }
    }

    /// Reads once. `None`: nothing is there; `Some(0)`: end of file.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes what is incomplete from before.
    pub fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Keeps what is incomplete.
    pub fn keep_unread(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }
}
