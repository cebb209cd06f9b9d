//! Behind the reverse proxies whose snippets the README shows, which are those in tests/proxies: sessions stick and
//! the client is known, with nothing configured in the proxy for it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use support::http::{After, client, connect_from, receive, request, send};
use support::tls::{Certificate, connect};
use support::{Herd, HerdBuilder, Scratch, eventually};

/// A proxy that runs until it is dropped.
struct Proxy(Child);

impl Proxy {
    /// Fills the snippet's places in and starts the proxy in the foreground.
    fn start(
        scratch: &Scratch,
        snippet: &str,
        frame: &str,
        places: &[(&str, String)],
        program: &[&str],
    ) -> Proxy {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxies");
        let mut text = frame.replace("SNIPPET", &fs::read_to_string(directory.join(snippet)).unwrap());
        for (place, value) in places {
            assert!(text.contains(place), "{snippet} has no {place}");
            text = text.replace(place, value);
        }
        let config = scratch.path().join(snippet);
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(&config).stdin(Stdio::null());
        Proxy(command.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}: install it")))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        support::signal_pid(self.0.id(), nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago; proxies cannot be told to take any.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn until_listening(at: SocketAddr) {
    eventually("the proxy listens", || TcpStream::connect(at).ok());
}

fn handed_or_forwarded(herd: &Herd) -> u64 {
    herd.status().workers.iter().map(|worker| worker.handed_off + worker.forwarded).sum()
}

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

/// A session on polling, each request by `ask`, which answers with status and body.
fn session(mut ask: impl FnMut(&str, &str, &str) -> (u16, String)) {
    let (status, open) = ask("GET", HANDSHAKE, "");
    assert_eq!(status, 200, "{open}");
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let path = format!("{HANDSHAKE}&sid={}", open["sid"].as_str().unwrap());
    assert_eq!(ask("POST", &path, "40"), (200, "ok".to_owned()));
    let (status, connected) = ask("GET", &path, "");
    assert!(status == 200 && connected.contains("40{"), "{status} {connected}");
    for number in 0..5 {
        let question = format!("42{number}[\"join\",\"room\"]");
        assert_eq!(ask("POST", &path, &question), (200, "ok".to_owned()));
        let mut heard = String::new();
        while !heard.contains(&format!("43{number}[")) {
            let (status, packets) = ask("GET", &path, "");
            assert_eq!(status, 200, "{packets}");
            heard.push_str(&packets);
        }
        assert_eq!(heard.matches("43").count(), 1, "exactly once: {heard}");
    }
}

/// Many sessions at the same time, every request on a connection of its own.
fn sessions(through: SocketAddr) {
    thread::scope(|scope| {
        for number in 0..20 {
            scope.spawn(move || {
                session(|method, path, body| request(client(number), through, method, path, body).unwrap());
            });
        }
    });
}

#[test]
fn sessions_stick_behind_haproxy_which_tells_the_client_by_the_proxy_protocol() {
    let config = "trusted_proxies = [\"127.0.0.1\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\naffinity = \"connection\"\n";
    for builder in [HerdBuilder::new(), HerdBuilder::faulty()] {
        let is_stock = builder.is_stock();
        let herd = builder.config(config).start(4);
        let (scratch, through) = (Scratch::new(), free_port());
        let frame = "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\nSNIPPET";
        let places = [("0.0.0.0:80", through.to_string()), ("127.0.0.1:3000", herd.address().to_string())];
        let _proxy = Proxy::start(&scratch, "haproxy.cfg", frame, &places, &["haproxy", "-db", "-f"]);
        until_listening(through);
        if is_stock {
            sessions(through);
            assert!(handed_or_forwarded(&herd) > 0, "requests met other workers than their sessions'");
        } else {
            let stream = connect_from(client(9), through).unwrap();
            let own = stream.local_addr().unwrap().to_string();
            send(&stream, "GET", "/peer", "", After::Close).unwrap();
            let seen: Value = serde_json::from_str(&receive(&stream).unwrap().1).unwrap();
            assert_eq!(seen["address"], own);
        }
    }
}

#[test]
fn sessions_stick_with_tls_in_the_workers() {
    let scratch = Scratch::new();
    let certificate = Certificate::make(&scratch, "ox", "ox.example");
    let herd =
        HerdBuilder::new().arguments(&["--affinity", "connection"]).config(&certificate.config()).start(4);
    let (trust, to) = (certificate.trust(), herd.address());
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                session(|method, path, body| {
                    let mut stream = connect(&trust, "ox.example", to).unwrap();
                    send(&mut stream, method, path, body, After::Close).unwrap();
                    receive(&mut stream).unwrap()
                });
            });
        }
    });
    let workers = herd.status().workers;
    assert!(workers.iter().map(|worker| worker.forwarded).sum::<u64>() > 0, "requests met other workers");
    assert_eq!(workers.iter().map(|worker| worker.handed_off).sum::<u64>(), 0, "never under TLS");
    // A forwarded request is still one that came by TLS.
    let herd = HerdBuilder::faulty().config(&certificate.config()).start(1);
    let mut stream = connect(&trust, "ox.example", herd.address()).unwrap();
    send(&mut stream, "GET", "/peer", "", After::Close).unwrap();
    assert!(receive(&mut stream).unwrap().1.contains("Https"));
}
