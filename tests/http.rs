//! The stock server's HTTP side: health, the page, and the official client's file.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::http::{After, receive, send};
use support::{Herd, HerdBuilder, PATIENCE, eventually, get};

fn health(herd: &Herd, path: &str) -> (u16, Value) {
    let (status, body) = get(herd.address(), path).unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// The whole answer to a GET, head and body.
fn whole(herd: &Herd, path: &str) -> String {
    let mut stream = connect(herd);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn connect(herd: &Herd) -> TcpStream {
    let stream = TcpStream::connect(herd.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn any_worker_says_how_the_box_is() {
    let herd = HerdBuilder::new().arguments(&["--host", "ox-7", "--affinity", "connection"]).start(3);
    let good = json!({ "ok": true, "host": "ox-7", "workers": { "starting": 0, "ready": 3, "draining": 0 } });
    for path in ["/healthz", "/readyz"] {
        for _ in 0..12 {
            assert_eq!(health(&herd, path), (200, good.clone()));
        }
        let answer = whole(&herd, path).to_lowercase();
        assert!(
            answer.contains("content-type: application/json") && answer.contains("cache-control: no-store")
        );
    }
}

#[test]
fn a_box_that_drains_is_healthy_and_not_ready() {
    for (path, expected) in [("/healthz", 200), ("/readyz", 503)] {
        let mut herd = HerdBuilder::new().start(1);
        // A request that began before the drain is answered in it.
        let mut stream = connect(&herd);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n").unwrap();
        herd.until("the request has begun", |status| status.workers[0].bytes_in > 0);
        herd.signal(Signal::SIGTERM);
        eventually("the worker drains", || herd.log().contains("draining").then_some(()));
        stream.write_all(b"\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{path}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("connection: close"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["ok"], json!(expected == 200));
        assert_eq!(body["workers"], json!({ "starting": 0, "ready": 0, "draining": 1 }));
        assert_eq!(herd.wait().code(), Some(0));
    }
}

#[test]
fn the_page_is_there_and_nothing_else_is() {
    let herd = HerdBuilder::new().start(1);
    let page = whole(&herd, "/");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<title>oxherd"), "{page}");
    for path in [
        "/nothing",
        "/index.html",
        "/../config.toml",
        "/%2e%2e/config.toml",
        "/healthz/",
        "//",
        "/socket.io/x.js",
    ] {
        let (status, _) = get(herd.address(), path).unwrap();
        assert!((400..500).contains(&status), "{path}: {status}");
    }
}

#[test]
fn the_official_client_is_served_from_the_file_that_is_named_and_is_absent_otherwise() {
    const PATH: &str = "/socket.io/socket.io.js";
    let without = HerdBuilder::new().start(1);
    let (status, text) = get(without.address(), PATH).unwrap();
    assert_eq!(status, 404);
    assert!(text.contains("client_bundle"), "it says what to do: {text}");

    let bundle = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/node/node_modules/socket.io-client/dist/socket.io.js");
    let content =
        std::fs::read_to_string(&bundle).expect("npm packages are missing: run `npm ci --prefix tests/node`");
    let with = HerdBuilder::new().config(&format!("client_bundle = {bundle:?}")).start(1);
    assert_eq!(get(with.address(), PATH).unwrap(), (200, content));
    assert!(whole(&with, PATH).to_lowercase().contains("content-type: text/javascript"));
    // The path lies below the Socket.IO server's own.
    let (status, open) = get(with.address(), "/socket.io/?EIO=4&transport=polling").unwrap();
    assert_eq!((status, open.starts_with("0{")), (200, true), "{open}");
}

#[test]
fn a_connection_stays_between_requests_for_longer_than_a_first_request_may_take() {
    const HEADER_TIMEOUT: Duration = Duration::from_millis(200);
    let herd = HerdBuilder::new().config("[http]\nheader_timeout = \"200ms\"\nkeep_alive = \"1s\"").start(1);
    let (silent, kept) = (connect(&herd), connect(&herd));
    let ask = |after| {
        send(&kept, "GET", "/healthz", "", after).unwrap();
        receive(&kept).unwrap().0
    };
    assert_eq!(ask(After::Keep), 200);
    sleep(HEADER_TIMEOUT * 2); // the time that must not end the other
    assert_eq!(ask(After::Keep), 200);
    let answered = Instant::now();
    assert_eq!((&kept).read(&mut [0]).unwrap(), 0, "in the end it is closed too");
    let idle = answered.elapsed();
    assert!(idle >= Duration::from_millis(900) && idle < PATIENCE / 2, "{idle:?}");
    assert_eq!((&silent).read(&mut [0]).unwrap(), 0, "one that never sent a request is ended");
}
