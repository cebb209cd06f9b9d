//! The PROXY protocol, version 2 (haproxy's `doc/proxy-protocol.txt`): a header in front of everything else, with which
//! a proxy that only passes bytes on says whom it passes them on for.
//!
//! The header is believed, so only a trusted proxy may send it, and a listener that expects it takes nothing else:
//! a stranger's connection looks just the same otherwise. Version 1, a line of text, is refused: it cannot be told
//! from a request without guessing.

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header begins with (§2.2): no request of any protocol that is in use.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_1: &[u8] = b"PROXY ";

/// Signature, version and command, family, and the length of what follows.
const FIXED_BYTES: usize = 16;

/// What may follow the fixed part: addresses take 36 bytes, a vendor's extensions (TLVs) some hundred.
const REST_BYTES_MAX: usize = 2048;

/// Bytes of a header at most.
#[cfg(test)]
const HEADER_BYTES_MAX: usize = FIXED_BYTES + REST_BYTES_MAX;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// How many bytes it took.
    pub bytes: usize,
    /// The client; `None` if the proxy speaks for itself (a health check) or says nothing about an IP address.
    pub client: Option<SocketAddr>,
}

/// Why bytes are no header that is taken.
#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    #[error(
        "no PROXY protocol header: the proxy must send one on this listener, such as haproxy's `send-proxy-v2`"
    )]
    Missing,
    #[error("PROXY protocol version 1: configure version 2 in the proxy, such as haproxy's `send-proxy-v2`")]
    Version1,
    #[error("a PROXY protocol header of version {version} with command {command}")]
    Unknown { version: u8, command: u8 },
    #[error("a PROXY protocol header of {0} bytes, more than {REST_BYTES_MAX}")]
    TooLong(usize),
    #[error("a PROXY protocol header that is too short for its addresses")]
    TooShort,
    #[error("the connection ended in its PROXY protocol header")]
    Io(#[from] io::Error),
}

/// The header at the beginning of these bytes; `None` while it is not all there. Bytes after it are not looked at.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(match bytes.starts_with(VERSION_1) {
            true => ProxyError::Version1,
            false => ProxyError::Missing,
        });
    }
    let Some((&[version_command, family, high, low], rest)) =
        bytes.get(SIGNATURE.len()..).and_then(|after| after.split_first_chunk())
    else {
        return Ok(None);
    };
    let (version, command) = (version_command >> 4, version_command & 0xF);
    if version != 2 || command > PROXY {
        return Err(ProxyError::Unknown { version, command });
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST_BYTES_MAX {
        return Err(ProxyError::TooLong(length));
    }
    let Some(rest) = rest.get(..length) else { return Ok(None) };
    let client = match (command, family) {
        (PROXY, TCP_OVER_IPV4) => Some(client::<4, 12>(rest)?),
        (PROXY, TCP_OVER_IPV6) => Some(client::<16, 36>(rest)?),
        _ => None, // LOCAL, a Unix socket, or a family of the future: the connection's own end counts (§2.2)
    };
    Ok(Some(Header { bytes: FIXED_BYTES + length, client }))
}

/// The command by which a proxy speaks for a client; 0 is LOCAL.
const PROXY: u8 = 1;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// `ADDRESSES` bytes: source and destination, each of `IP` bytes, then their ports.
fn client<const IP: usize, const ADDRESSES: usize>(rest: &[u8]) -> Result<SocketAddr, ProxyError>
where
    IpAddr: From<[u8; IP]>,
{
    let addresses = rest.first_chunk::<ADDRESSES>().ok_or(ProxyError::TooShort)?;
    let source = addresses.first_chunk::<IP>().ok_or(ProxyError::TooShort)?;
    let port = u16::from_be_bytes([addresses[2 * IP], addresses[2 * IP + 1]]);
    Ok(SocketAddr::new(IpAddr::from(*source), port))
}

/// Reads exactly a header off a stream.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Header, ProxyError> {
    // Never more than the fixed part before the length is known: what follows the header is HTTP's.
    let mut bytes = vec![0; FIXED_BYTES];
    let mut filled = 0;
    loop {
        match stream.read(&mut bytes[filled..]).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            read => filled += read,
        }
        if let Some(header) = parse(&bytes[..filled])? {
            return Ok(header);
        }
        if filled == FIXED_BYTES {
            bytes.resize(FIXED_BYTES + usize::from(u16::from_be_bytes([bytes[14], bytes[15]])), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "0d0a0d0a000d0a515549540a 21 11 000c cb007109 c0000201 d431 01bb";
    const V6: &str = "0d0a0d0a000d0a515549540a 21 21 0024 20010db8000000000000000000000001 \
                      20010db8000000000000000000000002 d431 01bb";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_header_tells_the_client_and_its_own_length() {
        for (hex, client) in [
            (V4.to_owned(), Some("203.0.113.9:54321")),
            (V6.to_owned(), Some("[2001:db8::1]:54321")),
            // LOCAL: a health check of the proxy, with or without addresses.
            ("0d0a0d0a000d0a515549540a 20 00 0000".to_owned(), None),
            (V4.replacen(" 21 ", " 20 ", 1), None),
            // AF_UNSPEC, and datagrams, which no listener of ours has.
            ("0d0a0d0a000d0a515549540a 21 00 0003 010203".to_owned(), None),
            (V4.replacen(" 11 ", " 12 ", 1), None),
            // Extensions follow the addresses: PP2_TYPE_NOOP with 2 bytes.
            (V4.replacen("000c", "0011", 1) + "04 0002 0000", Some("203.0.113.9:54321")),
        ] {
            let whole = bytes(&hex);
            let expected =
                Header { bytes: whole.len(), client: client.map(|client| client.parse().unwrap()) };
            let followed = [&whole[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&followed).unwrap(), Some(expected), "{hex}");
            for cut in 0..whole.len() {
                assert_eq!(parse(&whole[..cut]).unwrap(), None, "{hex} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_can_be_known() {
        let v4 = bytes(V4);
        let with = |at: usize, byte: u8| {
            let mut changed = v4.clone();
            changed[at] = byte;
            changed
        };
        for (bytes, expected) in [
            (b"G".to_vec(), "no PROXY protocol header"),
            (b"\r\n\r\n\0\r\nQUIT!".to_vec(), "no PROXY protocol header"),
            (b"\x16\x03\x01".to_vec(), "no PROXY protocol header"),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(), "version 1: configure version 2"),
            (with(12, 0x11), "version 1 with command 1"),
            (with(12, 0x22), "version 2 with command 2"),
            (with(14, 0xFF), "more than 2048"),
            (with(15, 11), "too short for its addresses"),
        ] {
            let error = parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{bytes:?}: {error}");
        }
    }

    #[tokio::test]
    async fn exactly_the_header_is_read_off_however_it_arrives() {
        for piece in [1, 3, 16, 1000] {
            let (mut proxy, mut ours) = tokio::io::duplex(piece);
            let sent = [bytes(V6), b"GET /".to_vec()].concat();
            let sender =
                tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut proxy, &sent).await });
            let header = read(&mut ours).await.unwrap();
            assert_eq!(header.client, Some("[2001:db8::1]:54321".parse().unwrap()));
            let mut rest = [0; 5];
            ours.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"GET /");
            sender.await.unwrap().unwrap();
        }
        let cut = read(&mut &bytes(V4)[..20]).await;
        assert!(matches!(cut, Err(ProxyError::Io(_))), "{cut:?}");
    }

    #[test]
    fn random_bytes_make_neither_a_panic_nor_a_long_header() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut whole = 0;
        for _ in 0..200_000 {
            let mut sent = bytes(if random() & 1 == 0 { V4 } else { V6 });
            for _ in 0..random() % 4 {
                let at = random() as usize % sent.len();
                sent[at] = random() as u8;
            }
            sent.truncate(random() as usize % (sent.len() + 1) + (random() as usize % 8) * 8);
            if let Ok(Some(header)) = parse(&sent) {
                assert!(header.bytes <= sent.len().min(HEADER_BYTES_MAX));
                whole += 1;
            }
        }
        assert!(whole > 1000, "the walk met too few headers: {whole}");
    }
}
