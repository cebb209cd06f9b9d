//! Requests that arrive, on a connection that is somewhere else, for a session that another worker owns.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::io::{Read, Write};

use serde_json::Value;
use support::http::{After, client, connect_from, receive, send};
use support::{Herd, HerdBuilder, get};

fn forwarded(herd: &Herd) -> u64 {
    herd.status().workers.iter().map(|worker| worker.forwarded).sum()
}

/// The query of a new polling session.
fn session(herd: &Herd) -> String {
    let (_, open) = get(herd.address(), "/socket.io/?EIO=4&transport=polling").unwrap();
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    format!("EIO=4&sid={}", open["sid"].as_str().unwrap())
}

#[test]
fn an_upgrade_on_a_kept_connection_reaches_the_worker_that_owns_the_session() {
    let herd = HerdBuilder::new().arguments(&["--affinity", "connection"]).start(2);
    // A connection whose first request is of no session stays where it arrives: half of them not at the owner.
    let was_forwarded = (0..64).any(|_| {
        let query = session(&herd);
        let mut stream = connect_from(client(0), herd.address()).unwrap();
        send(&stream, "GET", "/healthz", "", After::Keep).unwrap();
        assert_eq!(receive(&stream).unwrap().0, 200);
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let line = format!("GET /socket.io/?{query}&transport=websocket HTTP/1.1");
        stream.write_all(format!("{line}\r\nHost: test\r\n{upgrade}\r\n\r\n").as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream.write_all(b"\x81\x86\x00\x00\x00\x002probe").unwrap(); // a text frame, its mask 0 (RFC 6455 §5.2)
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\x81\x063probe");
        forwarded(&herd) > 0
    });
    assert!(was_forwarded, "every connection was at the owner of its session");
}
