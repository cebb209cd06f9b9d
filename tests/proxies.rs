//! Behind the reverse proxies that README.md shows: its snippets are those in tests/proxies, sessions stick and the
//! client is known, with nothing configured in the proxy for the first. Many sessions at once are in sticky.rs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use support::http::{After, client, connect_from, receive, send};
use support::peer::Peer;
use support::proxy::Proxy;
use support::tls::{Certificate, connect};
use support::{Herd, HerdBuilder, Scratch};

const BEHIND_HAPROXY: &str = "trusted_proxies = [\"127.0.0.1\"]\n\
    [[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n";

fn handed_or_forwarded(herd: &Herd) -> u64 {
    herd.status().workers.iter().map(|worker| worker.handed_off + worker.forwarded).sum()
}

/// Sessions of official clients that poll through the proxy, each request on a connection of its own.
fn sessions_stick(herd: &Herd, through: SocketAddr) {
    let mut peer = Peer::start("sticky.mjs", &[&format!("http://{through}"), "fresh"]);
    peer.step("open", json!({ "count": 20 }));
    for member in peer.step("talk", json!({ "seconds": 3 })).as_array().unwrap() {
        let complaints = [&member["bad"], &member["lost"], &member["wrong"]];
        assert_eq!(complaints, [&json!([]); 3], "{member}");
    }
    peer.step("upgrade", json!({ "count": 4 }));
    peer.step("close", Value::Null);
    assert!(handed_or_forwarded(herd) > 0, "requests met other workers than their sessions'");
}

/// What a handler behind the proxy sees of a client, and the client's own address.
fn seen(herd_behind: SocketAddr) -> (Value, String) {
    let stream = connect_from(client(9), herd_behind).unwrap();
    send(&stream, "GET", "/peer", "", After::Close).unwrap();
    let seen = serde_json::from_str(&receive(&stream).unwrap().1).unwrap();
    (seen, stream.local_addr().unwrap().to_string())
}

#[test]
fn sessions_stick_behind_haproxy_which_tells_the_client_by_the_proxy_protocol() {
    let herd = HerdBuilder::new().config(BEHIND_HAPROXY).start(4);
    sessions_stick(&herd, Proxy::haproxy(herd.address()).address);
    let herd = HerdBuilder::faulty().config(BEHIND_HAPROXY).start(1);
    let (seen, own) = seen(Proxy::haproxy(herd.address()).address);
    assert_eq!(seen["address"], own);
}

#[test]
fn nginx_tells_the_client_in_headers_over_tcp_and_over_a_unix_socket() {
    let scratch = Scratch::new();
    let unix = format!("unix:{}", scratch.path().join("http.sock").display());
    // nginx' workers are somebody else, who must be able to open the socket.
    let config = format!(
        "trusted_proxies = \"127.0.0.1\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\naddress = {unix:?}\nmode = \"0666\"\n"
    );
    let herd = HerdBuilder::faulty().config(&config).start(2);
    for upstream in [herd.address().to_string(), unix] {
        let (seen, _) = seen(Proxy::nginx(&upstream).address);
        assert_eq!((&seen["address"], &seen["scheme"]), (&json!(format!("{}:0", client(9))), &json!("Http")));
    }
    let certificate = Certificate::make(&scratch, "ox", "ox.example");
    let nginx = Proxy::nginx_with_tls(&herd.address().to_string(), &certificate);
    let mut stream = connect(&certificate.trust(), "ox.example", nginx.address).unwrap();
    send(&mut stream, "GET", "/peer", "", After::Close).unwrap();
    assert!(receive(&mut stream).unwrap().1.contains("Https"));
}

#[test]
fn the_readme_shows_what_the_tests_use() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for snippet in ["haproxy.cfg", "nginx.conf"] {
        let text = fs::read_to_string(root.join("tests/proxies").join(snippet)).unwrap();
        let (_what_it_is, shown) = text.split_once('\n').unwrap();
        assert!(readme.contains(shown), "{snippet}");
    }
}
