//! Clients that say exactly what a test wants said: HTTP requests and WebSocket frames over a plain socket.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::DEADLINE;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One request on a connection of its own.
pub fn request(addr: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    Pending::send(addr, method, target, body).answer()
}

/// A request whose answer is awaited later.
pub struct Pending(TcpStream);

impl Pending {
    pub fn send(addr: SocketAddr, method: &str, target: &str, body: &str) -> Self {
        let mut stream = connect(addr);
        let len = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        Self(stream)
    }

    /// A request in the words of the test.
    pub fn send_raw(addr: SocketAddr, bytes: &str) -> Self {
        let mut stream = connect(addr);
        stream.write_all(bytes.as_bytes()).unwrap();
        Self(stream)
    }

    pub fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }
}

/// A session on polling.
pub struct Polling {
    pub addr: SocketAddr,
    /// As the client has to repeat it.
    pub sid: String,
}

impl Polling {
    pub fn open(addr: SocketAddr) -> Self {
        let answer = request(addr, "GET", "/engine.io/?EIO=4&transport=polling", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        Self { addr, sid: sid_of(&answer.body) }
    }

    pub fn target(&self) -> String {
        format!("/engine.io/?EIO=4&transport=polling&sid={}", self.sid)
    }

    pub fn poll(&self) -> Answer {
        request(self.addr, "GET", &self.target(), "")
    }

    pub fn poll_later(&self) -> Pending {
        Pending::send(self.addr, "GET", &self.target(), "")
    }

    pub fn post(&self, body: &str) -> Answer {
        request(self.addr, "POST", &self.target(), body)
    }

    /// A WebSocket that asks to take over.
    pub fn probe(&self) -> WebSocket {
        self.try_probe().unwrap()
    }

    /// As [`probe`](Self::probe), if the server lets it.
    pub fn try_probe(&self) -> Option<WebSocket> {
        WebSocket::connect(self.addr, &format!("/engine.io/?EIO=4&transport=websocket&sid={}", self.sid)).ok()
    }
}

/// The id in an open packet.
pub fn sid_of(open: &str) -> String {
    let open: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    open["sid"].as_str().unwrap().to_owned()
}

/// A WebSocket, frame by frame.
pub struct WebSocket {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

impl WebSocket {
    /// Opens a session of its own and reads its open packet.
    pub fn open(addr: SocketAddr) -> Self {
        let mut socket = Self::connect(addr, "/engine.io/?EIO=4&transport=websocket").unwrap();
        assert!(socket.frame().text().starts_with("0{"));
        socket
    }

    /// The opening handshake; the answer if it is refused.
    pub fn connect(addr: SocketAddr, target: &str) -> Result<Self, Answer> {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut stream = connect(addr);
        stream.write_all(head.as_bytes()).unwrap();
        Self::handshaken(stream)
    }

    /// As [`connect`](Self::connect), with a request that may have frames behind it.
    pub fn raw_after_handshake(addr: SocketAddr, bytes: &[u8]) -> Self {
        let mut stream = connect(addr);
        stream.write_all(bytes).unwrap();
        Self::handshaken(stream).unwrap()
    }

    fn handshaken(mut stream: TcpStream) -> Result<Self, Answer> {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "{:?}", String::from_utf8_lossy(&answer));
            answer.push(byte[0]);
        }
        let head = String::from_utf8(answer).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 101 {
            assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
            return Ok(Self { stream, unread: Vec::new() });
        }
        let len =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; len];
        stream.read_exact(&mut body).unwrap();
        Err(Answer { status, head, body: String::from_utf8(body).unwrap() })
    }

    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_frame(0x80 | opcode, payload);
    }

    pub fn text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    /// A frame with this first byte, masked.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.raw(&frame(first, payload));
    }

    /// These bytes. A server that has hung up already is no failure: the test looks at what it said before.
    pub fn raw(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("{error}")
            }
            _ => {}
        }
    }

    /// The next frame.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        self.try_frame().expect("the stream has ended")
    }

    /// The next frame, or none at the end of the stream.
    pub fn try_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = parse(&self.unread) {
                self.unread.drain(..len);
                return Some(frame);
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.unread.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next frame is a close frame with this code, and nothing follows it.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) {
        let frame = self.frame();
        assert_eq!((frame.opcode, &frame.payload[..]), (CLOSE, &code.to_be_bytes()[..]), "{frame:?}");
        assert_eq!(self.try_frame(), None);
    }

    #[track_caller]
    pub fn expect_text(&mut self, text: &str) {
        let frame = self.frame();
        assert_eq!((frame.opcode, frame.text()), (TEXT, text));
    }

    /// Whether nothing comes for a moment.
    pub fn is_silent(&mut self, moment: Duration) -> bool {
        self.stream.set_read_timeout(Some(moment)).unwrap();
        let read = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        self.unread.is_empty() && read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// A masked frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ MASK[i % 4]));
    bytes
}

/// An unmasked, unfragmented frame at the front of `bytes`.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, rest) = bytes.split_first()?;
    assert_eq!(first & 0xF0, 0x80, "a server sends whole frames without extensions");
    let (&second, rest) = rest.split_first()?;
    let (len, rest) = match second {
        126 => rest.split_first_chunk().map(|(len, rest)| (u16::from_be_bytes(*len) as usize, rest))?,
        127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len) as usize, rest))?,
        len => (len as usize, rest),
    };
    let payload = rest.get(..len)?.to_vec();
    Some((Frame { opcode: first & 0x0F, payload }, bytes.len() - rest.len() + len))
}
