//! As much HTTP as an engine.io client needs: requests out, responses in. Pure.

use memchr::memmem;
use thiserror::Error;

/// What a browser sends besides; servers differ in what of it they keep for the life of a session.
const BROWSER: &str = "Host: 127.0.0.1:3000\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Origin: http://127.0.0.1:3000\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
    Pragma: no-cache\r\nCache-Control: no-cache\r\n";

/// A response head at most.
const HEAD_MAX: usize = 16 * 1024;

/// The server sent what this client does not take.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HttpError {
    /// Not a response, or one that is too long.
    #[error("no HTTP response")]
    Malformed,
    /// No server of the benchmark answers without a length.
    #[error("an HTTP response without a length")]
    NoLength,
}

/// One response.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Such as 200.
    pub status: u16,
    /// Empty for 101.
    pub body: &'a [u8],
}

/// The target of an Engine.IO request; `sid` is empty for a new session.
fn target(transport: &str, sid: &str) -> String {
    let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
    format!("/socket.io/?EIO=4&transport={transport}{sid}")
}

/// A poll, or the handshake if `sid` is empty.
pub fn poll(sid: &str) -> Vec<u8> {
    let target = target("polling", sid);
    format!("GET {target} HTTP/1.1\r\n{BROWSER}Connection: keep-alive\r\n\r\n").into_bytes()
}

/// Packets for the server.
pub fn post(sid: &str, payload: &[u8]) -> Vec<u8> {
    let (target, len) = (target("polling", sid), payload.len());
    let head = format!(
        "POST {target} HTTP/1.1\r\n{BROWSER}Connection: keep-alive\r\n\
        Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len}\r\n\r\n"
    );
    [head.as_bytes(), payload].concat()
}

/// A WebSocket for a new session, or for that of `sid`.
pub fn upgrade(sid: &str) -> Vec<u8> {
    let target = target("websocket", sid);
    format!(
        "GET {target} HTTP/1.1\r\n{BROWSER}Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    .into_bytes()
}

/// The first response of `bytes` and what follows it; `None` if it is not complete yet.
pub fn split(bytes: &[u8]) -> Result<Option<(Response<'_>, &[u8])>, HttpError> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_MAX { Err(HttpError::Malformed) } else { Ok(None) };
    };
    let head = str::from_utf8(&bytes[..end]).map_err(|_| HttpError::Malformed)?;
    let rest = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.ok_or(HttpError::Malformed)?;
    if status == 101 {
        return Ok(Some((Response { status, body: &[] }, rest)));
    }
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let len = lengths.next().ok_or(HttpError::NoLength)?;
    Ok(rest.split_at_checked(len).map(|(body, rest)| (Response { status, body }, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_where_its_length_says() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nX: y\r\n\r\nabcHTTP/1.1 4";
        for cut in 0..bytes.len() - 10 {
            assert_eq!(split(&bytes[..cut]), Ok(None), "{cut}");
        }
        let (response, rest) = split(bytes).unwrap().unwrap();
        assert_eq!(response, Response { status: 200, body: b"abc" });
        assert_eq!(rest, b"HTTP/1.1 4");
    }

    #[test]
    fn after_an_upgrade_come_frames() {
        let bytes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x01x";
        let (response, rest) = split(bytes).unwrap().unwrap();
        assert_eq!((response.status, rest), (101, &b"\x81\x01x"[..]));
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        assert_eq!(split(b"SSH-2.0\r\n\r\n"), Err(HttpError::Malformed));
        assert_eq!(split(b"HTTP/1.1 200 OK\r\n\r\n"), Err(HttpError::NoLength));
        assert_eq!(split(&[b'x'; HEAD_MAX + 1]), Err(HttpError::Malformed));
    }
}
