//! A WebSocket client that does only what it is told: no frame of its own, no end of its own.

use std::io::{self, Read, Write};

use super::http::receive_head;

/// Asks for a WebSocket for a polling session; the head of the answer, in lower case.
pub fn upgrade(mut stream: impl Read + Write, id: &str) -> io::Result<String> {
    let head = format!(
        "GET /socket.io/?EIO=4&transport=websocket&sid={id} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    receive_head(stream)
}

/// Sends a short text frame, its mask 0 (RFC 6455 §5.2).
pub fn say(mut stream: impl Write, text: &str) -> io::Result<()> {
    assert!(text.len() < 126, "a length of its own form");
    stream.write_all(&[&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat())
}

/// Reads one frame: its first byte and payload.
pub fn hear(mut stream: impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut length = [0; 8];
    let form = match head[1] {
        126 => 2,
        127 => 8,
        short => {
            length[7] = short;
            0
        }
    };
    stream.read_exact(&mut length[8 - form..])?;
    let mut payload = vec![0; u64::from_be_bytes(length) as usize];
    stream.read_exact(&mut payload)?;
    Ok((head[0], payload))
}
