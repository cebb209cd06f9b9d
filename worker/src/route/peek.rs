//! Looking at the first bytes of a connection without taking them: who gets the connection reads them again.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;

use super::request_line::RequestLine;
use crate::connection::Stream;
use crate::connection::proxy::{self, ProxyError};

/// A request line that is longer is not looked at: its connection is served where it is.
const LINE_BYTES_MAX: usize = 8 * 1024;

thread_local! {
    /// One for all connections: nothing stays in it.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LINE_BYTES_MAX]);
}

/// What comes before the first request, in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prelude {
    /// Nothing.
    None,
    /// A header of the PROXY protocol.
    Proxy,
}

impl Prelude {
    /// What follows it; `None` while it is not all there. Who reads a bad one refuses the connection.
    fn skip(self, bytes: &[u8]) -> Result<Option<&[u8]>, ProxyError> {
        match self {
            Prelude::None => Ok(Some(bytes)),
            Prelude::Proxy => Ok(proxy::parse(bytes)?.map(|header| &bytes[header.bytes..])),
        }
    }
}

/// What a look at a connection gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look<T> {
    /// What was made of its request line.
    Line(T),
    /// Its request line is not all there.
    Incomplete,
    /// It has none, or none that matters.
    Alien,
}

/// Looks once: one call of the kernel, which never waits.
pub(crate) fn look<T>(
    socket: impl AsFd,
    prelude: Prelude,
    read: impl FnOnce(&str, &str, &str) -> T,
) -> Look<T> {
    BUFFER.with_borrow_mut(|buffer| {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let bytes = match recv(socket.as_fd().as_raw_fd(), buffer, flags) {
            Ok(0) => return Look::Alien, // end of file
            Ok(count) => &buffer[..count],
            Err(Errno::EAGAIN | Errno::EINTR) => return Look::Incomplete,
            Err(_) => return Look::Alien, // who reads it will meet the same error
        };
        let line = match prelude.skip(bytes) {
            Ok(rest) => rest.map_or(RequestLine::Incomplete, RequestLine::of),
            Err(_) => RequestLine::Alien,
        };
        match line {
            RequestLine::Known { method, path, query } => Look::Line(read(method, path, query)),
            RequestLine::Incomplete if bytes.len() < LINE_BYTES_MAX => Look::Incomplete,
            RequestLine::Incomplete | RequestLine::Alien => Look::Alien,
        }
    })
}

/// Looks whenever something new has come, until the line is there; `None` if it never is. The caller sets the limit
/// of time.
///
/// tokio's own `peek` leaves the readiness as it is when it returns bytes, so waiting for more of them would spin:
/// here an incomplete line counts as `WouldBlock`, after which only new bytes wake.
pub(crate) async fn wait<T>(
    stream: &Stream,
    prelude: Prelude,
    mut read: impl FnMut(&str, &str, &str) -> T,
) -> Option<T> {
    loop {
        let ready = stream.ready(Interest::READABLE).await.ok()?;
        let looked = stream.try_io(Interest::READABLE, || match look(stream, prelude, &mut read) {
            Look::Line(line) => Ok(Some(line)),
            Look::Alien => Ok(None),
            Look::Incomplete => Err(io::ErrorKind::WouldBlock.into()),
        });
        match looked {
            Ok(line) => return line,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
            Err(_) => return None, // no more will come
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::connection::Socket;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn target(_: &str, path: &str, query: &str) -> String {
        format!("{path} {query}")
    }

    /// Looks until the kernel has delivered what was written, which on loopback is at once or soon.
    fn until_seen(server: &TcpStream) -> Look<String> {
        server.peek(&mut [0]).unwrap();
        look(server, Prelude::None, target)
    }

    #[test]
    fn what_was_looked_at_is_still_there() {
        let (mut client, mut server) = pair();
        assert_eq!(look(&server, Prelude::None, target), Look::Incomplete);
        client.write_all(b"GET /a?b HTTP/1.1\r\n").unwrap();
        assert_eq!(until_seen(&server), Look::Line("/a b".into()));
        let mut read = [0; 19];
        server.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"GET /a?b HTTP/1.1\r\n");
        drop(client);
        assert_eq!(server.read(&mut read).unwrap(), 0);
        assert_eq!(look(&server, Prelude::None, target), Look::Alien);
    }

    #[test]
    fn a_request_line_is_found_behind_a_proxy_header() {
        let header = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x03abc";
        let (mut client, server) = pair();
        client.write_all(&header[..17]).unwrap();
        server.peek(&mut [0]).unwrap();
        assert_eq!(look(&server, Prelude::Proxy, target), Look::Incomplete);
        client.write_all(&header[17..]).unwrap();
        client.write_all(b"GET /a?b HTTP/1.1\r\n").unwrap();
        while server.peek(&mut [0; 64]).unwrap() < header.len() + 19 {}
        assert_eq!(look(&server, Prelude::Proxy, target), Look::Line("/a b".into()));
        assert_eq!(look(&server, Prelude::None, target), Look::Alien);
        let (mut client, server) = pair();
        client.write_all(b"GET /a?b HTTP/1.1\r\n").unwrap();
        server.peek(&mut [0]).unwrap();
        assert_eq!(look(&server, Prelude::Proxy, target), Look::Alien, "whoever reads it refuses it");
    }

    #[test]
    fn an_endless_line_is_not_looked_at_for_ever() {
        let (mut client, server) = pair();
        client.write_all(b"GET /").unwrap();
        assert_eq!(until_seen(&server), Look::Incomplete);
        client.write_all(&[b'x'; LINE_BYTES_MAX]).unwrap();
        let mut all = vec![0; LINE_BYTES_MAX];
        while server.peek(&mut all).unwrap() < LINE_BYTES_MAX {}
        assert_eq!(look(&server, Prelude::None, target), Look::Alien);
    }

    #[tokio::test]
    async fn a_line_that_comes_in_pieces_is_waited_for_without_spinning() {
        let (mut client, server) = pair();
        let stream = Socket::Tcp(server).register().unwrap();
        client.write_all(b"GET /a?").unwrap();
        let mut looks = 0;
        let silent = tokio::time::timeout(
            Duration::from_millis(50),
            wait(&stream, Prelude::None, |_, _, _| looks += 1),
        )
        .await;
        assert!(silent.is_err() && looks == 0);
        client.write_all(b"b HTTP").unwrap();
        assert_eq!(wait(&stream, Prelude::None, target).await, Some("/a b".into()));
    }

    #[tokio::test]
    async fn who_leaves_in_the_middle_of_a_line_is_not_waited_for() {
        let (mut client, server) = pair();
        let stream = Socket::Tcp(server).register().unwrap();
        client.write_all(b"GET /a?").unwrap();
        drop(client);
        assert_eq!(wait(&stream, Prelude::None, target).await, None);
    }
}
