//! Clients that speak raw bytes, so that a test sees every one of them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::PATIENCE;

/// A raw HTTP connection.
pub struct Client(pub BufReader<TcpStream>);

/// An HTTP response.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub closes: bool,
    pub body: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    pub fn send(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.answer()
    }

    pub fn post(&mut self, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"));
        self.answer()
    }

    /// Reads one response with a known length.
    pub fn answer(&mut self) -> Answer {
        let (mut answer, mut length) = (Answer { status: 0, closes: false, body: String::new() }, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            assert!(!line.is_empty() || answer.status > 0, "end of file instead of an answer");
            if let Some(status) = line.strip_prefix("http/1.1 ") {
                answer.status = status[..3].parse().unwrap();
            } else if let Some(bytes) = line.strip_prefix("content-length: ") {
                length = bytes.parse().unwrap();
            } else if line == "connection: close" {
                answer.closes = true;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Whether the worker ends the connection and says nothing more; waits for it.
    pub fn is_at_end(&mut self) -> bool {
        self.rest().is_some_and(|rest| rest.is_empty())
    }

    /// What comes before the end of the connection; `None` if it does not end.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => None,
            _ => Some(rest),
        }
    }
}

pub const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

/// Opens a polling session with a socket in the root namespace and returns the path of its requests. Nothing waits
/// to be fetched then: the engine's first ping comes after an interval, as Node's.
pub fn open_polling(client: &mut Client) -> String {
    let open = client.get(HANDSHAKE);
    assert_eq!(open.status, 200, "{open:?}");
    let open: serde_json::Value = serde_json::from_str(&open.body[1..]).unwrap();
    let path = format!("{HANDSHAKE}&sid={}", open["sid"].as_str().unwrap());
    assert_eq!(client.post(&path, "40").status, 200);
    while !client.get(&path).body.contains("welcome") {}
    path
}

/// Asks for a WebSocket with a session of its own.
pub const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/// A raw WebSocket with a socket in the root namespace.
pub struct WebSocket(pub Client);

impl WebSocket {
    pub fn open(address: SocketAddr) -> Self {
        let mut client = Client::connect(address);
        client.send(UPGRADE);
        assert_eq!(client.answer().status, 101);
        let mut socket = WebSocket(client);
        socket.send("40");
        socket.hears("welcome");
        socket
    }

    /// Sends a short text frame, masked with zeros (RFC 6455 §5.2).
    pub fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(text.bytes());
        self.0.0.get_mut().write_all(&frame).unwrap();
    }

    /// Whether the worker ends the connection; waits for it. Frames may come before, such as a ping.
    pub fn ends(&mut self) -> bool {
        self.0.rest().is_some()
    }

    /// Reads a frame: its first byte (RFC 6455 §5.2) and its payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.0.read_exact(&mut head).unwrap();
        assert_ne!(head[1], 127, "a longer frame than this client reads");
        let mut length = [0, head[1]];
        if head[1] == 126 {
            self.0.0.read_exact(&mut length).unwrap();
        }
        let mut payload = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    /// Reads frames up to a close frame and returns its code (RFC 6455 §5.5.1).
    pub fn close_code(&mut self) -> u16 {
        loop {
            if let (0x88, payload) = self.frame() {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    /// Reads frames up to one that contains this.
    pub fn hears(&mut self, text: &str) -> String {
        loop {
            let payload = String::from_utf8(self.frame().1).unwrap();
            if payload.contains(text) {
                return payload;
            }
            if payload == "2" {
                self.send("3");
            }
        }
    }
}
