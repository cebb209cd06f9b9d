//! A plain HTTP client that has an address of its own and shows what really happened to its connection.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// The address that everybody has who asks for none.
pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A client of the loopback network, 127.0.0.0/8: connecting *to* 127.0.0.2 would still come *from* 127.0.0.1.
pub fn client(number: u32) -> IpAddr {
    let low = number % 0xFF_FF00 + 2; // neither 127.0.0.1, which everybody else has, nor a broadcast address
    Ipv4Addr::from_bits(0x7F00_0000 | low).into()
}

/// Connects from this address.
pub fn connect_from(source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether the server is to keep the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Close,
    Keep,
}

/// Sends a request in one piece.
pub fn send(mut stream: impl Write, method: &str, path: &str, body: &str, after: After) -> io::Result<()> {
    let connection = if after == After::Close { "close" } else { "keep-alive" };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\nContent-Length: {length}"
    );
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())
}

/// Reads an answer as far as the empty line, in lower case.
pub fn receive_head(mut stream: impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).to_ascii_lowercase())
}

/// Reads one whole answer with a length: its head, in lower case, and body. An end before that is `UnexpectedEof`.
pub fn receive_whole(mut stream: impl Read) -> io::Result<(String, String)> {
    let head = receive_head(&mut stream)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    stream.read_exact(&mut body)?;
    Ok((head, String::from_utf8_lossy(&body).into_owned()))
}

/// Reads one whole answer: its status and body.
pub fn receive(stream: impl Read) -> io::Result<(u16, String)> {
    let (head, body) = receive_whole(stream)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body))
}

/// One request on a connection of its own.
pub fn request(
    source: IpAddr,
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let stream = connect_from(source, to)?;
    send(&stream, method, path, body, After::Close)?;
    receive(&stream)
}

/// `POST /api/emit` with the header `Authorization`.
pub fn publish(source: IpAddr, to: SocketAddr, authorization: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = connect_from(source, to)?;
    let length = body.len();
    let head = "POST /api/emit HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nAuthorization: {authorization}\r\nContent-Length: {length}\r\n\r\n{body}")?;
    receive(stream)
}

/// The pid of the worker that serves this client.
pub fn who(source: IpAddr, to: SocketAddr) -> io::Result<u32> {
    let (status, body) = request(source, to, "GET", "/who", "")?;
    match body.parse() {
        Ok(pid) if status == 200 => Ok(pid),
        _ => Err(io::Error::other(format!("{status} {body}"))),
    }
}

/// Clients that this worker serves, `wanted` of them.
pub fn clients_of(worker: u32, to: SocketAddr, wanted: usize) -> Vec<IpAddr> {
    let served = |client: &IpAddr| who(*client, to).unwrap() == worker;
    let clients: Vec<_> = (0..10_000).map(client).filter(served).take(wanted).collect();
    assert_eq!(clients.len(), wanted, "clients of {worker}");
    clients
}

/// What opens a session by long-polling.
pub const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

/// Opens a session by long-polling: its whole id.
pub fn open(source: IpAddr, to: SocketAddr) -> String {
    let (status, open) = request(source, to, "GET", HANDSHAKE, "").unwrap();
    assert_eq!(status, 200, "{open}");
    let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
    open["sid"].as_str().unwrap().to_owned()
}

/// Opens a Socket.IO session by long-polling and sends one event without waiting for an answer to it.
pub fn emit(source: IpAddr, to: SocketAddr, event: &str) {
    let path = format!("{HANDSHAKE}&sid={}", open(source, to));
    assert_eq!(request(source, to, "POST", &path, "40").unwrap().0, 200);
    let (status, connected) = request(source, to, "GET", &path, "").unwrap();
    assert!(status == 200 && connected.contains("40{"), "{status} {connected}");
    let stream = connect_from(source, to).unwrap();
    send(&stream, "POST", &path, &format!("42[\"{event}\"]"), After::Close).unwrap();
    let _ = receive(&stream); // a handler that never returns may keep the answer
}
