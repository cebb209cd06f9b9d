//! The server's side of the WebSocket opening handshake (RFC 6455 §4.2).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, Version, header};

/// What is wrong with a request that asks for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// A method, version or header of §4.2.1 is missing: this is no WebSocket request at all.
    #[error("the request does not ask for a websocket")]
    NotAnUpgrade,
    /// Only version 13 exists; the answer names it (§4.4).
    #[error("the websocket version is not 13")]
    Version,
    /// The key is not 16 bytes in base64.
    #[error("the Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
}

/// Checks the request and returns the `Sec-WebSocket-Accept` of its answer.
pub(crate) fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<HeaderValue, HandshakeError> {
    let upgrade = has_token(headers, header::UPGRADE, "websocket");
    let connection = has_token(headers, header::CONNECTION, "upgrade");
    if method != Method::GET || version != Version::HTTP_11 || !upgrade || !connection {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return Err(HandshakeError::Version);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(HandshakeError::Key)?.as_bytes().trim_ascii();
    let mut nonce = [0; 18];
    match STANDARD.decode_slice(key, &mut nonce) {
        Ok(16) => accept_key(key),
        _ => Err(HandshakeError::Key),
    }
}

/// The hash that proves to the client that its request was understood as a WebSocket's (§4.2.2).
fn accept_key(key: &[u8]) -> Result<HeaderValue, HandshakeError> {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut text = [0; 28];
    let encoded = STANDARD.encode_slice(hash.digest().bytes(), &mut text);
    debug_assert_eq!(encoded, Ok(text.len()), "20 bytes are 28 characters");
    HeaderValue::from_bytes(&text).map_err(|_| HandshakeError::Key)
}

/// Whether a comma-separated header, which may be repeated, holds `token`.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_rfc_gets_the_answer_of_the_rfc() {
        let answer = accept(&Method::GET, Version::HTTP_11, &headers(&GOOD)).unwrap();
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn each_missing_part_has_its_own_answer() {
        let without = |name: &str| {
            let rest: Vec<_> = GOOD.into_iter().filter(|(key, _)| *key != name).collect();
            accept(&Method::GET, Version::HTTP_11, &headers(&rest)).unwrap_err()
        };
        assert_eq!(without("connection"), HandshakeError::NotAnUpgrade);
        assert_eq!(without("upgrade"), HandshakeError::NotAnUpgrade);
        assert_eq!(without("sec-websocket-version"), HandshakeError::Version);
        assert_eq!(without("sec-websocket-key"), HandshakeError::Key);
        let get10 = accept(&Method::GET, Version::HTTP_10, &headers(&GOOD));
        assert_eq!(get10, Err(HandshakeError::NotAnUpgrade));
        let mut short = GOOD;
        short[3].1 = "c2hvcnQ=";
        assert_eq!(accept(&Method::GET, Version::HTTP_11, &headers(&short)), Err(HandshakeError::Key));
    }
}
