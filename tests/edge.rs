//! Who a client is: as it connects, as trusted proxies tell over HTTP, as the PROXY protocol tells; and which pages of
//! other origins may come.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use support::http::{After, client, connect_from, receive, send};
use support::{Herd, HerdBuilder, PATIENCE, Scratch};

/// Sends a request for `/peer` with more header lines, after `before`; what the handler saw.
fn peer(mut stream: impl Read + Write, before: &[u8], lines: &str) -> std::io::Result<Value> {
    let request = format!("GET /peer HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(&[before, request.as_bytes()].concat())?;
    let (status, body) = receive(&mut stream)?;
    assert_eq!(status, 200, "{body}");
    Ok(serde_json::from_str(&body).unwrap())
}

fn from(number: u32, to: SocketAddr) -> TcpStream {
    connect_from(client(number), to).unwrap()
}

fn unix(path: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn listeners(herd: &Herd) -> Vec<SocketAddr> {
    herd.status().listeners.iter().filter_map(|listener| listener.address.parse().ok()).collect()
}

/// A header of the PROXY protocol, version 2, for a client over IPv4.
fn proxy_header(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let IpAddr::V4(address) = client.ip() else { panic!("not IPv4") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(address.octets());
    header.extend([192, 0, 2, 1]);
    header.extend(client.port().to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header
}

const CLAIMS: &str =
    "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 6.6.6.6\r\n";

#[test]
fn only_trusted_proxies_say_who_a_client_is() {
    let scratch = Scratch::new();
    let path = scratch.path().join("http.sock");
    let trusted = client(1);
    let config = format!(
        "trusted_proxies = [\"{trusted}\"]\nlisten = [\"127.0.0.1:0\", \"[::]:0\", \"unix:{}\"]",
        path.display()
    );
    let herd = HerdBuilder::faulty().config(&config).start(2);
    let [v4, both] = listeners(&herd)[..] else { panic!("two TCP listeners") };
    let both = SocketAddr::new(v4.ip(), both.port());
    for to in [v4, both] {
        let seen = peer(from(1, to), b"", CLAIMS).unwrap();
        let expected = json!({
            "address": "203.0.113.9:0", "scheme": "Https", "connect_info": "203.0.113.9:0",
            "claims": ["x-forwarded-for", "x-forwarded-proto", "x-real-ip"],
        });
        assert_eq!(seen, expected, "{to}");
        // Whoever is not named is the client, and his claims are gone.
        let stream = from(2, to);
        let own = stream.local_addr().unwrap().to_string();
        let seen = peer(stream, b"", CLAIMS).unwrap();
        let expected = json!({ "address": own, "scheme": "Http", "connect_info": own, "claims": [] });
        assert_eq!(seen, expected, "{to}");
    }
    let seen = peer(unix(&path), b"", CLAIMS).unwrap();
    assert_eq!((&seen["address"], &seen["scheme"]), (&json!("203.0.113.9:0"), &json!("Https")));
    let seen = peer(unix(&path), b"", "").unwrap();
    assert_eq!((&seen["address"], &seen["connect_info"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_proxy_protocol_tells_the_client_to_a_listener_that_expects_it() {
    let scratch = Scratch::new();
    let path = scratch.path().join("http.sock");
    let config = format!(
        "trusted_proxies = [\"{}\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
         [[listen]]\naddress = \"unix:{}\"\nproxy_protocol = true",
        client(1),
        path.display()
    );
    let herd = HerdBuilder::faulty().config(&config).start(2);
    let to = herd.address();
    let header = proxy_header("203.0.113.9:4711");
    for _ in 0..8 {
        let seen = peer(from(1, to), &header, "").unwrap();
        assert_eq!((&seen["address"], &seen["scheme"]), (&json!("203.0.113.9:4711"), &json!("Http")));
    }
    assert_eq!(peer(unix(&path), &header, "").unwrap()["address"], "203.0.113.9:4711");
    // The client whom the proxy names is no proxy.
    assert_eq!(peer(from(1, to), &header, CLAIMS).unwrap()["address"], "203.0.113.9:4711");
    // But it may be one that is trusted.
    let through = proxy_header(&format!("{}:1", client(1)));
    assert_eq!(peer(from(1, to), &through, CLAIMS).unwrap()["address"], "203.0.113.9:0");
    // A health check speaks for the proxy itself.
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    let stream = from(1, to);
    let own = stream.local_addr().unwrap().to_string();
    assert_eq!(peer(stream, local, "").unwrap()["address"], own);
}

#[test]
fn who_is_no_trusted_proxy_or_sends_no_header_does_not_come_in() {
    let config = format!(
        "trusted_proxies = [\"{}\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true",
        client(1)
    );
    let herd = HerdBuilder::faulty().config(&config).start(1);
    let to = herd.address();
    let header = proxy_header("203.0.113.9:4711");
    let attempts: [(u32, &[u8]); 4] =
        [(2, &header), (1, b""), (1, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), (1, &header[..11])];
    for (number, before) in attempts {
        let outcome = peer(from(number, to), before, "");
        assert!(outcome.is_err(), "{number} {before:?}: {outcome:?}");
    }
    herd.until("all of them are counted", |status| status.workers[0].refused == attempts.len() as u64);
    assert!(herd.log().contains("who is not in trusted_proxies"), "it is said once: the first of them");
    assert!(peer(from(1, to), &header, "").is_ok());
}

#[test]
fn half_a_proxy_header_has_the_time_of_a_request_head() {
    let config = format!(
        "http.header_timeout = \"300ms\"\ntrusted_proxies = [\"{}\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true",
        client(1)
    );
    let herd = HerdBuilder::faulty().config(&config).start(1);
    let mut stream = from(1, herd.address());
    stream.write_all(&proxy_header("203.0.113.9:1")[..20]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    herd.until("it is counted", |status| status.workers[0].evicted == 1);
}

/// An answer's head, in lower case, and body.
fn whole(herd: &Herd, request: &str) -> (String, String) {
    let mut stream = from(1, herd.address());
    write!(stream, "{request}Host: ox.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

const HANDSHAKE: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n";
const UNKNOWN: &str = "OPTIONS /socket.io/?EIO=4&transport=polling&sid=gone HTTP/1.1\r\n\
                       Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
const PAGE: &str = "Origin: https://page.example\r\n";
const ELSEWHERE: &str = "Sec-Fetch-Site: cross-site\r\n";

#[test]
fn a_page_of_another_origin_may_read_only_if_it_is_named() {
    let herd = HerdBuilder::new().start(1);
    let (head, body) = whole(&herd, &format!("{HANDSHAKE}{PAGE}{ELSEWHERE}"));
    assert!(head.starts_with("http/1.1 403") && body.contains("https://page.example"), "{head} {body}");
    assert!(body.contains("cors.origins"), "{body}");
    assert!(herd.log().contains("https://page.example") && herd.log().contains("cors.origins"));
    let (head, body) = whole(&herd, &format!("{UNKNOWN}{PAGE}"));
    assert!(head.starts_with("http/1.1 403") && body.contains("cors.origins"), "{head} {body}");
    // As Node does it: the browser sees to the rest.
    let (head, _) = whole(&herd, &format!("{HANDSHAKE}{PAGE}"));
    assert!(head.starts_with("http/1.1 200") && !head.contains("access-control-allow-origin"), "{head}");

    let config = "[cors]\norigins = [\"https://page.example\"]\ncredentials = true";
    let herd = HerdBuilder::new().config(config).start(1);
    let line = |line| format!("{line} HTTP/1.1\r\n{PAGE}{ELSEWHERE}");
    for (request, status) in [
        (format!("{HANDSHAKE}{PAGE}{ELSEWHERE}"), 200),
        (format!("{UNKNOWN}{PAGE}"), 200),
        (line("GET /socket.io/socket.io.js"), 404),
        (line("POST /api/emit"), 403),
        (line("GET /nowhere"), 404),
    ] {
        let (head, _) = whole(&herd, &request);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(head.contains("access-control-allow-origin: https://page.example"), "{head}");
        assert!(head.contains("access-control-allow-credentials: true"), "{head}");
    }
    for request in [HANDSHAKE, "GET /socket.io/socket.io.js HTTP/1.1\r\n", "GET /nowhere HTTP/1.1\r\n"] {
        let (head, _) = whole(&herd, &format!("{request}Origin: https://other.example\r\n{ELSEWHERE}"));
        assert!(head.starts_with("http/1.1 403"), "{head}");
    }
}

#[test]
fn anybody_may_read_if_the_configuration_says_so() {
    let herd = HerdBuilder::new().environment("OXHERD_CORS_ORIGINS", "*").start(1);
    let (head, _) = whole(&herd, &format!("{HANDSHAKE}{PAGE}{ELSEWHERE}"));
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    let stream = from(1, herd.address());
    send(&stream, "GET", "/healthz", "", After::Close).unwrap();
    assert_eq!(receive(&stream).unwrap().0, 200);
}
